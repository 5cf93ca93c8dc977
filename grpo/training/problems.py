"""What a training needs to know of its environment: how to step it and how to judge a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grpo.config import GymnasiumEnvironment, HospitalEnvironment, TrainConfig
from grpo.environments.gymnasium_variants import make_makers
from grpo.environments.gymnasium_vector import GymnasiumVectorEnvironment
from grpo.environments.hospital.rules.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import compile_environment
from grpo.environments.hospital.simulate import Chooser, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.hospital.warm import warm
from grpo.environments.vector import VectorEnvironment
from grpo.errors import InputError
from grpo.grouping.heads import build_heads
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import (
    AttributeGroups,
    GroupSpec,
    find_when,
    list_variants,
    merge_attributes,
)
from grpo.models.parameters import IndexTerm
from grpo.models.policy import Policy
from grpo.objectives.advantages import Float64
from grpo.seeding import derive_seed, make_generator
from grpo.training import fused_update
from grpo.training.episodes import play_episodes
from grpo.training.objective import GroupWeigher, Objective, make_objective
from grpo.training.performance import certain_performance
from grpo.training.robust_rule import COST_RULES, average_within_classes, weigh_rule
from grpo.training.starting_rule import make_index_term, rule_tensors

VALIDATION_PATIENTS = 30_000
VALIDATION_EPISODES = (32, 512)
GYMNASIUM_VALIDATION_EPISODES = 16
RUNOFF_FACTOR = 4
"""How many times as much is judged when the best candidate meets the rule it started from."""
WEIGHING_ROUNDS = 3
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

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:
        """Judge a policy, as it would be served, on this job's validation seeds.

        A run-off is judged on others, and more of them where the judgement is by sampling.
        """
        ...

    def judge_reference(self, uniform: Policy) -> Judgement:
        """Judge what normalised performance is 0 at: a rule, or the policy of uniform choice."""
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
        self.compiled = compile_environment(environment)
        judged = config.evaluation
        self.heads = build_heads(
            self.compiled,
            spec,
            config.algorithm.group_target,
            evaluation_hours=judged.episodes * judged.horizon_hours,
        )
        self.num_groups = len(self.heads.labels)
        patients = judged.horizon_hours * self.compiled.type_rates.sum()
        self._episodes = int(np.clip(VALIDATION_PATIENTS / patients, *VALIDATION_EPISODES))
        self._seed = derive_seed(config.seed, "validation")
        self.rule_name = config.algorithm.start_rule
        self.scale = self._measure_scale()
        self.index, self._rule = None, None
        if self.rule_name is not None:
            rule = make_rule(self.rule_name, self.compiled)
            self._rule = self._weigh_for_groups(rule) if rule.name in COST_RULES else rule
            self.index = make_index_term(self._rule, self.compiled)

    def _measure_scale(self) -> float:
        """Return |J_0(FCFS) − J_0(best rule)|."""
        means = [self._returns(make_rule(name, self.compiled))[0] for name in SCALE_RULES]
        return float(max(means) - means[0]) or 1.0

    def _weigh_for_groups(self, rule: IndexRule) -> IndexRule:
        """Return the rule for the costs that F sees, where that is better by F on validation."""
        objective = make_objective(self._config.algorithm, self.num_groups)
        raw = self._config.algorithm.group_baseline == "raw"
        weigher, labels = GroupWeigher(objective), self.heads.labels
        best, returns = rule, self._returns(rule)
        value = self._value(objective, returns)
        for _ in range(WEIGHING_ROUNDS if objective.uses_groups and raw else 0):
            known = certain_performance(returns[0], returns[1:])
            weights = weigher.weigh(labels, known, self.scale)
            weighed = weigh_rule(
                rule, self.compiled, self.heads.weights, weights.weight, weights.shares
            )
            returns = self._returns(weighed)
            if (rival := self._value(objective, returns)) > value:
                best, value = weighed, rival
        return best

    def _value(self, objective: Objective, returns: Float64) -> float:
        return objective.value(*self._judgement(returns))

    def _returns(self, chooser: IndexRule | Chooser, *, runoff: bool = False) -> Float64:
        """Return J of all heads [1 + G]: minus the cost per patient in the judged window."""
        log = simulate(
            self.compiled,
            chooser,
            episodes=self._episodes * (RUNOFF_FACTOR if runoff else 1),
            seed=derive_seed(self._config.seed, "run-off") if runoff else self._seed,
            warmup_hours=self._config.evaluation.warmup_hours,
            horizon_hours=self._config.evaluation.horizon_hours,
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

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:
        """Simulate the policy; every candidate of a round meets the same patients."""
        rng = make_generator(self._seed, "served actions")
        if policy.manifest.served == "rule" and self._rule is not None:
            returns = self._returns(self._rule, runoff=runoff)
        else:
            returns = self._returns(
                lambda observations, masks: policy.act(observations, masks, rng), runoff=runoff
            )
        return self._judgement(returns)

    def judge_reference(self, uniform: Policy) -> Judgement:  # noqa: ARG002 - FCFS is today's rule
        """Judge FCFS on the same patients."""
        return self._judgement(self._returns(make_rule("fcfs", self.compiled)))

    def _judgement(self, returns: Float64) -> Judgement:
        groups = dict(zip(self.heads.labels, returns[1:].tolist(), strict=True))
        return Judgement(float(returns[0]), groups)

    def describe(self) -> Mapping[str, Any]:
        """Return names of features, actions and groups, and which acuities were merged."""
        return {
            "kind": "hospital",
            "feature_names": self.compiled.feature_names,
            "action_labels": self.compiled.action_labels,
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
        self, config: TrainConfig, environment: GymnasiumEnvironment, spec: GroupSpec
    ) -> None:
        """Keep the specification, of episode or state groups."""
        self._config, self._id, self._spec = config, environment.id, spec
        self._labels = make_labeller(spec)
        self.num_groups = len(self._labels.names)
        self.state_groups = find_when(spec) == "step"
        self._variants = len(list_variants(spec))
        self._seed = derive_seed(config.seed, "validation")

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return N copies of the environment, its variants in turn."""
        return GymnasiumVectorEnvironment(
            make_makers(self._id, self._spec),
            num_envs,
            gamma=self._config.algorithm.gamma,
            labeller=self._labels,
            when=find_when(self._spec),
        )

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:
        """Play whole episodes; a group's return is weighted by its share of their states."""
        rounds = max(2, -(-GYMNASIUM_VALIDATION_EPISODES // self._variants))
        played = play_episodes(
            self._id,
            policy,
            self._spec,
            episodes=self._variants * rounds * (RUNOFF_FACTOR if runoff else 1),
            seed=derive_seed(self._config.seed, "run-off") if runoff else self._seed,
        )
        totals = played.membership.sum(axis=0)
        sums = played.returns @ played.membership
        labels = zip(self._labels.names, sums, totals, strict=True)
        groups = {name: float(part / total) for name, part, total in labels if total > 0}
        return Judgement(float(played.returns.mean()), groups)

    def judge_reference(self, uniform: Policy) -> Judgement:
        """Judge uniformly random actions."""
        return self.judge(uniform)

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
    attributes = merge_attributes(grouping)
    if isinstance(environment, HospitalEnvironment) and attributes is not None:
        return HospitalProblem(config, environment, attributes)
    if isinstance(environment, GymnasiumEnvironment) and attributes is None:
        return GymnasiumProblem(config, environment, grouping)
    raise InputError.single(
        "/grouping/kind",
        "does not fit the environment",
        given=grouping.kind,
        allowed="attributes for hospital, others for gymnasium",
    )
