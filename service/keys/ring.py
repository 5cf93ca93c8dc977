"""From a request's header to who calls, without asking the database for every request.

A key read from the records is believed for ``LIFETIME_SECONDS``: that is how long a revocation may
take to be felt. Only keys that exist are kept, so guessing does not fill the memory.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError

from service.database import Database
from service.errors import UnauthorizedError
from service.keys.records import OPERATOR, ApiKey, Caller, Token, parse_token
from service.keys.repository import find_key, is_stale, record_use
from service.observability import get_logger
from service.settings import Settings

LIFETIME_SECONDS = 2.0
MAX_KEPT = 4096
log = get_logger()


@dataclass(frozen=True)
class _Kept:
    key: ApiKey
    until: float


class KeyRing:
    """The keys used last.

    Args:
        settings: say whether keys are asked for, and hold the bootstrap key.
        database: the records.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._open = not settings.asks_for_keys
        key = settings.api_key
        self._bootstrap = None if key is None else _digest(key.get_secret_value().encode())
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def recognise(self, header: str) -> Caller | Token:
        """Say who calls, or return the token of a key that must be looked up; never waits.

        Args:
            header: value of ``Authorization``, read as Latin-1; empty if there is none.

        Raises:
            UnauthorizedError: no key can be right that looks like this.
        """
        if self._open:
            return OPERATOR
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _refusal()
        if self._bootstrap is not None and hmac.compare_digest(
            _digest(given.encode("latin-1")), self._bootstrap
        ):
            return OPERATOR
        token = parse_token(given)
        if token is None:
            raise _refusal()
        with self._lock:
            kept = self._kept.get(token.key_id)
        if kept is None or kept.until <= time.monotonic():
            return token
        return _admit(kept.key, token)

    def look_up(self, token: Token) -> Caller:
        """Read a key from the records, keep it for a moment and say who calls; waits for I/O.

        Raises:
            UnauthorizedError: there is no such key, the secret is wrong, or it has ended.
        """
        key = find_key(self._database, token.key_id)
        if key is None:
            hmac.compare_digest(token.sha256, "0" * 64)  # as much work as for a wrong secret
            raise _refusal()
        caller = _admit(key, token)
        with self._lock:
            self._kept[key.id] = _Kept(key, time.monotonic() + LIFETIME_SECONDS)
            self._kept.move_to_end(key.id)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        if is_stale(key.last_used, datetime.now(UTC)):
            self._note_use(key.id)
        return caller

    def _note_use(self, key_id: str) -> None:
        """Note the use; a full disk must not keep anybody from reading."""
        try:
            record_use(self._database, key_id)
        except DBAPIError as error:
            log.warning("key_use_not_noted", key=key_id, error=type(error).__name__)


def _admit(key: ApiKey, token: Token) -> Caller:
    if not key.matches(token) or not key.is_live(datetime.now(UTC)):
        raise _refusal()
    return key.caller


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _refusal() -> UnauthorizedError:
    """Build the one refusal: it does not tell a wrong key from one that has ended."""
    return UnauthorizedError("send the header Authorization: Bearer <API key>")
