"""Cells of several attributes at once, none of them too small to say anything about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError

Int64 = NDArray[np.int64]

LEAST_PATIENTS = 100
OTHERS = "others"


class Cells(NamedTuple):
    """Which cell every patient belongs to.

    Attributes:
        labels: [C] names such as "elderly+f"; the last is "others" where small cells were merged.
        cell: [P] int in 0..C-1, or -1 where the cell is withheld.
        merged: names and sizes of the cells in "others".
        withheld: names and sizes of the cells that no value is given for.
    """

    labels: tuple[str, ...]
    cell: Int64
    merged: tuple[tuple[str, int], ...]
    withheld: tuple[tuple[str, int], ...]


def make_cells(
    attributes: Mapping[str, tuple[Int64, tuple[str, ...]]], least: int = LEAST_PATIENTS
) -> Cells:
    """Cross attributes, and merge or withhold every cell with fewer than ``least`` patients.

    Small cells are merged into "others" if together they reach the minimum, otherwise they are
    withheld; either way they are named with their size. A combination that nobody has is no cell.

    Args:
        attributes: by name, the code of every patient [P] and the names of the codes; at least 1.
        least: >= 1, patients that a cell must have.

    Raises:
        ShapeError: no attribute, or columns of different lengths.
        InputError: ``least`` or a code out of range.

    Source: Kearns, Neel, Roth & Wu, Preventing Fairness Gerrymandering, ICML 2018 (subgroups of
        several attributes, weighed by their size); the minimum size follows the disclosure rule
        of small counts.
    """
    shapes = {codes.shape for codes, _ in attributes.values()}
    if len(shapes) != 1:
        raise ShapeError(f"expected attributes with one length [P], got {sorted(map(str, shapes))}")
    if least < 1:
        raise InputError.single("/least", "must be at least 1", given=least)
    index = np.zeros(next(iter(shapes)), np.int64)
    for name, (codes, names) in attributes.items():
        if codes.size and not (codes.min() >= 0 and codes.max() < len(names)):
            raise InputError.single(
                f"/attributes/{name}", "out of range", allowed=f"0 to {len(names) - 1}"
            )
        # Renumbered at each step: the product of many attributes would leave 64 bits.
        index = np.unique(index * len(names) + codes, return_inverse=True)[1]
    first = np.unique(index, return_index=True)[1]
    labels = ["+".join(names[codes[p]] for codes, names in attributes.values()) for p in first]
    sizes = np.bincount(index, minlength=len(labels))
    small = sizes < least
    named = tuple((labels[c], int(sizes[c])) for c in np.flatnonzero(small))
    merge = len(named) > 1 and int(sizes[small].sum()) >= least
    kept = np.flatnonzero(~small)
    renumber = np.full(len(labels), -1, np.int64)
    renumber[kept] = np.arange(kept.size)
    if merge:
        renumber[small] = kept.size
    shown = tuple(labels[c] for c in kept)
    return Cells(
        labels=(*shown, OTHERS) if merge else shown,
        cell=renumber[index],
        merged=named if merge else (),
        withheld=() if merge else named,
    )
