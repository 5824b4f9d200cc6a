"""The page's calls: each reads what a request says, and passes it to the session.

They are made once, as that takes longer than most of what they do; its application says which session a request is for.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt
from starlette.concurrency import run_in_threadpool

from maskmixadv.files import cannot_write
from maskmixadv.methods.registry import DEFAULT_METHOD
from maskmixadv.studio.export.kinds import ExportKind
from maskmixadv.studio.http.here import PLACE, Here
from maskmixadv.studio.http.instant import answer
from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.learning.training import AUTO, Order
from maskmixadv.studio.masks import MaskOf
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.review.reviews import Seen, Verdict
from maskmixadv.studio.versions import version

CALLS = APIRouter()
Seconds = Annotated[float, Query(ge=0, le=86_400, allow_inf_nan=False)]


class Body(BaseModel):
    """What a request says; a field that nobody reads is refused. Numbers and booleans are not made of one another."""

    model_config = ConfigDict(extra="forbid")


class ClassBody(Body):
    """A class, in a request."""

    name: str
    colour: str
    was: StrictInt | None = None


class ClassesBody(Body):
    """All classes, background first, in a request.

    If `placed`, each one's `was` is the place that it had, or None for a new class; else the places stay. `seen` are
    the classes that the page had before it; None replaces any.
    """

    classes: list[ClassBody]
    placed: StrictBool = False
    seen: list[PaletteClass] | None = None


class ReviewBody(Body):
    """A verdict on a slice's prediction; None takes it back."""

    verdict: Verdict | None
    seen: Seen | None = None


class UseBody(Body):
    """What the dense slices of a case are for."""

    use: Use


class TrainBody(Body):
    """An order for a training."""

    preset: str = AUTO
    steps: StrictInt | None = None
    method: str = DEFAULT_METHOD
    goes_on: StrictBool = False


class ExportBody(Body):
    """An order for an export."""

    what: ExportKind


@CALLS.get(f"{PLACE}/image")
def _image(session: Here, case: str, index: int, channel: int = 0) -> Response:
    return answer(session.image(case, index, channel).astype("<u2", copy=False))


@CALLS.get("/api/cases/{case}/across/{axis}/{index}/image")
def _across(session: Here, case: str, axis: int, index: int, channel: int = 0) -> Response:
    return answer(session.across(case, axis, index, channel).astype("<u2", copy=False))


@CALLS.get(f"{PLACE}/scribble")
def _scribble(session: Here, case: str, index: int) -> Response:
    return _versioned(session.scribble(case, index))


@CALLS.put(f"{PLACE}/scribble")
async def _draw(
    session: Here,
    case: str,
    index: int,
    request: Request,
    seconds: Seconds = 0.0,
    version: str | None = None,
    coding: str | None = None,
) -> dict[str, Any]:
    labels = await request.body()
    return asdict(await run_in_threadpool(session.draw, case, index, labels, seconds, version, coding))


@CALLS.get(f"{PLACE}/prediction")
def _prediction(session: Here, case: str, index: int) -> Response:
    return answer(session.predicted(case, index, "prediction"))


@CALLS.get(f"{PLACE}/disagreement")
def _disagreement(session: Here, case: str, index: int) -> Response:
    return answer(session.predicted(case, index, "disagreement"))


@CALLS.put(f"{PLACE}/review")
def _review(session: Here, case: str, index: int, body: ReviewBody) -> dict[str, Any]:
    return {"reviews": session.review(case, index, body.verdict, body.seen)}


@CALLS.get(f"{PLACE}/mask")
def _mask(session: Here, case: str, index: int, of: MaskOf = "corrected") -> Response:
    return _versioned(session.masks.of(case, index, of))


@CALLS.put(f"{PLACE}/mask")
async def _correct(
    session: Here,
    case: str,
    index: int,
    request: Request,
    seconds: Seconds = 0.0,
    version: str | None = None,
    coding: str | None = None,
) -> dict[str, Any]:
    labels = await request.body()
    return asdict(await run_in_threadpool(session.masks.correct, case, index, labels, seconds, version, coding))


@CALLS.delete(f"{PLACE}/mask")
def _discard(session: Here, case: str, index: int, version: str | None = None) -> dict[str, Any]:
    return asdict(session.masks.discard(case, index, version))


@CALLS.put(f"{PLACE}/looked")
def _look(session: Here, case: str, index: int, run: str | None = None) -> dict[str, Any]:
    return asdict(session.masks.look(case, index, run))


@CALLS.put("/api/cases/{case}/use")
def _use(session: Here, case: str, body: UseBody) -> dict[str, Any]:
    return asdict(session.masks.set_use(case, body.use))


@CALLS.get("/api/folder")
def _folder(session: Here) -> dict[str, Any]:
    return asdict(session.folder())


@CALLS.put("/api/classes")
def _classes(session: Here, body: ClassesBody) -> dict[str, Any]:
    was = [each.was for each in body.classes] if body.placed else None
    session.set_classes([PaletteClass(each.name, each.colour) for each in body.classes], was, body.seen)
    return {"classes": list(map(asdict, session.classes())), "coding": session.coding()}


@CALLS.put("/api/images/{file}")
async def _add(session: Here, file: str, request: Request) -> dict[str, str]:
    upload = await run_in_threadpool(session.cases.new_upload, file)
    try:
        await _taken_in(request, upload)
        return {"case": await run_in_threadpool(session.cases.take_upload, upload, file)}
    finally:
        upload.unlink(missing_ok=True)


@CALLS.get("/api/queue")
def _queue(session: Here) -> list[dict[str, Any]]:
    return list(map(asdict, session.queue()))


@CALLS.get("/api/clinical")
def _clinical(session: Here) -> dict[str, Any]:
    return asdict(session.clinical())


@CALLS.post("/api/export")
def _export(session: Here, body: ExportBody) -> dict[str, Any]:
    return asdict(session.export(body.what))


@CALLS.get("/api/train")
def _course(session: Here) -> dict[str, Any]:
    return asdict(session.training.course())


@CALLS.get("/api/ready")
def _ready(session: Here) -> dict[str, Any]:
    return asdict(session.ready())


@CALLS.post("/api/train")
def _start(session: Here, body: TrainBody) -> dict[str, Any]:
    session.train(Order(body.preset, body.method, body.steps, body.goes_on))
    return asdict(session.training.course())


@CALLS.delete("/api/train")
def _stop(session: Here) -> dict[str, Any]:
    session.training.stop()
    return asdict(session.training.course())


async def _taken_in(request: Request, upload: Path) -> None:
    """Write a request's body to the new file `upload`."""
    try:
        with upload.open("xb") as file:
            async for part in request.stream():
                file.write(part)
    except OSError as error:
        raise cannot_write(upload, error) from None


def _versioned(plane: np.ndarray) -> Response:
    """Return an answer with a slice's values, and the version by which a later call names what it has seen."""
    told = answer(plane)
    told.headers["X-Version"] = version(plane)
    return told
