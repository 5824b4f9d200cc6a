"""What the studio says no to: input errors that know their HTTP status."""

from typing import ClassVar

from maskmixadv.errors import InputError


class Refusal(InputError):
    """A request that can't be done as it is."""

    status: ClassVar[int] = 400


class Missing(Refusal):
    """What is asked for is not there."""

    status = 404


class Taken(Refusal):
    """Something is in the way: a name that is taken, a training that runs."""

    status = 409


class TooLarge(Refusal):
    """More than is taken."""

    status = 413


class NotBuilt(Refusal):
    """This installation can't do it."""

    status = 501
