"""Making, listing and revoking API keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update

from grpo.errors import InputError
from service.database import Database, database_time
from service.keys.models import ApiKeyRow
from service.keys.records import OWNER, ApiKey, Scope, Token, make_token

USE_RESOLUTION_SECONDS = 60.0
MAX_LIFETIME_SECONDS = 10 * 366 * 86_400.0


def create_key(
    database: Database,
    owner: str,
    scopes: Collection[Scope],
    *,
    lifetime_seconds: float | None = None,
) -> tuple[ApiKey, Token]:
    """Make a key; the token holds the secret, which is kept nowhere else.

    An owner may have several live keys: to rotate, make a new one, hand it out, revoke the old.

    Args:
        database: the records.
        owner: whose jobs it sees; letters, digits, ``. _ @ -``, at most 64.
        scopes: at least one.
        lifetime_seconds: how long it works, at most ten years; for ever, if not given.

    Raises:
        InputError: owner, scopes or lifetime are out of range.
    """
    if OWNER.fullmatch(owner) is None:
        raise InputError.single("/owner", "not a name", given=owner, allowed=OWNER.pattern)
    if not scopes:
        raise InputError.single("/scopes", "a key needs a scope", allowed=", ".join(Scope))
    if lifetime_seconds is not None and not 0 < lifetime_seconds <= MAX_LIFETIME_SECONDS:
        raise InputError.single(
            "/lifetime_seconds", "out of range", given=lifetime_seconds, allowed="up to 10 years"
        )
    token = make_token()
    expires = None if lifetime_seconds is None else database_time(lifetime_seconds)
    with database.writing() as session:
        row = ApiKeyRow(
            id=token.key_id,
            owner=owner,
            sha256=token.sha256,
            scopes=sorted(set(scopes)),
            created_at=database_time(),
            expires_at=expires,
        )
        session.add(row)
        session.flush()
        session.refresh(row)
        return _key(row), token


def find_key(database: Database, key_id: str) -> ApiKey | None:
    """Return a key by its visible part, None if there is none."""
    with database.reading() as session:
        row = session.get(ApiKeyRow, key_id)
        return None if row is None else _key(row)


def list_keys(database: Database) -> tuple[ApiKey, ...]:
    """Return all keys, the revoked and the expired included, by owner and age."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.owner, ApiKeyRow.created_at, ApiKeyRow.id)
    with database.reading() as session:
        return tuple(_key(row) for row in session.scalars(query))


def revoke_key(database: Database, key_id: str) -> ApiKey:
    """End a key for good; one that was revoked before stays as it is.

    Raises:
        InputError: no key has this id.
    """
    live = update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
    with database.writing() as session:
        session.execute(live.values(revoked_at=database_time()))
        row = session.get(ApiKeyRow, key_id, populate_existing=True)
        if row is None:
            allowed = "an id that grpo keys list shows"
            raise InputError.single("/id", "no such key", given=key_id, allowed=allowed)
        return _key(row)


def record_use(database: Database, key_id: str) -> None:
    """Note that a key was used, at most once a minute."""
    old = or_(
        ApiKeyRow.last_used_at.is_(None),
        ApiKeyRow.last_used_at < database_time(-USE_RESOLUTION_SECONDS),
    )
    used = update(ApiKeyRow).where(ApiKeyRow.id == key_id, old)
    with database.writing() as session:
        session.execute(used.values(last_used_at=database_time()))


def is_stale(last_used: datetime | None, now: datetime) -> bool:
    """Say whether a use at ``now`` is worth noting."""
    return last_used is None or (now - last_used).total_seconds() > USE_RESOLUTION_SECONDS


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        owner=row.owner,
        sha256=row.sha256,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        created=row.created_at,
        expires=row.expires_at,
        revoked=row.revoked_at,
        last_used=row.last_used_at,
    )
