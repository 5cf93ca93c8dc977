"""Cells of several attributes: small ones are merged or withheld, and always named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import InputError, ShapeError
from grpo.fairness.intersections import make_cells

AGE, SEX = ("young", "old"), ("f", "m")


def cross(young_f: int, young_m: int, old_f: int, old_m: int, least: int = 10) -> object:
    sizes = [young_f, young_m, old_f, old_m]
    age, sex = np.repeat([0, 0, 1, 1], sizes), np.repeat([0, 1, 0, 1], sizes)
    return make_cells({"age": (age, AGE), "sex": (sex, SEX)}, least)


def test_large_cells_stand_by_themselves() -> None:
    cells = make_cells(
        {"age": (np.array([0, 1, 1, 0]), AGE), "sex": (np.array([1, 0, 0, 1]), SEX)}, 2
    )
    assert cells.labels == ("young+m", "old+f")
    assert cells.cell.tolist() == [0, 1, 1, 0]
    assert cells.merged == cells.withheld == ()


def test_small_cells_that_are_enough_together_are_merged_and_named() -> None:
    cells = make_cells(
        {
            "age": (np.repeat([0, 0, 1, 1], [20, 6, 5, 30]), AGE),
            "sex": (np.repeat([0, 1, 0, 1], [20, 6, 5, 30]), SEX),
        },
        10,
    )
    assert cells.labels == ("young+f", "old+m", "others")
    assert np.bincount(cells.cell).tolist() == [20, 30, 11]
    assert cells.merged == (("young+m", 6), ("old+f", 5))


def test_a_small_cell_alone_is_withheld_and_named() -> None:
    cells = cross(20, 6, 20, 30)
    assert cells.labels == ("young+f", "old+f", "old+m")  # type: ignore[attr-defined]
    assert cells.withheld == (("young+m", 6),)  # type: ignore[attr-defined]
    assert (cells.cell == -1).sum() == 6  # type: ignore[attr-defined]


@given(
    codes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60),
    least=st.integers(1, 20),
)
def test_every_patient_is_in_a_cell_of_the_least_size_or_counted_as_withheld(
    codes: list[tuple[int, int]], least: int
) -> None:
    table = np.array(codes, np.int64).reshape(-1, 2)
    cells = make_cells(
        {"a": (table[:, 0], ("x", "y", "z")), "b": (table[:, 1], tuple("pqrs"))}, least
    )
    assert (np.bincount(cells.cell[cells.cell >= 0], minlength=0) >= least).all()
    assert (cells.cell == -1).sum() == sum(size for _, size in cells.withheld)
    assert set(cells.cell.tolist()) - {-1} == set(range(len(cells.labels)))


def test_forty_attributes_do_not_overflow() -> None:
    generator = np.random.default_rng(1)
    codes = generator.integers(4, size=(40, 50))
    cells = make_cells({str(a): (codes[a], tuple("abcd")) for a in range(40)}, 1)
    assert len(cells.labels) == len({tuple(row) for row in codes.T})


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="one length"):
        make_cells({})
    with pytest.raises(InputError, match="/least"):
        make_cells({"age": (np.zeros(1, np.int64), AGE)}, 0)
    with pytest.raises(InputError, match="/attributes/age"):
        make_cells({"age": (np.array([2]), AGE)})
