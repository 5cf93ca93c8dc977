"""Files that appear whole or not at all, and JSON that is read with its mistakes named."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from grpo.errors import GRPOError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file: aside, forced to disk, renamed. Readers see the old one or the new one.

    Raises:
        OSError: the folder is missing, full or not ours; nothing is left behind.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; ``-`` is standard input.

    Raises:
        GRPOError: it is no JSON object in UTF-8; the message says where.
        OSError: it cannot be read.
    """
    raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise GRPOError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise GRPOError(f"{path} holds no JSON object but a {type(found).__name__}")
    return found
