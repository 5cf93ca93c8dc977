"""``grpo simulate | compare | tune``: dispatch rules and policies on simulated patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grpo.environments.hospital.rules.rule_specs import PLAIN_RULES, RULE_KINDS
from service.comparison_table import print_comparison
from service.counting import counting
from service.files import write_whole
from service.process import use_kernel_cache
from service.rule_comparison import run_comparison
from service.rule_options import read_policies, read_rule, read_rules, read_scenario
from service.rule_simulation import check_trace, print_summary, run_simulation, write_events
from service.terminal import Home, fail, one_line_errors, read_settings

if TYPE_CHECKING:
    from grpo.environments.hospital.scenario import Scenario

app = typer.Typer()

ScenarioName = Annotated[
    str, typer.Option("--scenario", help="A built-in scenario's name, or a file FILE.json.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the patients.")]
Groups = Annotated[
    str | None, typer.Option(help="Attributes, comma between. Default: the one mixes go by.")
]
Weight = Annotated[float, typer.Option(min=0, max=1, help="w of (1 - w) all + w worst group.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="Judge groups as they come, not adjusted for acuity.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def simulate(
    scenario: ScenarioName = "rural_hospital",
    rule: Annotated[
        str, typer.Option(help=f"{', '.join(RULE_KINDS)}, or a file FILE.json that declares one.")
    ] = "fcfs",
    rates: Annotated[
        str | None, typer.Option(help="Of apq, by acuity or class: 4,2,1. Default: 1 / target.")
    ] = None,
    credits_: Annotated[
        str | None, typer.Option("--credits", help="Of apq, priority on arrival: 1,0,0.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Rule below a reservation or a head start. Default: fcfs.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Of a reservation, units kept from an acuity: 4:ed_space=2. Repeatable."),
    ] = None,
    hours_per_step: Annotated[
        float | None, typer.Option(help="Of a head start, hours for each step of the groups.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Judged time.", min=1e-3, max=100_000)] = 336.0,
    warmup_hours: Annotated[float, typer.Option(min=0, max=10_000)] = 72.0,
    replications: Annotated[int, typer.Option(min=1, max=10_000)] = 16,
    seed: Seed = 1,
    trace: Annotated[
        Path | None,
        typer.Option(help="Also write every event of the first replication, as JSON lines."),
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Run a dispatch rule in a scenario and print how patients fared; the same seed, the same."""
    with one_line_errors():
        use_kernel_cache(read_settings(home=home))
        options = {"rates": rates, "credits": credits_, "base": base}
        spec = read_rule(rule, **options, keep=keep, hours_per_step=hours_per_step)
        hospital = read_scenario(scenario)
        if trace is not None:
            check_trace(hospital, warmup_hours + hours, trace)
        found = run_simulation(hospital, spec, hours, warmup_hours, replications, seed)
        if trace is not None:
            write_events(hospital, spec, warmup_hours + hours, seed, trace)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        else:
            print_summary(found)


@app.command()
def compare(
    scenario: ScenarioName = "rural_hospital",
    rules: Annotated[
        str,
        typer.Option(help=f"Names or files FILE.json, comma between: {', '.join(PLAIN_RULES)}."),
    ] = "fcfs,strict_acuity,apq,c_mu,c_mu_theta,gc_mu",
    policy: Annotated[
        list[Path] | None, typer.Option(help="A trained policy NAME.safetensors. Repeatable.")
    ] = None,
    groups: Groups = None,
    weight: Weight = 0.5,
    raw: Raw = False,
    hours: Annotated[
        float | None,
        typer.Option(min=1, max=100_000, help="Judged time. Default: 30 days, 60 with wards."),
    ] = None,
    warmup_hours: Annotated[
        float | None, typer.Option(min=0, max=10_000, help="Default: 3 days, 14 with wards.")
    ] = None,
    replications: Annotated[int, typer.Option(min=2, max=10_000)] = 30,
    seed: Seed = 1,
    picture: Annotated[Path | None, typer.Option(help="Also draw NAME.png, .svg or .pdf.")] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Compare rules and policies with the first, on the same patients; 95% paired intervals."""
    with one_line_errors():
        use_kernel_cache(read_settings(home=home))
        if picture is not None and not is_writable(picture, ".png", ".svg", ".pdf"):
            fail(f"--picture: {picture} is no .png, .svg or .pdf in a folder that exists")
        hospital = read_scenario(scenario)
        found = run_comparison(
            hospital,
            read_rules(rules),
            read_policies(policy or []),
            group_by=list_groups(groups, hospital),
            raw=raw,
            weight=weight,
            hours=(warmup_hours, hours),
            replications=replications,
            seed=seed,
            picture=picture,
        )
        if as_json:
            typer.echo(found.model_dump_json(indent=2))
        else:
            print_comparison(found)


@app.command()
def tune(
    out: Annotated[Path, typer.Option(help="Where the rule goes: NAME.json, for --rule.")],
    scenario: ScenarioName = "rural_hospital",
    weight: Weight = 0.5,
    groups: Groups = None,
    raw: Raw = False,
    evaluations: Annotated[int, typer.Option(min=1, max=1_000_000)] = 600,
    patients: Annotated[
        int, typer.Option(min=100, max=10_000_000, help="That judge each step of the search.")
    ] = 40_000,
    credits_: Annotated[
        bool, typer.Option("--credits/--no-credits", help="May classes have a head start?")
    ] = True,
    reservations: Annotated[bool, typer.Option(help="May units be kept free?")] = True,
    seed: Seed = 1,
    home: Home = None,
) -> None:
    """Search for the index rule with the least (1 - w) everybody + w worst group; write it.

    Prints how it compares, on patients that the search never saw, with the rule it began at.
    """
    with one_line_errors():
        use_kernel_cache(read_settings(home=home))
        # Only here, after the kernels' folder is set.
        from grpo.tuning.search import TuningPlan, count_evaluations  # noqa: PLC0415
        from grpo.tuning.search import tune as run  # noqa: PLC0415

        if not is_writable(out, ".json"):
            fail(f"--out: {out} is no NAME.json in a folder that exists")
        hospital = read_scenario(scenario)
        plan = TuningPlan(
            group_by=list_groups(groups, hospital),
            weight=weight,
            group_target="raw" if raw else "standardised",
            evaluations=evaluations,
            patients=patients,
            with_credits=credits_,
            with_reservations=reservations,
            seed=seed,
        )
        with counting(count_evaluations(plan), "rules") as advance:
            tuned = run(hospital, plan, advance)
        write_whole(out, tuned.rule.model_dump_json(indent=2).encode())
        print_comparison(tuned.comparison)
        typer.echo(out)


def is_writable(path: Path, *endings: str) -> bool:
    """Say whether a file of one of these endings could be written there, before work begins."""
    return path.suffix in endings and path.absolute().parent.is_dir()


def list_groups(names: str | None, scenario: Scenario) -> tuple[str, ...]:
    """Return the attributes that were named, or the one that the scenario mixes by."""
    return tuple(names.split(",")) if names else (scenario.mix_by,)
