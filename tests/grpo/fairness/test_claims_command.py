"""The command that trains several seeds with two weights and prints what that supports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import fairness
from grpo.errors import InputError
from grpo.fairness.seed_report import SeedComparison

JOB = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {"kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"]},
    "algorithm": {"num_envs": 2, "num_steps": 8, "minibatch_size": 16, "hidden_sizes": [4]},
}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    job = tmp_path / "job.json"
    job.write_text(json.dumps(JOB))
    given = ["--seeds", "2", "--timesteps", "16", "--episodes", "6", "--processes", "0"]
    return [*given, "--config", str(job), "--folder", str(tmp_path / "reports")]


def test_two_seeds_with_two_weights_are_trained_compared_and_kept(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fairness.main([*command, "--json", str(tmp_path / "found.json")])
    assert found.seeds == (1, 2)
    assert [claim.subject for claim in found.claims] == [
        "everybody", "worst group", "gap", "left", "right",
    ]  # fmt: skip
    assert not found.improved
    assert SeedComparison.model_validate_json((tmp_path / "found.json").read_text()) == found
    assert len(list((tmp_path / "reports").glob("*.json"))) == 4
    printed = capsys.readouterr().out
    assert "first: weight 0.5; second: weight 0" in printed
    assert "4 of 4" in printed
    again = fairness.main([*command, "--reuse"])
    assert again == found
    assert "of 4" not in capsys.readouterr().out


def test_a_training_that_diverged_is_named_and_its_pair_is_not_compared(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = fairness.train

    def train(run: fairness.Run) -> fairness.Result:
        if run.weight == 0.5 and run.config.seed == 3:
            return fairness.Result(run, None, "the loss is no number")
        return honest(run)

    monkeypatch.setattr(fairness, "train", train)
    found = fairness.main([*command, "--seeds", "3"])
    assert found.seeds == (1, 2)
    assert not found.improved
    assert any("seed 3: the loss is no number" in said for said in found.statements)
    with pytest.raises(InputError, match="2 to 20 seeds"):
        fairness.main([*command, "--seeds", "1"])
