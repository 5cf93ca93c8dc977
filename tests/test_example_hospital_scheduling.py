"""The example that trains every built-in hospital, with a budget of one iteration each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_prints_a_table_for_every_hospital_and_draws_one_picture(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "picture.png"
    budget = ["--timesteps", "1", "--episodes", "2", "--output", str(picture)]
    done = subprocess.run(
        [sys.executable, "examples/hospital_scheduling.py", *budget],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for words in ("rural_hospital, weight 0.5", "urban_hospital, weight 0.5", "strict acuity"):
        assert words in done.stdout
    assert f"Picture: {picture}" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert done.stderr == ""
