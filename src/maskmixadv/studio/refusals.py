"""The errors that the studio answers with: input errors with an HTTP status."""

from collections.abc import Sequence
from typing import ClassVar

from maskmixadv.errors import InputError


class RequestError(InputError):
    """The request is wrong."""

    status: ClassVar[int] = 400


class MissingError(RequestError):
    """The request asks for something that does not exist."""

    status = 404


class TakenError(RequestError):
    """Something is in the way, such as a name that is taken or a training that runs."""

    status = 409


class EmptyError(TakenError):
    """There is nothing to export.

    Parameters
    ----------
    problems
        A line for each thing that is not exported; the message has the first one, and how many more there are.

    Attributes
    ----------
    problems
        All these lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        more = [f"and {len(problems) - 1} more"] if len(problems) > 1 else []
        super().__init__("; ".join(["there is nothing to export", *problems[:1], *more]))
        self.problems = tuple(problems)


class UnlearntError(RequestError):
    """Nothing in the folder can be learnt from, nor exported as a data set.

    Parameters
    ----------
    said
        The message.
    problems
        A line for each file and slice that can't be used.

    Attributes
    ----------
    problems
        All these lines.
    """

    def __init__(self, said: str, problems: Sequence[str]) -> None:
        super().__init__(said)
        self.problems = tuple(problems)


class StaleError(TakenError):
    """The request changes what somebody else has changed since the page read it."""


class RecodedError(RequestError):
    """The request has labels of other classes than there are by now."""

    status = 412


class TooLargeError(RequestError):
    """The request sends too much."""

    status = 413


class UnavailableError(RequestError):
    """The request asks for something that this installation can't do."""

    status = 501
