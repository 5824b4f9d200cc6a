"""``python -m maskmixadv``: the command line, for launchers that start modules, such as torchrun."""

from maskmixadv.cli import main

if __name__ == "__main__":
    main()
