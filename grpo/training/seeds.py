"""Several seeds of one configuration, trained as a batch in one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import NamedTuple, TypeVar

import numpy as np

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.errors import InputError
from grpo.training.job import Run, TrainingResult, count_threads
from grpo.training.lockstep import LockStep
from grpo.training.loop import TrainingLoop
from grpo.training.objective import make_objective
from grpo.training.observer import SilentObserver
from grpo.training.problems import make_problem
from grpo.training.setup import count_iterations, make_loop
from grpo.training.specialists import measure_baseline

Member = TypeVar("Member")


class _Member(NamedTuple):
    """One seed of a batch."""

    run: Run
    loop: TrainingLoop


def train_seeds(
    config: TrainConfig, seeds: Sequence[int], *, num_threads: int | None = None
) -> list[TrainingResult]:
    """Train a configuration from several seeds in lock step; return what ``train_policy`` would.

    Policies and metrics are those of one training after the other, to the bit, but for wall-clock
    times. Threads take equal shares of the seeds; while one collects, the other learns.

    Args:
        config: the job; its own seed is not used.
        seeds: at least one, all different.
        num_threads: by default up to 2 of the cores this process may use.

    Raises:
        InputError: the configuration does not fit the environment; it has a budget in seconds,
            which would depend on the number of seeds; seeds are missing or occur twice.
        TrainingDiverged: a number of some seed stopped being finite.
    """
    _check_seeds(config, seeds)
    members = [_prepare(config.model_copy(update={"seed": seed})) for seed in seeds]
    threads = min(num_threads or count_threads(), len(members))
    with ThreadPoolExecutor(threads) as pool:
        iterations, turn, ended = count_iterations(config), Lock(), Event()
        with _telling(ended):
            list(
                pool.map(
                    lambda share: _train(share, iterations, turn, ended),
                    share_out(members, threads),
                )
            )
        return list(pool.map(lambda member: member.run.judge(member.run.choose()), members))


def share_out(members: Sequence[Member], threads: int) -> list[list[Member]]:
    """Cut into as many runs of neighbours as there are threads, of nearly equal length."""
    shares = np.array_split(np.arange(len(members)), threads)
    return [[members[i] for i in share] for share in shares]


def _check_seeds(config: TrainConfig, seeds: Sequence[int]) -> None:
    """Refuse what cannot be trained as a batch."""
    check_config(config)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError.single(
            "/seeds", "needs different seeds", given=list(seeds), allowed="at least one, each once"
        )
    if config.budget.max_seconds is not None:
        raise InputError.single(
            "/budget/max_seconds",
            "seeds of a batch would share their seconds",
            given=config.budget.max_seconds,
            allowed="a budget in timesteps",
        )


def _prepare(config: TrainConfig) -> _Member:
    """Return one seed before its first iteration."""
    problem = make_problem(config)
    baseline = measure_baseline(config, problem, 1, lambda: None)
    objective = make_objective(config.algorithm, problem.num_groups, baseline=baseline)
    loop = make_loop(config, problem, objective=objective)
    return _Member(Run(config, problem, loop, SilentObserver(), None), loop)


@contextmanager
def _telling(ended: Event) -> Iterator[None]:
    """Tell the other threads of a failure, or of Ctrl-C, so that none trains on for nothing."""
    try:
        yield
    except BaseException:
        ended.set()
        raise


def _train(members: Sequence[_Member], iterations: int, turn: Lock, ended: Event) -> None:
    """Run all iterations of some seeds together, unless told of an end; see ``LockStep``."""
    with _telling(ended):
        batch = LockStep([member.loop for member in members], turn)
        for iteration in range(iterations):
            if ended.is_set():
                return
            metrics = batch.run_iteration(iteration / iterations)
            for member, own in zip(members, metrics, strict=True):
                member.run.note(own)
