"""What a training needs to know of its environment: how to step it and how to judge a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grpo.config import (
    GymnasiumEnvironment,
    HospitalEnvironment,
    TrainConfig,
)
from grpo.environments.gymnasium_vector import (
    GymnasiumVectorEnvironment,
    environment_maker,
)
from grpo.environments.hospital.compiled import CompiledScenario
from grpo.environments.hospital.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.simulate import Chooser, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.hospital.warm import warm
from grpo.environments.vector import VectorEnvironment
from grpo.errors import InputError
from grpo.grouping.heads import build_heads
from grpo.grouping.labels import ThresholdLabels
from grpo.grouping.specs import AttributeGroups, ThresholdGroups
from grpo.models.parameters import IndexTerm
from grpo.models.policy import Policy
from grpo.objectives.advantages import Float64
from grpo.seeding import derive_seed, make_generator
from grpo.training import fused_update
from grpo.training.episodes import play_episodes
from grpo.training.starting_rule import make_index_term, rule_tensors

VALIDATION_PATIENTS = 30_000
VALIDATION_HOURS = 168.0
VALIDATION_WARMUP_HOURS = 48.0
VALIDATION_EPISODES = (32, 512)
GYMNASIUM_VALIDATION_EPISODES = 16
SCALE_RULES = ("fcfs", "strict_acuity", "apq", "c_mu", "gc_mu")


class Judgement(NamedTuple):
    """Performance on validation seeds: J_0, and J_g by label of the groups that were met."""

    mean_return: float
    group_returns: dict[str, float]


class Problem(Protocol):
    """One kind of environment as the training job sees it."""

    @property
    def num_groups(self) -> int:
        """G."""
        ...

    @property
    def state_groups(self) -> bool:
        """Whether labels belong to states, not to episodes."""
        ...

    @property
    def index(self) -> IndexTerm | None:
        """What the policy's logits start from."""
        ...

    @property
    def rule_name(self) -> str | None:
        """Name of the starting rule."""
        ...

    @property
    def scale(self) -> float | None:
        """S, the unit of the temperature; None where training measures it."""
        ...

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return the environment to train on."""
        ...

    def judge(self, policy: Policy) -> Judgement:
        """Judge a policy, as it would be served, on this job's validation seeds."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return the manifest's fields about the environment."""
        ...

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the starting rule for the policy to carry, empty where there is none."""
        ...


class HospitalProblem:
    """Reward groups: every decision touches patients of several groups."""

    state_groups = False

    def __init__(
        self, config: TrainConfig, environment: HospitalEnvironment, spec: AttributeGroups
    ) -> None:
        """Compile the scenario and measure the scale by simulating the rules."""
        warm()
        fused_update.warm()
        self._config, self._half_life = config, environment.half_life_hours
        self.compiled = compile_scenario(
            load_scenario(environment.scenario),
            group_aware=environment.group_aware,
            hold=environment.hold,
        )
        judged = config.evaluation
        self.heads = build_heads(
            self.compiled,
            spec,
            config.algorithm.group_target,
            evaluation_hours=judged.episodes * judged.horizon_hours,
        )
        self.num_groups = len(self.heads.labels)
        patients = VALIDATION_HOURS * self.compiled.type_rates.sum()
        self._episodes = int(np.clip(VALIDATION_PATIENTS / patients, *VALIDATION_EPISODES))
        self._seed = derive_seed(config.seed, "validation")
        self.rule_name = config.algorithm.start_rule
        self.index, self._rule = None, None
        if self.rule_name is not None:
            self._rule = make_rule(self.rule_name, self.compiled)
            self.index = make_index_term(self._rule, self.compiled)
        self.scale = self._measure_scale()

    def _measure_scale(self) -> float:
        """Return |J_0(FCFS) − J_0(best rule)|."""
        means = [self._returns(make_rule(name, self.compiled))[0] for name in SCALE_RULES]
        return float(max(means) - means[0]) or 1.0

    def _returns(self, chooser: IndexRule | Chooser) -> Float64:
        """Return J of all heads [1 + G]: minus the cost per patient in the judged window."""
        log = simulate(
            self.compiled,
            chooser,
            episodes=self._episodes,
            seed=self._seed,
            warmup_hours=VALIDATION_WARMUP_HOURS,
            horizon_hours=VALIDATION_HOURS,
        )
        hours = log.episodes * log.horizon_hours
        return np.asarray(-(self.heads.weights[:, log.type] * log.cost).sum(axis=1) / hours)

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return N hospitals whose heads pay by class where that changes no expectation."""
        return HospitalVectorEnvironment(
            self.compiled,
            num_envs,
            average_within_classes(self.compiled, self.heads.weights),
            half_life_hours=self._half_life,
            group_labels=self.heads.labels,
        )

    def judge(self, policy: Policy) -> Judgement:
        """Simulate the policy; every candidate meets the same patients."""
        rng = make_generator(self._seed, "served actions")
        if policy.manifest.served == "rule" and self._rule is not None:
            returns = self._returns(self._rule)
        else:
            returns = self._returns(
                lambda observations, masks: policy.act(observations, masks, rng)
            )
        groups = dict(zip(self.heads.labels, returns[1:].tolist(), strict=True))
        return Judgement(float(returns[0]), groups)

    def describe(self) -> Mapping[str, Any]:
        """Return names of features, actions and groups, and which acuities were merged."""
        holds = self.compiled.num_actions - len(self.compiled.class_labels)
        return {
            "kind": "hospital",
            "feature_names": self.compiled.feature_names,
            "action_labels": (*self.compiled.class_labels, *["hold"] * holds),
            "group_labels": self.heads.labels,
            "merged_acuities": self.heads.merged_acuities,
        }

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the starting rule's index."""
        return {} if self._rule is None else dict(rule_tensors(self._rule, self.compiled))


class GymnasiumProblem:
    """Episode or state groups of a Gymnasium environment."""

    index = None
    rule_name = None
    scale = None

    def __init__(
        self, config: TrainConfig, environment: GymnasiumEnvironment, spec: ThresholdGroups
    ) -> None:
        """Keep the specification."""
        self._config, self._id, self._spec = config, environment.id, spec
        self._labels = ThresholdLabels(spec)
        self.num_groups = len(self._labels.names)
        self.state_groups = spec.when == "step"
        self._seed = derive_seed(config.seed, "validation")

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return N copies of the environment."""
        return GymnasiumVectorEnvironment(
            environment_maker(self._id),
            num_envs,
            gamma=self._config.algorithm.gamma,
            labeller=self._labels,
            when=self._spec.when,
        )

    def judge(self, policy: Policy) -> Judgement:
        """Play whole episodes; a group's return is weighted by its share of their states."""
        played = play_episodes(
            self._id,
            policy,
            self._spec,
            episodes=GYMNASIUM_VALIDATION_EPISODES,
            seed=self._seed,
        )
        totals = played.membership.sum(axis=0)
        sums = played.returns @ played.membership
        labels = zip(self._labels.names, sums, totals, strict=True)
        groups = {name: float(part / total) for name, part, total in labels if total > 0}
        return Judgement(float(played.returns.mean()), groups)

    def describe(self) -> Mapping[str, Any]:
        """Return the names of the groups."""
        return {"kind": "gymnasium", "group_labels": self._labels.names}

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return nothing: there is no starting rule."""
        return {}


def make_problem(config: TrainConfig) -> Problem:
    """Return the problem of a job.

    Raises:
        InputError: the grouping does not fit the environment.
    """
    environment, grouping = config.environment, config.grouping
    if isinstance(environment, HospitalEnvironment) and isinstance(grouping, AttributeGroups):
        return HospitalProblem(config, environment, grouping)
    if isinstance(environment, GymnasiumEnvironment) and isinstance(grouping, ThresholdGroups):
        return GymnasiumProblem(config, environment, grouping)
    raise InputError.single(
        "/grouping/kind",
        "does not fit the environment",
        given=grouping.kind,
        allowed="attribute for hospital, threshold for gymnasium",
    )


def average_within_classes(compiled: CompiledScenario, weights: Float64) -> Float64:
    """Return head weights [H, Y] with every type's replaced by the mean over its class.

    A policy cannot tell types of one class apart. Where they also cost the same and leave by the
    same law, a patient's type is independent of his wait given his class, so every head keeps its
    expectation while rewards lose the noise of who happened to come. Classes in which types
    differ keep their own weights.

    Source: Rao-Blackwell; conditioning a reward on what decides its distribution.
    """
    averaged = weights.copy()
    laws = np.column_stack(
        [
            compiled.cost_rates,
            compiled.target_hours,
            compiled.leaving_costs,
            compiled.diversion_costs,
            compiled.patience_laws,
        ]
    )
    for label in np.unique(compiled.type_class):
        members = (compiled.type_class == label) & (compiled.type_rates > 0)
        if members.any() and (laws[members] == laws[members][0]).all():
            rates = compiled.type_rates[members]
            averaged[:, members] = (weights[:, members] @ rates / rates.sum())[:, None]
    return averaged
