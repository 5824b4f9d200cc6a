"""The calls for proposals: what strokes say before any training."""

import asyncio
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from maskmixadv.errors import InputError
from maskmixadv.studio.http.here import PLACE, Here
from maskmixadv.studio.learning.proposals import Answer
from maskmixadv.studio.review.reviews import Seen, Verdict

CALLS = APIRouter()


@CALLS.post(f"{PLACE}/proposal")
async def _propose(session: Here, case: str, index: int, request: Request, coding: str | None = None) -> Response:
    asked = await run_in_threadpool(session.proposals.ask, case, index, await request.body(), coding)
    return answer(await asyncio.wrap_future(asked))


@CALLS.put(f"{PLACE}/proposal")
async def _accept(
    session: Here,
    case: str,
    index: int,
    request: Request,
    coding: str | None = None,
    verdict: Verdict | Literal["none"] | None = None,
    run: str = "",
) -> dict[str, Any]:
    # Verdict and run are what the page shows, as a review's `seen`; without a verdict, whatever holds is replaced.
    seen = None if verdict is None else Seen(None if verdict == "none" else verdict, run or None)
    labels = await request.body()
    return {"reviews": await run_in_threadpool(session.accept_proposal, case, index, labels, coding, seen)}


@CALLS.get(f"{PLACE}/preview")
def _preview(session: Here, case: str, index: int) -> Response:
    found = session.preview(case, index)
    told = answer(None if found is None else found.labels)
    if found is not None:
        told.headers["X-Step"] = str(found.step)
    return told


@CALLS.post("/api/cases/{case}/fill")
async def _fill(session: Here, case: str) -> Response:
    return several(await asyncio.wrap_future(await run_in_threadpool(session.proposals.fill, case)))


@CALLS.post("/api/cases/{case}/shapes")
async def _shapes(session: Here, case: str) -> Response:
    return several(await asyncio.wrap_future(await run_in_threadpool(session.proposals.shapes, case)))


def several(found: Answer) -> Response:
    """Return an answer with slices one after another, whose numbers are in a header; or without content.

    Raises
    ------
    InputError
        If this is what was found.
    """
    if isinstance(found, InputError):
        raise found
    if found is None:
        return answer(None)
    filled = answer(np.stack(list(found.values())))
    filled.headers["X-Slices"] = ",".join(map(str, found))
    return filled


def answer(plane: np.ndarray | None) -> Response:
    """Return an answer with the values of an array, or without content."""
    if plane is None:
        return Response(status_code=204)
    return Response(np.ascontiguousarray(plane).tobytes(), media_type="application/octet-stream")
