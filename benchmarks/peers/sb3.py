"""stable-baselines3: DummyVecEnv on CartPole, a VecEnv over our batch on the hospital."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import stable_baselines3
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from benchmarks.peers.sb3_hospitals import Hospitals
from benchmarks.peers.task import HIDDEN, Act, Task
from grpo.environments.hospital.compiling.compiled import compile_scenario
from grpo.environments.hospital.environment import register
from grpo.environments.hospital.scenario import load_scenario
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.registry import HOSPITAL_ID


class AfterUpdate(BaseCallback):
    """Rollouts start right after an update, but for the first."""

    def __init__(self, start: Callable[[], None], after_update: Callable[[], bool]) -> None:
        super().__init__()
        self._start, self._after_update = start, after_update
        self._begun, self._go_on = False, True

    def _on_rollout_start(self) -> None:
        if self._begun:
            self._go_on = self._after_update()
        else:
            self._begun = True
            self._start()

    def _on_step(self) -> bool:
        return self._go_on


def train(task: Task, start: Callable[[], None], after_iteration: Callable[[Act], bool]) -> str:
    """Train PPO (MaskablePPO on the hospital) and report after every update."""
    torch.set_num_threads(task.threads)
    model = make_model(task)

    def act(observations: Any) -> Any:
        return model.predict(observations, deterministic=True)[0]

    callback = AfterUpdate(start, lambda: after_iteration(act))
    model.learn(total_timesteps=task.timesteps + 3 * task.samples, callback=callback)
    return str(stable_baselines3.__version__)


def make_model(task: Task) -> Any:
    """Return the model with equal work per sample: separate 64-64 tanh networks, no KL stop."""
    settings: dict[str, Any] = {
        "n_steps": task.num_steps,
        "batch_size": task.minibatch_size,
        "n_epochs": task.update_epochs,
        "learning_rate": lambda remaining: task.learning_rate * remaining,
        "gamma": task.gamma,
        "gae_lambda": task.gae_lambda,
        "ent_coef": task.ent_coef,
        "clip_range": 0.2,
        "policy_kwargs": {"net_arch": {"pi": list(HIDDEN), "vf": list(HIDDEN)}},
        "device": "cpu",
        "seed": task.seed,
    }
    if task.environment == "cartpole":
        environments = make_vec_env("CartPole-v1", n_envs=task.num_envs, seed=task.seed)
        return PPO("MlpPolicy", environments, **settings)
    if task.one_by_one:
        register()
        single = make_vec_env(HOSPITAL_ID, n_envs=task.num_envs, seed=task.seed)
        return MaskablePPO("MlpPolicy", single, **settings)
    compiled = compile_scenario(load_scenario("rural_hospital"))
    weights = np.full((1, compiled.num_types), 1.0 / compiled.type_rates.sum())
    hospitals = Hospitals(
        HospitalVectorEnvironment(compiled, task.num_envs, weights), seed=task.seed
    )
    return MaskablePPO("MlpPolicy", hospitals, **settings)
