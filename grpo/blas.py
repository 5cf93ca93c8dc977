"""Single-precision matrix products for compiled functions: numpy's own BLAS, called without Python.

Numba's ``np.dot`` would do the same by scipy's copy of BLAS, but imports scipy.linalg for it: a
quarter of a second of processor time in every process that learns.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
from numba import types
from numba.core.typing.templates import signature

from grpo.jit import jit
from grpo.models.parameters import Float32

SYMBOL = "grpo_sgemm"
NAMES = (
    "scipy_cblas_sgemm64_",
    "cblas_sgemm64_",
    "cblas_sgemm$NEWLAPACK$ILP64",
    "scipy_cblas_sgemm",
    "cblas_sgemm",
    "cblas_sgemm$NEWLAPACK",
)
"""What ``cblas_sgemm`` is called in the libraries that numpy is built with."""

# Whole numbers are passed as 64 bits. A BLAS that takes 32 reads the low half of the same register
# or of the same place on the stack, as x86-64 and arm64 lay them out on Linux and macOS.
_SIZE, _SWITCH, _POINTER, _FACTOR = types.int64, types.int32, types.uintp, types.float32
sgemm: Any = types.ExternalFunction(
    SYMBOL,
    signature(  # type: ignore[no-untyped-call]
        types.void,
        *(_SWITCH, _SWITCH, _SWITCH),  # order of elements, transpose the left, the right factor
        *(_SIZE, _SIZE, _SIZE),  # m, n, k
        *(_FACTOR, _POINTER, _SIZE, _POINTER, _SIZE),  # alpha, left and its stride, right likewise
        *(_FACTOR, _POINTER, _SIZE),  # beta, product and its stride
    ),
)
"""``cblas_sgemm``, for kernels alone."""

ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)
NOTHING, ONE = np.float32(0.0), np.float32(1.0)


def find_sgemm(library: Path) -> int:
    """Return the address of ``cblas_sgemm`` in a library, or, but for Windows, in one it links to.

    Raises:
        ImportError: there is none.
    """
    loaded = ctypes.CDLL(str(library))
    for name in NAMES:
        if hasattr(loaded, name):
            address = ctypes.cast(loaded[name], ctypes.c_void_p).value
            if address is not None:
                return address
    raise ImportError(
        f"{library}: no cblas_sgemm, looked for {', '.join(NAMES)}; training on the processor "
        "needs a numpy that is built with BLAS, as the wheels of numpy are"
    )


def _link() -> None:
    """Let kernels find numpy's product by the name of ``sgemm``."""
    library = Path(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    llvmlite.binding.add_symbol(SYMBOL, find_sgemm(library))


_link()


@jit(nogil=True, _nrt=False)
def multiply(
    left: Float32, right: Float32, product: Float32
) -> None:  # pragma: no cover - compiled
    """Fill product [m, n] with left [m, k] times right [k, n]; all contiguous."""
    (m, k), n = left.shape, right.shape[1]
    a, b, c = left.ctypes.data, right.ctypes.data, product.ctypes.data
    sgemm(ROW_MAJOR, PLAIN, PLAIN, m, n, k, ONE, a, k, b, n, NOTHING, c, n)


@jit(nogil=True, _nrt=False)
def multiply_by_transposed(
    left: Float32, right: Float32, product: Float32
) -> None:  # pragma: no cover - compiled
    """Fill product [m, n] with left [m, k] times the transpose of right [n, k]; all contiguous."""
    (m, k), n = left.shape, right.shape[0]
    a, b, c = left.ctypes.data, right.ctypes.data, product.ctypes.data
    sgemm(ROW_MAJOR, PLAIN, TRANSPOSED, m, n, k, ONE, a, k, b, k, NOTHING, c, n)


@jit(nogil=True, _nrt=False)
def add_product_of_transposed(
    left: Float32, right: Float32, product: Float32
) -> None:  # pragma: no cover - compiled
    """Add the transpose of left [k, m] times right [k, n] to product [m, n]; all contiguous."""
    (k, m), n = left.shape, right.shape[1]
    a, b, c = left.ctypes.data, right.ctypes.data, product.ctypes.data
    sgemm(ROW_MAJOR, TRANSPOSED, PLAIN, m, n, k, ONE, a, m, b, n, ONE, c, n)
