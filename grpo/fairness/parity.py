"""Parity of a yes-or-no outcome between groups: at all, given acuity, and among the urgent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def selection_rates(
    selected: Bool, group: Int64, *, num_groups: int, cell: Int64 | None = None,
    mix: Float64 | None = None,
) -> Float64:  # fmt: skip
    """Return the share of each group that was selected, as it is or at a fixed acuity mix.

    With cells, ``r_g = sum_k m_k P(selected | g, k)``: what share of the group would be selected if
    it came with the mix m. 0 means nobody of the group, 1 everybody. NaN for a group with nobody,
    or with nobody in a cell of positive share: it is not known, and no other group's rate changes.

    Args:
        selected: [P] bool.
        group: [P] int in 0..G-1.
        num_groups: G >= 1.
        cell: [P] int in 0..K-1, the acuity; with ``mix``.
        mix: [K] shares, sum 1.

    Raises:
        ShapeError: the columns differ in length, or only one of cell and mix is given.
        InputError: a group or cell out of range.

    Source: Kamiran, Žliobaitė & Calders, Knowledge and Information Systems 35, 2013 (conditional
        non-discrimination); Rothman, Greenland & Lash 2008, ch. 3 (direct standardisation).
    """
    if (cell is None) != (mix is None):
        raise ShapeError("cell and mix belong together")
    strata = np.zeros(group.shape, np.int64) if cell is None else cell
    shares = np.ones(1) if mix is None else np.asarray(mix, np.float64)
    if not selected.shape == group.shape == strata.shape or group.ndim != 1:
        raise ShapeError(f"expected [P], got {selected.shape}, {group.shape}, {strata.shape}")
    for name, column, size in (("group", group, num_groups), ("cell", strata, shares.size)):
        if column.size and not (column.min() >= 0 and column.max() < size):
            raise InputError.single(f"/{name}", "out of range", allowed=f"0 to {size - 1}")
    index = group * shares.size + strata
    counts = np.bincount(index, minlength=num_groups * shares.size).astype(np.float64)
    chosen = np.bincount(index, weights=selected, minlength=counts.size)
    rates = chosen / np.where(counts > 0, counts, np.nan)
    used = shares > 0
    return np.asarray(rates.reshape(num_groups, -1)[:, used] @ shares[used])


def rate_difference(rates: Float64) -> Float64:
    """Return the largest minus the smallest known rate over the last axis.

    0 means that all groups have the same rate, 1 that one group has all and another nothing. NaN
    with fewer than two groups whose rate is known: nothing to compare.

    Args:
        rates: [..., G] in [0, 1], NaN where not known; NaN in the same groups throughout.
    """
    known = _known(rates)
    if known.shape[-1] < 2:
        return np.full(rates.shape[:-1], np.nan)
    return np.asarray(known.max(axis=-1) - known.min(axis=-1))


def rate_ratio(rates: Float64) -> Float64:
    """Return the smallest over the largest known rate over the last axis.

    1 means that all groups have the same rate (also where all are 0), 0 that some group has
    nothing where another has something. NaN with fewer than two groups whose rate is known.

    Args:
        rates: [..., G] in [0, 1], NaN where not known; NaN in the same groups throughout.

    Source: the four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures,
        29 CFR 1607.4 D, 1978, is a ratio of .8.
    """
    known = _known(rates)
    if known.shape[-1] < 2:
        return np.full(rates.shape[:-1], np.nan)
    largest = known.max(axis=-1)
    return np.where(largest > 0, known.min(axis=-1) / np.where(largest > 0, largest, 1.0), 1.0)


def demographic_parity_difference(
    selected: Bool, group: Int64, *, num_groups: int, cell: Int64 | None = None,
    mix: Float64 | None = None,
) -> float | None:  # fmt: skip
    """Return how far apart the groups' selection rates are, given acuity where cells are given.

    0 means parity; 1 that everybody of one group is selected and nobody of another. A group that
    nobody belongs to is left out; None with fewer than two groups left.

    Args:
        selected: [P] bool, e.g. whether care began (treatment) or the patient was let in
            (admission).
        group: [P] int in 0..G-1.
        num_groups: G.
        cell: [P] int in 0..K-1; parity is then judged at equal acuity.
        mix: [K] shares of the cells, sum 1.

    Source: Dwork et al., Fairness through Awareness, ITCS 2012, section 2.2 (statistical parity);
        Kamiran, Žliobaitė & Calders 2013 for the conditional form.
    """
    rates = selection_rates(selected, group, num_groups=num_groups, cell=cell, mix=mix)
    return _optional(rate_difference(rates))


def demographic_parity_ratio(
    selected: Bool, group: Int64, *, num_groups: int, cell: Int64 | None = None,
    mix: Float64 | None = None,
) -> float | None:  # fmt: skip
    """Return the smallest over the largest selection rate, given acuity where cells are given.

    1 means parity; 0 that nobody of some group is selected while another has somebody. A group that
    nobody belongs to is left out; None with fewer than two groups left. Arguments as in
    ``demographic_parity_difference``.

    Source: as there; the four-fifths rule is a ratio of .8.
    """
    rates = selection_rates(selected, group, num_groups=num_groups, cell=cell, mix=mix)
    return _optional(rate_ratio(rates))


def equal_opportunity_difference(
    selected: Bool, deserving: Bool, group: Int64, *, num_groups: int
) -> float | None:
    """Return how far apart the groups' selection rates are among those who qualify.

    In the hospital: seen within target, among the urgent. 0 means that the urgent of every group
    have the same chance; 1 that those of one group have all and those of another none. A group of
    which nobody qualifies is left out; None with fewer than two groups left.

    Args:
        selected: [P] bool.
        deserving: [P] bool, who qualifies.
        group: [P] int in 0..G-1.
        num_groups: G.

    Source: Hardt, Price & Srebro, Equality of Opportunity, NeurIPS 2016, definition 2.2.
    """
    if selected.shape != deserving.shape or selected.shape != group.shape:
        raise ShapeError(f"expected [P], got {selected.shape}, {deserving.shape}, {group.shape}")
    return demographic_parity_difference(
        selected[deserving], group[deserving], num_groups=num_groups
    )


def _known(rates: Float64) -> Float64:
    """Keep the groups whose rate is known."""
    leading = tuple(range(rates.ndim - 1))
    return np.asarray(rates[..., np.isfinite(rates).all(axis=leading)])


def _optional(number: Float64) -> float | None:
    return float(number) if np.isfinite(number) else None
