"""Storing and reading scenarios. What is stored is never changed: a change is a new version.

Names belong to their owner: two owners may use one name, and neither sees the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, true, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grpo.environments.hospital.scenario import Scenario, compile_scenario, list_scenarios
from grpo.errors import InputError
from service.database import Database, database_time
from service.jobs.records import Cursor
from service.jobs.repository import new_id
from service.keys.records import OPERATOR, OWNER, Caller
from service.scenarios.errors import ScenarioNotFoundError, TooManyScenariosError
from service.scenarios.models import ScenarioRow
from service.scenarios.references import NAME, Reference


@dataclass(frozen=True)
class Limits:
    """How much one owner may store: versions in all, and bytes of each as compact JSON."""

    versions: int = 1000
    num_bytes: int = 256 * 1024


@dataclass(frozen=True)
class StoredScenario:
    """One version of a scenario.

    Attributes:
        name: the scenario's own.
        version: 1 for the first of this name and owner.
        owner: whose it is, None for nobody's.
        created: UTC.
        document: the whole scenario as plain data, every default written out.
    """

    name: str
    version: int
    owner: str | None
    created: datetime
    document: dict[str, Any]

    @property
    def scenario(self) -> Scenario:
        """The document as a scenario."""
        return Scenario.parse(self.document)


@dataclass(frozen=True)
class ScenarioPage:
    """Some stored scenarios, newest first, and where the next page starts (None at the end)."""

    scenarios: tuple[StoredScenario, ...]
    next: Cursor | None


def store_scenario(
    database: Database, scenario: Scenario, owner: str | None = None, limits: Limits | None = None
) -> tuple[StoredScenario, bool]:
    """Store a scenario as the next version of its name, unless it equals the newest one.

    Args:
        database: the records.
        scenario: what to store.
        owner: whose it is, None for nobody's.
        limits: how much they may store; the defaults, if not given.

    Returns:
        The version that holds the scenario, and whether it was made by this call.

    Raises:
        InputError: a built-in scenario has this name, or the document is too large.
        TooManyScenariosError: the owner has as many versions as allowed.
    """
    limits = limits or Limits()
    if scenario.name in list_scenarios():
        raise InputError.single(
            "/name",
            "a built-in scenario has this name",
            given=scenario.name,
            allowed="a name of its own",
        )
    num_bytes = len(scenario.model_dump_json(exclude_none=True).encode())
    if num_bytes > limits.num_bytes:
        allowed = f"at most {limits.num_bytes} (GRPO_MAX_SCENARIO_BYTES)"
        raise InputError.single("", f"the scenario takes {num_bytes} bytes", allowed=allowed)
    compile_scenario(scenario)
    try:
        return _store(database, scenario, num_bytes, owner or "", limits)
    except IntegrityError:
        # Postgres: the owner's very first scenario was stored twice at once; now it can be seen.
        return _store(database, scenario, num_bytes, owner or "", limits)


def _store(
    database: Database, scenario: Scenario, num_bytes: int, owner: str, limits: Limits
) -> tuple[StoredScenario, bool]:
    with database.writing() as session:
        # One owner's submissions at the same moment wait here for each other.
        oldest = select(ScenarioRow.id).where(ScenarioRow.owner == owner)
        session.execute(oldest.order_by(ScenarioRow.id).limit(1).with_for_update()).all()
        newest = _load(session, owner, Reference(scenario.name))
        if newest is not None and Scenario.model_validate(newest.document) == scenario:
            return _stored(newest), False
        count = select(func.count()).select_from(ScenarioRow).where(ScenarioRow.owner == owner)
        if session.execute(count).scalar_one() >= limits.versions:
            raise TooManyScenariosError.of(limits.versions)
        row = ScenarioRow(
            id=new_id(),
            owner=owner,
            name=scenario.name,
            version=1 if newest is None else newest.version + 1,
            created_at=database_time(),
            num_bytes=num_bytes,
            document=scenario.model_dump(mode="json", exclude_none=True),
        )
        session.add(row)
        session.flush()
        session.refresh(row)
        return _stored(row), True


def get_scenario(database: Database, reference: Reference, owner: str | None) -> StoredScenario:
    """Return a version of an owner's scenario, the newest one where none is named.

    Raises:
        ScenarioNotFoundError: the owner (None: nobody) has none such.
    """
    found = None
    if NAME.fullmatch(reference.name) and (owner is None or OWNER.fullmatch(owner)):
        with database.reading() as session:
            found = _load(session, owner or "", reference)
    if found is None:
        raise ScenarioNotFoundError.of(str(reference))
    return _stored(found)


def list_stored(
    database: Database, limit: int = 50, after: Cursor | None = None, caller: Caller = OPERATOR
) -> ScenarioPage:
    """Return stored versions newest first, ``after`` a position; new ones do not shift pages.

    Args:
        database: the records.
        limit: at least 0.
        after: position given by the previous page, None for the newest.
        caller: only what they see.
    """
    query = select(ScenarioRow).where(_visible(caller))
    if after is not None:
        query = query.where(tuple_(ScenarioRow.created_at, ScenarioRow.id) < tuple(after))
    query = query.order_by(ScenarioRow.created_at.desc(), ScenarioRow.id.desc())
    with database.reading() as session:
        rows = session.scalars(query.limit(limit + 1)).all()
        last = rows[limit - 1] if limit and len(rows) > limit else None
        page = tuple(_stored(row) for row in rows[:limit])
        return ScenarioPage(page, Cursor(last.created_at, last.id) if last else None)


def _visible(caller: Caller) -> ColumnElement[bool]:
    return true() if caller.is_admin else ScenarioRow.owner == caller.owner


def _load(session: Session, owner: str, reference: Reference) -> ScenarioRow | None:
    query = select(ScenarioRow).where(
        ScenarioRow.owner == owner, ScenarioRow.name == reference.name
    )
    if reference.version is not None:
        query = query.where(ScenarioRow.version == reference.version)
    return session.scalars(query.order_by(ScenarioRow.version.desc()).limit(1)).one_or_none()


def _stored(row: ScenarioRow) -> StoredScenario:
    return StoredScenario(
        name=row.name,
        version=row.version,
        owner=row.owner or None,
        created=row.created_at,
        document=row.document,
    )
