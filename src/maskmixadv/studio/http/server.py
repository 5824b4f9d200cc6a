"""The studio's HTTP server, which passes requests to a `Session`; it listens on the loopback address only."""

import contextlib
import mimetypes
import socket
import webbrowser
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from maskmixadv.errors import InputError, UnwritableError, say
from maskmixadv.files import tell_holder
from maskmixadv.sources.layouts import advice
from maskmixadv.studio.http import address, calls, instant, series
from maskmixadv.studio.http.patience import Impatient
from maskmixadv.studio.http.protect import Guard
from maskmixadv.studio.layout import Layout, printable
from maskmixadv.studio.refusals import EmptyError, RequestError, TooLargeError, UnlearntError
from maskmixadv.studio.session import Session, served

WEB: Final = Path(__file__).parents[1] / "web"
LOOPBACK: Final = "127.0.0.1"
_CALLS = APIRouter()


def serve(folder: Path, *, port: int, browse: bool) -> int:
    """Serve `folder` until Ctrl-C; prints the address. A line on stderr says where it is new or has no images/.

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
    there, images = folder.exists(), Layout(folder).images
    used = images.exists()
    taker = "" if used else advice.taker(folder)
    with served(folder) as session, _listening_again(session.layout.state, port) as taken:
        state, number = session.layout.state, taken.getsockname()[1]
        if not there:  # a name that is mistyped looks like an empty folder
            say(f"{session.layout.root}: a new folder, as there was none; images belong in its {images.name}/")
        elif not used:  # such as a folder of DICOM series, of which the page would show none
            root = session.layout.root
            also = f"; {taker}" if taker else ""
            say(f"{root}: has no folder {images.name}/, which is made; what lies elsewhere in it is not shown{also}")
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
    parts = (_CALLS, calls.CALLS, instant.CALLS, series.CALLS)
    api = FastAPI(openapi_url=None, routes=[call for part in parts for call in part.routes])
    api.state.session, api.state.token = session, token
    mimetypes.add_type("text/javascript", ".js")  # some systems have another type, which browsers refuse
    api.mount("/", StaticFiles(directory=WEB, html=True))
    for kind in (InputError, OSError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        api.add_exception_handler(kind, _refused)
    return Guard(api, token)


@_CALLS.get("/known/{nonce}")
def _known(request: Request, nonce: str) -> dict[str, str]:
    """Prove to a page that this server knows its token, before the page sends it."""
    return {"proof": address.proof(request.app.state.token, nonce)}


def _refused(_: Request, error: Exception) -> JSONResponse:
    status, said = _said(error)
    # The rest of a body that is too large is not read, so the connection must be closed.
    headers = {"Connection": "close"} if status == TooLargeError.status else None
    told: dict[str, str | list[str]] = {"error": printable(" ".join(said.split()))}
    if isinstance(error, EmptyError | UnlearntError):
        told["problems"] = list(map(printable, error.problems))
    return JSONResponse(told, status, headers)


def _said(error: Exception) -> tuple[int, str]:
    cause = error.__cause__
    if isinstance(error, HTTPException) and isinstance(
        cause, RequestError
    ):  # FastAPI wraps what a body's reader raises
        return cause.status, str(cause)
    if isinstance(error, UnwritableError):  # the page keeps what it has, and asks again
        say(f"maskmixadv: {error}")
        return 503, str(error)
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
