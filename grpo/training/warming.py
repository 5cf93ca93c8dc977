"""Every kernel compiled before it is needed, on two cores where none of them is kept yet."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np

from grpo.environments.hospital.warm import warm as warm_hospital
from grpo.jit import is_kept
from grpo.models.parameters import NetworkShape, count_parameters
from grpo.objectives.advantage_estimation import generalized_advantages
from grpo.training.fused_update import FusedLearner
from grpo.training.kernels import episodes, ratios, recording
from grpo.training.kernels.epochs import teach_actors
from grpo.training.kernels.sampling import sample_actions
from grpo.training.update import Batch, MinibatchOrder, UpdateSettings


def warm() -> None:
    """Run every kernel of hospital and training once; fast where they are kept on disk.

    Numba compiles on one core at a time. Where training's kernels are not kept yet, another
    process compiles them while this one compiles the hospital's; should it fail, they are compiled
    here.
    """
    beside = None if is_kept(teach_actors) or not sys.executable else _compile_beside()
    warm_hospital()
    if beside is not None:
        beside.wait()
    warm_training()


def _compile_beside() -> subprocess.Popen[bytes]:
    """Start a process that compiles training's kernels into the folder that this one uses."""
    silent = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__], stdin=silent, stdout=silent
    )


def warm_training() -> None:
    """Run every kernel of training once on a tiny case; fast where the cache is filled."""
    shape = NetworkShape(2, (2,), 2, 1)
    actor, critic = (
        np.zeros(count_parameters(entries), dtype=np.float32)
        for entries in (shape.actor_entries, shape.critic_entries)
    )
    learner = FusedLearner(shape, actor, critic)
    observations = np.zeros((4, 2), dtype=np.float32)
    masks = np.ones((4, 2), dtype=np.bool_)
    actions, log_probs = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.float32)
    sample_actions(
        learner.compute_logits(observations, observations), masks, np.zeros(4), actions, log_probs
    )
    batch = Batch(
        observations, observations, masks, actions, log_probs, log_probs, log_probs[:, None]
    )
    settings = UpdateSettings(clip_coef=0.2, vf_coef=0.5, max_grad_norm=0.5, target_kl=None)
    order = MinibatchOrder(np.arange(4)[None], np.array([0, 4]))
    learner.update(batch, order, learning_rate=0.0, ent_coef=0.0, settings=settings)
    for kernels in (episodes, ratios, recording):
        kernels.warm()
    one, never = np.zeros((1, 1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.bool_)
    generalized_advantages(
        rewards=one,
        values=one,
        last_values=one[0],
        final_values=one,
        discounts=one[0],
        traces=one[0],
        terminated=never,
        truncated=never,
    )


if __name__ == "__main__":
    gc.disable()  # a seventh of the time of a compiler that makes hardly any garbage
    warm_training()
