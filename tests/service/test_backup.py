"""The commands for backup and restore, as ``docs/deploy.md`` gives them, run on real records."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from grpo.models.serialization import load_policy
from service.database import Database, migrate
from service.jobs.repository import list_jobs
from service.policies.repository import get_policy_bytes, list_policies
from service.settings import Settings
from tests.servers import Postgres
from tests.service.job_records import submit
from tests.service.support import CARTPOLE_JOB, store_policy

HANDBOOK = Path(__file__).parents[2] / "docs" / "deploy.md"
COLUMNS = {"SQLite": 1, "Postgres": 2}


def command_of(row: str, column: str) -> str:
    """Return the first words in code in one cell of the table of backups."""
    (line,) = re.findall(rf"^\| {row}.*$", HANDBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    return str(re.findall(r"`([^`]+)`", line.split("|")[1:-1][COLUMNS[column]])[0])


def run(command: str, folder: Path, settings: Settings) -> None:
    environment = os.environ | settings.to_environment()
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@contextmanager
def records(settings: Settings) -> Iterator[Database]:
    migrate(settings)
    database = Database(settings)
    yield database
    database.close()


def contents(database: Database) -> tuple[list[Any], list[str]]:
    """Every job, and the digest of every policy, each compared with its bytes."""
    digests = []
    for policy in list_policies(database, limit=1000).policies:
        model, digest = get_policy_bytes(database, policy.id)
        load_policy(model, digest)
        digests.append(digest)
    return list(list_jobs(database, limit=1000).jobs), digests


@pytest.mark.parametrize("kind", ["SQLite", "Postgres"])
def test_a_backup_taken_while_it_runs_brings_every_record_back(
    kind: str, tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.create("backed_up") if kind == "Postgres" else ""
    settings = Settings(home=tmp_path / ".grpo", database_url=url)
    with records(settings) as database:
        store_policy(database, CARTPOLE_JOB, seed=1)
        submit(database)
        before = contents(database)
        assert [len(part) for part in before] == [2, 1]
        run(command_of("backup while it runs", kind), tmp_path, settings)
        store_policy(database, CARTPOLE_JOB, seed=2)
        assert contents(database) != before
    run(command_of("restore, service stopped", kind), tmp_path, settings)
    with records(settings) as database:
        assert contents(database) == before
        submit(database)
    if url:
        postgres.drop("backed_up")
