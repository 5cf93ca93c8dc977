"""How the kernels of the hospital are compiled, and where their machine code is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from grpo.jit import NO_WRAPPERS, jit

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile a function on its first call, keep the machine code on disk, and release the GIL.

    Kernels create no arrays, so numba's reference counting is off (``_nrt``): counting the
    arrays of State and Parameters atomically at every call took half the time. Floating-point
    arithmetic keeps IEEE rules (no fastmath): same seed, same bits.
    """
    return _compile(function, {})


def inlined(function: F) -> F:
    """Compile like ``kernel``, but always into the body of the caller, which must be a kernel.

    For what takes many arrays: handing them over, ten numbers each, took two fifths of the time.
    """
    return _compile(function, {**NO_WRAPPERS, "forceinline": True})


def internal(function: F) -> F:
    """Compile like ``kernel``, for kernels alone to call: without a door for Python."""
    return _compile(function, NO_WRAPPERS)


def merged(function: F) -> F:
    """Merge a function into its only caller before that is compiled; it is never compiled alone."""
    return _compile(function, {"inline": "always"})


def _compile(function: F, more: dict[str, Any]) -> F:
    compiled: Any = jit(**OPTIONS, **more)(function)
    find_template = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: find_template(tuple(map(_plain, args)), kws)
    return cast(F, compiled)


def _plain(given: Any) -> Any:
    """Return the type as which a kernel takes an argument from another: whole numbers as int64.

    Numba would compile the called one anew for every constant that it is called with.
    """
    plain = numba.types.unliteral(given)  # type: ignore[no-untyped-call]
    return numba.types.int64 if plain == numba.types.int32 else plain
