"""A live API with two untrained policies, shared by the tests of the HTTP face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.database import Database
from service.settings import Settings
from tests.backends import Backend
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB, Stored, running_api, store_policy

MAX_PATIENTS = 500


@pytest.fixture(scope="module")
def live_settings(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("api")
    return backend.settings(home, port=0, max_body_bytes=2**20, max_patients=MAX_PATIENTS)


@pytest.fixture(scope="module")
def api(live_settings: Settings) -> Iterator[httpx.Client]:
    """A client of an API over a real socket; no worker, so what is queued stays queued."""
    with running_api(live_settings) as client:
        yield client


@pytest.fixture(scope="module")
def records(live_settings: Settings, api: httpx.Client) -> Iterator[Database]:
    """The records of that API, migrated."""
    database = Database(live_settings)
    yield database
    database.close()


@pytest.fixture(scope="module")
def hospital(records: Database) -> Stored:
    return store_policy(records, HOSPITAL_JOB, seed=11)


@pytest.fixture(scope="module")
def cartpole(records: Database) -> Stored:
    return store_policy(records, CARTPOLE_JOB, seed=12)
