"""The demonstration without its trainings: what it prints, and how it ends."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from rich.console import Console

import service.demo
from grpo.fairness.assessment import assess_patients
from grpo.fairness.report import FairnessReport
from service.api import examples
from service.api.schemas import Fairness, Iteration, Job
from service.database import Database
from service.demo import PLAIN, ROBUST, WAITING_ROOM, make_demo_config, run_demo
from service.embedded import EmbeddedError, EmbeddedService
from service.progress import describe_state, follow_jobs
from service.rendering import describe_decision, print_ranking
from service.settings import Settings
from tests.grpo.fairness.records import LABELS, draw_patients, make_provenance
from tests.service.support import HOSPITAL_JOB, running_api, store_policy

ITERATION = Iteration.model_validate(examples.ITERATION)
RUNNING = Job.model_validate(examples.JOB)
DECISION = examples.DECISION | {
    "assignments": [examples.DECISION["assignments"][0] | {"patient": "p04"}],
    "ranking": [examples.DECISION["ranking"][0] | {"patient": "p04"}],
}


def make_report(weight: float, effect: float) -> FairnessReport:
    arms: dict[Any, Any] = {
        "policy": draw_patients(5, effect=effect, level=0.8),
        "fcfs": draw_patients(5),
        "strict_acuity": draw_patients(5, level=1.1),
    }
    return assess_patients(arms, LABELS, make_provenance(group_robustness_weight=weight))


class FakeClient:
    """A service whose jobs go through a list of states, one per look."""

    def __init__(self, states: list[dict[str, Any]], effect: float = 1.0) -> None:
        self.states, self.effect = states, effect
        self.looks: dict[str, int] = {}
        self.weights: dict[str, float] = {}
        self.cancelled: list[str] = []
        self.acted: list[Any] = []

    def submit(self, config: dict[str, Any]) -> Job:
        name = f"job-{len(self.looks)}"
        self.looks[name] = 0
        self.weights[name] = config["algorithm"]["group_robustness_weight"]
        return self.job(name)

    def job(self, job_id: str) -> Job:
        state = self.states[min(self.looks[job_id], len(self.states) - 1)]
        self.looks[job_id] += 1
        return RUNNING.model_copy(update={"id": job_id} | state)

    def each_job(self) -> Iterator[Job]:
        return (self.job(name) for name in list(self.looks))

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def metrics(self, job_id: str, *, after: int) -> list[Iteration]:
        assert job_id in self.looks
        return [ITERATION] if after < ITERATION.iteration else []

    def fairness(self, job_id: str) -> Fairness:
        weight = self.weights[job_id]
        report = make_report(weight, 0.0 if weight else self.effect)
        return Fairness(
            job_id=job_id,
            status="succeeded",
            final=True,
            latest=None,
            report=report.model_dump(mode="json"),
        )

    def act(self, policy_id: str, body: Any) -> dict[str, Any]:
        self.acted.append((policy_id, body))
        return DECISION

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


SUCCEEDED = {"status": "succeeded", "policy_id": "policy-1"}
Demonstrate = Callable[[FakeClient], tuple[int, str, list[str]]]


@pytest.fixture
def demonstrate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Demonstrate:
    """Run the demonstration against a fake service; returns status, output and what was done."""
    monkeypatch.setattr("service.progress.POLL_SECONDS", 0.0)
    monkeypatch.setenv("GRPO_DATABASE_URL", "postgresql://of-the-user/not-to-be-touched")
    monkeypatch.setenv("GRPO_API_KEY", "not-to-be-used-here")

    def run(client: FakeClient) -> tuple[int, str, list[str]]:
        done: list[str] = []

        class FakeService:
            url = "http://127.0.0.1:1"

            def __init__(self, settings: Any, logs: Path) -> None:
                assert settings.sqlalchemy_url.startswith(f"sqlite:///{tmp_path}")
                assert settings.api_key is None
                assert settings.port == 0
                assert logs == tmp_path / "logs"

            def __enter__(self) -> Self:
                done.append("started")
                return self

            def __exit__(self, *exception: object) -> None:
                done.append("stopped")

            def wait_ready(self) -> None:
                pass

            def client(self) -> FakeClient:
                return client

        monkeypatch.setattr(service.demo, "EmbeddedService", FakeService)
        file = io.StringIO()
        status = run_demo(home=tmp_path, timesteps=1_000, console=Console(file=file, width=110))
        return status, file.getvalue(), done

    return run


def test_the_demonstration_trains_compares_and_asks(
    demonstrate: Demonstrate, tmp_path: Path
) -> None:
    client = FakeClient([{}, {}, SUCCEEDED])
    status, output, done = demonstrate(client)
    assert status == 0
    assert done == ["started", "stopped"]
    assert sorted(client.weights.values()) == [0.0, 0.5]
    for title in (ROBUST, PLAIN, "FCFS", "strict acuity", "90th percentile wait", "left unseen"):
        assert title in output
    assert client.acted == [("policy-1", WAITING_ROOM)]
    assert "Start p04 now" in output
    body = tmp_path / "waiting_room.json"
    assert f"/policy/policy-1/act -H 'content-type: application/json' -d @{body}" in output
    assert f"GRPO_HOME={tmp_path} make serve" in output
    assert '"p10"' in body.read_text(encoding="utf-8")


def test_a_disparity_that_was_closed_is_claimed_with_its_intervals(
    demonstrate: Demonstrate,
) -> None:
    _, output, _ = demonstrate(FakeClient([SUCCEEDED]))
    text = " ".join(output.split())
    assert "The gap between groups is narrower, -" in text
    assert "the worst group gained" in text


def test_no_disparity_is_claimed_closed_where_there_was_none(demonstrate: Demonstrate) -> None:
    _, output, _ = demonstrate(FakeClient([SUCCEEDED], effect=0.0))
    text = " ".join(output.split())
    assert "no disparity to close" in text
    assert "narrower" not in text


def test_a_failed_training_ends_the_demonstration_with_its_reason(
    demonstrate: Demonstrate,
) -> None:
    failed = {"status": "failed", "reason": "diverged", "detail": "a loss is not finite"}
    client = FakeClient([{}, failed])
    status, output, done = demonstrate(client)
    assert status == 1
    assert done == ["started", "stopped"]
    assert "diverged" in output
    assert "a loss is not finite" in output
    assert client.acted == []


def test_ctrl_c_cancels_the_trainings_and_stops_the_service(
    demonstrate: Demonstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    client = FakeClient([{}])
    monkeypatch.setattr(service.demo, "follow_jobs", interrupt)
    status, output, done = demonstrate(client)
    assert status == 130
    assert done == ["started", "stopped"]
    assert client.cancelled == ["job-0", "job-1"]
    assert "Interrupted" in output
    assert "Traceback" not in output


def test_jobs_left_by_a_killed_demonstration_are_cancelled_first(demonstrate: Demonstrate) -> None:
    client = FakeClient([SUCCEEDED])
    client.looks["old"], client.weights["old"] = 0, 0.0
    client.states = [{}, SUCCEEDED]
    demonstrate(client)
    assert client.cancelled[0] == "old"


def test_a_service_that_cannot_start_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise EmbeddedError("another grpo serve uses this folder")

    monkeypatch.setattr(service.demo, "EmbeddedService", refuse)
    file = io.StringIO()
    assert run_demo(home=tmp_path, console=Console(file=file, width=110)) == 1
    assert "The demonstration failed: another grpo serve uses this folder" in file.getvalue()


def test_the_waiting_room_is_one_that_the_service_decides_on(
    settings: Settings, database: Database
) -> None:
    stored = store_policy(database, HOSPITAL_JOB)
    with running_api(settings) as api:
        answer = api.post(f"/policy/{stored.policy_id}/act", json=WAITING_ROOM)
    assert answer.status_code == 200, answer.text
    decision = answer.json()
    patients = {patient["id"]: patient for patient in WAITING_ROOM["patients"]}
    assert {row["patient"] for row in decision["ranking"]} == set(patients)
    assert 1 <= len(describe_decision(decision, patients)) <= 3
    file = io.StringIO()
    print_ranking(Console(file=file, width=110), decision, patients)
    assert all(patient in file.getvalue() for patient in patients)


def test_the_two_trainings_differ_in_their_weight_alone() -> None:
    robust, plain = make_demo_config(0.5, 10, 4), make_demo_config(0.0, 10, 4)
    assert robust.pop("algorithm") == {"group_robustness_weight": 0.5}
    assert plain.pop("algorithm") == {"group_robustness_weight": 0.0}
    assert robust == plain


def test_the_demonstration_runs_with_real_processes(tmp_path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=110)
    status = run_demo(home=tmp_path / "demo", timesteps=32_768, episodes=4, console=console)
    output = file.getvalue()
    assert status == 0, output
    assert "100%  succeeded" in output
    assert "What that supports" in output
    assert " now (age " in output or "Start nobody now" in output
    # The lock of the folder is free again, so nothing of the service is left.
    with EmbeddedService(Settings(home=tmp_path / "demo", port=0), with_worker=False):
        pass


def test_ctrl_c_on_the_command_line_ends_cleanly_and_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = subprocess.Popen(
        [sys.executable, "-um", "service", "demo", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("weight 0.5:"):
            break
    demo.send_signal(signal.SIGINT)
    rest = demo.communicate(timeout=60)[0]
    assert demo.returncode == 130, rest
    assert "Interrupted: the trainings were cancelled and the service is stopped." in rest
    assert "Traceback" not in rest
    with EmbeddedService(Settings(home=home, port=0), with_worker=False) as again:
        again.wait_ready()
        with again.client() as client:
            assert {job.status for job in client.jobs().data} <= {"cancelled", "cancelling"}


def make_progress(**changes: Any) -> Job:
    return RUNNING.model_copy(update={"progress": RUNNING.progress.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (RUNNING.model_copy(update={"status": "queued"}), "waiting for the worker"),
        (make_progress(phase=None), "starting"),
        (make_progress(phase="compiling"), "compiling (once)"),
        (make_progress(phase="evaluating"), "judging on new patients"),
        (RUNNING, "118,400 steps/s, cost 3.91, worst group 4.60, 12 s left"),
        (RUNNING.model_copy(update={"status": "succeeded"}), "succeeded"),
        (
            RUNNING.model_copy(update={"status": "failed", "reason": "diverged"}),
            "failed: diverged",
        ),
    ],
)
def test_a_jobs_state_in_words(job: Job, words: str) -> None:
    followed = service.progress.Followed("label", job, latest=ITERATION)
    assert describe_state(followed) == words


def test_where_nothing_can_move_jobs_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.progress.POLL_SECONDS", 0.0)
    monkeypatch.setattr("service.progress.LINE_SECONDS", 0.0)
    client: Any = FakeClient([{}, {}, SUCCEEDED])
    file = io.StringIO()
    jobs = {"weight 0": client.submit(make_demo_config(0.0, 10, 4))}
    finished = follow_jobs(client, jobs, Console(file=file, width=110))
    assert finished["weight 0"].status == "succeeded"
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("weight 0:  30%  118,400 steps/s")
    assert lines[-1] == "weight 0: 100%  succeeded"
