"""Rules from the command line: what is declared, what is printed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grpo.comparison.judging import Judge
from grpo.comparison.report import RuleComparison
from grpo.environments.hospital.rules.rule_specs import TunedIndex, parse_rule
from grpo.environments.hospital.scenario import load_scenario
from service import comparison_table
from service.cli import app

SHORT = ("--hours", 48, "--warmup-hours", 12, "--replications", 3)


def grpo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_rule_is_declared_by_options_or_by_a_file_alike(tmp_path: Path) -> None:
    options = ("--base", "apq", "--rates", "5,4,3,2,1", "--keep", "4:ed_space=1", "--keep",
               "5:ed_space=2")  # fmt: skip
    by_options = read(grpo("simulate", "--rule", "reservation", *options, *SHORT, "--json"))
    declared = {
        "kind": "reservation",
        "base": {"kind": "apq", "rates": [5, 4, 3, 2, 1]},
        "keep": {"4": {"ed_space": 1}, "5": {"ed_space": 2}},
    }
    assert parse_rule(by_options["declared"]) == parse_rule(declared)
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(declared), encoding="utf-8")
    assert read(grpo("simulate", "--rule", file, *SHORT, "--json")) == by_options


def test_a_trace_holds_every_event_of_the_first_replication(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    read(grpo("simulate", "--rule", "c_mu", *SHORT, "--trace", file, "--json"))
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    hours = [event["hours"] for event in events]
    assert hours == sorted(hours)
    assert 0 <= hours[0] < hours[-1] <= 60
    patients = {event["patient"] for event in events if event["event"] == "arrived"}
    started = [e["patient"] for e in events if e["event"] == "started" and e["class"][:3] == "ed."]
    assert len(patients) > 20
    assert 0 < len(started) == len(set(started))
    assert set(started) <= patients
    assert all("ed_space" in event["pools"] for event in events)
    too_long = grpo("simulate", "--hours", 100_000, "--replications", 1, "--scenario",
                    "urban_hospital", "--trace", file)  # fmt: skip
    assert too_long.exit_code == 1
    assert "/trace: 100072 hours hold about" in too_long.stderr


def test_a_head_start_is_simulated_with_groups_in_sight() -> None:
    plain, none, large = (
        read(grpo("simulate", *rule, *SHORT, "--json"))["cost_per_patient"]["value"]
        for rule in (
            ("--rule", "fcfs"),
            ("--rule", "head_start", "--hours-per-step", 0),
            ("--rule", "head_start", "--hours-per-step", 5),
        )
    )
    assert none == plain != large


def test_the_scenario_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(load_scenario("rural_hospital").model_dump_json(), encoding="utf-8")
    by_file = read(grpo("simulate", "--scenario", file, *SHORT, "--json"))
    by_name = read(grpo("simulate", *SHORT, "--json"))
    assert by_file["cost_per_patient"] == by_name["cost_per_patient"]


def test_a_comparison_prints_tables_that_line_up_and_draws_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "rules.png"
    result = grpo("compare", "--rules", "fcfs,c_mu,random", *SHORT, "--picture", picture)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert picture.read_bytes().startswith(b"\x89PNG")
    for first in ("┃ rule", "│ fcfs", "│ c_mu"):
        assert any(line.startswith(first) for line in lines)
    rows = [line for line in lines if line[:1] in "│┃"]
    widths = {len(line) for line in rows}
    assert max(widths) <= comparison_table.LEAST_WIDTH
    assert len(widths) <= 4, "every table has one width"
    assert not any("…" in line for line in lines)
    assert "not distinguishable" in result.stdout
    assert "Warm-up of 12 h" in result.stdout


def test_a_comparison_as_json_is_the_library_s() -> None:
    command = ("compare", "--rules", "fcfs,worst_group_first", *SHORT, "--weight", 0.25, "--json")
    found = RuleComparison.model_validate(read(grpo(*command)))
    assert [contender.label for contender in found.contenders] == ["fcfs", "worst_group_first"]
    assert (found.replications, found.warmup_hours, found.horizon_hours) == (3, 12.0, 48.0)
    assert found.group_by == ("age_group",)
    assert found.group_robustness_weight == 0.25


def test_a_tuned_rule_is_written_simulated_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "tuned.json"
    tuned = grpo("tune", "--out", file, "--evaluations", 1, "--patients", 300, "--weight", 0.25)
    assert tuned.exit_code == 0, tuned.output
    assert tuned.stdout.splitlines()[-1].endswith("tuned.json")
    rule = TunedIndex.model_validate_json(file.read_bytes())
    assert rule.tuning is not None
    assert rule.tuning.group_robustness_weight == 0.25
    simulated = read(grpo("simulate", "--rule", file, *SHORT, "--json"))
    assert simulated["rule"] == "tuned w=0.25"
    compared = read(grpo("compare", "--rules", f"c_mu,{file}", *SHORT, "--json"))
    assert [contender["label"] for contender in compared["contenders"]] == ["c_mu", "tuned w=0.25"]


def test_ctrl_c_ends_a_comparison_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Judge, "judge", press)
    picture = tmp_path / "rules.png"
    result = grpo("compare", "--rules", "fcfs,c_mu", *SHORT, "--picture", picture)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: stopped; nothing was written\n"
    assert not picture.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulate", "--rule", "apq", "--rates", "4,x"), "/rule/rates/1: is no number"),
        (("simulate", "--rule", "apq", "--rates", "4,-1"), "/rule/rates/1: Input should be"),
        (("simulate", "--rule", "fcfs", "--rates", "4,2"), "/rule/rates: Extra inputs"),
        (("simulate", "--rule", "reservation"), "/rule/keep: Field required"),
        (("simulate", "--rule", "reservation", "--keep", "4"), "/rule/keep/0: names an acuity"),
        (("simulate", "--rule", "reservation", "--keep", "4:moon=1"), "/rule/keep/4/moon"),
        (("simulate", "--rule", "head_start"), "/rule/hours_per_step: Field required"),
        (("simulate", "--rule", "no.json"), "no.json: No such file"),
        (("compare", "--rules", ","), "/rules: name one"),
        (("compare", "--rules", "fcfs,luck"), "/rule/kind"),
        (("compare", "--rules", "fcfs,fcfs"), "/rules/1: is there twice"),
        (("compare", "--groups", "moon"), "no such attribute"),
        (("compare", "--policy", "no.safetensors"), "No such file"),
        (("compare", "--picture", "rules.gif"), "is no .png"),
        (("simulate", "--trace", "/no/such/folder/events"), "in no folder that exists"),
        (("tune", "--out", "rule.txt"), "is no NAME.json"),
        (("tune", "--out", "/no/such/folder/rule.json"), "is no NAME.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_gets_one_line(arguments: tuple[object, ...], words: str) -> None:
    result = grpo(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr
