"""All scenarios that a caller may name, in one list: the built-in ones, then what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from grpo.environments.hospital.scenario import list_scenarios
from service.database import Database
from service.jobs.records import Cursor
from service.keys.records import Caller
from service.scenarios.repository import StoredScenario, list_stored


@dataclass(frozen=True)
class Position:
    """Where the list goes on: after a built-in scenario (its name), or after a stored one."""

    last: str | Cursor


@dataclass(frozen=True)
class CataloguePage:
    """Some scenarios, the built-in ones by name, and where the next page starts."""

    built_in: tuple[str, ...]
    stored: tuple[StoredScenario, ...]
    next: Position | None


def list_catalogue(
    database: Database, limit: int, after: Position | None, caller: Caller
) -> CataloguePage:
    """Return a page: built-in scenarios by name, then stored versions, newest first.

    Args:
        database: the records.
        limit: at least 1.
        after: position given by the previous page, None for the start.
        caller: only what they see.
    """
    last = None if after is None else after.last
    names = [name for name in list_scenarios() if last is None or _follows(name, last)]
    if len(names) > limit:
        return CataloguePage(tuple(names[:limit]), (), Position(names[limit - 1]))
    room = limit - len(names)
    cursor = last if isinstance(last, Cursor) else None
    page = list_stored(database, max(room, 1), cursor, caller)
    if room == 0:
        return CataloguePage(tuple(names), (), Position(names[-1]) if page.scenarios else None)
    return CataloguePage(
        tuple(names), page.scenarios, None if page.next is None else Position(page.next)
    )


def _follows(name: str, last: str | Cursor) -> bool:
    """Say whether a built-in scenario comes after a position."""
    return isinstance(last, str) and name > last
