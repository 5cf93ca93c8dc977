"""The one place where functions are given to numba."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from grpo.environments.hospital.kernel_cache import kernel_cache_folder

OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}
FALLBACK_ROOT = Path(__file__).parent / "__pycache__"

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile a function on its first call, keep the machine code on disk, and release the GIL.

    Kernels create no arrays, so numba's reference counting is off (``_nrt``): counting the
    arrays of State and Parameters atomically at every call took half the time. Floating-point
    arithmetic keeps IEEE rules (no fastmath): same seed, same bits. Where no
    ``NUMBA_CACHE_DIR`` was set, the cache goes to a digest-named folder beside this file.
    """
    config = vars(numba.config)
    given = config["CACHE_DIR"]
    config["CACHE_DIR"] = given or str(kernel_cache_folder(FALLBACK_ROOT))
    try:
        return cast(F, numba.njit(**OPTIONS)(function))
    finally:
        config["CACHE_DIR"] = given
