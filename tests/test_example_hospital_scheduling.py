"""The examples: every built-in hospital with a budget of one iteration each, and bad arguments."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_prints_a_table_for_every_hospital_and_draws_one_picture(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "picture.png"
    budget = ["--timesteps", "1", "--episodes", "2", "--warmup-hours", "0", "--hours", "12"]
    done = subprocess.run(
        [sys.executable, "examples/hospital_scheduling.py", *budget, "--output", str(picture)],
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


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("hospital_scheduling", ["--weight", "3"], "/algorithm/group_robustness_weight"),
        ("hospital_scheduling", ["--episodes", "0"], "/evaluation/episodes"),
        ("hospital_scheduling", ["--timesteps", "0"], "/budget/total_timesteps"),
        ("train_cartpole", ["--weight", "3"], "/group_robustness_weight"),
        ("train_cartpole", ["--episodes", "0"], "--episodes must be at least 1"),
        ("train_cartpole", ["--seed", "-1"], "/seed"),
    ],
)
def test_a_bad_argument_is_answered_with_one_line(
    script: str,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = ROOT / "examples" / f"{script}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    monkeypatch.setattr(sys, "path", sys.path[:])
    with monkeypatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")  # the script would leave its own behind
        patch.setenv("NUMBA_CACHE_DIR", os.environ["NUMBA_CACHE_DIR"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
    said_out, said_err = capfd.readouterr()
    assert (ended.value.code, said_out) == (2, "")
    assert "Traceback" not in said_err
    last = said_err.splitlines()[-1]
    assert last.startswith(f"{script}.py: error: ")
    assert said in last
