"""Where compiled functions are kept: a folder whose name changes whenever an answer could.

Numba's disk cache checks the file of the function it loads, not the files of the functions which
that one calls, and would go on answering as before an edit there. So the folder ends in a digest
of all kernel sources, of numba's version and of the processor. Needs neither numba nor numpy.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
DIGEST_LENGTH = 16
LIBRARY = Path(__file__).parent
FALLBACK_ROOT = LIBRARY / "__pycache__"
KERNEL_SOURCES = (
    "blas.py",
    "jit.py",
    "environments/hospital/physics/*.py",
    "environments/hospital/compiling/*.py",
    "training/kernels/*.py",
)
"""Files whose functions are compiled into those of other files, or whose numbers are."""


def kernel_cache_folder(root: Path) -> Path:
    """Return the folder for ``NUMBA_CACHE_DIR``, to be set before numba is imported.

    Args:
        root: folder that the caller owns; nothing is created.
    """
    return root / f"numba-{kernel_digest()}"


@cache
def kernel_digest() -> str:
    """Return the digest of sources, versions of numba and numpy, and the processor's name."""
    digest = hashlib.sha256()
    for sources in KERNEL_SOURCES:
        for path in sorted(LIBRARY.glob(sources)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for package in ("numba", "llvmlite", "numpy"):
        digest.update(version(package).encode() + b"\0")
    digest.update(platform.python_version().encode() + b"\0" + processor_name().encode())
    return digest.hexdigest()[:DIGEST_LENGTH]


def processor_name() -> str:
    """Return what the processor calls itself, with the machine's architecture."""
    machine = platform.machine()
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{machine} {line.partition(':')[2].strip()}"
    return f"{machine} {platform.processor()}"
