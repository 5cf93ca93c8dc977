"""The schema's history: it agrees with the models, and loses no row."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, func, insert, inspect, select, text

from service.database import (
    Base,
    Database,
    UtcDateTime,
    alembic_config,
    current_revision,
    head_revision,
    make_engine,
    migrate,
)
from service.jobs.leases import claim
from service.jobs.models import JobRow
from service.jobs.outcomes import record_metrics, succeed
from service.settings import Settings
from tests.backends import embedded_only
from tests.service.job_records import HALFWAY, make_settings, metric, open_database, submit

pytestmark = pytest.mark.usefixtures("backend")

TABLES = ("jobs", "attempts", "events", "metrics", "policies")


def fill(database: Database) -> None:
    """Three jobs, of which two ran (five metrics each) and one finished."""
    jobs = [submit(database) for _ in range(3)]
    for job in jobs[:2]:
        held = claim(database, job.id, "w", 30.0)
        assert held is not None
        series = [metric(i) for i in range(1, 6)]
        record_metrics(database, job.id, held.fence, series, HALFWAY)
    succeed(database, jobs[0].id, 1, model=b"weights", sha256="0" * 64, manifest={}, report=None)


def count_rows(url: str) -> dict[str, int]:
    engine = make_engine(url)
    with engine.connect() as connection:
        counts = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
            for table in TABLES
        }
    engine.dispose()
    return counts


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    migrate(settings)
    command.check(alembic_config(settings.sqlalchemy_url))


def test_constraints_have_the_names_of_the_convention(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    migrate(settings)
    engine = make_engine(settings.sqlalchemy_url)
    inspector = inspect(engine)
    assert inspector.get_pk_constraint("metrics")["name"] == "pk_metrics"
    assert inspector.get_foreign_keys("policies")[0]["name"] == "fk_policies_job_id"
    assert inspector.get_unique_constraints("policies")[0]["name"] == "uq_policies_job_id"
    engine.dispose()


def test_upgrading_a_filled_database_keeps_every_row(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    with open_database(settings) as database:
        fill(database)
        before = count_rows(settings.sqlalchemy_url)
        migrate(settings)
        assert current_revision(database) == head_revision()
    assert before == {"jobs": 3, "attempts": 2, "events": 6, "metrics": 10, "policies": 1}
    assert count_rows(settings.sqlalchemy_url) == before


@embedded_only
def test_a_batch_step_on_a_parent_table_keeps_the_rows_of_its_children(tmp_path: Path) -> None:
    """A batch step copies, drops and renames; with foreign keys on, the drop would cascade."""
    settings = make_settings(tmp_path, empty=True)
    with open_database(settings) as database:
        fill(database)
    before = count_rows(settings.sqlalchemy_url)
    config = alembic_config(settings.sqlalchemy_url)
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(write_batch_step(tmp_path, config)))
    command.upgrade(config, "head")
    assert count_rows(settings.sqlalchemy_url) == before
    engine = make_engine(settings.sqlalchemy_url)
    assert "note" in {column["name"] for column in inspect(engine).get_columns("jobs")}
    engine.dispose()


def write_batch_step(folder: Path, config: object) -> Path:
    versions = folder / "versions"
    versions.mkdir()
    root = Path(__file__).resolve().parents[2] / "migrations" / "versions"
    for step in root.glob("*.py"):
        (versions / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
    (versions / "x9999_note.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = 'x9999', {head_revision()!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('jobs', recreate='always') as batch:\n"
        "        batch.add_column(sa.Column('note', sa.Text()))\n",
        encoding="utf-8",
    )
    return versions


def test_a_filled_database_goes_back_to_nothing_and_up_again(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    with open_database(settings) as database:
        fill(database)
        migrate(settings, "base")
        assert current_revision(database) is None
        assert inspect(database.engine).get_table_names() == ["alembic_version"]
        migrate(settings)
        assert current_revision(database) == head_revision()
    assert set(count_rows(settings.sqlalchemy_url).values()) == {0}


def sample(column: Column[Any]) -> object:
    """A value that a column takes."""
    if isinstance(column.type, UtcDateTime):
        return datetime(2026, 3, 1, tzinfo=UTC)
    if isinstance(column.type, JSON):
        return {}
    return {str: "x", int: 1, bytes: b"x", float: 1.0}[column.type.python_type]


def fill_other_tables(database: Database) -> dict[str, int]:
    """One row in each table that ``fill`` leaves empty; returns how many each table holds."""
    with database.writing() as session:
        job_id = session.execute(select(JobRow.id).limit(1)).scalar_one()
        for table in Base.metadata.sorted_tables:
            if table.name not in TABLES:
                row = {column.name: sample(column) for column in table.columns}
                row |= {"job_id": job_id} if "job_id" in row else {}
                session.execute(insert(table).values(row))
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def count_in(settings: Settings) -> dict[str, int]:
    """How many rows each table of the schema holds, whatever its revision."""
    engine = make_engine(settings.sqlalchemy_url)
    with engine.connect() as connection:
        counts = {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()  # noqa: S608
            for name in inspect(engine).get_table_names()
            if name != "alembic_version"
        }
    engine.dispose()
    return counts


def test_each_step_down_and_up_again_loses_no_row_of_the_tables_that_stay(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    with open_database(settings) as database:
        fill(database)
        before = fill_other_tables(database)
    assert min(before.values()) >= 1
    config = alembic_config(settings.sqlalchemy_url)
    steps = len(list(ScriptDirectory.from_config(config).walk_revisions()))
    for _ in range(steps - 1):
        command.downgrade(config, "-1")
        left = count_in(settings)
        assert left == {name: before[name] for name in left}
    assert set(left) == set(TABLES)
    for _ in range(steps - 1):
        command.upgrade(config, "+1")
        found = count_in(settings)
        assert {name: found[name] for name in TABLES} == {name: before[name] for name in TABLES}
    assert set(found) == set(before)
    command.check(config)


def test_processes_that_migrate_at_once_do_it_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, empty=True)
    code = "from service.database import migrate; from service.settings import Settings; "
    command_line = [sys.executable, "-W", "error", "-c", code + "migrate(Settings())"]
    environment = {**os.environ, **settings.to_environment()}
    processes = [subprocess.Popen(command_line, env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert set(count_rows(settings.sqlalchemy_url).values()) == {0}


def test_migrating_without_a_connection_is_refused(tmp_path: Path) -> None:
    config = alembic_config(make_settings(tmp_path, empty=True).sqlalchemy_url)
    with pytest.raises(SystemExit, match="connection"):
        command.upgrade(config, "head", sql=True)
