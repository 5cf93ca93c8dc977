"""What ``grpo simulate`` does: run a rule, sum up, and write down every event where asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.environments.hospital.rules.rule_specs import RuleSpec
from grpo.errors import InputError
from service.counting import counting
from service.files import write_whole
from service.terminal import fail, output

if TYPE_CHECKING:
    from grpo.environments.hospital.scenario import Scenario

MOST_TRACED = 200_000
"""Patients of a trace: about a kilobyte of JSON each."""


def run_simulation(
    scenario: Scenario,
    spec: RuleSpec,
    hours: float,
    warmup_hours: float,
    replications: int,
    seed: int,
) -> dict[str, Any]:
    """Simulate and summarise; what was asked comes first.

    Raises:
        InputError: the rule does not fit the scenario.
    """
    # Only here, after the kernels' folder is set.
    from grpo.comparison.contenders import (  # noqa: PLC0415
        Design,
        check_size,
        make_contenders,
        run_contender,
    )
    from grpo.comparison.summary import summarise  # noqa: PLC0415

    [contender] = make_contenders(scenario, [spec], {})
    design = Design(replications, seed, warmup_hours, hours)
    check_size(contender.compiled, design)
    with counting(replications, "replications") as advance:
        log = run_contender(contender, design, lambda count: advance(contender.label, count))
    asked = {
        "scenario": scenario.name,
        "rule": spec.label,
        "declared": spec.model_dump(mode="json"),
        "hours": hours,
        "warmup_hours": warmup_hours,
        "replications": replications,
        "seed": seed,
    }
    return asked | summarise(log, contender.compiled)


def check_trace(scenario: Scenario, hours: float, path: Path) -> None:
    """Refuse a trace that could not be written, before work begins.

    Raises:
        InputError: more patients than a trace is meant for.
        typer.Exit: there is no such folder.
    """
    if not path.absolute().parent.is_dir():
        fail(f"--trace: {path} is in no folder that exists")
    expected = scenario.arrivals.visits_per_day.value / 24 * hours
    if expected > MOST_TRACED:
        raise InputError.single(
            "/trace",
            f"{hours:g} hours hold about {expected:,.0f} patients",
            allowed=f"at most {MOST_TRACED:,}: {int(hours * MOST_TRACED / expected)} hours",
        )


def write_events(scenario: Scenario, spec: RuleSpec, hours: float, seed: int, path: Path) -> None:
    """Write every event of the first replication, its warm-up included, as JSON lines.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    # Only here, after the kernels' folder is set.
    from grpo.comparison.contenders import make_contenders  # noqa: PLC0415
    from grpo.environments.hospital.event_trace import trace_episode, write_trace  # noqa: PLC0415
    from grpo.environments.hospital.rules.dispatch_rules import make_rule  # noqa: PLC0415

    [contender] = make_contenders(scenario, [spec], {})
    text = io.StringIO()
    rule = make_rule(spec, contender.compiled)
    trace = trace_episode(contender.compiled, rule, seed=seed, horizon_hours=hours)
    write_trace(contender.compiled, trace, text)
    write_whole(path, text.getvalue().encode())


def print_summary(found: dict[str, Any]) -> None:
    """Print a summary for people: one line per number."""

    def show(name: str, ratio: dict[str, float | None]) -> None:
        value, low, high = ratio["value"], ratio["low"], ratio["high"]
        text = "nobody" if value is None else f"{value:.3g}"
        if low is not None and high is not None:
            text += f"  ({low:.3g} to {high:.3g})"
        elif value in (0, 1) and found["replications"] > 1:
            text += "  (in every replication, so no interval)"
        elif value is not None:
            text += "  (one replication only, so no interval)"
        output.print(f"{name:<34}{text}", highlight=False)

    output.print(
        f"{found['rule']} in {found['scenario']}: {found['patients']} patients in "
        f"{found['replications']} x {found['hours']:g} h, 95% intervals (Student's on a log "
        "scale, of the share on a logit scale)",
        highlight=False,
    )
    show("cost per patient", found["cost_per_patient"])
    show("mean wait, minutes", found["mean_wait_minutes"])
    show("share left unseen", found["share_left_unseen"])
    for acuity, ratio in found["mean_wait_minutes_by_acuity"].items():
        show(f"mean wait of acuity {acuity}, minutes", ratio)
