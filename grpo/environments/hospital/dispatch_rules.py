"""Dispatch rules as indices: start the feasible class with the largest intercept + slope * wait.

``wait`` is the time in hours that the longest-waiting patient of the class has waited. Equal
indices go to the longer wait, never to the order of the classes (which would favour whoever is
declared first). c-mu is optimal only for linear costs, one pool and no leaving; the built-in
scenarios are none of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from grpo.config import RuleName
from grpo.environments.hospital.compiled import CompiledScenario
from grpo.errors import InputError

Float64 = NDArray[np.float64]

RULE_NAMES: tuple[str, ...] = get_args(RuleName)
LEAST_TARGET_HOURS = 5 / 60
NO_TARGET_HOURS = 24.0
ACUITY_STEP_HOURS = 1e6


@dataclass(frozen=True, eq=False)
class IndexRule:
    """A rule that picks the feasible class with the largest index.

    Attributes:
        name: what it is called in reports.
        intercept: [K] index at a wait of zero.
        slope: [K] growth of the index per hour of waiting, >= 0.
    """

    name: str
    intercept: Float64
    slope: Float64


def make_rule(name: str, compiled: CompiledScenario) -> IndexRule:
    """Return a rule by name for the classes of a scenario.

    - ``fcfs``: longest wait first.
    - ``strict_acuity``: most urgent acuity first, longest wait first inside an acuity.
    - ``apq``: accumulating priority, index wait / target (Stanford, Taylor and Ziedins 2014).
    - ``c_mu``: cost per hour over expected care, longest wait first among equals (Cox and Smith
      1961). Care counts the largest share of any pool's capacity that the class takes.
    - ``gc_mu``: generalised c-mu for the cost c w^2 / (2 target) (van Mieghem 1995).

    Targets below 5 minutes count as 5 minutes, and no target as 24 hours, in apq and gc_mu.

    Raises:
        InputError: at /rule, for another name.
    """
    num_classes = compiled.num_classes
    zeros, ones = np.zeros(num_classes), np.ones(num_classes)
    if name == "fcfs":
        return IndexRule(name, zeros, ones)
    if name == "strict_acuity":
        return IndexRule(name, compiled.class_acuity * np.float64(-ACUITY_STEP_HOURS), ones)
    targets = np.maximum(compiled.class_target_hours, LEAST_TARGET_HOURS)
    targets = np.where(np.isinf(targets), NO_TARGET_HOURS, targets)
    if name == "apq":
        return IndexRule(name, zeros, 1 / targets)
    shares = (compiled.needs / compiled.capacity).max(axis=1)
    c_mu = compiled.class_cost_rates / (compiled.class_mean_stay * shares)
    if name == "c_mu":
        return IndexRule(name, c_mu, zeros)
    if name == "gc_mu":
        return IndexRule(name, zeros, c_mu / targets)
    raise InputError.single("/rule", "no such rule", given=name, allowed=", ".join(RULE_NAMES))
