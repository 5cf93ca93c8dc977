"""Forty jobs on three worker hosts, one of which is cut off in the middle and comes back later.

``python -m tests.workers.many_hosts FOLDER HOW`` with ``namespaces`` (it must run in a network
namespace of its own, see ``tests.workers.hosts``) or ``processes``. Prints each step, and fails
loudly.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from grpo.config import TrainConfig
from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.records import Job
from service.jobs.repository import get_job, list_jobs
from service.jobs.states import EndReason, JobState
from service.jobs.submission import submit_training_job
from service.policies.repository import list_policies
from service.settings import Settings
from tests.backends import Scaled, make_template
from tests.servers import LOOPBACK, Postgres, Redis
from tests.service.job_records import CONFIG
from tests.workers.chaos import make_job
from tests.workers.hosts import SERVERS, Host, make_bridge
from tests.workers.invariants import check_over
from tests.workers.processes import is_alive, wait_dead, wait_until

JOBS, HOSTS, TRAININGS = 40, 3, 2
PATIENCE_SECONDS = 900.0
SHORT = TrainConfig.parse(CONFIG.model_dump() | {"budget": {"total_timesteps": 256}})
LONG, NUM_LONG = make_job(segments=30), 4
"""What runs when a host is cut off: fewer than could, so that the others can take over at once."""


def say(what: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stdout.flush()


def all_jobs(database: Database) -> tuple[Job, ...]:
    return list_jobs(database, limit=1000).jobs


def find_long(database: Database, hosts: list[Host]) -> Host | None:
    """Return a host in the middle of a long training, None while there is none."""
    for job in all_jobs(database):
        if job.state is JobState.RUNNING and job.progress.timesteps > SHORT.budget.total_timesteps:
            return next(host for host in hosts if host.worker == job.attempts[-1].worker)
    return None


def check_same_policy(
    jobs: tuple[Job, ...], digests: dict[str, str], lost: Collection[str]
) -> None:
    """The long trainings are the same job; begun on one host, ended on another, they end alike."""
    long = [job.id for job in jobs if job.config == LONG.model_dump(mode="json")]
    assert len(long) == NUM_LONG
    # A short training may have been lost beside them; some of the long were never disturbed.
    assert set(long) & set(lost)
    assert set(long) - set(lost)
    assert len({digests[job_id] for job_id in long}) == 1


def check_jobs(database: Database, victim: Host, lost: dict[str, int]) -> None:
    """Every job done, once and whole; only what the cut host had was tried again."""
    jobs = all_jobs(database)
    assert len(jobs) == JOBS
    for job in jobs:
        over = check_over(database, job.id)
        assert over.state is JobState.SUCCEEDED, (over.status_reason, over.detail)
        ends = [attempt.end_reason for attempt in over.attempts]
        assert ends == [EndReason.WORKER_LOST] * (job.id in lost) + [EndReason.SUCCEEDED], ends
        if job.id in lost:
            assert over.attempts[0].worker == victim.worker
    policies = list_policies(database, limit=1000).policies
    assert sorted(policy.job_id for policy in policies) == sorted(job.id for job in jobs)
    check_same_policy(jobs, {policy.job_id: policy.sha256 for policy in policies}, lost)
    shares = Counter(job.attempts[-1].worker for job in jobs)
    say(f"jobs by host: {dict(shares)}")
    others = [n for worker, n in shares.items() if worker != victim.worker]
    assert len(others) == HOSTS - 1
    assert min(others) >= JOBS // 8


def submit(database: Database, queue: CeleryJobQueue, config: TrainConfig, count: int) -> None:
    for _ in range(count):
        submit_training_job(database, queue, config)


def wait_all(database: Database) -> None:
    def are_over() -> bool:
        return all(job.state.is_terminal for job in all_jobs(database))

    wait_until(are_over, PATIENCE_SECONDS, every=1.0)


def cut_one_off(database: Database, hosts: list[Host]) -> tuple[Host, dict[str, int]]:
    """Cut off a host that trains until others have its jobs; return it, and their fences."""
    wait_until(lambda: find_long(database, hosts), PATIENCE_SECONDS, every=0.2)
    victim = find_long(database, hosts)
    assert victim is not None
    victim.cut_off()
    cut, trainings = time.monotonic(), victim.trainings()
    running = [job for job in all_jobs(database) if job.state is JobState.RUNNING]
    lost = {job.id: job.fence for job in running if job.attempts[-1].worker == victim.worker}
    say(f"{victim.worker} is cut off with {len(lost)} trainings")
    assert 1 <= len(lost) <= TRAININGS
    wait_until(
        lambda: all(get_job(database, i).fence > fence for i, fence in lost.items()),
        PATIENCE_SECONDS,
    )
    say(f"others have its jobs after {time.monotonic() - cut:.1f} s")
    living = [pid for pid in trainings if is_alive(pid)]
    victim.connect()
    for pid in trainings:
        wait_dead(pid, 30.0)
    say(f"it is back; {len(living)} of its trainings still ran, and have stopped")
    assert victim.process.poll() is None
    return victim, lost


def run(database: Database, settings: Settings, hosts: list[Host]) -> None:
    """Half of the jobs, a host cut off and connected again, the other half; then check all."""
    queue = CeleryJobQueue(settings)
    submit(database, queue, SHORT, JOBS // 2)
    submit(database, queue, LONG, NUM_LONG)
    victim, lost = cut_one_off(database, hosts)
    submit(database, queue, SHORT, JOBS - JOBS // 2 - NUM_LONG)
    wait_all(database)
    check_jobs(database, victim, lost)
    for other in hosts:
        if other is not victim:
            assert other.stop(signal.SIGTERM) == 0
    last = submit_training_job(database, queue, SHORT).id
    wait_all(database)
    assert check_over(database, last).attempts[0].worker == victim.worker
    say("and it works again, alone")
    queue.close()


def main(folder: Path, how: str) -> None:
    separate = how == "namespaces"
    if separate:
        make_bridge()
    address = SERVERS if separate else LOOPBACK
    say(f"{HOSTS} worker hosts as {how}, servers at {address}")
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(address))
        redis = stack.enter_context(Redis(address))
        make_template(postgres)
        settings = Scaled(postgres, redis).settings(
            folder / "api",
            worker_concurrency=TRAININGS,
            heartbeat_seconds=0.5,
            lease_seconds=4.0,
            sweep_seconds=0.5,
            checkpoint_seconds=0.0,
            log_level="warning",
        )
        database = Database(settings)
        stack.callback(database.close)
        hosts = [
            stack.enter_context(
                Host(
                    n,
                    settings.model_copy(update={"home": folder / f"host{n}"}),
                    separate=separate,
                )
            )
            for n in range(1, HOSTS + 1)
        ]
        run(database, settings, hosts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
