"""The hospital as a training job sees it: groups, a starting rule, judgement by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.rules.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import compile_environment
from grpo.environments.hospital.simulate import Chooser, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.vector import VectorEnvironment
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.models.policy import Policy
from grpo.objectives.advantages import Float64
from grpo.seeding import derive_seed, make_generator
from grpo.training.judgement import RUNOFF_FACTOR, Judgement
from grpo.training.objective import GroupWeigher, Objective, make_objective
from grpo.training.performance import certain_performance
from grpo.training.robust_rule import COST_RULES, average_within_classes, weigh_rule
from grpo.training.starting_rule import find_earlier_options, make_index_term, rule_tensors
from grpo.training.warming import warm

VALIDATION_PATIENTS = (2_000, 100_000)
"""Least and most patients that one candidate is judged on."""
DECISIONS_PER_PATIENT = 50
"""Decisions of the budget for each of those patients: judging stays a small part of a training."""
VALIDATION_EPISODES = (32, 512)
WEIGHING_ROUNDS = 3
SCALE_RULES = ("fcfs", "strict_acuity", "apq", "c_mu", "gc_mu")


class HospitalProblem:
    """Reward groups: every decision touches patients of several groups."""

    state_groups = False

    def __init__(
        self, config: TrainConfig, environment: HospitalEnvironment, spec: AttributeGroups
    ) -> None:
        """Compile the scenario and measure the scale by simulating the rules."""
        warm()
        self._config, self._half_life = config, environment.half_life_hours
        self.compiled = compile_environment(environment)
        self._earlier = None if environment.choose_options else find_earlier_options(self.compiled)
        judged = config.evaluation
        self.heads = build_heads(
            self.compiled,
            spec,
            config.algorithm.group_target,
            evaluation_hours=judged.episodes * judged.horizon_hours,
        )
        self.num_groups = len(self.heads.labels)
        wanted = np.clip(
            config.budget.total_timesteps / DECISIONS_PER_PATIENT, *VALIDATION_PATIENTS
        )
        expected = judged.horizon_hours * self.compiled.type_rates.sum()
        self._episodes = int(np.clip(wanted / expected, *VALIDATION_EPISODES))
        self._seed = derive_seed(config.seed, "validation")
        self.rule_name = config.algorithm.start_rule
        self.scale = self._measure_scale()
        self.index, self._rule = None, None
        if self.rule_name is not None:
            rule = make_rule(self.rule_name, self.compiled)
            self._rule = self._weigh_for_groups(rule) if rule.name in COST_RULES else rule
            self.index = make_index_term(
                self._rule, self.compiled, choose_options=environment.choose_options
            )

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
            earlier_options=self._earlier,
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
            "earlier_options": () if self._earlier is None else tuple(self._earlier.tolist()),
            "group_labels": self.heads.labels,
            "merged_acuities": self.heads.merged_acuities,
        }

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the starting rule's index."""
        return {} if self._rule is None else dict(rule_tensors(self._rule, self.compiled))
