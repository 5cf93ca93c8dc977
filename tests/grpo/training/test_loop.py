"""The whole loop on problems whose best policies are known, and what must not depend on what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grpo.config import Algorithm
from grpo.models.parameters import NetworkShape
from grpo.objectives.surrogate import masked_log_softmax
from grpo.training.brain import Brain
from grpo.training.loop import TrainingLoop
from grpo.training.objective import make_objective
from grpo.training.observer import TrainingDiverged
from grpo.training.torch_update import TorchLearner
from grpo.training.update import UpdateSettings, make_learner
from tests.grpo.training.bandits import T1, RewardGroupBandit
from tests.grpo.training.test_fused_update import measure_actor_gradient

MIXTURES = ("softmin", "worst", "cvar", "gini", "group_dro")


def make_algorithm(**fields: Any) -> Any:
    defaults = {
        "num_envs": 64,
        "num_steps": 16,
        "minibatch_size": 256,
        "learning_rate": 3e-3,
        "hidden_sizes": (16,),
        "ent_coef": 0.003,
    }
    return Algorithm.parse({**defaults, **fields})


def make_loop(
    environment: RewardGroupBandit,
    algorithm: Algorithm,
    *,
    seed: int = 1,
    cap: float = 1.0,
    device: str = "cpu",
) -> Any:
    objective = make_objective(algorithm, len(environment.group_labels), weight_cap=cap)
    heads = environment.num_heads if objective.uses_groups else 1
    shape = NetworkShape(
        environment.observation_size, algorithm.hidden_sizes, environment.num_actions, heads
    )
    brain = Brain.create(shape, seed, device=device)
    return TrainingLoop(environment, algorithm, brain, seed=seed, objective=objective)


def train(loop: TrainingLoop, iterations: int) -> Any:
    metrics = [loop.run_iteration(i / iterations) for i in range(iterations)]
    learner = loop.brain.learner
    observation = loop.brain.normalizer(np.ones((1, 1), dtype=np.float32))
    logits = make_learner(
        learner.shape, loop.averaged_actor, learner.critic_parameters
    ).compute_logits(observation, None)[0]
    powers = np.exp(logits - logits.max())
    return powers / powers.sum(), metrics


@pytest.mark.parametrize("method", ["mean", *MIXTURES])
def test_weight_zero_uses_head_zero_alone_to_the_bit(method: str) -> None:
    """Method ``mean``, weight 0, and an environment that has no groups train the same actor."""
    algorithm = make_algorithm(group_robustness_weight=0.0, method=method)
    loop = make_loop(RewardGroupBandit(64, T1), algorithm)
    bare = RewardGroupBandit(64, T1)
    bare.num_heads = 1
    bare.table = T1.mean(axis=1)[:, None]
    alone = make_loop(bare, make_algorithm(group_robustness_weight=0.0, method="mean"))
    for loops in (loop, alone):
        train(loops, 5)
    assert np.array_equal(loop.averaged_actor, alone.averaged_actor)
    critics = [item.brain.learner.critic_parameters for item in (loop, alone)]
    assert np.array_equal(critics[0], critics[1])


@pytest.mark.parametrize(
    "fields",
    [
        *({"method": name, "group_robustness_weight": 0.7} for name in MIXTURES),
        {"method": "alpha_fair", "fairness_floor": 0.0},
        {"method": "floor", "floors": {"*": 9.0}},
    ],
    ids=lambda fields: fields["method"],
)
def test_with_one_group_every_method_and_weight_is_ppo(fields: dict[str, Any]) -> None:
    parameters = []
    for chosen in ({"method": "mean"}, fields):
        environment = RewardGroupBandit(64, T1[:, :1], group_labels=("all",))
        loop = make_loop(environment, make_algorithm(**chosen))
        train(loop, 5)
        parameters.append(loop.averaged_actor)
    assert np.array_equal(parameters[0], parameters[1])


def test_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    runs = []
    for seed in (1, 1, 2):
        algorithm = make_algorithm(group_robustness_weight=0.5)
        loop = make_loop(RewardGroupBandit(64, T1), algorithm, seed=seed)
        train(loop, 5)
        runs.append(loop.averaged_actor)
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_gradient_at_weight_zero_equals_a_plain_ppo_loss() -> None:
    """One minibatch; the loss is written out here, with no part of the library's objective."""
    environment = RewardGroupBandit(64, T1)
    algorithm = make_algorithm(group_robustness_weight=0.0, ent_coef=0.01, num_steps=4)
    loop = make_loop(environment, algorithm)
    train(loop, 3)
    rollout = loop.collector.collect(loop.brain.returns)
    performance = loop._judge(rollout, 0.0)
    advantages, returns = loop._estimate_advantages(rollout, performance)
    weights = loop.weigher.weigh(environment.group_labels, performance, loop.scale)
    combined = loop._combine(advantages, rollout, weights, performance)
    batch = loop._make_batch(rollout, combined, returns)
    learner = loop.brain.learner
    learner.actor.kernel.first[...] = 0.0
    found, samples = measure_actor_gradient(learner, batch), len(batch.actions)

    values = rollout.values[..., 0]
    plain = (rollout.rewards[..., 0] - values).astype(np.float64)  # every step ends its episode
    plain = plain - plain.mean()
    reference = TorchLearner(
        learner.shape, learner.actor_parameters, learner.critic_parameters
    ).network.double()
    log_probs = masked_log_softmax(
        reference.actor(torch.from_numpy(batch.observations).double(), torch.zeros(samples, 3)),
        torch.ones(samples, 3, dtype=torch.bool),
    )
    taken = log_probs[torch.arange(samples), torch.from_numpy(batch.actions)]
    ratio = (taken - torch.from_numpy(batch.log_probs)).exp()
    scale = float(np.abs(combined).max() / np.abs(plain).max())
    adv = torch.from_numpy(plain.reshape(-1) * scale)
    surrogate = torch.min(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    torch.autograd.backward(-(surrogate + 0.01 * entropy))
    assert reference.actor.flat.grad is not None
    difference = found - reference.actor.flat.grad.numpy()
    assert np.abs(difference).max() < 1e-6


def test_nan_rewards_end_the_training_with_a_clear_error() -> None:
    rewards = T1.copy()
    rewards[1, 0] = np.nan
    loop = make_loop(RewardGroupBandit(64, rewards), make_algorithm())
    with pytest.raises(TrainingDiverged, match="reward that is not finite: nan in iteration 1"):
        loop.run_iteration(0.0)


def test_diverging_parameters_end_the_training_with_a_clear_error() -> None:
    loop = make_loop(RewardGroupBandit(64, T1), make_algorithm())
    loop.brain.learner.critic_parameters[0] = np.inf
    with (
        pytest.raises(TrainingDiverged, match="training diverged in iteration 1"),
        np.errstate(all="ignore"),
    ):
        loop.run_iteration(0.0)


def test_metrics_are_finite_plain_data() -> None:
    loop = make_loop(RewardGroupBandit(64, T1), make_algorithm())
    record = loop.run_iteration(0.0).to_dict()
    numbers = [value for value in record.values() if isinstance(value, int | float)]
    assert np.isfinite(numbers).all()
    assert record["timesteps"] == 64 * 16
    assert record["episodes"] == 64 * 16
    assert set(record["group_returns"]) == {"first", "second"}


def test_torch_learner_trains_the_same_policy_but_for_rounding() -> None:
    results = []
    for kind in ("fused", "torch"):
        loop = make_loop(RewardGroupBandit(64, T1), make_algorithm(group_robustness_weight=0.5))
        if kind == "torch":
            learner = loop.brain.learner
            loop.brain.learner = TorchLearner(
                learner.shape, learner.actor_parameters, learner.critic_parameters
            )
            loop.collector.learner = loop.brain.learner
        loop.run_iteration(0.0)
        results.append(loop.brain.learner.actor_parameters.copy())
    assert np.abs(results[0] - results[1]).max() < 1e-4


def test_update_settings_come_from_the_algorithm() -> None:
    loop = make_loop(RewardGroupBandit(64, T1), make_algorithm(clip_coef=0.3, target_kl=None))
    assert loop._settings == UpdateSettings(0.3, 0.5, 0.5, None)
