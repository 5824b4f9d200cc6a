"""The session that a request is for."""

from typing import Annotated, Final

from fastapi import Depends, Request

from maskmixadv.studio.session import Session

PLACE: Final = "/api/cases/{case}/slices/{index}"
"""Path of a slice."""


async def _of_request(request: Request) -> Session:
    return request.app.state.session


Here = Annotated[Session, Depends(_of_request)]
"""Type of a call's parameter that is the session of the application whose request it is."""
