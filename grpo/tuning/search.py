"""Find the numbers of an index rule by CMA-ES on common random numbers.

The search sees training patients only, the choice among its best rules others, and what is
reported third ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from grpo.comparison.contenders import Design, default_hours, make_contenders
from grpo.comparison.judging import Question
from grpo.comparison.ranking import compare
from grpo.comparison.report import RuleComparison
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import (
    RuleSpec,
    TunedIndex,
    TuningRecord,
    parse_rule,
)
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import simulate
from grpo.grouping.heads import GroupTarget, Heads, build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.seeding import derive_seed
from grpo.tuning.search_space import SearchSpace, write_index

Float64 = NDArray[np.float64]
Progress = Callable[[str, int], None]

STARTS = ("fcfs", "strict_acuity", "apq", "c_mu", "c_mu_theta", "gc_mu", "earliest_target")
FIRST_STEP = 0.7
"""Standard deviation of the first steps: a factor of 2 in slopes and credits, one unit kept."""
FINALISTS = 8
CHOICE_FACTOR, LEAST_CHOICE = 4, 100_000
"""Patients who choose among the finalists: so many times those of a step, and so many at least."""


@dataclass(frozen=True)
class TuningPlan:
    """What is to be found, and at which price.

    Attributes:
        group_by: attributes whose product makes the groups.
        weight: w of the objective ``(1 - w) everybody + w worst group``, in [0, 1].
        group_target: what counts as a group's performance.
        evaluations: rules to simulate in the search at most, but one generation at least.
        patients: expected judged patients of each, all episodes together, >= 1.
        horizon_hours: judged time of an episode, > 0; None for a comparison's.
        warmup_hours: before it, >= 0; None for a comparison's.
        with_credits: whether classes may have a head start in hours of waiting.
        with_reservations: whether units may be kept free.
        seed: of the search and of all patients.
        replications: of the final comparison with the starting rule, >= 2.
    """

    group_by: tuple[str, ...]
    weight: float
    group_target: GroupTarget = "standardised"
    evaluations: int = 600
    patients: int = 40_000
    horizon_hours: float | None = None
    warmup_hours: float | None = None
    with_credits: bool = True
    with_reservations: bool = True
    seed: int = 1
    replications: int = 60


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned rule and how it compares with the rule that the search began at, on new patients."""

    rule: TunedIndex
    comparison: RuleComparison


@dataclass(frozen=True, eq=False)
class Objective:
    """F of a rule on fixed patients: smaller is better.

    Attributes:
        compiled: the scenario.
        heads: weights of patients in everybody's and the groups' costs, as in training.
        weight: w.
        warmup_hours: before the judged time.
        horizon_hours: judged time.
    """

    compiled: CompiledScenario
    heads: Heads
    weight: float
    warmup_hours: float
    horizon_hours: float

    def costs(self, spec: RuleSpec, seed: int, patients: int) -> Float64:
        """Return the cost per patient of everybody and of each group, [1 + G].

        Args:
            spec: the rule.
            seed: of the patients: the same for every rule that is to be compared.
            patients: expected number in the judged time of all episodes.
        """
        expected = self.compiled.type_rates.sum() * self.horizon_hours
        log = simulate(
            self.compiled,
            make_rule(spec, self.compiled),
            episodes=max(2, round(patients / expected)),
            seed=seed,
            warmup_hours=self.warmup_hours,
            horizon_hours=self.horizon_hours,
        )
        by_type = np.bincount(log.type, weights=log.cost, minlength=self.compiled.num_types)
        return np.asarray(self.heads.weights @ by_type / (log.episodes * log.horizon_hours))

    def value(self, spec: RuleSpec, seed: int, patients: int) -> float:
        """Return ``F = (1 - w) J_0 + w max_g J_g``, J the costs per patient."""
        costs = self.costs(spec, seed, patients)
        return float((1 - self.weight) * costs[0] + self.weight * costs[1:].max())


def tune(scenario: Scenario, plan: TuningPlan, on_progress: Progress | None = None) -> Tuned:
    """Search for the index rule with the least F, starting from the best of the plain rules.

    Args:
        scenario: the hospital.
        plan: what is wanted.
        on_progress: told what is being done and how many rules have just been simulated.

    Returns:
        The rule, with a record of the search, and its comparison with the starting rule.

    Raises:
        InputError: the groups do not fit the scenario.

    Source: Hansen and Ostermeier, Evolutionary Computation 9, 2001 (CMA-ES); Hamano, Saito, Nomura
        and Shirakawa, GECCO 2022 (integers by a margin).
    """
    tell = on_progress or (lambda _what, _count: None)
    objective = _make_objective(scenario, plan)
    start = _find_start(objective, plan, tell)
    found = _search(objective, start, plan, tell)
    rule = _choose(objective, [start, *found], plan, tell)
    if not isinstance(rule, TunedIndex):
        plain = make_rule(rule, objective.compiled)
        rule = write_index(objective.compiled, plain.intercept, plain.slope, {})
    return _judge(scenario, start, rule, plan)


def _make_objective(scenario: Scenario, plan: TuningPlan) -> Objective:
    compiled = compile_scenario(scenario)
    hours = plan.patients / compiled.type_rates.sum()
    heads = build_heads(
        compiled,
        AttributeGroups(attributes=plan.group_by),
        plan.group_target,
        evaluation_hours=hours,
    )
    return Objective(compiled, heads, plan.weight, *_hours_of(scenario, plan))


def _hours_of(scenario: Scenario, plan: TuningPlan) -> tuple[float, float]:
    """Return warm-up and judged hours of an episode."""
    warmup, horizon = default_hours(scenario)
    return (
        warmup if plan.warmup_hours is None else plan.warmup_hours,
        horizon if plan.horizon_hours is None else plan.horizon_hours,
    )


def _find_start(objective: Objective, plan: TuningPlan, tell: Progress) -> RuleSpec:
    """Return the plain rule with the least F on training patients."""
    seed, values = derive_seed(plan.seed, "tuning"), {}
    for name in STARTS:
        values[name] = objective.value(parse_rule(name), seed, plan.patients)
        tell("comparing rules", 1)
    return parse_rule(min(values, key=values.__getitem__))


def _search(
    objective: Objective, start: RuleSpec, plan: TuningPlan, tell: Progress
) -> list[TunedIndex]:
    """Run CMA-ES from a rule; return the best distinct rules that it met, and its last mean."""
    # Only a search needs it.
    from cmaes import CMAwM  # type: ignore[import-untyped] # noqa: PLC0415

    space = SearchSpace.make(
        objective.compiled,
        with_credits=plan.with_credits,
        with_reservations=plan.with_reservations,
    )
    optimizer = CMAwM(
        mean=space.encode(make_rule(start, objective.compiled)),
        sigma=FIRST_STEP,
        bounds=space.bounds,
        steps=space.steps,
        seed=derive_seed(plan.seed, "steps") % 2**32,
    )
    seed = derive_seed(plan.seed, "tuning")
    met: list[tuple[float, Float64]] = []
    for _ in range(max(1, plan.evaluations // optimizer.population_size)):
        solutions = []
        for _ in range(optimizer.population_size):
            point, told = optimizer.ask()
            value = objective.value(space.decode(point), seed, plan.patients)
            met.append((value, point))
            solutions.append((told, value))
            tell("searching", 1)
        optimizer.tell(solutions)
    best = sorted(met, key=lambda pair: pair[0])[: FINALISTS - 1]
    return [space.decode(point) for point in [*(point for _, point in best), optimizer.mean]]


def _choose(
    objective: Objective, finalists: Sequence[RuleSpec], plan: TuningPlan, tell: Progress
) -> RuleSpec:
    """Return the finalist with the least F on patients that the search did not see."""
    seed, values = derive_seed(plan.seed, "choosing"), []
    patients = max(CHOICE_FACTOR * plan.patients, LEAST_CHOICE)
    for finalist in finalists:
        values.append(objective.value(finalist, seed, patients))
        tell("choosing", 1)
    return finalists[int(np.argmin(values))]


def _judge(scenario: Scenario, start: RuleSpec, rule: TunedIndex, plan: TuningPlan) -> Tuned:
    """Compare the rule with the starting rule on third patients, and write the record."""
    design = Design(
        plan.replications, derive_seed(plan.seed, "judging"), *_hours_of(scenario, plan)
    )
    question = Question(design, plan.group_by, plan.group_target, plan.weight)
    comparison = compare(make_contenders(scenario, [start, rule], {}), question)
    first, second = (contender.summary.objective.value for contender in comparison.contenders)
    record = TuningRecord(
        scenario=scenario.name,
        group_robustness_weight=plan.weight,
        group_target=plan.group_target,
        groups=plan.group_by,
        seed=plan.seed,
        evaluations=plan.evaluations,
        started_from=start.label,
        objective=second or 0.0,
        start_objective=first or 0.0,
        library_version=version("grpo"),
    )
    return Tuned(rule.model_copy(update={"tuning": record}), comparison)


def count_evaluations(plan: TuningPlan) -> int:
    """Return how many rules a plan simulates at most, for a progress bar."""
    return len(STARTS) + plan.evaluations + FINALISTS + 1
