"""``grpo scenario``: what it prints, its exit status, and mistakes named at their fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grpo.environments.hospital.review.scenario_review import review_scenario
from grpo.environments.hospital.scenario import Scenario, list_scenarios, load_scenario
from service.api.scenario_views import scenario_schema, view_review
from service.cli import app
from tests.grpo.hospital.bad_scenarios import MISTAKES, Mistake, bad_document, good_document


def grpo(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["scenario", *(str(part) for part in arguments)], input=given)


def write(folder: Path, document: Any) -> Path:
    path = folder / "scenario.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_printed_with_its_field(mistake: Mistake, tmp_path: Path) -> None:
    file = write(tmp_path, bad_document(mistake))
    result = grpo("check", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert any(line.startswith(f"error: {mistake.pointer}:") for line in result.stderr.splitlines())
    assert mistake.words in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.output
    plain = json.loads(grpo("check", file, "--json").stdout)
    assert plain["valid"] is False
    assert mistake.pointer in {error["pointer"] for error in plain["errors"]}


def test_every_mistake_of_single_fields_is_printed_at_once(tmp_path: Path) -> None:
    document = good_document() | {"mix_by": "No Name", "review_minutes": 3}
    document["pools"][0]["capacity"]["value"] = 0
    lines = grpo("check", write(tmp_path, document)).stderr.splitlines()
    named = {line.split(":")[1].strip() for line in lines}
    assert named == {"/mix_by", "/review_minutes", "/pools/0/capacity/value"}


@pytest.mark.parametrize(
    ("content", "words"), [("{", "is not JSON"), ("[]", "no JSON object"), (None, "No such file")]
)
def test_what_is_no_document_gets_one_line(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "scenario.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = grpo("check", path)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_beginning_is_valid_can_be_checked_from_a_pipe_and_is_commented() -> None:
    begun = grpo("new", "--name", "st_mary")
    assert begun.exit_code == 0
    document = json.loads(begun.stdout)
    assert Scenario.parse(document).name == "st_mary"
    checked = grpo("check", "-", "--strict", given=begun.stdout)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert document["pools"][0]["plan"]["source"].startswith("Optional. Staffed spaces by hour")
    assert max(map(len, begun.stdout.splitlines())) < 500


@pytest.mark.parametrize("name", list_scenarios())
def test_a_built_in_scenario_is_a_beginning_under_another_name(name: str) -> None:
    begun = Scenario.model_validate_json(grpo("new", "--from", name).stdout)
    assert begun == load_scenario(name).model_copy(update={"name": "our_hospital"})


@pytest.mark.parametrize(
    ("arguments", "words"), [(("--from", "moon_base"), "moon_base"), (("--name", "A B"), "/name")]
)
def test_a_beginning_from_nothing_gets_one_line(arguments: tuple[str, ...], words: str) -> None:
    result = grpo("new", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr


def test_a_check_prints_loads_by_pool_and_hour_and_what_is_assumed(tmp_path: Path) -> None:
    document = good_document()
    document["arrivals"]["visits_per_day"]["value"] = 80.0
    file = write(tmp_path, document)
    text = grpo("check", file).stdout
    review = review_scenario(Scenario.parse(document))
    space = review.load.pools[0]
    lines = [line.split() for line in text.splitlines()]
    row = [
        "ed_space",
        f"{space.mean_offered:.2f}",
        f"{space.mean_staffed:.2f}",
        f"{space.load:.2f}",
    ]
    assert any(line[:4] == row for line in lines)
    noon = space.offered.reshape(7, 24).mean(axis=0)[12]
    assert any(line[:4] == ["12", f"{noon:.1f}", "/", "8"] for line in lines)
    assert "warning: /pools/0: ed_space is asked for" in text
    assert "  /acuities/0/cost_per_hour: What an hour of waiting costs" in text
    assert grpo("check", file, "--strict").exit_code == 2
    plain = json.loads(grpo("check", file, "--json").stdout)
    shown = view_review(review).model_dump(mode="json")
    assert {name: plain[name] for name in shown} == shown
    assert (plain["valid"], plain["errors"]) == (True, [])
    assert len(plain["assumed"]) == plain["basis_counts"]["assumed"]


def test_a_built_in_scenario_is_checked_by_its_name() -> None:
    result = grpo("check", "rural_hospital")
    assert result.exit_code == 0
    assert result.stdout.startswith("rural_hospital: valid")


def test_the_schema_is_printed() -> None:
    assert json.loads(grpo("schema").stdout) == scenario_schema()
