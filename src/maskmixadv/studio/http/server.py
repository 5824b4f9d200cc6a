"""The studio's HTTP server, which passes requests to a `Session`; it listens on the loopback address only."""

import contextlib
import mimetypes
import socket
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from maskmixadv.errors import InputError, say
from maskmixadv.files import cannot_write, tell_holder
from maskmixadv.methods.registry import DEFAULT_METHOD
from maskmixadv.studio.export.kinds import ExportKind
from maskmixadv.studio.http import address, instant, series
from maskmixadv.studio.http.patience import Impatient
from maskmixadv.studio.http.protect import Guard
from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.layout import printable
from maskmixadv.studio.learning.training import AUTO, Order
from maskmixadv.studio.masks import MaskOf
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.refusals import RequestError, TooLargeError
from maskmixadv.studio.review.reviews import Seen, Verdict
from maskmixadv.studio.session import Session, served
from maskmixadv.studio.versions import version

WEB: Final = Path(__file__).parents[1] / "web"
LOOPBACK: Final = "127.0.0.1"
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


def serve(folder: Path, *, port: int, browse: bool) -> int:
    """Serve `folder` until Ctrl-C; prints the address.

    Parameters
    ----------
    port
        Port of the loopback address; 0 takes the one that the folder had before, or else a free one.
    browse
        Whether to open the address in a browser.

    Raises
    ------
    InputError
        If the folder or the port can't be used, or another process serves the folder.
    """
    with served(folder) as session, _listening_again(session.layout.state, port) as taken:
        state, number = session.layout.state, taken.getsockname()[1]
        tell_holder(state, f"port {number}")
        token = address.keep(state, number, address.kept(state))
        url = f"http://{LOOPBACK}:{number}/#{token}"
        print(url, flush=True)
        if browse:
            webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):
            server(app(session, token)).run(sockets=[taken])
        course = session.training.course()
        if course.state in ("running", "predicting"):
            say(f"the training of run {course.run} goes on; open the folder again to watch it")
    return 0


def _listening_again(state: Path, port: int) -> socket.socket:
    """Listen on `port`; if that is 0, where the folder was served before, so that an open page finds it."""
    before = address.kept(state)
    if port == 0 and before is not None:
        with contextlib.suppress(InputError):
            return listening(before.port)
    return listening(port)


def listening(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address.

    Raises
    ------
    InputError
        If the port is not allowed, or taken.
    """
    # Without the protocol's name, asyncio does not switch on TCP_NODELAY, and each answer takes 40 ms more.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        bound.listen()  # a browser that opens the address at once then waits, and is not refused
    except (OSError, OverflowError) as error:
        bound.close()
        raise InputError(f"port: {port} can't be served on ({error}), allowed is a free one, or 0") from None
    return bound


def server(guarded: Guard) -> uvicorn.Server:
    """Return a server that logs no requests and sends no Server header."""
    quiet = {"log_level": "warning", "access_log": False, "server_header": False}
    return uvicorn.Server(uvicorn.Config(guarded, http=Impatient, ws="none", lifespan="off", **quiet))


def app(session: Session, token: str) -> Guard:
    """Return the whole application, protected by `token`."""
    api = FastAPI(openapi_url=None)
    _add_cases(api, session)
    _add_masks(api, session)
    _add_folder(api, session)
    _add_training(api, session)
    instant.add(api, session)
    series.add(api, session)

    @api.get("/known/{nonce}")
    def known(nonce: str) -> dict[str, str]:
        """Prove to a page that this server knows its token, before the page sends it."""
        return {"proof": address.proof(token, nonce)}

    mimetypes.add_type("text/javascript", ".js")  # some systems have another type, which browsers refuse
    api.mount("/", StaticFiles(directory=WEB, html=True))
    for kind in (InputError, OSError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        api.add_exception_handler(kind, _refused)
    return Guard(api, token)


def _add_cases(api: FastAPI, session: Session) -> None:
    place = "/api/cases/{case}/slices/{index}"

    @api.get(f"{place}/image")
    def image(case: str, index: int, channel: int = 0) -> Response:
        return _bytes(session.image(case, index, channel).astype("<u2", copy=False))

    @api.get("/api/cases/{case}/across/{axis}/{index}/image")
    def across(case: str, axis: int, index: int, channel: int = 0) -> Response:
        return _bytes(session.across(case, axis, index, channel).astype("<u2", copy=False))

    @api.get(f"{place}/scribble")
    def scribble(case: str, index: int) -> Response:
        plane = session.scribble(case, index)
        answer = _bytes(plane)
        answer.headers["X-Version"] = version(plane)
        return answer

    @api.put(f"{place}/scribble")
    async def draw(
        case: str,
        index: int,
        request: Request,
        seconds: Seconds = 0.0,
        version: str | None = None,
        coding: str | None = None,
    ) -> dict[str, Any]:
        labels = await request.body()
        return asdict(await run_in_threadpool(session.draw, case, index, labels, seconds, version, coding))

    @api.get(f"{place}/prediction")
    def prediction(case: str, index: int) -> Response:
        return _bytes(session.predicted(case, index, "prediction"))

    @api.get(f"{place}/disagreement")
    def disagreement(case: str, index: int) -> Response:
        return _bytes(session.predicted(case, index, "disagreement"))

    @api.put(f"{place}/review")
    def review(case: str, index: int, body: ReviewBody) -> dict[str, Any]:
        return {"reviews": session.review(case, index, body.verdict, body.seen)}


def _add_masks(api: FastAPI, session: Session) -> None:
    place, masks = "/api/cases/{case}/slices/{index}", session.masks

    @api.get(f"{place}/mask")
    def mask(case: str, index: int, of: MaskOf = "corrected") -> Response:
        plane = masks.of(case, index, of)
        answer = _bytes(plane)
        answer.headers["X-Version"] = version(plane)
        return answer

    @api.put(f"{place}/mask")
    async def correct(
        case: str,
        index: int,
        request: Request,
        seconds: Seconds = 0.0,
        version: str | None = None,
        coding: str | None = None,
    ) -> dict[str, Any]:
        labels = await request.body()
        return asdict(await run_in_threadpool(masks.correct, case, index, labels, seconds, version, coding))

    @api.delete(f"{place}/mask")
    def discard(case: str, index: int, version: str | None = None) -> dict[str, Any]:
        return asdict(masks.discard(case, index, version))

    @api.put(f"{place}/looked")
    def look(case: str, index: int, run: str | None = None) -> dict[str, Any]:
        return asdict(masks.look(case, index, run))

    @api.put("/api/cases/{case}/use")
    def use(case: str, body: UseBody) -> dict[str, Any]:
        return asdict(masks.set_use(case, body.use))


def _add_folder(api: FastAPI, session: Session) -> None:
    @api.get("/api/folder")
    def folder() -> dict[str, Any]:
        return asdict(session.folder())

    @api.put("/api/classes")
    def classes(body: ClassesBody) -> dict[str, Any]:
        was = [each.was for each in body.classes] if body.placed else None
        session.set_classes([PaletteClass(each.name, each.colour) for each in body.classes], was, body.seen)
        return {"classes": list(map(asdict, session.classes())), "coding": session.coding()}

    @api.put("/api/images/{file}")
    async def add(file: str, request: Request) -> dict[str, str]:
        upload = await run_in_threadpool(session.cases.new_upload, file)
        try:
            await _taken_in(request, upload)
            return {"case": await run_in_threadpool(session.cases.take_upload, upload, file)}
        finally:
            upload.unlink(missing_ok=True)

    @api.get("/api/queue")
    def queue() -> list[dict[str, Any]]:
        return list(map(asdict, session.queue()))

    @api.get("/api/clinical")
    def clinical() -> dict[str, Any]:
        return asdict(session.clinical())

    @api.post("/api/export")
    def export(body: ExportBody) -> dict[str, Any]:
        return asdict(session.export(body.what))


def _add_training(api: FastAPI, session: Session) -> None:
    @api.get("/api/train")
    def course() -> dict[str, Any]:
        return asdict(session.training.course())

    @api.get("/api/ready")
    def ready() -> dict[str, Any]:
        return asdict(session.ready())

    @api.post("/api/train")
    def start(body: TrainBody) -> dict[str, Any]:
        session.train(Order(body.preset, body.method, body.steps, body.goes_on))
        return asdict(session.training.course())

    @api.delete("/api/train")
    def stop() -> dict[str, Any]:
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


def _bytes(plane: np.ndarray) -> Response:
    return Response(np.ascontiguousarray(plane).tobytes(), media_type="application/octet-stream")


def _refused(_: Request, error: Exception) -> JSONResponse:
    status, said = _said(error)
    # The rest of a body that is too large is not read, so the connection must be closed.
    headers = {"Connection": "close"} if status == TooLargeError.status else None
    return JSONResponse({"error": printable(" ".join(said.split()))}, status, headers)


def _said(error: Exception) -> tuple[int, str]:
    cause = error.__cause__
    if isinstance(error, HTTPException) and isinstance(
        cause, RequestError
    ):  # FastAPI wraps what a body's reader raises
        return cause.status, str(cause)
    if isinstance(error, InputError):
        return error.status if isinstance(error, RequestError) else 400, str(error)
    if isinstance(error, OSError):  # the disk fails, or somebody deletes what is read: later it may work
        say(f"maskmixadv: {error}")
        return 503, f"{error.filename or 'the folder'}: can't be read or written ({error.strerror or error})"
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, ClientDisconnect):
        return 408, "the request did not come to its end"
    return 500, "the server failed; the terminal in which it runs says why"
