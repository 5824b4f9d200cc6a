"""``python -m maskmixadv``: the command line, for launchers that start modules, such as torchrun."""

from maskmixadv.cli.app import main

if __name__ == "__main__":
    main()
