"""How far apart groups are: worst group, gap, and the gap that chance alone would show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

PERMUTATIONS = 1_000
MIN_PERMUTATIONS = 200
MAX_SHUFFLES = 25_000_000


def gap(values: Float64) -> Float64:
    """Return the largest minus the smallest value over the last axis.

    0 means that all groups fare alike; 1 is no special value, for a gap has the unit of its metric
    (of shares, 1 is all against nothing). It is biased upwards: groups that are truly alike still
    differ by chance in any sample, which is why ``permuted_gaps`` belongs beside it. NaN with
    fewer than two groups, or where a group has no value.

    Args:
        values: [..., G], one value per group.

    Returns:
        [...] gaps, >= 0 or NaN.

    Source: Weerts et al., Fairlearn, 2023 (difference between groups of a metric).
    """
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan)
    spread: Float64 = values.max(axis=-1) - values.min(axis=-1)
    return spread


def worst_group(values: Float64) -> int | None:
    """Return the index of the largest cost among groups that have one; None if none has.

    Ties go to the first.
    """
    known = np.flatnonzero(np.isfinite(values))
    return int(known[np.argmax(values[known])]) if known.size else None


def permuted_gaps(
    costs: Float64,
    *,
    group: Int64,
    stratum: Int64,
    cell: Int64,
    mix: Float64,
    num_groups: int,
    seed: int,
) -> Float64:
    """Sample the gaps of standardised costs if group told nothing beyond acuity.

    Under the null, given the episode and the acuity, a patient's group is a label that has no
    part in what happens: any shuffle of labels within (episode, acuity) was as likely. This
    holds however strongly the patients of an episode depend on each other through shared beds,
    because the costs stay where they are and only labels move. (It does forbid to compare
    *policies* patient by patient: a policy belongs to a whole episode.) All arms share shuffles.

    Args:
        costs: [P, A] cost of every patient under each of A arms, finite.
        group: [P] int in 0..G-1.
        stratum: [P] int >= 0, what labels are shuffled within: episode and acuity.
        cell: [P] int in 0..K-1, the acuity that costs are standardised over; it does not vary
            within a stratum.
        mix: [K] shares of the cells, sum 1.
        num_groups: G >= 2.
        seed: of the shuffles.

    Returns:
        [M, A] gaps of M shuffles, 200 to 1,000 by P. NaN where a cell of positive share is empty.

    Raises:
        ShapeError: the axes do not fit.
        InputError: fewer than two groups.

    Source: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 3rd ed. 2005, ch. 3.
    """
    _check_shapes(costs, (group, stratum, cell), num_groups)
    num_cells = mix.shape[0]
    by_stratum = np.argsort(stratum, kind="stable")
    labels, cells = group[by_stratum], cell[by_stratum]
    columns = np.ascontiguousarray(costs[by_stratum].T)
    share = _share_per_patient(labels * num_cells + cells, mix, num_groups)
    gaps = []
    for order in _shuffles(stratum[by_stratum], seed):
        index = labels[order] * num_cells + cells
        for column in columns:
            sums = np.bincount(index, weights=column, minlength=share.size)
            gaps.append(gap((sums.reshape(share.shape) * share).sum(axis=1)))
    return np.array(gaps).reshape(-1, costs.shape[1])


def _check_shapes(costs: Float64, labels: tuple[Int64, ...], num_groups: int) -> None:
    shapes = [label.shape for label in labels]
    if costs.ndim != 2 or set(shapes) != {costs.shape[:1]}:
        raise ShapeError(f"expected costs [P, A] and labels [P], got {costs.shape}, {shapes}")
    if num_groups < 2:
        raise InputError.single(
            "/grouping", "a gap needs groups to differ", given=num_groups, allowed="2 or more"
        )


def _shuffles(stratum: Int64, seed: int) -> Iterator[Int64]:
    """Yield orders of patients, sorted by stratum, that are shuffled within every stratum."""
    patients = stratum.size
    ordinal = np.unique(stratum, return_inverse=True)[1]
    # The smallest integers that do: numpy sorts 16-bit keys by radix, several times faster.
    ordinal = ordinal.astype(np.min_scalar_type(int(ordinal.max(initial=0))))
    generator = np.random.default_rng(np.random.SeedSequence([seed, patients]))
    for _ in range(int(np.clip(MAX_SHUFFLES // max(patients, 1), MIN_PERMUTATIONS, PERMUTATIONS))):
        order = generator.permutation(patients)
        # A stable sort of a random order by stratum is a uniform shuffle within every stratum.
        yield order[np.argsort(ordinal[order], kind="stable")]


def _share_per_patient(index: Int64, mix: Float64, num_groups: int) -> Float64:
    """[G, K] share of the mix that one patient of the cell stands for; NaN in an empty cell."""
    counts = np.bincount(index, minlength=num_groups * mix.size).reshape(num_groups, mix.size)
    share = mix / np.where(counts > 0, counts, np.nan)
    return np.where(mix > 0, share, 0.0)
