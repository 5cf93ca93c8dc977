"""The library's fixed face."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from grpo import GRPOAgent, GRPOTrainer, InputError
from grpo.errors import ModelError, ShapeError
from grpo.models.serialization import dump_policy
from grpo.training.observer import TrainingDiverged
from tests.grpo.test_gymnasium_vector import Countdown

ROOT = Path(__file__).resolve().parents[2]


def make_agent(**arguments: Any) -> Any:
    defaults = {"state_dim": 4, "action_dim": 2, "num_envs": 8, "num_steps": 64}
    return GRPOAgent(**{**defaults, **arguments})


def evaluate(agent: GRPOAgent, episodes: int = 100) -> Any:
    returns = []
    environment = gymnasium.make("CartPole-v1")
    for seed in range(episodes):
        state, _ = environment.reset(seed=10_000 + seed)
        total, running = 0.0, True
        while running:
            state, reward, terminated, truncated, _ = environment.step(agent.select_action(state))
            total, running = total + float(reward), not (terminated or truncated)
        returns.append(total)
    environment.close()
    return np.mean(returns)


def test_the_fixed_snippet_runs_and_its_history_is_complete() -> None:
    agent = GRPOAgent(state_dim=4, action_dim=2, lr=3e-4, group_robustness_weight=0.2)
    trainer = GRPOTrainer(
        env_name="CartPole-v1",
        agent=agent,
        group_assignment_fn=lambda state, _: int(abs(state[2]) > 0.05),
    )
    history = trainer.train(num_episodes=150)
    assert len(history["episode_rewards"]) == len(history.episode_lengths) == 150
    # in CartPole every step gives 1
    assert history.episode_rewards == [float(length) for length in history.episode_lengths]
    series = ("policy_losses", "value_losses", "eval_rewards", "group_returns", "group_weights")
    (iterations,) = {len(history[name]) for name in series}
    assert iterations == agent.timesteps // (16 * 128)
    for weights in history.group_weights:
        assert set(weights) == {"0", "1"}
        assert sum(weights.values()) == pytest.approx(1)
    assert np.isfinite(history.policy_losses + history.value_losses + history.eval_rewards).all()


def test_cartpole_is_solved_by_default_settings() -> None:
    agent = GRPOAgent(state_dim=4, action_dim=2, lr=1e-3, group_robustness_weight=0.2, seed=3)
    trainer = GRPOTrainer(
        "CartPole-v1", agent, lambda state, _: int(state[2] > 0), group_when="reset"
    )
    trainer.train(num_episodes=500)
    assert evaluate(agent) >= 475


def test_same_seed_gives_the_same_bits() -> None:
    parameters = []
    for seed in (1, 1, 2):
        agent = make_agent(seed=seed)
        GRPOTrainer("CartPole-v1", agent).train(20)
        parameters.append(agent.brain.learner.actor_parameters.copy())
    assert np.array_equal(parameters[0], parameters[1])
    assert not np.array_equal(parameters[0], parameters[2])


def test_without_a_function_states_are_grouped_by_magnitude() -> None:
    history = GRPOTrainer("CartPole-v1", make_agent()).train(20)
    assert set(history.group_returns[-1]) == {
        "low magnitude",
        "middle magnitude",
        "high magnitude",
    }


def test_training_goes_on_where_it_stopped() -> None:
    agent = make_agent()
    trainer = GRPOTrainer("CartPole-v1", agent)
    trainer.train(20)
    before = agent.brain.learner.actor_parameters.copy()
    trainer.train(20)
    assert not np.array_equal(before, agent.brain.learner.actor_parameters)


def test_saved_agent_acts_as_before(tmp_path: Path) -> None:
    agent = make_agent(seed=5, hidden_sizes=(8, 8, 8), group_robustness_weight=0.7)
    GRPOTrainer("CartPole-v1", agent).train(20)
    agent.save(tmp_path / "agent.safetensors")
    loaded = GRPOAgent.load(tmp_path / "agent.safetensors")
    assert loaded.algorithm == agent.algorithm
    assert loaded.timesteps == agent.timesteps
    states = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    policy = agent.make_policy()
    masks = np.ones((200, 2), dtype=np.bool_)
    assert [loaded.select_action(state) for state in states] == policy.act(states, masks).tolist()
    assert np.array_equal(
        loaded.brain.learner.critic_parameters, agent.brain.learner.critic_parameters
    )
    GRPOTrainer("CartPole-v1", loaded).train(20)


def test_damaged_files_and_other_policies_are_refused(tmp_path: Path) -> None:
    agent, path = make_agent(), tmp_path / "agent.safetensors"
    agent.save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(ModelError):
        GRPOAgent.load(path)
    policy = agent.make_policy()
    served = type(policy)(policy.manifest.model_copy(update={"kind": "gymnasium"}), policy.tensors)
    path.write_bytes(dump_policy(served))
    with pytest.raises(ModelError, match="not an agent"):
        GRPOAgent.load(path)


def test_drawn_actions_are_reproducible_and_vary() -> None:
    agents = [make_agent(seed=1) for _ in range(2)]
    draws = [
        [agent.select_action([0, 0, 0, 0], deterministic=False) for _ in range(50)]
        for agent in agents
    ]
    assert draws[0] == draws[1]
    assert set(draws[0]) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"state_dim": 0}, "state_dim"),
        ({"action_dim": "2"}, "action_dim"),
        ({"lr": -1}, "/lr"),
        ({"eps_clip": 0}, "/eps_clip"),
        ({"gamma": 1.5}, "gamma"),
        ({"group_robustness_weight": 1.01}, "group_robustness_weight"),
        ({"group_robustness_weight": float("nan")}, "group_robustness_weight"),
        ({"wrong": 1}, "wrong"),
        ({"seed": -1}, "/seed"),
        ({"seed": "a"}, "/seed"),
        ({"seed": True}, "/seed"),
        ({"seed": 2**63}, "/seed"),
        ({"num_envs": "4"}, "/num_envs"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        make_agent(**arguments)


def test_agent_for_another_environment_is_refused() -> None:
    with pytest.raises(InputError, match=r"/agent/state_dim: does not fit.*given 3; allowed 4"):
        GRPOTrainer("CartPole-v1", make_agent(state_dim=3))
    with pytest.raises(InputError, match="/agent/action_dim"):
        GRPOTrainer("CartPole-v1", make_agent(action_dim=3))


def test_bad_states_are_refused() -> None:
    agent = make_agent()
    with pytest.raises(ShapeError, match="expected 4 numbers, got 3"):
        agent.select_action([1, 2, 3])
    with pytest.raises(InputError, match="/state"):
        agent.select_action([1, 2, 3, np.nan])
    with pytest.raises(InputError, match=r"/state: holds a number that is not finite in single"):
        agent.select_action([1e300, 0, 0, 0])
    with pytest.raises(InputError, match=r"/state: must hold numbers"):
        agent.select_action(["a", 0, 0, 0])
    largest = float(np.finfo(np.float32).max)
    assert agent.select_action([largest, 0, 0, 0]) in (0, 1)


@pytest.mark.parametrize("number", [0, -1, 1.5, "a", True, None])
def test_a_number_of_episodes_that_is_none_is_refused(number: Any) -> None:
    trainer = GRPOTrainer("CartPole-v1", make_agent())
    with pytest.raises(InputError, match=r"/num_episodes: must be an integer"):
        trainer.train(number)


@pytest.mark.parametrize("name", [3, None, "Nothing-v0", "antigravity:CartPole-v1"])
def test_a_name_of_no_environment_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match=r"/env_name: "):
        GRPOTrainer(name, make_agent())


def test_environments_may_come_from_a_callable() -> None:
    agent = make_agent(state_dim=2, num_envs=2, num_steps=8, minibatch_size=16)
    history = GRPOTrainer(Countdown, agent, eval_episodes=2).train(10)
    assert max(history.episode_lengths) <= 3


def test_nan_rewards_of_an_environment_end_the_training() -> None:
    agent = make_agent(state_dim=2, num_envs=2, num_steps=8, minibatch_size=16)
    trainer = GRPOTrainer(lambda: Countdown(float("nan")), agent)
    with pytest.raises(TrainingDiverged, match="reward that is not finite"):
        trainer.train(10)


def test_cartpole_example_runs_as_it_stands() -> None:
    finished = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "train_cartpole.py"),
            "--episodes",
            "40",
            "--evaluation-episodes",
            "2",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd="/",
    )
    assert "40 episodes" in finished.stdout
    assert "greedy evaluation over 2 new episodes" in finished.stdout
