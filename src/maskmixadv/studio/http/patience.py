"""Time limits for requests, so that a client that never finishes a request can't hold a connection."""

from asyncio import Transport
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 20.0
"""Seconds in which a request must be complete."""
PACE: Final = 2**14
"""A body gets another second for each so many bytes that have arrived."""


class Impatient(H11Protocol):
    """HTTP/1.1 that closes a connection if a request is not complete in `PATIENCE` seconds; large bodies get more."""

    _timer: Any = None
    _begun = 0.0
    _came = 0

    def connection_made(self, transport: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the time for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Pass on the data that arrived, and go on waiting if the request is not complete."""
        self._came += len(data)
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._wait()
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._rest()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._begun, self._came = self.loop.time(), 0
            self._timer = self.loop.call_later(PATIENCE, self._look)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Close the connection if the time is over; otherwise look again at its end."""
        until = self._begun + PATIENCE + self._came / PACE
        if self.loop.time() < until:
            self._timer = self.loop.call_at(until, self._look)
        else:
            self._timer = None
            self.transport.close()
