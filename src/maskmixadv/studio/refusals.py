"""What the studio says no to: input errors that know their HTTP status."""

from typing import ClassVar

from maskmixadv.errors import InputError


class RequestError(InputError):
    """A request that can't be done as it is."""

    status: ClassVar[int] = 400


class MissingError(RequestError):
    """What is asked for is not there."""

    status = 404


class TakenError(RequestError):
    """Something is in the way: a name that is taken, a training that runs."""

    status = 409


class TooLargeError(RequestError):
    """More than is taken."""

    status = 413


class UnavailableError(RequestError):
    """What this installation can't do."""

    status = 501
