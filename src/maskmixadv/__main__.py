"""The program ``maskmixadv``, also as ``python -m maskmixadv``, for launchers that start modules, such as torchrun."""

import sys

from maskmixadv.errors import INTERRUPTED, STOPPED, say


def main() -> None:
    """Run the command line and exit, as `maskmixadv.cli.app.main`.

    Ctrl-C while that is imported, which takes some tenths of a second, is one line and exit code 130, too.
    """
    try:
        from maskmixadv.cli.app import main as run

        run()
    except KeyboardInterrupt:
        say(STOPPED)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
