"""Functions compiled by numba; their machine code is kept on disk and loads without compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from grpo.kernel_cache import FALLBACK_ROOT, kernel_cache_folder

F = TypeVar("F", bound=Callable[..., object])

NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of what only compiled functions call. The door through which Python calls, with its
unpacking of all arrays, takes long to compile. Without it a call from Python ends the process."""


class MachineCodeCache(FunctionCache):
    """Numba's cache on disk; what it finds there is loaded without making the compiler ready.

    Numba readies its compiler (``refresh``) before it looks on disk: it imports two hundred
    modules, scipy.linalg with them, for which every process that runs one kernel would pay .3 s of
    processor time. Machine code needs only the runtime that counts references.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None, with the compiler ready, if nothing."""
        rtsys.initialize(target_context)
        target_context.refresh = _do_nothing  # hides the method for as long as we look
        try:
            found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        finally:
            del target_context.refresh
        if found is None:
            target_context.refresh()
        return found


def is_kept(function: Callable[..., object]) -> bool:
    """Say whether machine code of a compiled function is on disk, for whatever types."""
    folder = Path(cast(Any, function).stats.cache_path)
    return any(folder.glob(f"*.{function.__name__}-*.nbi"))


def _do_nothing() -> None:
    """Leave the compiler as it is."""


def jit(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles on the first call, and keeps the machine code on disk.

    Where no ``NUMBA_CACHE_DIR`` was set, it is kept in a folder beside the library's sources.

    Args:
        options: of ``numba.njit``, besides ``cache``.
    """

    def compile_lazily(function: F) -> F:
        config = vars(numba.config)
        given = config["CACHE_DIR"]
        config["CACHE_DIR"] = given or str(kernel_cache_folder(FALLBACK_ROOT))
        try:
            compiled = numba.njit(cache=True, **options)(function)
            if isinstance(getattr(compiled, "_cache", None), FunctionCache):
                compiled._cache = MachineCodeCache(function)  # type: ignore[no-untyped-call]
        finally:
            config["CACHE_DIR"] = given
        return cast(F, compiled)

    return compile_lazily
