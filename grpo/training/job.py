"""A whole training job: from a validated configuration to a policy, its history and its report."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.errors import CheckpointError
from grpo.fairness.report import FairnessReport
from grpo.models.parameters import Float32
from grpo.models.policy import Policy
from grpo.training.checkpoint import Checkpoint, CheckpointSink, dump_checkpoint, load_checkpoint
from grpo.training.evaluation import evaluate_policy
from grpo.training.gate import Candidate, choose_policy
from grpo.training.loop import TrainingLoop
from grpo.training.loop_state import can_be_saved, restore_loop, save_loop
from grpo.training.objective import make_objective
from grpo.training.observer import (
    IterationMetrics,
    Observer,
    Phase,
    SilentObserver,
    TrainingDiverged,
    TrainingStopped,
)
from grpo.training.problems import Problem, make_problem
from grpo.training.setup import count_iterations, make_loop, make_policy
from grpo.training.specialists import measure_baseline, restore_baseline, save_baseline

__all__ = [
    "IterationMetrics",
    "Observer",
    "Phase",
    "SilentObserver",
    "TrainingDiverged",
    "TrainingResult",
    "TrainingStopped",
    "count_iterations",
    "make_loop",
    "train_policy",
]


KEPT_AT = (0.75,)
"""Shares of training at which the averaged actor is kept for validation, besides its end."""

MOST_THREADS = 2


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves: the policy to serve, its metrics and how it was judged.

    A resumed training's history begins after its checkpoint.
    """

    policy: Policy
    history: tuple[IterationMetrics, ...]
    report: FairnessReport


def train_policy(
    config: TrainConfig,
    observer: Observer | None = None,
    *,
    num_threads: int | None = None,
    checkpoints: CheckpointSink | None = None,
    resume_from: bytes | None = None,
) -> TrainingResult:
    """Train, validate and judge one policy.

    A training that is stopped, or killed, and resumed from its latest checkpoint ends with the
    same policy to the bit, and the same metrics but for wall-clock time, as one that was not:
    on the same kind of processor with the same versions of the libraries.

    Args:
        config: the whole job; every hyperparameter is recorded in the policy's manifest.
        observer: hears phases and iterations and may stop the training.
        num_threads: threads of the update; by default up to 2 of the cores this process may use.
            The result is the same to the bit for every number of threads.
        checkpoints: takes checkpoints when it says that one is due, and when the training stops.
        resume_from: a checkpoint of the same configuration, to go on from.

    Raises:
        InputError: the configuration does not fit the environment.
        CheckpointError: ``resume_from`` is damaged, or of another training or version.
        TrainingStopped: the observer asked for it; the checkpoint says where.
        TrainingDiverged: a number stopped being finite.
    """
    observer = observer or SilentObserver()
    check_config(config)
    observer.on_phase("compiling")
    problem = make_problem(config)
    resumed = None if resume_from is None else load_checkpoint(config, resume_from)
    observer.on_phase("training")
    threads = num_threads or count_threads()
    if resumed is None:
        baseline = measure_baseline(config, problem, threads, lambda: _check(observer))
    else:
        baseline = restore_baseline(config, problem, resumed.tensors)
    objective = make_objective(config.algorithm, problem.num_groups, baseline=baseline)
    loop = make_loop(config, problem, threads, objective=objective)
    run = Run(config, problem, loop, observer, checkpoints)
    if resumed is not None:
        run.resume(resumed)
    try:
        run.train()
        policy = run.choose()
    except TrainingStopped:
        run.save(even_if_not_due=True)
        raise
    return run.judge(policy)


def count_threads() -> int:
    """Return how many threads an update uses: the cores this process may run on, at most 2."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def _check(observer: Observer) -> None:
    """Raise TrainingStopped once the observer asks for it."""
    if observer.should_stop():
        raise TrainingStopped("the training was asked to stop")


class Run:
    """One training under way: its loop, what it has kept for validation, and its checkpoints.

    Attributes:
        history: metrics of the iterations made by this process.
    """

    def __init__(
        self,
        config: TrainConfig,
        problem: Problem,
        loop: TrainingLoop,
        observer: Observer,
        checkpoints: CheckpointSink | None,
    ) -> None:
        self.history: list[IterationMetrics] = []
        self._config, self._problem, self._loop = config, problem, loop
        self._observer, self._sink = observer, checkpoints
        self._total = count_iterations(config)
        self._kept: list[Candidate] = []
        self._saved = 0

    def check(self) -> None:
        """Raise TrainingStopped once the observer asks for it."""
        _check(self._observer)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: it lacks something.
        """
        restore_loop(self._loop, checkpoint.tensors)
        self._kept = list(checkpoint.candidates)
        self._saved = checkpoint.iteration

    def train(self) -> None:
        """Run the iterations that are left, or as many as the budget in seconds allows."""
        total, loop = self._total, self._loop
        for iteration in range(loop.iterations + 1, total + 1):
            self.check()
            spent = self._time_spent()
            if spent >= 1:
                return
            self.note(loop.run_iteration(max((iteration - 1) / total, spent)))

    def note(self, metrics: IterationMetrics) -> None:
        """Keep and tell what an iteration gave, and the candidate that it may have made."""
        self.history.append(metrics)
        self._observer.on_iteration(metrics)
        iteration, total, loop = metrics.iteration, self._total, self._loop
        marks = {math.ceil(share * total): share for share in KEPT_AT if total > 1}
        if iteration in marks and iteration < total:
            self._kept.append(
                self._candidate(f"average at {marks[iteration]:.0%}", loop.averaged_actor)
            )
        self.save()

    def _time_spent(self) -> float:
        """Return the share of the budget in seconds that is used; 0 without one."""
        limit = self._config.budget.max_seconds
        if limit is None or self._loop.iterations == 0:
            return 0.0
        own = limit * (1 - (self._config.algorithm.specialist_share or 0.0))
        return (time.perf_counter() - self._loop.started) / own

    def choose(self) -> Policy:
        """Return the policy to serve, chosen on validation: see ``choose_policy``."""
        self._observer.on_phase("validating")
        loop = self._loop
        candidates = [
            self._candidate("average at 100%", loop.averaged_actor),
            self._candidate("last", loop.brain.learner.actor_parameters),
            *self._kept[::-1],
        ]
        objective = loop.weigher.objective
        policy = choose_policy(self._problem, candidates, objective, self.check)
        self._observer.on_phase("evaluating")
        self.check()
        return policy

    def judge(self, policy: Policy) -> TrainingResult:
        """Return what the training leaves, the policy judged."""
        report = evaluate_policy(self._config, policy)
        return TrainingResult(policy, tuple(self.history), report)

    def save(self, *, even_if_not_due: bool = False) -> None:
        """Give the sink a checkpoint if it wants one and one can be taken here."""
        sink, iteration = self._sink, self._loop.iterations
        if sink is None or iteration == self._saved:
            return
        whole = iteration == self._total or can_be_saved(self._loop)
        if not whole or not (even_if_not_due or sink.is_due()):
            return
        self._saved = iteration
        tensors = save_loop(self._loop) | save_baseline(self._loop.weigher.objective.baseline)
        checkpoint = Checkpoint(iteration, tensors, tuple(self._kept))
        try:
            data = dump_checkpoint(self._config, checkpoint)
        except CheckpointError as error:
            sink.refuse(error)
        else:
            sink.keep(iteration, data)

    def _candidate(self, name: str, actor: Float32) -> Candidate:
        return Candidate(name, make_policy(self._config, self._problem, self._loop, actor))
