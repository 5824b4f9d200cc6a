"""Limits on requests: only this server's own page may send them, with the token, and only up to a size."""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskmixadv.studio.images.intake import MOST_BYTES, MOST_VOXELS
from maskmixadv.studio.refusals import TooLargeError

HOST: Final = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
UPLOAD: Final = "/api/images/"
STROKES: Final = re.compile(r"/api/cases/.*/(scribble|mask|proposal)", re.DOTALL)
MOST_BODY: Final = MOST_VOXELS
"""Bytes of a slice's strokes or mask: a slice that is shown can be drawn on."""
MOST_JSON: Final = 2**16
"""Bytes of any other body, which is JSON; the longest that the page sends has 32 classes with their names."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Wraps an app, and refuses requests before they reach it.

    Parameters
    ----------
    app
        The app.
    token
        The value of the header ``X-Token`` that requests to ``/api/`` must have.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the app."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        refusal = self._refusal(scope)
        most = _most(scope["path"])
        if refusal is None and _declared(scope) > most:
            refusal = 413, f"body: more than {most} bytes, which is the most"
        if refusal is not None:
            status, error = refusal
            answer = JSONResponse({"error": error}, status, headers={"Connection": "close"})
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _counted(receive, most), _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not HOST.fullmatch(host):
            return 403, "Host: allowed are 127.0.0.1 and localhost"  # a name that was rebound to this machine
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "Origin: allowed is this page alone"
        if scope["path"].startswith("/api/") and not self._knows(headers):
            return 403, "X-Token: wrong or missing; open the address that 'maskmixadv studio' printed"
        return None

    def _knows(self, headers: Headers) -> bool:
        return secrets.compare_digest(headers.get("x-token", "").encode(), self._token)


def _most(path: str) -> int:
    """Return how many bytes the body of a request to `path` may have."""
    if path.startswith(UPLOAD):
        return MOST_BYTES
    return MOST_BODY if STROKES.fullmatch(path) else MOST_JSON


def _declared(scope: Scope) -> int:
    length: Any = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _counted(receive: Receive, most: int) -> Receive:
    """Pass a body on until it is too large: a body without a declared length shows its size only then."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise TooLargeError(f"body: more than {most} bytes, which is the most")
        return message

    return counting


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
