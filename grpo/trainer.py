"""GRPOTrainer: trains an agent on a Gymnasium environment until enough episodes have finished."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from grpo.agent import GRPOAgent
from grpo.environments.gymnasium_vector import (
    EnvironmentMaker,
    GymnasiumVectorEnvironment,
    environment_maker,
    sample_states,
)
from grpo.errors import InputError
from grpo.grouping.labels import FunctionLabels, GroupFunction, Labeller, MagnitudeLabels
from grpo.seeding import derive_seed
from grpo.training.loop import TrainingLoop
from grpo.training.objective import make_objective
from grpo.training.observer import IterationMetrics

MAX_EVALUATION_STEPS = 100_000


@dataclass
class TrainingHistory:
    """What a training did: lists, the first two by episode, the others by iteration.

    Also readable like a dictionary: ``history["episode_rewards"]``.

    Attributes:
        episode_rewards: undiscounted return of every counted episode, in order of their ends.
        episode_lengths: its length in steps.
        policy_losses: PPO's clipped loss.
        value_losses: the critic's, in units of its return scale.
        eval_rewards: mean return of greedy evaluation episodes after the iteration.
        group_returns: label -> performance of the groups seen so far.
        group_weights: label -> weight q of the group in the robust part; sums to 1.
        unmet_floors: label -> how far the last performance stays below its floor (method
            ``floor``); empty where all are met.
    """

    episode_rewards: list[float] = field(default_factory=list)
    episode_lengths: list[int] = field(default_factory=list)
    policy_losses: list[float] = field(default_factory=list)
    value_losses: list[float] = field(default_factory=list)
    eval_rewards: list[float] = field(default_factory=list)
    group_returns: list[dict[str, float]] = field(default_factory=list)
    group_weights: list[dict[str, float]] = field(default_factory=list)
    unmet_floors: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """Return a series by name."""
        return getattr(self, name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    def add(self, metrics: IterationMetrics, eval_reward: float) -> None:
        """Append one iteration."""
        self.policy_losses.append(metrics.policy_loss)
        self.value_losses.append(metrics.value_loss)
        self.eval_rewards.append(eval_reward)
        self.group_returns.append(dict(metrics.group_returns))
        self.group_weights.append(dict(metrics.group_weights))


class GRPOTrainer:
    """Trains a GRPOAgent on copies of a Gymnasium environment.

    Groups: ``group_assignment_fn(state, episode) -> int`` (0..63) is asked at every state (state
    groups, a heuristic: the update is the gradient of no group's return, since visiting is not
    accounted for) or, with ``group_when="reset"``, at the first state of every episode (episode
    groups: the gradient of ``(1 - w) * mean + w * soft worst group``). Without a function, states
    are grouped by their length, cut at the terciles of 1,000 states under random actions.

    Args:
        env_name: registered Gymnasium id without a module part, or a callable that makes one.
        agent: trained in place.
        group_assignment_fn: state [O] float32 and number of its episode from 0 -> label.
        group_when: ``step`` or ``reset``.
        eval_episodes: greedy episodes after each iteration, for ``eval_rewards``.

    Raises:
        InputError: the environment is unknown, its actions are not discrete, or its sizes differ
            from the agent's.
    """

    def __init__(
        self,
        env_name: str | EnvironmentMaker,
        agent: GRPOAgent,
        group_assignment_fn: GroupFunction | None = None,
        *,
        group_when: Literal["step", "reset"] = "step",
        eval_episodes: int = 1,
    ) -> None:
        if group_when not in ("step", "reset"):
            raise InputError.single(
                "/group_when", "unknown", given=group_when, allowed="step, reset"
            )
        if agent.algorithm.group_baseline != "raw":
            raise InputError.single(
                "/agent/group_baseline",
                "specialists need groups that are declared: train_policy has them",
                given=agent.algorithm.group_baseline,
                allowed="raw",
            )
        self.agent = agent
        self._make = environment_maker(env_name)
        self._eval_episodes = eval_episodes
        self._state_groups = group_when == "step"
        self._environment = GymnasiumVectorEnvironment(
            self._make,
            agent.algorithm.num_envs,
            gamma=agent.algorithm.gamma,
            labeller=self._make_labeller(group_assignment_fn),
            when=group_when,
        )
        self._check_sizes()
        self._runs = 0

    def _make_labeller(self, function: GroupFunction | None) -> Labeller:
        """Return the function's labels, or terciles of the state's length."""
        if function is not None:
            return FunctionLabels(function)
        return MagnitudeLabels(sample_states(self._make, derive_seed(self.agent.seed, "terciles")))

    def _check_sizes(self) -> None:
        """Refuse an agent made for another environment."""
        environment, agent = self._environment, self.agent
        for name, given, expected in (
            ("state_dim", agent.state_dim, environment.observation_size),
            ("action_dim", agent.action_dim, environment.num_actions),
        ):
            if given != expected:
                raise InputError.single(
                    f"/agent/{name}",
                    "does not fit the environment",
                    given=given,
                    allowed=str(expected),
                )

    def train(self, num_episodes: int) -> TrainingHistory:
        """Train until ``num_episodes`` episodes have finished, to the end of that iteration.

        Args:
            num_episodes: at least 1; the history holds exactly so many episodes.

        Raises:
            InputError: num_episodes is no integer or below 1, or the group function returned no
                valid label.
            TrainingDiverged: a reward or loss is not finite.
        """
        whole = isinstance(num_episodes, int) and not isinstance(num_episodes, bool)
        if not whole or num_episodes < 1:
            raise InputError.single(
                "/num_episodes", "must be an integer", given=num_episodes, allowed=">= 1"
            )
        agent, self._runs = self.agent, self._runs + 1
        seed = derive_seed(agent.seed, f"training {self._runs}")
        loop = TrainingLoop(
            self._environment,
            agent.algorithm,
            agent.brain,
            seed=seed,
            objective=make_objective(agent.algorithm, None),
            state_groups=self._state_groups,
        )
        history, tracker = TrainingHistory(), loop.tracker
        while tracker.num_episodes < num_episodes:
            metrics = loop.run_iteration(tracker.num_episodes / num_episodes)
            history.add(metrics, self._evaluate(seed))
        rewards = np.concatenate([part.rewards for part in tracker.finished])
        lengths = np.concatenate([part.lengths for part in tracker.finished])
        history.episode_rewards = rewards[:num_episodes].tolist()
        history.episode_lengths = lengths[:num_episodes].tolist()
        history.unmet_floors = loop.weigher.objective.find_unmet(history.group_returns[-1])
        agent.timesteps += loop.timesteps
        return history

    def _evaluate(self, seed: int) -> float:
        """Return the mean return of greedy episodes, always from the same starts."""
        environment = GymnasiumVectorEnvironment(self._make, self._eval_episodes)
        agent, total = self.agent, np.zeros(self._eval_episodes)
        running = np.ones(self._eval_episodes, dtype=np.bool_)
        observations, masks = environment.reset(derive_seed(seed, "evaluation"))
        for _ in range(MAX_EVALUATION_STEPS):
            normalized = agent.brain.normalizer(observations)
            logits = agent.brain.learner.compute_logits(normalized, None)
            transition = environment.step(np.where(masks, logits, -np.inf).argmax(axis=1))
            total += transition.head_rewards[:, 0] * running
            running &= ~(transition.terminated | transition.truncated)
            if not running.any():
                break
            observations, masks = transition.observations, transition.action_masks
        environment.close()
        return float(total.mean())
