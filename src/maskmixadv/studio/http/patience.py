"""How long a request may take to come: who begins one and does not end it holds a connection so long, and no longer."""

from asyncio import Transport
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 20.0
"""Seconds in which a request's head is there, or its body goes on."""
PACE: Final = 2**14
"""Bytes that a body must have sent for each second more."""


class Impatient(H11Protocol):
    """HTTP by connections that end where a request is not there in `PATIENCE`, and a second more for each `PACE`."""

    _timer: Any = None
    _begun = 0.0
    _came = 0

    def connection_made(self, transport: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came, and go on waiting where it is not all."""
        self._came += len(data)
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._wait()
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
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
        """End the connection where the time is over; else look again when it would be."""
        until = self._begun + PATIENCE + self._came / PACE
        if self.loop.time() < until:
            self._timer = self.loop.call_at(until, self._look)
        else:
            self._timer = None
            self.transport.close()
