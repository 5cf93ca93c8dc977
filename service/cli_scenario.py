"""``grpo scenario check | new | schema | realism``: hospitals as documents, without a service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from grpo.environments.hospital.model.documents import format_document
from grpo.environments.hospital.model.facts import HOURS_PER_DAY
from grpo.environments.hospital.model.provenance import Origin, count_bases
from grpo.environments.hospital.review.published import PUBLISHED
from grpo.environments.hospital.review.scenario_review import (
    ScenarioReview,
    busiest_hour,
    name_hour,
    review_scenario,
)
from grpo.environments.hospital.scenario import (
    Scenario,
    list_scenarios,
    load_scenario,
    starting_point,
)
from grpo.errors import InputError
from service.api.scenario_views import scenario_schema, view_review
from service.files import read_json
from service.process import use_kernel_cache
from service.terminal import Home, errors, one_line_errors, output, read_settings

if TYPE_CHECKING:
    from grpo.environments.hospital.review.realism import Finding

app = typer.Typer(help="Hospitals as documents: check one, begin one.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A scenario as JSON; - reads standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 2 where there is a warning.")] = False,
) -> None:
    """Say whether a scenario is valid, and what it asks of its pools hour by hour.

    FILE may also be the name of a built-in scenario. Exit status: 0 valid, 1 not valid or not
    readable, with --strict 2 valid but with warnings.
    """
    with one_line_errors():
        try:
            scenario = read_scenario(file)
        except InputError as error:
            show_errors(error, as_json=as_json)
            raise typer.Exit(1) from error
        review = review_scenario(scenario)
        if as_json:
            typer.echo(json.dumps(plain_review(scenario, review), indent=2, ensure_ascii=False))
        else:
            print_review(scenario, review)
        raise typer.Exit(2 if strict and review.warnings else 0)


@app.command()
def new(
    origin: Annotated[
        str | None, typer.Option("--from", help="A built-in scenario to begin with.")
    ] = None,
    name: Annotated[str, typer.Option(help="What jobs will call it.")] = "our_hospital",
) -> None:
    """Print a scenario to begin with: valid as it stands, with a comment on every value.

    It is plain JSON that can be posted and checked at any time while it is edited. JSON has no
    comments; what each value means and where to get it stands in its ``source``.
    """
    with one_line_errors():
        begun = starting_point() if origin is None else load_scenario(origin)
        renamed = Scenario.parse(begun.model_dump(mode="json") | {"name": name})
        document = renamed.model_dump(mode="json", exclude_none=True)
        typer.echo(format_document(document), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of scenarios, for editors that complete and check while you write."""
    typer.echo(json.dumps(scenario_schema(), indent=2))


def read_scenario(file: str) -> Scenario:
    """Read a scenario from a file, or a built-in one by its name.

    Raises:
        InputError: it is not valid.
        GRPOError: the file is no JSON object.
        OSError: it cannot be read.
    """
    if file in list_scenarios() and not Path(file).exists():
        return load_scenario(file)
    return Scenario.parse(read_json(Path(file)))


def show_errors(error: InputError, *, as_json: bool) -> None:
    """Print every error with its field."""
    if as_json:
        issues = [
            {"pointer": i.pointer, "message": i.message, "given": i.given, "allowed": i.allowed}
            for i in error.issues
        ]
        typer.echo(json.dumps({"valid": False, "errors": issues}, indent=2, ensure_ascii=False))
        return
    for issue in error.issues:
        errors.print("[red]error:[/red] ", end="")
        errors.print(one_line(issue), soft_wrap=True, highlight=False, markup=False)


def one_line(value: object) -> str:
    """Write a value on one line, what cannot be printed as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def plain_review(scenario: Scenario, review: ScenarioReview) -> dict[str, Any]:
    """Return all that is known as plain data."""
    return {
        "valid": True,
        "errors": [],
        "name": scenario.name,
        **view_review(review).model_dump(mode="json"),
        "basis_counts": count_bases(review.origins),
        "assumed": [
            {"pointer": origin.pointer, "source": origin.source} for origin in assumed(review)
        ],
    }


def assumed(review: ScenarioReview) -> list[Origin]:
    """Return the values that nobody published."""
    return [origin for origin in review.origins if origin.basis == "assumed"]


def print_review(scenario: Scenario, review: ScenarioReview) -> None:
    """Print tables for people."""
    counts = ", ".join(f"{n} {basis}" for basis, n in count_bases(review.origins).items())
    say(f"{scenario.name}: valid; values: {counts}")
    for warning in review.warnings:
        say(f"warning: {warning.pointer}: {warning.message}")
    say("\nunits asked for if nobody had to wait, mean over the week")
    output.print(pool_table(review))
    say("\nthe same by hour of the day: asked for / staffed")
    output.print(hour_table(review))
    say("\npatients if nobody had to wait")
    output.print(stage_table(review))
    for surge in review.surges:
        asked = ", ".join(
            f"{hours:.0f} of {pool} (brings {surge.added_unit_hours.get(pool, 0):.0f})"
            for pool, hours in surge.unit_hours.items()
        )
        say(f"\n{surge.surge}: {surge.patients:g} patients more, unit-hours {asked}")
    say("\nassumed, published by nobody:")
    for origin in assumed(review):
        say(f"  {origin.pointer}: {origin.source}")


def say(text: str) -> None:
    """Print a line as it is."""
    output.print(text, soft_wrap=True, highlight=False, markup=False)


def make_table(first: str, *columns: str) -> Table:
    """Return a table of numbers: the first column left, the others right."""
    table = Table(first, box=None)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def pool_table(review: ScenarioReview) -> Table:
    """Show each pool: means, load, busiest hour."""
    table = make_table("pool", "asked for", "staffed", "load", "busiest hour", "then")
    for pool in review.load.pools:
        hour = busiest_hour(pool)
        table.add_row(
            pool.pool,
            f"{pool.mean_offered:.2f}",
            f"{pool.mean_staffed:.2f}",
            f"{pool.load:.2f}",
            name_hour(hour),
            f"{pool.offered[hour]:.2f} of {pool.staffed[hour]:g}",
        )
    return table


def hour_table(review: ScenarioReview) -> Table:
    """Show each pool by hour of the day, mean over the days of the week."""
    table = make_table("hour", *(pool.pool for pool in review.load.pools))
    days = [
        [np.reshape(values, (-1, HOURS_PER_DAY)).mean(axis=0) for values in (p.offered, p.staffed)]
        for p in review.load.pools
    ]
    for hour in range(HOURS_PER_DAY):
        cells = [f"{offered[hour]:.1f} / {staffed[hour]:g}" for offered, staffed in days]
        table.add_row(str(hour), *cells)
    return table


def stage_table(review: ScenarioReview) -> Table:
    """Show each stage: patients, stay, occupancy."""
    table = make_table("stage", "a day", "mean stay, h", "present", "least", "most")
    for stage in review.load.stages:
        present = stage.occupancy
        table.add_row(
            stage.stage,
            f"{stage.patients_per_day:.2f}",
            f"{stage.mean_stay_hours:.2f}",
            f"{present.mean():.2f}",
            f"{present.min():.2f}",
            f"{present.max():.2f}",
        )
    return table


@app.command()
def realism(
    names: Annotated[
        list[str] | None, typer.Argument(help="Built-in scenarios; all with published figures.")
    ] = None,
    rule: Annotated[str, typer.Option(help="What starts the next patient.")] = "strict_acuity",
    replications: Annotated[int, typer.Option(help="A multiple of 10.", min=10)] = 40,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 1,
    home: Home = None,
) -> None:
    """Hold built-in scenarios against what was published, as Markdown; misses are shown."""
    with one_line_errors():
        use_kernel_cache(read_settings(home=home))
        # Only here, after the kernels' folder is set.
        from grpo.environments.hospital.review.realism import compare_with_published  # noqa: PLC0415

        for name in names or sorted(PUBLISHED):
            found = compare_with_published(name, rule=rule, replications=replications, seed=seed)
            print_findings(name, rule, found)


def print_findings(name: str, rule: str, findings: Sequence[Finding]) -> None:
    """Print a Markdown table of published and simulated figures."""
    hits = sum(finding.is_hit for finding in findings)
    typer.echo(f"\n`{name}`, {rule}: {hits} of {len(findings)} within the band\n")
    typer.echo("| measure | published | band | simulated | |")
    typer.echo("|---|---|---|---|---|")
    for finding in findings:
        published = finding.published
        simulated = f"{finding.value:.3g} ± {finding.standard_error:.2g}"
        verdict = "" if finding.is_hit else "**miss**"
        note = f" ({published.note})" if published.note else ""
        typer.echo(
            f"| {published.label} | {published.value}, {published.source} | "
            f"{published.low:g} to {published.high:g} | {simulated} | {verdict}{note} |"
        )
