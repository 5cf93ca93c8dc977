"""The command line as its users meet it: what it prints, its exit status, its one-line errors."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from grpo.comparison.summary import summarise
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.simulate import Outcome, PatientLog
from grpo.models.serialization import dump_policy, load_policy
from service.cli import app
from service.database import Database
from service.files import write_whole
from service.jobs.leases import claim
from service.jobs.outcomes import fail
from service.jobs.states import StatusReason
from service.observability import configure_logging
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB, Stored, make_waiting_room


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """The service of these tests runs in this process: its events must not mix with the output."""
    configure_logging("error")


GRPO = [sys.executable, "-m", "service"]


def grpo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def url_of(api: httpx.Client) -> str:
    return str(api.base_url)


def write_json(folder: Path, body: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_a_job_is_submitted_and_cancelled_by_its_printed_id(
    api: httpx.Client, tmp_path: Path
) -> None:
    submitted = grpo("submit", write_json(tmp_path, CARTPOLE_JOB), "--url", url_of(api))
    assert submitted.exit_code == 0, submitted.output
    job_id = submitted.stdout.strip()
    assert api.get(f"/jobs/{job_id}").json()["status"] == "queued"
    cancelled = grpo("cancel", job_id, "--url", url_of(api))
    assert (cancelled.exit_code, cancelled.stdout) == (0, "cancelled\n")


def test_the_same_key_submits_once(api: httpx.Client, tmp_path: Path) -> None:
    file, key = write_json(tmp_path, CARTPOLE_JOB), uuid4().hex
    command = ("submit", file, "--url", url_of(api), "--idempotency-key", key)
    assert grpo(*command).stdout == grpo(*command).stdout


def test_a_dry_run_prints_an_estimate(api: httpx.Client, tmp_path: Path) -> None:
    file = write_json(tmp_path, HOSPITAL_JOB)
    estimate = json.loads(grpo("submit", file, "--url", url_of(api), "--dry-run").stdout)
    assert estimate["timesteps"] == 65_536
    assert estimate["seconds"] > 0


def test_a_failed_job_is_resumed(api: httpx.Client, records: Database, tmp_path: Path) -> None:
    file = write_json(tmp_path, CARTPOLE_JOB)
    job_id = grpo("submit", file, "--url", url_of(api)).stdout.strip()
    held = claim(records, job_id, "w", 30.0)
    assert held is not None
    fail(records, job_id, held.fence, StatusReason.TRAINING_ERROR, "no luck")
    resumed = grpo("resume", job_id, "--url", url_of(api))
    assert (resumed.exit_code, resumed.stdout) == (0, "queued\n")
    refused = grpo("resume", job_id, "--url", url_of(api))
    assert refused.exit_code == 1
    assert "job_not_resumable" in refused.stderr


def test_a_service_and_a_model_file_decide_alike(
    api: httpx.Client, hospital: Stored, tmp_path: Path
) -> None:
    room = write_json(tmp_path, make_waiting_room(12, seed=3))
    model = tmp_path / "model.safetensors"
    model.write_bytes(api.get(f"/policy/{hospital.policy_id}/model").content)
    by_service = grpo("act", hospital.policy_id, room, "--url", url_of(api))
    by_file = grpo("act", model, room, "--url", "http://127.0.0.1:9")
    assert by_service.exit_code == by_file.exit_code == 0, by_file.output
    one, other = json.loads(by_service.stdout), json.loads(by_file.stdout)
    assert len(one["ranking"]) == 12
    assert {**one, "policy": ""} == {**other, "policy": ""}


def bad_json(folder: Path) -> tuple[object, ...]:
    (folder / "bad.json").write_text('{"environment":', encoding="utf-8")
    return "submit", folder / "bad.json"


def a_list(folder: Path) -> tuple[object, ...]:
    return "train", write_json(folder, [1])


def bad_field(folder: Path) -> tuple[object, ...]:
    return "train", write_json(folder, CARTPOLE_JOB | {"seed": -1})


def no_file(folder: Path) -> tuple[object, ...]:
    return "train", folder / "none.json"


def no_service(folder: Path) -> tuple[object, ...]:
    return "submit", write_json(folder, CARTPOLE_JOB), "--url", "http://127.0.0.1:9"


def bad_state(folder: Path) -> tuple[object, ...]:
    return "act", folder / "model.safetensors", write_json(folder, {"observation": [1]})


def no_model(folder: Path) -> tuple[object, ...]:
    (folder / "x.safetensors").write_bytes(b"no model")
    return "act", folder / "x.safetensors", write_json(folder, {"observation": [1, 2, 3, 4]})


def no_scenario(_: Path) -> tuple[object, ...]:
    return "simulate", "--scenario", "moon_base"


def no_rule(_: Path) -> tuple[object, ...]:
    return "simulate", "--rule", "coin"


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (bad_json, "is not JSON"),
        (a_list, "holds no JSON object but a list"),
        (bad_field, "/seed"),
        (no_file, "none.json: No such file"),
        (no_service, "no answer from http://127.0.0.1:9"),
        (bad_state, "/observation: wrong number of features"),
        (no_model, "error:"),
        (no_scenario, "moon_base"),
        (no_rule, "coin"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mistake_gets_one_line(
    mistake: Any, words: str, tmp_path: Path, cartpole: Stored
) -> None:
    (tmp_path / "model.safetensors").write_bytes(dump_policy(cartpole.policy))
    result = grpo(*mistake(tmp_path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "GRPO_HOME": str(folder / "home")}
    return subprocess.Popen(
        [*GRPO, *arguments],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_training_leaves_a_model_and_a_report(tmp_path: Path) -> None:
    file = write_json(tmp_path, CARTPOLE_JOB)
    with start(tmp_path, "train", str(file), "--folder", "made") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    made = tmp_path / "made"
    assert sorted(path.name for path in made.iterdir()) == ["job.report.json", "job.safetensors"]
    assert out.split() == ["made/job.report.json", "made/job.safetensors"]
    assert load_policy((made / "job.safetensors").read_bytes()).manifest.timesteps >= 4_096
    report = json.loads((made / "job.report.json").read_text(encoding="utf-8"))
    assert report["statements"]
    assert all(statement in err for statement in report["statements"])


def test_a_stopped_training_leaves_nothing(tmp_path: Path) -> None:
    file = write_json(tmp_path, CARTPOLE_JOB | {"budget": {"total_timesteps": 10**8}})
    with start(tmp_path, "train", str(file), "--folder", "made") as process:
        assert process.stderr is not None
        while "training" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == "error: stopped; nothing was written"
    assert list((tmp_path / "made").iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new and longer")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert path.read_bytes() == b"old"


SHORT = ("simulate", "--hours", "48", "--warmup-hours", "0", "--replications", "4")


def test_a_simulation_prints_the_same_numbers_for_the_same_seed() -> None:
    found = json.loads(grpo(*SHORT, "--seed", "7", "--json").stdout)
    assert found == json.loads(grpo(*SHORT, "--seed", "7", "--json").stdout)
    other = json.loads(grpo(*SHORT, "--seed", "8", "--json").stdout)
    assert other["patients"] != found["patients"] or other != found | {"seed": 8}
    assert (found["scenario"], found["rule"]) == ("rural_hospital", "fcfs")
    assert sum(found["outcomes"].values()) == found["patients"]
    cost = found["cost_per_patient"]
    assert cost["low"] < cost["value"] < cost["high"]
    text = grpo(*SHORT, "--seed", "7").stdout
    assert f"{found['patients']} patients in 4 x 48 h" in text


def test_rules_are_compared_on_the_same_patients() -> None:
    runs = [
        json.loads(grpo(*SHORT, "--rule", rule, "--json").stdout)
        for rule in ("fcfs", "strict_acuity")
    ]
    assert runs[0]["patients"] == runs[1]["patients"]
    assert runs[0]["cost_per_patient"] != runs[1]["cost_per_patient"]


def test_a_summary_by_hand() -> None:
    """Two replications: costs 1, 3 and 2 of three patients; the first one's second was diverted."""
    compiled = compile_scenario(load_scenario("rural_hospital"))
    log = PatientLog(
        episode=np.array([0, 0, 1]),
        type=np.array([0, 0, 0]),
        arrival_hours=np.zeros(3),
        wait_hours=np.array([0.5, 0.0, 1.5]),
        outcome=np.array([Outcome.SERVED, Outcome.DIVERTED, Outcome.LEFT]),
        cost=np.array([1.0, 3.0, 2.0]),
        episodes=2,
        horizon_hours=1.0,
    )
    found = summarise(log, compiled)
    assert found["outcomes"] == {
        "served": 1,
        "left": 1,
        "diverted": 1,
        "waiting": 0,
        "transferred": 0,
    }
    # cost: 6 / 3 = 2. residuals: 4 - 2 * 2 = 0, 2 - 2 * 1 = 0: no spread.
    assert found["cost_per_patient"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    # waits of those let in: (30 + 90) / 2 = 60; residuals -30 and 30: error sqrt(1800 / 2) / 1.
    wait = found["mean_wait_minutes"]
    assert wait["value"] == 60.0
    factor = math.exp(12.706204736 * 30.0 / 60.0)  # t, 1 degree of freedom; on the log scale
    assert (wait["low"], wait["high"]) == pytest.approx((60.0 / factor, 60.0 * factor))
    assert found["p90_wait_minutes"] == pytest.approx(84.0)  # 30 + .9 * 60
    assert found["share_left_unseen"]["value"] == pytest.approx(1 / 3)
