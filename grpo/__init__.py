"""Group Robust Policy Optimization: PPO on ``(1 - w) * mean + w * worst group``.

Not group *relative* policy optimization (language models), nor group robust *preference*
optimization. Axes in docstrings: ``T`` steps, ``N`` environments, ``B`` minibatch, ``G`` groups,
``H`` heads (the mean, then the groups), ``K`` patient classes, ``O`` observation, ``A`` actions.

Names resolve on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpo.agent import GRPOAgent
    from grpo.config import TrainConfig
    from grpo.errors import GRPOError, InputError
    from grpo.trainer import GRPOTrainer, TrainingHistory

_HOMES = {
    "GRPOAgent": "grpo.agent",
    "GRPOError": "grpo.errors",
    "GRPOTrainer": "grpo.trainer",
    "InputError": "grpo.errors",
    "TrainConfig": "grpo.config",
    "TrainingHistory": "grpo.trainer",
}

__all__ = [
    "GRPOAgent",
    "GRPOError",
    "GRPOTrainer",
    "InputError",
    "TrainConfig",
    "TrainingHistory",
]


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name when the name is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'grpo' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
