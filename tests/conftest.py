"""What all tests share: one folder of compiled kernels, and a service's records in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from grpo.environments.hospital.kernel_cache import kernel_cache_folder

ROOT = Path(__file__).resolve().parent.parent

# Before any test imports numba: compile once for this process, its children and later runs.
os.environ.setdefault("NUMBA_CACHE_DIR", str(kernel_cache_folder(ROOT / ".grpo")))
for name in [name for name in os.environ if name.upper().startswith("GRPO_")]:
    del os.environ[name]  # a developer's own settings must not decide what tests see

from service.database import Database, migrate  # noqa: E402 - after the environment is clean
from service.settings import Settings  # noqa: E402


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an embedded service of its own, on any free port."""
    return Settings(home=tmp_path / "home", port=0, heartbeat_seconds=0.2, sweep_seconds=0.2)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Migrated records."""
    migrate(settings)
    database = Database(settings)
    yield database
    database.close()
