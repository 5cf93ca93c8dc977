"""Who calls and what they may do; keys as values, free of SQL and of the web framework."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TOKEN = re.compile(r"grpo_([0-9a-f]{12})_([0-9a-f]{64})([0-9a-f]{8})")


class Scope(StrEnum):
    """What a key lets its holder do; ``admin`` includes the others, for everybody's records."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    POLICY_ACT = "policy:act"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        owner: whose records these are; None for the bootstrap key and where no key is asked for.
        scopes: what they may do.
        key_id: visible part of the key, None where there is none in the records.
    """

    owner: str | None
    scopes: frozenset[Scope]
    key_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed, and everybody's records are visible."""
        return Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Say whether the scope is granted."""
        return scope in self.scopes or self.is_admin

    def sees(self, owner: str | None) -> bool:
        """Say whether records of ``owner`` (None: nobody's) are visible."""
        return self.is_admin or (owner is not None and owner == self.owner)


OPERATOR = Caller(None, frozenset({Scope.ADMIN}))


@dataclass(frozen=True)
class Token:
    """The two parts of a key as a client sends it: what names it, and what proves it."""

    key_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The whole key; its last 8 digits are a checksum that tells typing errors."""
        return f"grpo_{self.key_id}_{self.secret}{checksum(self.key_id, self.secret)}"

    @property
    def sha256(self) -> str:
        """What is stored: the secret has 256 random bits, so a plain digest cannot be searched."""
        return hashlib.sha256(self.secret.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class ApiKey:
    """A key as the records know it; its secret is not among them.

    Attributes:
        id: the visible part, 12 hexadecimal digits.
        owner: whose it is; several keys may have the same owner.
        sha256: digest of the secret.
        scopes: what it allows.
        created: UTC.
        expires: when it stops working, None for never.
        revoked: when it was revoked, None while it is not.
        last_used: to within a minute, None before the first use.
    """

    id: str
    owner: str
    sha256: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Say whether the key is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def matches(self, token: Token) -> bool:
        """Compare the secret in constant time."""
        return hmac.compare_digest(self.sha256, token.sha256)

    @property
    def caller(self) -> Caller:
        """Who calls with this key."""
        return Caller(self.owner, self.scopes, self.id)


def checksum(key_id: str, secret: str) -> str:
    """Return eight hexadecimal digits over both parts."""
    return f"{zlib.crc32(f'{key_id}_{secret}'.encode('ascii')):08x}"


def make_token() -> Token:
    """Draw a new key: 48 bits name it, 256 bits prove it."""
    return Token(secrets.token_hex(6), secrets.token_hex(32))


def parse_token(text: str) -> Token | None:
    """Take a key apart; None if it has not the form or its checksum is wrong."""
    found = TOKEN.fullmatch(text)
    if found is None or checksum(found[1], found[2]) != found[3]:
        return None
    return Token(found[1], found[2])
