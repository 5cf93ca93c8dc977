"""Pair the reports of two arms of trainings and resample what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError
from grpo.fairness.compare import check_pairing, episode_table
from grpo.fairness.report import METRICS, FairnessReport, Value
from grpo.fairness.seed_report import EVERYBODY, GAP, WORST_GROUP
from grpo.fairness.two_way import TwoWayBootstrap

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Sampled:
    """One quantity of one arm: by seed [S], and resampled means over seeds [R]."""

    by_seed: Float64
    samples: Float64

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.by_seed.mean())


class Pairs(NamedTuple):
    """Two arms of trainings, sorted by seed.

    Attributes:
        first: reports of the first arm.
        second: of the second.
        seeds: of both.
        known: [1 + G] bool, whether everybody, and each group, has a value in every report.
    """

    first: list[FairnessReport]
    second: list[FairnessReport]
    seeds: tuple[int, ...]
    known: NDArray[np.bool_]

    @property
    def lower_is_better(self) -> bool:
        """Whether the judged metric is a cost."""
        return METRICS[self.first[0].provenance.judged_by].better == "lower"

    def groups(self, *, known: bool = True) -> tuple[str, ...]:
        """Names of the groups that have a value, or of those that have none."""
        labels = self.first[0].groups
        return tuple(g for g, k in zip(labels, self.known[1:], strict=True) if k == known)


def pair_reports(reports: Sequence[FairnessReport], against: Sequence[FairnessReport]) -> Pairs:
    """Sort both arms by training seed.

    Raises:
        InputError: they do not pair, or nothing can be said of them.
    """
    arms = [{r.provenance.training_seed: r for r in arm} for arm in (reports, against)]
    for pointer, arm in (("/reports", reports), ("/against", against)):
        if len({r.provenance.training_seed for r in arm}) != len(arm):
            raise InputError.single(pointer, "a training seed occurs twice")
        if len(weights := {r.provenance.group_robustness_weight for r in arm}) > 1:
            raise InputError.single(
                f"{pointer}/provenance/group_robustness_weight", "differs within the arm",
                given=sorted(weights), allowed="one way of training",
            )  # fmt: skip
    if arms[0].keys() != arms[1].keys():
        missing = sorted(arms[0].keys() ^ arms[1].keys())
        raise InputError.single(
            "/against", "training seeds occur in one arm only", given=missing,
            allowed="the same seeds in both; name failed runs as such",
        )  # fmt: skip
    if len(arms[0]) < 2:
        raise InputError.single(
            "/reports", "needs trainings to resample", given=len(arms[0]), allowed="2 to 20 seeds"
        )
    seeds = tuple(sorted(arms[0]))
    first = arms[0][seeds[0]]
    for by_seed in arms:
        for seed in seeds:
            check_pairing(first, by_seed[seed])
    if reserved := {EVERYBODY, WORST_GROUP, GAP} & set(first.groups):
        raise InputError.single(
            "/groups", "a group is called like a claim", given=sorted(reserved),
            allowed="other names",
        )  # fmt: skip
    ours, theirs = ([by_seed[seed] for seed in seeds] for by_seed in arms)
    tables = np.stack([episode_table(report, "policy") for report in (*ours, *theirs)])
    known = np.asarray(np.isfinite(tables).all(axis=(0, 1)))
    if not known[0]:
        raise InputError.single("/reports", "nobody was judged in some episode's report")
    return Pairs(ours, theirs, seeds, known)


def sample_arm(
    reports: list[FairnessReport], pairs: Pairs, bootstrap: TwoWayBootstrap
) -> dict[str, Sampled]:
    """Resample everybody, the worst group, the gap and every group of one arm."""
    table = np.stack([episode_table(report, "policy") for report in reports])[..., pairs.known]
    groups = pairs.groups()
    resampled = np.concatenate([table.mean(axis=1)[None], bootstrap.by_seed(table)])
    quantities: dict[str, Float64] = {EVERYBODY: resampled[..., 0]}
    by_group = resampled[..., 1:]
    if groups:
        extreme = by_group.max if pairs.lower_is_better else by_group.min
        quantities[WORST_GROUP] = extreme(axis=-1)
    if len(groups) > 1:
        quantities[GAP] = by_group.max(axis=-1) - by_group.min(axis=-1)
    quantities |= {group: by_group[..., g] for g, group in enumerate(groups)}
    return {
        name: Sampled(values[0], bootstrap.over_seeds(values[1:]))
        for name, values in quantities.items()
    }


def make_value(value: float, samples: Float64, bootstrap: TwoWayBootstrap) -> Value:
    """Build a value with its interval from resamples [R]."""
    low, high = bootstrap.interval(samples)
    return Value(value=value, low=float(low), high=float(high))


def relative_change(a: Sampled, b: Sampled, bootstrap: TwoWayBootstrap) -> Value:
    """Give a / b - 1; unknown where b is not clearly above 0 (a gap, or rewards of any sign)."""
    if b.mean <= 0 or b.samples.min() <= 0:
        return Value()
    return make_value(a.mean / b.mean - 1, a.samples / b.samples - 1, bootstrap)
