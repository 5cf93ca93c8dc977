"""What all tests share: compiled kernels, private servers, and a service's records."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from grpo.kernel_cache import kernel_cache_folder

ROOT = Path(__file__).resolve().parent.parent

# Before any test imports numba: compile once for this process, its children and later runs.
os.environ.setdefault("NUMBA_CACHE_DIR", str(kernel_cache_folder(ROOT / ".grpo")))
for name in [name for name in os.environ if name.upper().startswith("GRPO_")]:
    del os.environ[name]  # a developer's own settings must not decide what tests see
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background job: programs that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from service.database import Database, migrate  # noqa: E402 - after the environment is clean
from service.settings import Settings  # noqa: E402
from tests.backends import Backend, Embedded, Scaled, make_template, using  # noqa: E402
from tests.servers import Postgres, RabbitMQ, Redis  # noqa: E402
from tests.workers.hosts import describe  # noqa: E402

# Every run tries the same examples; --hypothesis-profile=default draws new ones.
hypothesis_settings.register_profile("repeatable", derandomize=True)
hypothesis_settings.load_profile("repeatable")


def pytest_report_header() -> str:
    """Print what stands for worker hosts, which depends on what this machine permits."""
    return describe()


def pytest_configure() -> None:
    """Look for no garbage while tests are imported and collected: all of that stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the hundreds of thousands of objects up to here."""
    gc.freeze()
    gc.enable()


LONGEST_FIRST = (
    "workers/test_many_workers.py",
    "workers/test_crashes.py",
    "workers/test_outages.py",
    "service/test_end_to_end.py",
    "workers/test_worker_process.py",
    "service/test_schemathesis.py",
    "service/test_demo.py",
    "grpo/exact/test_queues.py",
    "grpo/hospital/test_exact_queues.py",
    "service/test_embedded.py",
    "workers/test_resume.py",
    "workers/test_training.py",
    "test_example_hospital_scheduling.py",
)
"""Files of long tests, the longest first: begun last, one would leave the other processes idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the order is otherwise that of the folders."""
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


class RabbitMQTogether(LoadFileScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Gives a test process whole files; the tests on RabbitMQ, of every file, go to one of them.

    So one node serves them all: of the private servers it takes by far the longest to start.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "rabbitmq" if nodeid.endswith("[rabbitmq]") else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nothing is distributed
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RabbitMQTogether | None:
    """Distribute as above where files are asked for (``--dist loadfile``)."""
    return RabbitMQTogether(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Undo what a test configured: a level set by one test must not silence another's events."""
    before = structlog.get_config()
    root, level, handlers = logging.getLogger(), logging.root.level, logging.root.handlers[:]
    yield
    structlog.configure(**before)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private Postgres, started when the first test asks; missing programs are an error."""
    with Postgres() as server:
        make_template(server)
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A private Redis."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A private RabbitMQ."""
    with RabbitMQ() as server:
        yield server


@pytest.fixture(scope="module", params=["embedded", "scaled"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """What the module's services run on: every test that asks for it runs on each."""
    if request.param == "embedded":
        with using(Embedded()) as embedded:
            yield embedded
        return
    broker = "rabbitmq" if request.param == "rabbitmq" else "redis_server"
    servers = request.getfixturevalue("postgres"), request.getfixturevalue(broker)
    scaled = Scaled(*servers)
    with using(scaled):
        yield scaled
    scaled.close()


@pytest.fixture
def settings(backend: Backend, tmp_path: Path) -> Settings:
    """Settings of a service of its own, on any free port."""
    return backend.settings(tmp_path / "home", port=0, heartbeat_seconds=0.2, sweep_seconds=0.2)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Migrated records."""
    migrate(settings)
    database = Database(settings)
    yield database
    database.close()
