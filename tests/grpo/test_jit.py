"""Machine code kept on disk: loaded without the compiler, and compiled where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
import numpy as np
from grpo.jit import is_kept, jit

@jit(nogil=True)
def sums(values):
    found = np.empty_like(values)
    total = 0 * values[0]
    for i in range(values.size):
        total += values[i]
        found[i] = total
    return found

kept = [is_kept(sums)]
whole = sums(np.arange(3.0)).tolist()
compiler = "scipy.linalg" in sys.modules
more = sums(np.arange(4)).tolist() if len(sys.argv) > 1 else []
kept.append(is_kept(sums))
print(json.dumps([whole, compiler, more, kept]))
"""


def test_machine_code_from_disk_needs_no_compiler_and_new_types_are_compiled(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")

    def run(*arguments: str) -> list[object]:
        done = subprocess.run(
            [sys.executable, str(program), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        )
        found: list[object] = json.loads(done.stdout)
        return found

    assert run() == [[0, 1, 3], True, [], [False, True]]
    assert run() == [[0, 1, 3], False, [], [True, True]]
    assert run("more") == [
        [0, 1, 3],
        False,
        [0, 1, 3, 6],
        [True, True],
    ]  # integers have no machine code yet
