"""Reward heads of patient groups: how much a patient of each type weighs in each head.

Numbers only: the environment accumulates minus weight times cost and knows nothing of groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError
from grpo.grouping.specs import MAX_GROUPS, AttributeGroups

if TYPE_CHECKING:
    from grpo.environments.hospital.compiling.compiled import CompiledScenario

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
GroupTarget = Literal["standardised", "raw"]

# Enough that no cell stays empty (probability below 5e-5), and no more: an acuity is rare, so its
# noise weighs little, while merging the two most urgent ones (50 and 8 per hour) with unlike shares
# by age made FCFS look unfair by 1.7 per patient where its gap is 0 (urban, chance alone 0.6).
LEAST_PATIENTS = 10.0
LARGEST_RATIO = 10.0
EVALUATION_HOURS = 64 * 336.0


@dataclass(frozen=True, eq=False)
class Heads:
    """The weights of patient types in the heads, ``G`` groups, ``Y`` types.

    Attributes:
        labels: [G] names of the groups.
        weights: [1 + G, Y] float64, hours per patient; head 0 is everybody. The reward rate of
            a head is ``-sum(weights[head, type] * cost rate)``: in the long run minus the cost per
            patient of the head.
        type_group: [Y] group of each type.
        merged_acuities: acuities that were pooled to standardise, e.g. ``((1, 2), (3,), (4, 5))``;
            one stratum holds all of them where the target is raw.
    """

    labels: tuple[str, ...]
    weights: Float64
    type_group: Int64
    merged_acuities: tuple[tuple[int, ...], ...]


def build_heads(
    compiled: CompiledScenario,
    spec: AttributeGroups,
    target: GroupTarget = "standardised",
    *,
    evaluation_hours: float = EVALUATION_HOURS,
    least_patients: float = LEAST_PATIENTS,
    largest_ratio: float = LARGEST_RATIO,
) -> Heads:
    """Weigh patients so that head g is the cost per patient of group g.

    With lambda the arrival rate of everybody, lambda_g of group g, lambda_gk of group g at
    acuity k and m_k the share of acuity k among everybody: head 0 weighs each patient 1 / lambda;
    head g weighs a patient of g at acuity k by 1 / lambda_g (raw) or by m_k / lambda_gk
    (standardised), as if every group came with the pooled acuity mix.

    Standardising is by acuity only. Neighbouring acuities are merged until every cell (group,
    merged acuity) expects ``least_patients`` in the evaluation, and no patient weighs more than
    ``largest_ratio`` times what he weighs in the raw head.

    Args:
        compiled: the scenario.
        spec: attributes whose product makes the groups.
        target: what counts as a group's performance.
        evaluation_hours: judged hours of the evaluation, all episodes together.
        least_patients: expected patients that a cell must reach.
        largest_ratio: largest weight relative to the raw weight.

    Raises:
        InputError: at /grouping/attributes, for an undeclared attribute, too many groups, or a
            group that nobody belongs to.

    Source: direct standardisation (Rothman, Greenland and Lash, Modern Epidemiology, 2008, ch. 3).
    """
    labels, type_group = _assign_groups(compiled, spec)
    rates = compiled.type_rates
    levels = sorted({int(level) for level in compiled.type_acuity})
    strata: tuple[tuple[int, ...], ...] = (tuple(levels),)
    if target == "standardised":
        columns = np.searchsorted(levels, compiled.type_acuity)
        cells = np.zeros((len(labels), len(levels)))
        np.add.at(cells, (type_group, columns), rates)
        groups = _merge_strata(cells, least_patients / evaluation_hours, largest_ratio)
        strata = tuple(tuple(levels[i] for i in group) for group in groups)
    weights = _weigh(rates, compiled.type_acuity, type_group, len(labels), strata)
    return Heads(labels, weights, type_group, strata)


def _weigh(
    rates: Float64,
    type_acuity: Int64,
    type_group: Int64,
    num_groups: int,
    strata: tuple[tuple[int, ...], ...],
) -> Float64:
    """Weigh every type by m_s / lambda_gs in its group's head, with s its stratum."""
    weights = np.zeros((1 + num_groups, len(rates)))
    weights[0] = 1 / rates.sum()
    for stratum in strata:
        inside = np.isin(type_acuity, stratum)
        share = rates[inside].sum() / rates.sum()
        for g in range(num_groups):
            members = inside & (type_group == g)
            cell = rates[members].sum()
            if cell > 0:
                weights[1 + g, members] = share / cell
    return weights


def _assign_groups(
    compiled: CompiledScenario, spec: AttributeGroups
) -> tuple[tuple[str, ...], Int64]:
    """Name the groups in order and give the group of each type."""
    declared = compiled.attribute_labels
    for position, name in enumerate(spec.attributes):
        if name not in declared:
            raise InputError.single(
                f"/grouping/attributes/{position}",
                "the scenario declares no such attribute",
                given=name,
                allowed=", ".join(declared),
            )
    values = [declared[name] for name in spec.attributes]
    labels = tuple("+".join(combination) for combination in product(*values))
    if len(labels) > MAX_GROUPS:
        raise InputError.single(
            "/grouping/attributes",
            f"the product has {len(labels)} groups",
            given=list(spec.attributes),
            allowed=f"at most {MAX_GROUPS} groups",
        )
    type_group = np.zeros(compiled.num_types, dtype=np.int64)
    for name in spec.attributes:
        type_group = type_group * len(declared[name]) + compiled.attribute_values[name]
    group_rates = np.bincount(type_group, weights=compiled.type_rates, minlength=len(labels))
    for label, rate in zip(labels, group_rates, strict=True):
        if rate <= 0:
            raise InputError.single(
                "/grouping/attributes",
                f"nobody belongs to group {label!r} in this scenario",
                given=list(spec.attributes),
            )
    return labels, type_group


def _merge_strata(cells: Float64, least_rate: float, largest_ratio: float) -> list[list[int]]:
    """Merge neighbouring columns of [G, acuities] rates until every cell is frequent enough."""
    strata = [[k] for k in range(cells.shape[1])]
    shares_of_groups = cells.sum(axis=1) / cells.sum()
    while len(strata) > 1:
        merged = np.stack([cells[:, stratum].sum(axis=1) for stratum in strata], axis=1)
        pooled = merged.sum(axis=0) / cells.sum()
        # (m_k / lambda_gk) / (1 / lambda_g), infinite in an empty cell of a stratum that exists.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = pooled * (shares_of_groups * cells.sum())[:, None] / merged
        ratio = np.where(pooled > 0, ratio, 0.0)
        wrong = (pooled > 0) & (
            (merged.min(axis=0) < least_rate) | (ratio.max(axis=0) > largest_ratio)
        )
        if not wrong.any():
            break
        worst = int(np.where(wrong, merged.min(axis=0), np.inf).argmin())
        neighbours = [k for k in (worst - 1, worst + 1) if 0 <= k < len(strata)]
        other = min(neighbours, key=lambda k: (pooled[k], k))
        first, second = min(worst, other), max(worst, other)
        strata[first : second + 1] = [strata[first] + strata[second]]
    return strata
