"""The engine: durable SQLite, write lock at the start, time told by the database."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, StatementError

from service.database import Database, database_time, is_storage_full, make_engine
from service.jobs.models import JobRow
from service.jobs.repository import insert_job
from tests.backends import embedded_only
from tests.service.job_records import CONFIG, make_settings, open_database, submit

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path)) as database:
        yield database


@embedded_only
def test_sqlite_is_durable_and_checks_references(database: Database) -> None:
    with database.reading() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    # synchronous 2 is FULL
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }


@embedded_only
def test_a_writing_transaction_takes_the_write_lock_before_its_first_statement(
    database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "grpo.sqlite", timeout=0, isolation_level=None)
    try:
        with database.writing() as session:
            session.connection()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    finally:
        other.close()


def test_a_reader_is_not_kept_waiting_by_a_writer(database: Database) -> None:
    job = submit(database)
    with database.writing() as session:
        insert_job(session, CONFIG.model_dump(mode="json"), 1)
        with database.reading() as reader:
            assert reader.scalars(select(JobRow.id)).all() == [job.id]


def test_writers_in_many_threads_wait_for_each_other_and_none_is_refused(
    database: Database,
) -> None:
    failures: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(10):
                submit(database)
        except OperationalError as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.reading() as session:
        assert len(session.scalars(select(JobRow.id)).all()) == 80


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def insert_and_fail() -> None:
        with database.writing() as session:
            insert_job(session, {}, 1)
            raise RuntimeError("after the insert")

    with pytest.raises(RuntimeError, match="after the insert"):
        insert_and_fail()
    with database.reading() as session:
        assert session.scalars(select(JobRow.id)).all() == []


@pytest.mark.parametrize("offset", [-3600.0, -0.25, 0.0, 0.25, 30.0])
def test_database_time_is_the_clock_plus_the_offset_and_aware(
    database: Database, offset: float
) -> None:
    with database.reading() as session:
        told = session.execute(select(database_time(offset))).scalar_one()
    assert told.tzinfo is UTC
    expected = datetime.now(UTC) + timedelta(seconds=offset)
    assert abs((told - expected).total_seconds()) < 5.0


def test_times_come_back_as_they_went_in_whatever_their_zone(database: Database) -> None:
    job = submit(database)
    moment = datetime(2026, 3, 1, 12, 0, 0, 125000, tzinfo=timezone(timedelta(hours=5)))
    with database.writing() as session:
        row = session.get_one(JobRow, job.id)
        row.started_at = moment
    with database.reading() as session:
        kept = session.get_one(JobRow, job.id).started_at
    assert kept == moment
    assert kept is not None
    assert kept.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    job = submit(database)
    with pytest.raises(StatementError, match="zone"), database.writing() as session:
        session.get_one(JobRow, job.id).started_at = datetime(2026, 3, 1)


def test_not_a_number_never_enters_a_json_column(database: Database) -> None:
    refused = pytest.raises((StatementError, ValueError), match="JSON compliant")
    with refused, database.writing() as session:
        insert_job(session, {"learning_rate": math.nan}, 1)


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="mysql"):
        make_engine("mysql://localhost/grpo")


@embedded_only
def test_a_full_disk_is_told_from_other_failures(database: Database) -> None:
    with database.reading() as session, pytest.raises(OperationalError) as missing:
        session.execute(text("SELECT * FROM nothing"))
    with database.writing() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(OperationalError) as full:
            session.execute(text("CREATE TABLE filler AS SELECT randomblob(1000000) AS bytes"))
    assert is_storage_full(full.value)
    assert not is_storage_full(missing.value)
    assert not is_storage_full(RuntimeError("full"))
