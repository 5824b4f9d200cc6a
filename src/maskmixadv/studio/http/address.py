"""The address of a folder's server: its port and token are kept, so that an open page finds a restarted server."""

import hmac
import json
import os
import secrets
import socket
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.files import partial_name, put_in_place, read_json
from maskmixadv.typed import made

FILE: Final = "address.json"
"""Name of the file in the studio's notes; only its owner can read it."""
LONGEST: Final = 7 * 86_400.0
"""Seconds after which a kept token is replaced."""
LONGEST_NONCE: Final = 64


@dataclass(frozen=True)
class Kept:
    """An address that was served.

    Attributes
    ----------
    host
        Name of the machine: a folder that was copied to another one brings no token along.
    since
        When the token was made, in seconds since 1970.
    """

    port: int
    token: str
    host: str
    since: float


def kept(state: Path) -> Kept | None:
    """Return the address that the folder's last server had.

    None if there is none, if it is too old or of another machine, or if others than its owner could have read it.
    """
    path = state / FILE
    try:
        facts = path.lstat()
        private = stat.S_ISREG(facts.st_mode) and not facts.st_mode & 0o077 and facts.st_uid == _me(facts.st_uid)
        found = made(Kept, read_json(path, most=4096), FILE) if private else None
    except (OSError, InputError):
        return None
    sound = found is not None and found.host == socket.gethostname() and 0 <= time.time() - found.since < LONGEST
    return found if sound and found and 1 <= found.port < 2**16 and len(found.token) >= 32 else None


def keep(state: Path, port: int, before: Kept | None) -> str:
    """Return the token for `port`, which is the one before on the same port, or else a new one; it is kept.

    A token that can't be kept is new at each start.
    """
    if before is not None and before.port == port:
        return before.token
    new = Kept(port, secrets.token_urlsafe(), socket.gethostname(), time.time())
    with suppress(OSError):
        partial = partial_name(state / FILE)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(asdict(new), file)
            put_in_place(partial, state / FILE)
        finally:
            partial.unlink(missing_ok=True)
    return new.token


def proof(token: str, nonce: str) -> str:
    """Return what proves to a page that asked with `nonce` that the server knows the token, without saying it.

    Raises
    ------
    InputError
        If `nonce` is too long.
    """
    if len(nonce) > LONGEST_NONCE:
        raise InputError(f"nonce: {len(nonce)} characters, allowed are up to {LONGEST_NONCE}")
    return hmac.digest(token.encode(), nonce.encode(), "sha256").hex()


def _me(otherwise: int) -> int:
    return os.getuid() if hasattr(os, "getuid") else otherwise
