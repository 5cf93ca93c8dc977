"""From a declared rule and a scenario to the numbers by which kernels follow it.

A rule starts the feasible class with the largest index. Equal indices go to whoever arrived
first, never to the order of the classes (which would favour whoever is declared first). c-mu is
optimal only for linear costs, one pool and no leaving; the built-in scenarios are none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from grpo.config import RuleName
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.compiling.laws import law_mean
from grpo.environments.hospital.physics.rule_table import DispatchRule, IndexRule
from grpo.environments.hospital.rules.rule_specs import (
    AccumulatingPriority,
    HeadStart,
    Keep,
    Reservation,
    RuleSpec,
    TunedIndex,
    parse_rule,
)
from grpo.errors import InputError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

__all__ = ["RULE_NAMES", "DispatchRule", "IndexRule", "make_rule"]

RULE_NAMES: tuple[str, ...] = get_args(RuleName)
"""Rules that a policy can start from."""
LEAST_TARGET_HOURS = 5 / 60
NO_TARGET_HOURS = 24.0
ACUITY_STEP_HOURS = 1e6
LEAST_LEAVING_RATE = 1e-3


def make_rule(rule: str | RuleSpec, compiled: CompiledScenario) -> IndexRule:
    """Return a rule for the classes of a scenario, from its name or its declaration.

    With ``w`` the longest wait of a class in hours, ``c`` its cost per hour, ``T`` its target,
    ``S`` its mean care times the largest share of any pool that it takes, ``theta`` its rate of
    leaving and ``n`` how many of it wait, the index is:

    - ``fcfs``: w. ``strict_acuity``: -acuity, then w. ``earliest_target``: w - T.
    - ``apq``: credit + rate * w, rate 1 / T by default (Kleinrock 1964; Stanford, Taylor and
      Ziedins 2014).
    - ``c_mu``: c / S (Cox and Smith 1961). ``gc_mu``: c w / (S T), generalised c-mu for the cost
      c w^2 / (2 T) (van Mieghem 1995). ``c_mu_theta``: c / (S theta) (Atar, Giat and Shimkin 2010).
    - ``longest_queue``: n. ``random`` draws: 1. ``cost_lottery`` draws: n c.
    - ``worst_group_first``: what the class's group has cost so far per patient it expects an hour.
    - ``tuned_index``: as declared. ``head_start`` adds n hours to w in ``base`` for the n-th group;
      ``reservation`` forbids in ``base`` what would leave too little free.

    Targets below 5 minutes count as 5 minutes and no target as 24 hours in apq, gc_mu and
    earliest_target; in c_mu_theta a class leaves once in 1,000 hours at least, and those who wait
    for a later stage do not leave.

    Raises:
        InputError: below /rule, where the rule is unknown or does not fit the scenario.
    """
    spec = parse_rule(rule) if isinstance(rule, str) else rule
    if spec.group_aware and not compiled.group_aware:
        raise InputError.single(
            "/rule/kind",
            "looks at patients' groups, and the scenario was compiled without them",
            given=spec.kind,
            allowed="group_aware: true",
        )
    if isinstance(spec, Reservation):
        base = _as_dispatch_rule(make_rule(spec.base, compiled))
        reserve = _read_keep(spec.keep, compiled)
        kept = reserve if base.reserve is None else np.maximum(reserve, base.reserve)
        return replace(base, name=spec.label, reserve=kept)
    if isinstance(spec, HeadStart):
        return _add_head_start(spec, compiled)
    if isinstance(spec, AccumulatingPriority):
        return _accumulating_priority(spec, compiled)
    if isinstance(spec, TunedIndex):
        return _tuned_index(spec, compiled)
    return _BUILDERS[spec.kind](spec.kind, compiled)


def _fcfs(name: str, compiled: CompiledScenario) -> IndexRule:
    return IndexRule(name, np.zeros(compiled.num_classes), np.ones(compiled.num_classes))


def _strict_acuity(name: str, compiled: CompiledScenario) -> IndexRule:
    ranks = compiled.class_acuity * np.float64(-ACUITY_STEP_HOURS)
    return IndexRule(name, ranks, np.ones(compiled.num_classes))


def _earliest_target(name: str, compiled: CompiledScenario) -> IndexRule:
    return IndexRule(name, -_targets(compiled), np.ones(compiled.num_classes))


def _c_mu(name: str, compiled: CompiledScenario) -> IndexRule:
    return IndexRule(name, _cost_over_care(compiled), np.zeros(compiled.num_classes))


def _gc_mu(name: str, compiled: CompiledScenario) -> IndexRule:
    slopes = _cost_over_care(compiled) / _targets(compiled)
    return IndexRule(name, np.zeros(compiled.num_classes), slopes)


def _c_mu_theta(name: str, compiled: CompiledScenario) -> IndexRule:
    means = [law_mean(row, compiled.laws.quantiles) for row in compiled.laws.patience]
    leaving = np.array([1 / (mean or np.inf) for mean in means])
    leaving = np.maximum(_average_by_class(leaving, compiled), LEAST_LEAVING_RATE)
    return IndexRule(name, _cost_over_care(compiled) / leaving, np.zeros(compiled.num_classes))


def _longest_queue(name: str, compiled: CompiledScenario) -> IndexRule:
    zeros = np.zeros(compiled.num_classes)
    return DispatchRule(name, zeros, zeros, count_slope=np.ones(compiled.num_classes))


def _random(name: str, compiled: CompiledScenario) -> IndexRule:
    ones = np.ones(compiled.num_classes)
    return DispatchRule(name, ones, np.zeros(compiled.num_classes), drawn=True)


def _cost_lottery(name: str, compiled: CompiledScenario) -> IndexRule:
    zeros = np.zeros(compiled.num_classes)
    return DispatchRule(name, zeros, zeros, count_slope=compiled.class_cost_rates, drawn=True)


def _worst_group_first(name: str, compiled: CompiledScenario) -> IndexRule:
    mix_by = compiled.scenario.mix_by
    values = compiled.attribute_values[mix_by]
    members = values == np.arange(len(compiled.attribute_labels[mix_by]))[:, None]
    rates = members @ compiled.type_rates
    zeros = np.zeros(compiled.num_classes)
    return DispatchRule(
        name,
        zeros,
        zeros,
        debt_slope=np.ones(compiled.num_classes),
        debt_head=compiled.class_attribute,
        debt_weights=members / np.where(rates > 0, rates, 1.0)[:, None],
    )


_BUILDERS: Mapping[str, Callable[[str, CompiledScenario], IndexRule]] = {
    "fcfs": _fcfs,
    "strict_acuity": _strict_acuity,
    "earliest_target": _earliest_target,
    "c_mu": _c_mu,
    "gc_mu": _gc_mu,
    "c_mu_theta": _c_mu_theta,
    "longest_queue": _longest_queue,
    "random": _random,
    "cost_lottery": _cost_lottery,
    "worst_group_first": _worst_group_first,
}


def _accumulating_priority(spec: AccumulatingPriority, compiled: CompiledScenario) -> IndexRule:
    zeros, slopes = np.zeros(compiled.num_classes), 1 / _targets(compiled)
    if spec.rates is not None:
        slopes = _by_class(spec.rates, compiled, "/rule/rates")
    credit = zeros if spec.credits is None else _by_class(spec.credits, compiled, "/rule/credits")
    return IndexRule(spec.label, credit, slopes)


def _tuned_index(spec: TunedIndex, compiled: CompiledScenario) -> IndexRule:
    if set(spec.classes) != set(compiled.class_labels):
        raise InputError.single(
            "/rule/classes",
            "the rule was made for other classes than the scenario has",
            given=", ".join(spec.classes),
            allowed=", ".join(compiled.class_labels),
        )
    weights = [spec.classes[label] for label in compiled.class_labels]
    return DispatchRule(
        spec.label,
        np.array([w.intercept for w in weights]),
        np.array([w.slope for w in weights]),
        reserve=_read_keep(spec.keep, compiled),
    )


def _add_head_start(spec: HeadStart, compiled: CompiledScenario) -> IndexRule:
    base = _as_dispatch_rule(make_rule(spec.base, compiled))
    if base.drawn or not base.slope.any():
        raise InputError.single(
            "/rule/base/kind",
            "its index does not grow with the wait, so hours of waiting are worth nothing",
            given=spec.base.kind,
            allowed="fcfs, strict_acuity, apq, gc_mu, earliest_target",
        )
    steps = np.maximum(compiled.class_attribute, 0)
    intercept = base.intercept + base.slope * (spec.hours_per_step * steps)
    return replace(base, name=spec.label, intercept=intercept)


def _as_dispatch_rule(rule: IndexRule) -> DispatchRule:
    if isinstance(rule, DispatchRule):
        return rule
    return DispatchRule(**{field.name: getattr(rule, field.name) for field in fields(rule)})


def _targets(compiled: CompiledScenario) -> Float64:
    """[K] target hours, at least 5 minutes, 24 hours where there is none."""
    targets = np.maximum(compiled.class_target_hours, LEAST_TARGET_HOURS)
    return np.asarray(np.where(np.isinf(targets), NO_TARGET_HOURS, targets))


def _cost_over_care(compiled: CompiledScenario) -> Float64:
    """[K] cost per hour over expected care times the largest share of any pool's capacity."""
    shares = (compiled.needs / compiled.capacity).max(axis=1)
    return np.asarray(compiled.class_cost_rates / (compiled.class_mean_stay * shares))


def _average_by_class(values: Float64, compiled: CompiledScenario) -> Float64:
    """Average values [Y] over the types that wait in each class of the emergency department.

    By arrival rate, plainly where none come; 0 for the classes of later stages.
    """
    weights = compiled.type_rates + 1e-12 * compiled.type_rates.sum()
    count = compiled.num_classes
    totals = np.bincount(compiled.type_class, weights=weights, minlength=count)
    sums = np.bincount(compiled.type_class, weights=weights * values, minlength=count)
    return np.asarray(sums / np.where(totals > 0, totals, 1.0))


def _by_class(values: tuple[float, ...], compiled: CompiledScenario, pointer: str) -> Float64:
    """Spread values given by acuity, or by class, over the classes [K]."""
    levels = len(compiled.scenario.acuities)
    if len(values) == levels:
        return np.asarray(np.array(values)[compiled.class_acuity - 1])
    if len(values) == compiled.num_classes:
        return np.array(values)
    raise InputError.single(
        pointer,
        "as many numbers as acuities, or as classes",
        given=len(values),
        allowed=f"{levels}, or {compiled.num_classes}: {', '.join(compiled.class_labels)}",
    )


def _read_keep(keep: Keep, compiled: CompiledScenario) -> Int64:
    """Read units kept free, by class label or acuity, into [K, P]; a class's own entry wins."""
    reserve = np.zeros((compiled.num_classes, len(compiled.capacity)), dtype=np.int64)
    for by_label in (False, True):
        for name, pools in keep.items():
            if (name in compiled.class_labels) == by_label:
                for pool, units in pools.items():
                    _keep_free(reserve, name, pool, units, compiled)
    return reserve


def _find_classes(name: str, compiled: CompiledScenario) -> list[int]:
    """Return the classes of a label, or of an acuity."""
    if name in compiled.class_labels:
        return [compiled.class_labels.index(name)]
    found = [k for k, acuity in enumerate(compiled.class_acuity) if str(acuity) == name]
    if not found:
        levels = ", ".join(str(a.level) for a in compiled.scenario.acuities)
        raise InputError.single(
            f"/rule/keep/{name}",
            "no such acuity or class",
            allowed=f"{levels}, {', '.join(compiled.class_labels)}",
        )
    return found


def _keep_free(
    reserve: Int64, name: str, pool: str, units: int, compiled: CompiledScenario
) -> None:
    """Write the units of a pool that the classes of a name must leave free, where they take any."""
    classes = _find_classes(name, compiled)
    activities = np.isin(compiled.activity_class, classes)
    needs = compiled.activity_needs[activities]
    taken = [p for n, p in enumerate(compiled.pool_names) if needs[:, n].any()]
    if pool not in taken:
        raise InputError.single(
            f"/rule/keep/{name}/{pool}",
            "the class takes nothing of such a pool",
            allowed=", ".join(taken),
        )
    p = compiled.pool_names.index(pool)
    most = int(compiled.capacity[p] - needs[:, p].max())
    if units > most:
        raise InputError.single(
            f"/rule/keep/{name}/{pool}",
            "the class could never start",
            given=units,
            allowed=f"at most {most}",
        )
    reserve[compiled.activity_class[activities][needs[:, p] > 0], p] = units
