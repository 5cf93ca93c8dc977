"""A real API process and generated requests: schemathesis against its OpenAPI document."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.database import Database
from service.embedded import EmbeddedService
from service.keys.records import Scope
from service.keys.repository import create_key
from service.settings import Settings
from tests.service.support import CARTPOLE_JOB, store_policy

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# What no schema can say (groups that fit the environment, times in order) is refused although it
# fits the schema; every other promise is checked.
NOT_PROMISED = "positive_data_acceptance"


@dataclass(frozen=True)
class Target:
    """A running API, which asks for keys.

    Attributes:
        url: where it is.
        admin: key that may do everything.
        user: key of the owner of the one finished job.
        job_id: that job, with its policy.
    """

    url: str
    admin: str
    user: str
    job_id: str


@contextmanager
def fuzzed_service(settings: Settings) -> Iterator[Target]:
    """Start an API process without a worker, with keys and one finished job."""
    settings = settings.model_copy(update={"require_keys": True, "max_unfinished_jobs": 20})
    with EmbeddedService(settings, with_worker=False, logs=settings.home / "logs") as service:
        service.wait_ready()
        database = Database(settings)
        admin = create_key(database, "root", [Scope.ADMIN])[1]
        user = create_key(database, "user", set(Scope) - {Scope.ADMIN})[1]
        stored = store_policy(database, CARTPOLE_JOB, seed=1, owner="user")
        database.close()
        yield Target(service.url, admin.text, user.text, stored.job_id)


def fuzz(
    target: Target,
    folder: Path,
    phases: str,
    *,
    key: str,
    known_id: bool,
    examples: int,
    seed: int = 1,
    seconds: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run schemathesis; its status is 0 where every promise was kept.

    Args:
        target: the API.
        folder: where it leaves its files.
        phases: examples, coverage, fuzzing or stateful, separated by commas.
        key: goes with every request, but for those that leave it out on purpose.
        known_id: whether ``{id}`` is the finished job's, or made up as well.
        examples: most test cases of one operation.
        seed: the same seed makes up the same requests.
        seconds: end after that long.
    """
    config = folder / "schemathesis.toml"
    parameters = f'[parameters]\n"path.id" = "{target.job_id}"\n' if known_id else ""
    config.write_text(parameters, encoding="utf-8")
    bound = [] if seconds is None else [f"--max-time={seconds}"]
    return subprocess.run(
        [
            str(SCHEMATHESIS),
            f"--config-file={config}",
            "run",
            f"{target.url}/openapi.json",
            f"--header=Authorization: Bearer {key}",
            "--checks=all",
            f"--exclude-checks={NOT_PROMISED}",
            f"--phases={phases}",
            f"--max-examples={examples}",
            f"--seed={seed}",
            *bound,
            "--request-timeout=10",
            "--continue-on-failure",
            "--no-shrink",
            "--suppress-health-check=all",
            "--warnings=off",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=None if seconds is None else seconds + 120,
    )
