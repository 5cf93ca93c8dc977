"""The training loop: collect, judge the groups, combine their advantages, update."""

from __future__ import annotations

import math
import time

import numpy as np

from grpo.config import Algorithm
from grpo.environments.vector import RestartsEpisodes, VectorEnvironment
from grpo.models.parameters import Float32
from grpo.objectives.advantage_estimation import generalized_advantages
from grpo.objectives.advantages import center_rewards, combine_heads, combine_labels
from grpo.objectives.group_weights import anneal
from grpo.seeding import derive_seed, make_generator
from grpo.training.brain import Brain
from grpo.training.objective import GroupWeigher, GroupWeights, Objective, describe_groups
from grpo.training.observer import IterationMetrics, TrainingDiverged
from grpo.training.performance import Performance, PerformanceTracker, explained_variance
from grpo.training.rollout import Collector, Rollout, are_finite, flatten_steps
from grpo.training.scales import SlowScale
from grpo.training.siblings import Siblings
from grpo.training.update import Batch, UpdateSettings, UpdateStats, make_order
from grpo.training.update_plan import UpdatePlan, anneal_update

RETURN_SCALE_DECAY = 0.9
ADVANTAGE_SCALE_DECAY = 0.95
ACTOR_AVERAGE_DECAY = 0.98
NORMALIZATION_SHARE = 0.1


class TrainingLoop:
    """One training: owns the environments' state and everything measured on the way.

    Attributes:
        brain: what is trained, in place.
        averaged_actor: [P] float32, slow average of the actor's parameters, for serving.
        iterations, timesteps: iterations and decisions so far.
        scale: S, the unit of the temperature.
        segment: iterations after which foreign environments start anew; 0 where never.
        seconds_collecting, seconds_updating, seconds_total: wall-clock time so far in
            environments and inference, in updates, and in whole iterations.
    """

    def __init__(
        self,
        environment: VectorEnvironment,
        algorithm: Algorithm,
        brain: Brain,
        *,
        seed: int,
        objective: Objective,
        scale: float | None = None,
        state_groups: bool = False,
        warmup_iterations: int = 0,
    ) -> None:
        """Reset the environments.

        Args:
            environment: what is trained on.
            algorithm: hyperparameters.
            brain: networks with 1 head, or as many as the environment has if F uses groups.
            seed: of everything random here.
            objective: from ``make_objective``.
            scale: S; None measures it from the spread of returns.
            state_groups: labels belong to states, not to episodes.
            warmup_iterations: first iterations in which only the critic learns.
        """
        self.environment, self.algorithm, self.brain = environment, algorithm, brain
        self.weigher, self._seed = GroupWeigher(objective), seed
        self._warmup = warmup_iterations
        self.orders_rng = make_generator(seed, "minibatches")
        self.collector = Collector(
            environment,
            brain.learner,
            brain.normalizer,
            brain.index,
            algorithm.num_steps,
            make_generator(seed, "actions"),
            derive_seed(seed, "environment"),
            brain.privileged,
        )
        self.siblings = Siblings(environment, algorithm.siblings)
        self.tracker = PerformanceTracker(
            environment, state_groups=state_groups, siblings=algorithm.siblings
        )
        self._settings = UpdateSettings(
            algorithm.clip_coef, algorithm.vf_coef, algorithm.max_grad_norm, algorithm.target_kl
        )
        self.averaged_actor: Float32 = brain.learner.actor_parameters.copy()
        self._fixed_scale, self.means = scale, (np.inf, -np.inf)
        self.segment = 0
        if isinstance(environment, RestartsEpisodes):
            self.segment = math.ceil(environment.segment_steps / algorithm.num_steps)
        self.scale = scale or 1.0
        self.advantage_scale = SlowScale(ADVANTAGE_SCALE_DECAY)
        self.iterations, self.timesteps = 0, 0
        self.seconds_collecting = self.seconds_updating = self.seconds_total = 0.0
        self.started = time.perf_counter()

    def run_iteration(self, progress: float) -> IterationMetrics:
        """Collect T steps of N environments and learn from them.

        Args:
            progress: share of the training that is behind, in [0, 1); anneals the learning rate.

        Raises:
            TrainingDiverged: a reward, loss or parameter is not finite.
        """
        began = time.perf_counter()
        self.begin_iteration()
        rollout = self.collector.collect(self.brain.returns)
        self.seconds_collecting += time.perf_counter() - began
        plan = self.plan_update(rollout, progress)
        update_began = time.perf_counter()
        stats = self.brain.learner.update(plan.batch, plan.order, **plan.settings)
        self.seconds_updating += time.perf_counter() - update_began
        metrics = self.finish_iteration(plan, stats)
        self.seconds_total += time.perf_counter() - began
        return metrics

    def begin_iteration(self) -> None:
        """Count it, and start environments anew where a segment begins."""
        self._maybe_restart_episodes()
        self.siblings.branch(self.tracker)
        self.iterations += 1

    def plan_update(self, rollout: Rollout, progress: float) -> UpdatePlan:
        """Judge the groups and return what is to be learned from a rollout.

        Raises:
            TrainingDiverged: a reward or an observation is not finite.
        """
        algorithm = self.algorithm
        rollout.check_finite(self.iterations)
        performance = self._judge(rollout, progress)
        advantages, returns = self._estimate_advantages(rollout, performance)
        labels = self.environment.group_labels
        weights = self.weigher.weigh(labels, performance, self.scale, progress)
        groups = describe_groups(self.weigher.objective, labels, performance, weights)
        combined = self._combine(advantages, rollout, weights, performance)
        explained = explained_variance(rollout.values[..., 0], returns[..., 0])
        batch = self._make_batch(rollout, combined, returns)
        sizes = len(batch.actions), algorithm.minibatch_size, algorithm.update_epochs
        order = make_order(self.orders_rng, *sizes)
        settings = anneal_update(
            algorithm, progress, self._settings, update_actor=self.iterations > self._warmup
        )
        return UpdatePlan(batch, order, settings, progress, groups, explained)

    def finish_iteration(self, plan: UpdatePlan, stats: UpdateStats) -> IterationMetrics:
        """Account for the update that was made by a plan.

        Raises:
            TrainingDiverged: a loss or a parameter is not finite.
        """
        self._check_finite(stats)
        self._average_actor()
        if plan.progress < NORMALIZATION_SHARE:
            self.collector.learn_moments()
        self.timesteps += self.collector.rollout.actions.size
        return self._describe(plan, stats)

    def _maybe_restart_episodes(self) -> None:
        """Start environments anew where a segment begins, in every training alike."""
        begun, environment = self.iterations, self.environment
        if not self.segment or begun == 0 or begun % self.segment:
            return
        if isinstance(environment, RestartsEpisodes):
            seed = derive_seed(self._seed, f"environment {begun}")
            self.collector.restart(environment, seed)
            self.tracker.restart_episodes()

    def _estimate_advantages(
        self, rollout: Rollout, performance: Performance
    ) -> tuple[Float32, Float32]:
        """Return advantages and returns [T, N, H] in natural units."""
        rewards, beta = rollout.rewards, self.environment.discount_rate
        if beta > 0:
            rates = performance.rates[: rewards.shape[-1]]
            rewards = center_rewards(rewards, rates, rollout.elapsed, beta)
            traces = np.exp(-rollout.elapsed / np.float32(self.algorithm.trace_hours))
        else:
            traces = np.full_like(rollout.discounts, self.algorithm.gae_lambda)
        advantages = generalized_advantages(
            rewards=rewards,
            values=rollout.values,
            last_values=rollout.last_values,
            final_values=rollout.final_values,
            discounts=rollout.discounts,
            traces=traces,
            terminated=rollout.terminated,
            truncated=rollout.truncated,
        )
        return advantages, advantages + rollout.values

    def _judge(self, rollout: Rollout, progress: float) -> Performance:
        """Record the iteration and estimate J, its error small against the temperature."""
        self.tracker.record(rollout)
        first, last = self.algorithm.temperature, self.algorithm.final_temperature
        target = self.weigher.find_target_errors(
            self.environment.group_labels, anneal(first, last, progress), self.scale
        )
        performance = self.tracker.estimate(target)
        if self._fixed_scale is None:
            low, high = self.means
            mean = performance.mean_return
            self.means = (min(low, mean), max(high, mean))
            spread = max(self.tracker.first_spread, self.means[1] - self.means[0])
            self.scale = spread if spread > 0 else 1.0
        return performance

    def _combine(
        self,
        advantages: Float32,
        rollout: Rollout,
        weights: GroupWeights,
        performance: Performance,
    ) -> Float32:
        """Return the one advantage [T, N] of PPO, centred and in units of its slow scale."""
        weight, _, coefficients = weights
        if weight > 0 and self.environment.num_heads > 1:
            combined = combine_heads(advantages, weight, coefficients)
        else:
            combined = combine_labels(
                advantages[..., 0], rollout.groups, weight, coefficients, performance.shares
            )
        centred = self.siblings.centre(combined, rollout)
        spread = float(np.sqrt(np.square(centred).mean(dtype=np.float64)))
        scale = max(self.advantage_scale.follow(spread), 1e-8)
        return np.asarray(centred / scale, dtype=np.float32)

    def _make_batch(self, rollout: Rollout, combined: Float32, returns: Float32) -> Batch:
        """Flatten the rollout; move the return scales and keep the critic's values by it."""
        factor, shift = self.brain.returns.follow(returns, RETURN_SCALE_DECAY)
        self.brain.learner.rescale_values(factor, shift)
        targets = self.brain.returns.normalize(returns)
        features, view = rollout.index_features, self.collector.critic_view
        return Batch(
            flatten_steps(rollout.observations),
            None if features is None else flatten_steps(features),
            flatten_steps(rollout.action_masks),
            rollout.actions.reshape(-1),
            rollout.log_probs.reshape(-1),
            combined.reshape(-1),
            flatten_steps(targets),
            None if view is None else flatten_steps(view.inputs),
        )

    def _check_finite(self, stats: UpdateStats) -> None:
        """Refuse losses and parameters that are not finite.

        Raises:
            TrainingDiverged: names the iteration.
        """
        learner = self.brain.learner
        numbers = (stats.policy_loss, stats.value_loss, stats.entropy, stats.approx_kl)
        vectors = (learner.actor_parameters, learner.critic_parameters)
        if not all(map(math.isfinite, numbers)) or not all(map(are_finite, vectors)):
            raise TrainingDiverged(
                f"training diverged in iteration {self.iterations}: policy loss "
                f"{stats.policy_loss}, value loss {stats.value_loss}, KL {stats.approx_kl}"
            )

    def _average_actor(self) -> None:
        """Move the slow average of the actor's parameters, faster while there are few of them."""
        decay = min(ACTOR_AVERAGE_DECAY, self.iterations / (self.iterations + 9.0))
        step = np.float32(1 - decay)
        self.averaged_actor += step * (self.brain.learner.actor_parameters - self.averaged_actor)

    def _describe(self, plan: UpdatePlan, stats: UpdateStats) -> IterationMetrics:
        """Return the iteration's metrics."""
        seconds = time.perf_counter() - self.started
        return IterationMetrics(
            iteration=self.iterations,
            timesteps=self.timesteps,
            seconds=seconds,
            steps_per_second=self.timesteps / max(seconds, 1e-9),
            **plan.groups,
            policy_loss=stats.policy_loss,
            value_loss=stats.value_loss,
            entropy=stats.entropy,
            approx_kl=stats.approx_kl,
            clip_fraction=stats.clip_fraction,
            explained_variance=plan.explained_variance,
            episodes=self.tracker.num_episodes,
        )
