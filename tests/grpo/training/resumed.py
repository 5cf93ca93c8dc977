"""A part of a training in a process of its own: from a checkpoint to the next stop, or its end.

``python -m tests.grpo.training.resumed CONFIG FROM STOP_AFTER TO``: reads a job and, where the
file is not empty, a checkpoint; writes the checkpoint it stopped at, or the digest of its policy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grpo.config import TrainConfig
from grpo.errors import CheckpointError
from grpo.models.serialization import digest_bytes, dump_policy
from grpo.training.job import train_policy
from grpo.training.observer import IterationMetrics, SilentObserver, TrainingStopped

WALL_CLOCK = ("seconds", "steps_per_second")


class Part(SilentObserver):
    """Stops the training after an iteration, and keeps its metrics and its latest checkpoint."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.series: list[dict[str, Any]] = []
        self.kept: list[tuple[int, bytes]] = []

    def on_iteration(self, metrics: IterationMetrics) -> None:
        values = metrics.to_dict()
        self.series.append({name: values[name] for name in values if name not in WALL_CLOCK})

    def should_stop(self) -> bool:
        return (
            self.stop_after is not None
            and self.series[-1:] != []
            and (self.series[-1]["iteration"] >= self.stop_after)
        )

    def is_due(self) -> bool:
        return True

    def keep(self, iteration: int, data: bytes) -> None:
        self.kept.append((iteration, data))

    def refuse(self, error: CheckpointError) -> None:
        raise error


def run_part(config: TrainConfig, checkpoint: bytes, stop_after: int | None) -> tuple[Part, str]:
    """Run one part here; the digest is empty where it was stopped."""
    part = Part(stop_after)
    try:
        result = train_policy(
            config, part, num_threads=1, checkpoints=part, resume_from=checkpoint or None
        )
    except TrainingStopped:
        return part, ""
    return part, digest_bytes(dump_policy(result.policy))


def main(config: Path, checkpoint: Path, stop_after: int, target: Path) -> None:
    job = TrainConfig.model_validate_json(config.read_text(encoding="utf-8"))
    part, digest = run_part(job, checkpoint.read_bytes(), stop_after or None)
    if part.kept:
        checkpoint.write_bytes(part.kept[-1][1])
    at = part.kept[-1][0] if part.kept else 0
    target.write_text(json.dumps({"series": part.series, "digest": digest, "at": at}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
