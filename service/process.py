"""What the processes of the service do in their first lines."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grpo.kernel_cache import kernel_cache_folder

if TYPE_CHECKING:
    from service.settings import Settings

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to signal this process when the thread that started it ends (Linux only).

    Args:
        parent: process id of the parent; if it is gone already, this process exits at once.
        number: the signal to get.

    Raises:
        OSError: the kernel refuses.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(1)


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while modules are imported: all that they make stays.

    Looking for it, again and again among ever more objects, is a sixth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def use_kernel_cache(settings: Settings) -> str:
    """Set ``NUMBA_CACHE_DIR`` to a folder in home unless it is set; call before numba is imported.

    Returns:
        The folder, which children inherit through the environment.
    """
    folder = str(kernel_cache_folder(settings.home.absolute()))
    return os.environ.setdefault("NUMBA_CACHE_DIR", folder)
