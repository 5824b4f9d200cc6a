"""The one error that a user's input can raise."""


class InputError(ValueError):
    """The user's input is wrong; the message is one line naming file, value and what is allowed.

    The command line prints it to stderr and ends with exit code 2.
    """
