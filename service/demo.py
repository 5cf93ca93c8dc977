"""The demonstration: two trainings over REST, their fairness side by side, and one decision."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from grpo.fairness.compare import compare_reports
from grpo.fairness.report import Arm, ArmName, FairnessReport, MetricName
from grpo.fairness.statements import describe_difference
from service.api.schemas import Job
from service.client import GRPOClient, GRPOClientError
from service.embedded import EmbeddedError, EmbeddedService
from service.process import use_kernel_cache
from service.progress import follow_jobs
from service.rendering import (
    describe_decision,
    print_gaps,
    print_outcomes,
    print_ranking,
    print_statements,
)
from service.settings import Settings

DEFAULT_HOME = Path(".grpo") / "demo"
DEFAULT_TIMESTEPS = 3_500_000
DEFAULT_EPISODES = 2000  # 512 leave differences of 2% of the cost inside their intervals
PIPE_WIDTH = 110
ROBUST, PLAIN = "weight 0.5", "weight 0"
WEIGHTS = {ROBUST: 0.5, PLAIN: 0.0}
SHOWN: tuple[MetricName, ...] = (
    "cost_per_patient",
    "standardised_cost",
    "mean_wait_minutes",
    "p90_wait_minutes",
    "share_within_target",
    "left_unseen",
)
WAITING_ROOM: dict[str, Any] = {
    "time": "2026-11-23T18:40:00+01:00",
    "resources": [
        {"pool": "ed_space", "capacity": 6, "free": 2},
        {"pool": "nurse_unit", "capacity": 12, "free": 6},
        {"pool": "ward_bed", "capacity": 12, "free": 3},
        {"pool": "swing_bed", "capacity": 4, "free": 4},
        {"pool": "transfer_crew", "capacity": 2, "free": 2},
    ],
    "patients": [
        {"id": patient, "age": age, "acuity": acuity, "predicted_stay_band": band,
         "waiting_minutes": minutes}
        for patient, age, acuity, band, minutes in (
            ("p01", 71, 3, "long", 85.0),
            ("p02", 6, 4, "short", 118.0),
            ("p03", 34, 4, "short", 102.0),
            ("p04", 58, 2, "long", 9.0),
            ("p05", 82, 3, "long", 47.0),
            ("p06", 2, 3, "short", 41.0),
            ("p07", 45, 5, "short", 130.0),
            ("p08", 67, 2, "short", 4.0),
            ("p09", 27, 3, "short", 22.0),
            ("p10", 15, 4, "long", 63.0),
        )
    ],
}  # fmt: skip


class DemoError(Exception):
    """The demonstration cannot go on; the message says why and where to look."""


def make_demo_config(weight: float, timesteps: int, episodes: int) -> dict[str, Any]:
    """Write the body of ``POST /jobs`` for one of the two trainings."""
    return {
        "environment": {"kind": "hospital", "scenario": "rural_hospital"},
        "grouping": {"kind": "attribute", "attributes": ["age_group"]},
        "algorithm": {"group_robustness_weight": weight},
        "budget": {"total_timesteps": timesteps},
        "seed": 1,
        "evaluation": {"episodes": episodes},
    }


def run_demo(
    *,
    home: Path = DEFAULT_HOME,
    timesteps: int = DEFAULT_TIMESTEPS,
    episodes: int = DEFAULT_EPISODES,
    console: Console | None = None,
) -> int:
    """Run the whole demonstration and stop everything that it started.

    Args:
        home: folder for its records, apart from those of ``grpo serve``.
        timesteps: training budget of each of the two policies.
        episodes: judged episodes of each report.
        console: where to print.

    Returns:
        Exit status: 0, 1 if something failed, 130 after Ctrl-C.
    """
    console = console or Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        settings = Settings(
            home=home, database_url="", broker_url="", host="127.0.0.1", port=0, api_key=None,
            log_level="warning", worker_concurrency=len(WEIGHTS),
            max_timesteps=max(timesteps, 200_000_000),
        )  # fmt: skip
        # Compiled kernels are the same for everybody: keep them where `grpo serve` does.
        use_kernel_cache(settings.model_copy(update={"home": DEFAULT_HOME.parent}))
        with EmbeddedService(settings, logs=home / "logs") as service:
            console.print(f"Starting the service at {service.url} ({service.url}/docs) ...")
            service.wait_ready()
            with service.client() as client:
                _demonstrate(client, home, timesteps, episodes, console)
    except KeyboardInterrupt:
        console.print("Interrupted: the trainings were cancelled and the service is stopped.")
        return 130
    except (DemoError, EmbeddedError, GRPOClientError) as error:
        console.print(f"The demonstration failed: {error}", style="red", highlight=False)
        console.print(f"The logs are in {home / 'logs'}.", highlight=False)
        return 1
    console.print("Done. The service that the demonstration started is stopped.")
    return 0


def _demonstrate(
    client: GRPOClient, home: Path, timesteps: int, episodes: int, console: Console
) -> None:
    """Train, compare, act."""
    _cancel_unfinished(client)
    try:
        jobs = {
            label: client.submit(make_demo_config(weight, timesteps, episodes))
            for label, weight in WEIGHTS.items()
        }
        console.print(
            f"Two trainings of {timesteps:,} steps for the rural hospital, same seed: "
            f"{', '.join(f'{label} as job {job.id}' for label, job in jobs.items())}.",
            highlight=False,
        )
        jobs = follow_jobs(client, jobs, console)
    except BaseException:
        # Also on Ctrl-C: a job left queued would be trained by the next demonstration.
        with suppress(GRPOClientError):
            _cancel_unfinished(client)
        raise
    for label, job in jobs.items():
        if job.is_over and job.status != "succeeded":
            _cancel_unfinished(client)
            raise DemoError(f"{label} {job.status} ({job.reason}): {job.detail}")
    reports = {label: _fetch_report(client, job) for label, job in jobs.items()}
    _print_comparison(console, reports)
    _ask_for_a_decision(client, jobs[ROBUST], home, console)


def _cancel_unfinished(client: GRPOClient) -> None:
    """Cancel what this or an earlier, killed demonstration has left behind."""
    for job in client.each_job():
        if not job.is_over:
            client.cancel(job.id)


def _fetch_report(client: GRPOClient, job: Job) -> FairnessReport:
    found = client.fairness(job.id).report
    if found is None:
        raise DemoError(f"job {job.id} succeeded without a fairness report")
    return FairnessReport.model_validate(found)


def _print_comparison(console: Console, reports: dict[str, FairnessReport]) -> None:
    """Print both policies and the rules side by side, and what their differences support."""
    robust, plain = reports[ROBUST], reports[PLAIN]
    facts = robust.provenance
    titles: dict[ArmName, str] = {"fcfs": "FCFS", "strict_acuity": "strict acuity"}
    arms: dict[str, Arm] = {label: report.policy for label, report in reports.items()}
    arms |= {titles[arm.name]: arm for arm in robust.arms if arm.name in titles}
    console.rule("Fairness by age group", style="dim")
    console.print(
        f"Every column faces the same patients: {facts.episodes} episodes of "
        f"{facts.horizon_hours or 0:g} hours, seed {facts.evaluation_seed}. In brackets: "
        f"{100 * facts.confidence:g}% intervals over whole episodes.",
        highlight=False,
    )
    print_outcomes(console, arms, SHOWN)
    start = robust.arm("start_rule")
    print_gaps(console, arms | ({start.label: start} if start else {}), facts.judged_by)
    console.rule("What that supports", style="dim")
    said = [*_describe_cost(PLAIN, plain, titles), *_describe_cost(ROBUST, robust, titles)]
    paired = compare_reports(robust, plain, label=ROBUST, against_label=PLAIN)
    print_statements(console, [*said, *paired.statements])
    console.print(
        "One training seed each: the intervals cover the patients' chance, not the training's.",
        style="dim",
    )


def _describe_cost(label: str, report: FairnessReport, titles: Mapping[ArmName, str]) -> list[str]:
    """Say how much a policy costs everybody against each rule, and if it is a rule itself."""
    said = []
    if report.provenance.served == "rule":
        said.append(f"{label}: training did not beat the starting rule, which is served instead.")
    for difference in report.differences:
        rule = report.arm(difference.against)
        about = (difference.group, difference.metric)
        if about == ("everybody", "cost_per_patient") and rule is not None and rule.name in titles:
            of = rule.everybody.metrics["cost_per_patient"].value
            subject = f"{label}: cost per patient"
            said.append(describe_difference(subject, titles[rule.name], difference, of=of))
    return said


def _ask_for_a_decision(client: GRPOClient, job: Job, home: Path, console: Console) -> None:
    """Send a waiting room to the robust policy and print the decision and how to repeat it."""
    if job.policy_id is None:
        raise DemoError(f"job {job.id} succeeded without a policy")
    patients = {patient["id"]: patient for patient in WAITING_ROOM["patients"]}
    decision = client.act(job.policy_id, WAITING_ROOM)
    console.rule(f"A decision of the policy trained with {ROBUST}", style="dim")
    free = " and ".join(
        f"{r['free']} of {r['capacity']} {r['pool'].replace('_', ' ')}"
        for r in WAITING_ROOM["resources"]
    )
    console.print(f"{len(patients)} patients wait; free: {free}.", highlight=False)
    print_statements(console, describe_decision(decision, patients))
    print_ranking(console, decision, patients)
    console.print("The decision as JSON (its ranking is the table above):")
    shown = {key: value for key, value in decision.items() if key != "ranking"}
    console.print_json(json.dumps(shown))
    body = home / "waiting_room.json"
    aside = body.with_suffix(".tmp")
    aside.write_text(json.dumps(WAITING_ROOM, indent=2) + "\n", encoding="utf-8")
    aside.replace(body)
    console.print("To repeat it, start the service on the demonstration's records in one shell:")
    console.print(f"  GRPO_HOME={home} make serve", highlight=False, soft_wrap=True)
    console.print("and ask in another:")
    console.print(
        f"  curl -s http://127.0.0.1:8000/policy/{job.policy_id}/act "
        f"-H 'content-type: application/json' -d @{body}",
        highlight=False,
        soft_wrap=True,
    )
