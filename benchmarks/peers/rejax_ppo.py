"""rejax: environment, inference and update compiled together by JAX."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from rejax import PPO

from benchmarks.peers.task import HIDDEN, Act, Task


def train(task: Task, start: Callable[[], None], after_iteration: Callable[[Act], bool]) -> str:
    """Train PPO, one compiled call per iteration; the first call compiles."""
    settings = {
        "env": "CartPole-v1",
        "agent_kwargs": {"activation": "tanh", "hidden_layer_sizes": HIDDEN},
        "num_envs": task.num_envs,
        "num_steps": task.num_steps,
        "num_epochs": task.update_epochs,
        "num_minibatches": task.samples // task.minibatch_size,
        "learning_rate": task.learning_rate,
        "gamma": task.gamma,
        "gae_lambda": task.gae_lambda,
        "ent_coef": task.ent_coef,
        "max_grad_norm": 0.5,
        "total_timesteps": task.timesteps,
        "skip_initial_evaluation": True,
    }
    algorithm = PPO.create(**settings)
    state = algorithm.init_state(jax.random.PRNGKey(task.seed))
    iterate = jax.jit(algorithm.train_iteration, donate_argnums=0)
    logits = jax.jit(
        lambda parameters, observations: (
            algorithm.actor.apply(parameters, observations, method="_action_dist").logits
        )
    )

    def act(observations: Any) -> Any:
        scores = logits(state.actor_ts.params, observations)
        return np.asarray(scores).argmax(axis=1)

    start()
    while True:
        state = jax.block_until_ready(iterate(state))
        if not after_iteration(act):
            return version("rejax")
