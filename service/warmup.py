"""Compile every kernel once: ``python -m service.warmup``, run by ``grpo warm``.

A process of its own, because the training's kernels come with torch.
"""

from __future__ import annotations

from contextlib import suppress

from grpo.config import TrainConfig
from grpo.environments import cartpole
from grpo.training.job import train_policy
from grpo.training.observer import IterationMetrics, Phase, TrainingStopped
from grpo.training.warming import warm

SMALLEST = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    "algorithm": {"num_envs": 2, "num_steps": 4, "minibatch_size": 8, "update_epochs": 1},
    "budget": {"total_timesteps": 16},
}


class StopAfterOneIteration:
    """Ends a training as soon as every kernel of it has run."""

    def __init__(self) -> None:
        self.seen = 0

    def on_phase(self, name: Phase) -> None:
        """Ignore the phase."""

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Count the iteration."""
        del metrics
        self.seen += 1

    def should_stop(self) -> bool:
        """Stop once an iteration has been seen."""
        return self.seen > 0


def main() -> None:
    """Run the simulator, a decision, a step of CartPoles and one iteration of training."""
    warm()
    cartpole.warm()
    with suppress(TrainingStopped):
        train_policy(TrainConfig.parse(SMALLEST), StopAfterOneIteration())


if __name__ == "__main__":
    main()
