"""Index rules as points of a space that a search can move in, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.environments.hospital.rules.rule_specs import IndexWeights, Keep, TunedIndex

Float64 = NDArray[np.float64]

LEAST_CREDIT_HOURS, MOST_CREDIT_HOURS = 0.01, 1000.0
LOG_SLOPES = (-12.0, 12.0)
LARGEST_SHARE_KEPT = 1 / 3
"""Of a pool's capacity; more than a third of a hospital kept empty is no rule to search for."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """What a search may change: slopes, credits in hours of waiting, and units kept free.

    The index of class k is ``exp(u_k) * (wait + exp(h_k))``: a point holds u [K], h [K] where
    credits are searched, and one integer for each acuity but the first and each pool that it takes.

    Attributes:
        compiled: the scenario.
        with_credits: whether h is searched; else no class has a credit.
        kept: acuity and pool of each integer, as the rule's ``keep`` names them.
        most_kept: the largest value of each.
    """

    compiled: CompiledScenario
    with_credits: bool
    kept: tuple[tuple[str, str], ...]
    most_kept: tuple[int, ...]

    @classmethod
    def make(
        cls, compiled: CompiledScenario, *, with_credits: bool, with_reservations: bool
    ) -> SearchSpace:
        """Return the space of a scenario."""
        kept, most = [], []
        acuities = sorted(set(compiled.class_acuity.tolist()))[1:] if with_reservations else []
        for acuity in acuities:
            needs = compiled.needs[compiled.class_acuity == acuity].max(axis=0)
            for p, pool in enumerate(compiled.pool_names):
                limit = min(
                    int(compiled.capacity[p] - needs[p]),
                    int(compiled.capacity[p] * LARGEST_SHARE_KEPT),
                )
                if needs[p] > 0 and limit > 0:
                    kept.append((str(acuity), pool))
                    most.append(limit)
        return cls(compiled, with_credits, tuple(kept), tuple(most))

    @property
    def bounds(self) -> Float64:
        """[D, 2] least and largest value of each coordinate."""
        count = self.compiled.num_classes
        hours = [(np.log(LEAST_CREDIT_HOURS), np.log(MOST_CREDIT_HOURS))]
        rows = [LOG_SLOPES] * count + hours * (count * self.with_credits)
        return np.array([*rows, *((0, most) for most in self.most_kept)], dtype=np.float64)

    @property
    def steps(self) -> Float64:
        """[D] 1 where a coordinate is an integer, 0 where it is continuous."""
        continuous = self.compiled.num_classes * (1 + self.with_credits)
        return np.array([0.0] * continuous + [1.0] * len(self.kept))

    def encode(self, rule: IndexRule) -> Float64:
        """Return the point nearest to an index rule, with nothing kept free.

        A rule without slopes becomes one whose credits are so long that waits hardly count; a
        rule that ranks first and looks at waits second, one with ranks up to 1,000 hours apart.
        """
        intercept, slope = rule.intercept - min(rule.intercept.min(), 0.0), rule.slope
        if not slope.any():
            least = intercept[intercept > 0].min() if (intercept > 0).any() else 1.0
            slope = np.where(intercept > 0, intercept, least / 10)
            hours = np.full(len(slope), MOST_CREDIT_HOURS)
        else:
            slope = np.where(slope > 0, slope, slope[slope > 0].min() / 10)
            hours = intercept / slope
            hours = hours * min(1.0, MOST_CREDIT_HOURS / max(hours.max(), 1e-300))
        logs = np.log(slope) - np.log(slope).mean()
        parts = [np.clip(logs, *LOG_SLOPES)]
        if self.with_credits:
            parts.append(np.log(np.clip(hours, LEAST_CREDIT_HOURS, MOST_CREDIT_HOURS)))
        return np.concatenate([*parts, np.zeros(len(self.kept))])

    def decode(self, point: Float64) -> TunedIndex:
        """Return the rule at a point; slopes have the geometric mean 1."""
        count = self.compiled.num_classes
        slopes = np.exp(point[:count] - point[:count].mean())
        hours = np.exp(point[count : 2 * count]) if self.with_credits else np.zeros(count)
        keep: Keep = {}
        for (acuity, pool), units in zip(
            self.kept, point[count * (1 + self.with_credits) :], strict=True
        ):
            if round(units) > 0:
                keep.setdefault(acuity, {})[pool] = round(units)
        return write_index(self.compiled, slopes * hours, slopes, keep)


def write_index(
    compiled: CompiledScenario, intercepts: Float64, slopes: Float64, keep: Keep
) -> TunedIndex:
    """Declare an index rule by its numbers [K]."""
    numbers = zip(compiled.class_labels, intercepts, slopes, strict=True)
    classes = {
        label: IndexWeights(intercept=float(intercept), slope=float(slope))
        for label, intercept, slope in numbers
    }
    return TunedIndex(classes=classes, keep=keep)
