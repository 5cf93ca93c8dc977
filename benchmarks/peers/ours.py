"""This project's trainer."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.peers.task import HIDDEN, Act, Task
from grpo.config import TrainConfig
from grpo.environments.hospital.scenario import load_scenario
from grpo.environments.hospital.warm import warm as warm_hospital
from grpo.training.job import make_loop
from grpo.training.problems import make_problem
from grpo.training.warming import warm_training

AGE_GROUPS = 3


def make_scenario(num_groups: int) -> str | dict[str, Any]:
    """Return the rural hospital, with districts where age alone makes fewer groups."""
    if num_groups <= AGE_GROUPS:
        return "rural_hospital"
    districts = num_groups // AGE_GROUPS
    scenario = load_scenario("rural_hospital").model_dump(mode="json")
    share = {"value": [1 / districts] * districts, "basis": "assumed", "source": "benchmark"}
    names = [f"district_{number}" for number in range(districts)]
    scenario["attributes"] += [{"name": "district", "values": names, "share": share}]
    return {**scenario, "name": f"rural_{num_groups}_groups"}


def make_config(task: Task) -> dict[str, Any]:
    """Return the task as a training job."""
    algorithm = {
        "method": "softmin" if task.group_robustness_weight else "mean",
        "group_robustness_weight": task.group_robustness_weight,
        "learning_rate": task.learning_rate,
        "num_envs": task.num_envs,
        "num_steps": task.num_steps,
        "minibatch_size": task.minibatch_size,
        "update_epochs": task.update_epochs,
        "hidden_sizes": list(HIDDEN),
        "ent_coef": task.ent_coef,
        "target_kl": None,
    }
    budget = {"total_timesteps": 2 * task.samples + task.timesteps}
    if task.environment == "cartpole":
        environment: dict[str, Any] = {"kind": "gymnasium", "id": "CartPole-v1"}
        grouping: dict[str, Any] = {
            "kind": "threshold",
            "feature": 0,
            "edges": [0.0],
            "labels": ["left", "right"],
        }
        algorithm |= {"gamma": task.gamma, "gae_lambda": task.gae_lambda}
    else:
        environment = {"kind": "hospital", "scenario": make_scenario(task.num_groups)}
        attributes = ["age_group"] if task.num_groups <= AGE_GROUPS else ["age_group", "district"]
        grouping = {"kind": "attribute", "attributes": attributes}
        algorithm |= {"start_rule": None}
    return {
        "environment": environment,
        "grouping": grouping,
        "algorithm": algorithm,
        "budget": budget,
        "seed": task.seed,
    }


def train(task: Task, start: Callable[[], None], after_iteration: Callable[[Act], bool]) -> str:
    """Train with equal work per sample: no stop by KL, whose epochs would differ."""
    config = TrainConfig.parse(make_config(task))
    loop = make_loop(config, make_problem(config), task.threads)

    def act(observations: Any) -> Any:
        brain = loop.brain
        logits = brain.learner.compute_logits(brain.normalizer(observations), None)
        return logits.argmax(axis=1)

    if task.environment == "rural":
        warm_hospital()
    warm_training()
    start()
    iterations = 1 + -(-task.timesteps // task.samples)
    for iteration in range(iterations):
        loop.run_iteration(iteration / iterations)
        if not after_iteration(act):
            break
    return version("grpo")
