"""A training's observer that writes to the records, and hears from them when to stop.

It is also where checkpoints go: one is written together with the metrics up to its iteration.
"""

from __future__ import annotations

import math
import threading
import time

from sqlalchemy.exc import OperationalError

from grpo.errors import CheckpointError
from grpo.training.observer import IterationMetrics, Phase
from service.database import Database, is_storage_full
from service.jobs.checkpoints import StoredCheckpoint
from service.jobs.outcomes import record_metrics
from service.jobs.records import Claim, Metric, Progress
from service.observability import get_logger

WRITE_SECONDS = 0.25


class RecordingObserver:
    """Writes metrics from the first iteration on, and progress at most four times a second.

    Metrics that a database in trouble does not take are kept and written with the next, so that
    the series has no gap.

    Args:
        database: the records.
        held: the claim under which to write.
        total_timesteps: the budget.
        stop: set from outside (a signal) to end the training.
        checkpoint_seconds: how often a checkpoint is due, at most.
        max_seconds: the budget in seconds, if there is one.
    """

    def __init__(
        self,
        database: Database,
        held: Claim,
        total_timesteps: int,
        stop: threading.Event,
        *,
        checkpoint_seconds: float = math.inf,
        max_seconds: float | None = None,
    ) -> None:
        self.cancelled = False
        self._database = database
        self._held = held
        self._total = total_timesteps
        self._stop = stop
        self._max_seconds = math.inf if max_seconds is None else max_seconds
        self._progress = Progress("starting", total_timesteps=total_timesteps)
        self._pending: list[Metric] = []
        self._written = 0.0
        self._checkpoint: StoredCheckpoint | None = None
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpointed = time.monotonic()

    def on_phase(self, name: Phase) -> None:
        """Write the phase at once, and log it."""
        get_logger().info("training_phase", phase=name)
        last = self._progress
        speed = last.steps_per_second if name == "training" else None
        self._progress = Progress(name, last.timesteps, self._total, speed, None)
        self.flush()

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Keep the metrics of an iteration, and write them if it is time."""
        values = metrics.to_dict()
        for name in ("iteration", "timesteps", "seconds"):
            del values[name]
        self._pending.append(Metric(metrics.iteration, metrics.timesteps, metrics.seconds, values))
        speed = metrics.steps_per_second
        left = max(0, self._total - metrics.timesteps) / speed if speed > 0 else None
        if left is not None:
            left = max(0.0, min(left, self._max_seconds - metrics.seconds))
        self._progress = Progress("training", metrics.timesteps, self._total, speed, left)
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.flush()

    def should_stop(self) -> bool:
        """Say whether a signal or the client asked to stop; the row is read as it is written."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.flush()
        return self._stop.is_set() or self.cancelled

    def is_due(self) -> bool:
        """Say whether it is time for a checkpoint."""
        return time.monotonic() - self._checkpointed >= self._checkpoint_seconds

    def keep(self, iteration: int, data: bytes) -> None:
        """Write a checkpoint with the metrics up to it, or later where the database is away."""
        self._checkpointed = time.monotonic()
        self._checkpoint = StoredCheckpoint(iteration, data)
        self.flush()

    def refuse(self, error: CheckpointError) -> None:
        """Log that this training leaves no checkpoints, and ask for none any more."""
        get_logger().warning("no_checkpoints", error=str(error))
        self._checkpoint_seconds = math.inf

    def flush(self) -> None:
        """Write what is pending, or keep it for the next time where the database is away.

        Raises:
            FencedError: the claim no longer holds.
            OperationalError: the disk is full.
        """
        try:
            self.write()
        except OperationalError as error:
            if is_storage_full(error):
                raise
            get_logger().warning("metrics_not_written", error=str(error))

    def write(self) -> None:
        """Write what is pending.

        Raises:
            FencedError: the claim no longer holds.
            OperationalError: the database is away, or its disk is full; what is pending is kept.
        """
        self._written = time.monotonic()
        job_id, fence = self._held.job_id, self._held.fence
        asked = record_metrics(
            self._database, job_id, fence, self._pending, self._progress, self._checkpoint
        )
        self._pending.clear()
        self._checkpoint = None
        self.cancelled = self.cancelled or asked
