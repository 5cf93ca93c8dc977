"""What a training tells its surroundings, and how they ask it to stop. Plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from grpo.errors import GRPOError

Phase = Literal["compiling", "training", "validating", "evaluating"]


class TrainingStopped(GRPOError):  # noqa: N818 - it ends a training on request, it is no failure
    """The observer asked the training to stop; nothing of it is kept."""


class TrainingDiverged(GRPOError):  # noqa: N818 - named for what happened
    """A reward, loss or parameter is no longer a finite number; the message says which and when."""


@dataclass(frozen=True)
class IterationMetrics:
    """One iteration of training in numbers that are always finite, or None where nothing was seen.

    Attributes:
        iteration: from 1.
        timesteps: decisions made so far, over all environments.
        seconds: wall-clock time since training began.
        steps_per_second: decisions per second, since training began.
        mean_return: J_0: per patient (hospital, minus the cost) or per episode.
        group_returns: label -> J_g; a group that was never seen is absent.
        group_weights: label -> q_g, sum 1; all zero where only the mean counts.
        worst_group_return: the smallest J_g.
        return_gap: largest J_g minus smallest.
        objective: F, the method's own value.
        policy_loss: mean clipped surrogate loss of the update.
        value_loss: mean squared error of the critic, in units of each head's return scale.
        entropy: mean entropy over allowed actions, nats.
        approx_kl: estimated KL(old, new), nats.
        clip_fraction: share of samples whose ratio left the clip range.
        explained_variance: share of the returns' variance that head 0 explains; at most 1.
        episodes: finished episodes so far (0 where nothing terminates).
    """

    iteration: int
    timesteps: int
    seconds: float
    steps_per_second: float
    mean_return: float
    group_returns: Mapping[str, float]
    group_weights: Mapping[str, float]
    worst_group_return: float
    return_gap: float
    objective: float
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float
    episodes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON."""
        return asdict(self)


class Observer(Protocol):
    """Follows a training; its methods are called from the training thread and must be quick."""

    def on_phase(self, name: Phase) -> None:
        """Hear that a phase begins."""
        ...

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Receive the metrics of a finished iteration."""
        ...

    def should_stop(self) -> bool:
        """Return whether to stop; polled every iteration and between validation runs."""
        ...


class SilentObserver:
    """An observer that hears everything and never stops the training."""

    def on_phase(self, name: Phase) -> None:
        """Ignore the phase."""

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Ignore the metrics."""

    def should_stop(self) -> bool:
        """Never stop."""
        return False
