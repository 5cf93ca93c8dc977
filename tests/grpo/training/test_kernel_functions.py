"""Vectorised functions and numpy's matrix product, as kernels call them, against numpy's own."""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg.cython_blas

from grpo.blas import (
    PLAIN,
    ROW_MAJOR,
    add_product_of_transposed,
    find_sgemm,
    multiply,
    multiply_by_transposed,
)
from grpo.training.kernels.dense import activate
from grpo.training.kernels.losses import exponentiate

SHAPES = [(1, 1, 1), (3, 5, 2), (256, 64, 64), (7, 1, 33), (1, 40, 1)]


def test_tanh_is_right_to_three_units_of_single_precision_and_keeps_nan() -> None:
    x = np.concatenate(
        [np.linspace(-12, 12, 200_001), np.geomspace(1e-30, 1, 1000), [0, np.inf, -np.inf]]
    ).astype(np.float32)
    found = np.ascontiguousarray(np.stack([x, x], axis=1))
    activate(found, np.array([0.0, 1.0], dtype=np.float32))
    for column, bias in enumerate((0.0, 1.0)):
        shifted = (x + np.float32(bias)).astype(np.float64)
        assert found[:, column] == pytest.approx(np.tanh(shifted), rel=3e-7, abs=1e-37)
    strange = np.full((1, 1), np.nan, dtype=np.float32)
    activate(strange, np.zeros(1, dtype=np.float32))
    assert np.isnan(strange).all()


def test_exp_of_what_is_not_positive_is_right_to_two_units_and_zero_for_masked_actions() -> None:
    x = np.concatenate([-np.geomspace(1e-8, 87, 100_000), [0.0]]).astype(np.float32)
    found = np.empty_like(x)
    exponentiate(x, found)
    assert found == pytest.approx(np.exp(x.astype(np.float64)), rel=2e-7)
    masked = np.array([-1e8, -88.0], dtype=np.float32)
    exponentiate(masked, masked)
    assert masked.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_products_are_those_of_numpy(m: int, k: int, n: int) -> None:
    left, right = _draw(m, k), _draw(k, n)
    product = np.empty((m, n), dtype=np.float32)
    multiply(left, right, product)
    assert product == pytest.approx(left @ right, rel=1e-5, abs=1e-5)
    multiply_by_transposed(left, _draw(n, k, seed=2), product)
    assert product == pytest.approx(left @ _draw(n, k, seed=2).T, rel=1e-5, abs=1e-5)
    before = product.copy()
    add_product_of_transposed(_draw(k, m, seed=3), right, product)
    assert product == pytest.approx(before + _draw(k, m, seed=3).T @ right, rel=1e-5, abs=1e-5)


def test_a_blas_that_counts_with_32_bits_understands_our_64() -> None:
    address = find_sgemm(Path(scipy.linalg.cython_blas.__file__))  # scipy's own copy is such a one
    whole, pointer, real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    factors = (real, pointer, whole, pointer, whole, real, pointer, whole)
    sgemm = ctypes.CFUNCTYPE(None, *[ctypes.c_int32] * 3, *[whole] * 3, *factors)(address)
    left, right, product = _draw(3, 5), _draw(5, 2), np.full((3, 2), np.nan, dtype=np.float32)
    switches = (int(ROW_MAJOR), int(PLAIN), int(PLAIN))
    data = [array.ctypes.data for array in (left, right, product)]
    sgemm(*switches, 3, 2, 5, 1.0, data[0], 5, data[1], 2, 0.0, data[2], 2)
    assert product == pytest.approx(left @ right, rel=1e-5)


def test_a_library_without_blas_is_refused_by_name() -> None:
    library = Path(ctypes.util.find_library("c") or "")
    with pytest.raises(ImportError, match=f"{library}: no cblas_sgemm"):
        find_sgemm(library)


def _draw(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
