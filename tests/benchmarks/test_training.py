"""The benchmark of training runs with a tiny budget; its speeds decide nothing here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.peers.contest import missing_peers
from benchmarks.peers.contests import PEERS


def test_training_benchmark_writes_every_run_and_names_missing_peers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "training.json"
    (contest,) = training.main(["--tiny", "--json", str(file)])
    assert json.loads(file.read_text(encoding="utf-8")) == [contest]
    shown = capsys.readouterr().out
    assert contest["missing"] == missing_peers(PEERS)
    assert all(peer in shown for peer in contest["missing"])
    (goal,) = contest["goals"]
    assert (goal["goal"], goal["against"], goal["required"]) == ("a", "sb3", ">= 2.5")
    assert (goal["verdict"] == "not measured") is ("sb3" in contest["missing"])
    ours = contest["arms"][0]
    assert ours["label"] == "grpo"
    (run,) = ours["runs"]
    assert run["total_steps"] == training.TINY_TIMESTEPS + run["num_envs"] * run["num_steps"]
    assert run["updates_per_sample"] == 4 / 256
    assert run["steps_per_second"] > 0
