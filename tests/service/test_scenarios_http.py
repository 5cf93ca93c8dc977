"""Stored scenarios over HTTP: versions, owners, limits, and jobs that name them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from grpo.environments.hospital.model.provenance import list_origins
from grpo.environments.hospital.scenario import Scenario, list_scenarios, load_scenario
from service.api.example_scenario import SCENARIO
from service.api.scenario_views import scenario_schema
from service.client import GRPOClient, GRPOClientError
from service.database import Database
from service.jobs.models import JobRow
from service.keys.records import Scope
from service.keys.repository import create_key
from service.scenarios.references import Reference
from service.settings import Settings
from tests.backends import Backend
from tests.grpo.hospital.bad_scenarios import MISTAKES, Mistake, bad_document
from tests.service.support import HOSPITAL_JOB, running_api

BOOTSTRAP = "correct-horse-battery-staple"
ROOM = 12
USER = (Scope.JOBS_READ, Scope.JOBS_WRITE)
Headers = dict[str, str]


@pytest.fixture(scope="module")
def settings_of(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("scenarios")
    key = SecretStr(BOOTSTRAP)
    return backend.settings(home, port=0, api_key=key, max_scenarios=ROOM, max_scenario_bytes=8192)


@pytest.fixture(scope="module")
def api(settings_of: Settings) -> Iterator[httpx.Client]:
    with running_api(settings_of) as client:
        yield client


@pytest.fixture(scope="module")
def keys(settings_of: Settings, api: httpx.Client) -> Iterator[Database]:
    database = Database(settings_of)
    yield database
    database.close()


@pytest.fixture
def somebody(keys: Database) -> Headers:
    """A key of an owner whom no other test knows."""
    return key_of(keys, f"u{uuid4().hex}")


def key_of(keys: Database, owner: str, *scopes: Scope) -> Headers:
    token = create_key(keys, owner, scopes or USER)[1]
    return {"Authorization": f"Bearer {token.text}"}


def clinic(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(SCENARIO) | changes


def post(api: httpx.Client, headers: Headers, **changes: Any) -> httpx.Response:
    return api.post("/scenarios", json=clinic(**changes), headers=headers)


def job_on(scenario: Any) -> dict[str, Any]:
    grouping = {"kind": "attribute", "attributes": ["district"]}
    return HOSPITAL_JOB | {
        "environment": {"kind": "hospital", "scenario": scenario},
        "grouping": grouping,
    }


def test_a_change_is_a_new_version_and_a_repetition_is_none(
    api: httpx.Client, somebody: Headers
) -> None:
    first = post(api, somebody)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert first.headers["location"] == "/scenarios/walk_in_clinic?version=1"
    again = post(api, somebody)
    assert (again.status_code, again.json()) == (200, first.json())
    second = post(api, somebody, title="Another title")
    assert (second.status_code, second.json()["version"]) == (201, 2)
    # A return to an earlier document is a change too: versions tell a history.
    third = post(api, somebody)
    assert (third.status_code, third.json()["version"]) == (201, 3)
    for version, title in ((1, "A walk-in clinic"), (2, "Another title"), (3, "A walk-in clinic")):
        found = api.get(f"/scenarios/walk_in_clinic?version={version}", headers=somebody).json()
        assert found["document"]["title"] == title
    newest = api.get("/scenarios/walk_in_clinic", headers=somebody).json()
    assert newest == third.json()


def test_the_whole_document_comes_back_with_the_origin_of_each_value(
    api: httpx.Client, somebody: Headers
) -> None:
    post(api, somebody)
    found = api.get("/scenarios/walk_in_clinic", headers=somebody).json()
    assert Scenario.parse(found["document"]) == Scenario.parse(SCENARIO)
    assert len(found["facts"]) == found["basis_counts"]["assumed"]
    assert found["basis_counts"]["sourced"] == found["basis_counts"]["computed"] == 0
    for fact in found["facts"]:
        inner: Any = found["document"]
        for part in fact["pointer"].split("/")[1:]:
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        assert (inner["basis"], inner["source"]) == (fact["basis"], fact["source"])
    assert json.dumps(found["document"]).count('"basis"') == len(found["facts"])


def test_a_built_in_scenario_is_shown_alike_to_everybody(
    api: httpx.Client, somebody: Headers
) -> None:
    found = api.get("/scenarios/urban_hospital", headers=somebody).json()
    assert (found["built_in"], found["version"], found["owner"]) == (True, None, None)
    assert Scenario.parse(found["document"]) == load_scenario("urban_hospital")
    assert len(found["facts"]) == len(list_origins(load_scenario("urban_hospital")))
    assert min(found["basis_counts"].values()) >= 1


def test_what_belongs_to_another_is_to_the_byte_like_what_is_not_there(
    api: httpx.Client, keys: Database, somebody: Headers
) -> None:
    mine, not_there = f"s{uuid4().hex}", f"s{uuid4().hex}"
    owner = post(api, somebody, name=mine).json()["owner"]
    mallory = key_of(keys, "mallory") | {"X-Request-Id": "r1"}
    for question in ("", "?version=1", "?version=2", f"?owner={owner}", "?owner=mallory"):
        foreign = api.get(f"/scenarios/{mine}{question}", headers=mallory)
        absent = api.get(f"/scenarios/{not_there}{question}", headers=mallory)
        assert (foreign.status_code, absent.status_code) == (404, 404)
        assert foreign.text.replace(mine, not_there) == absent.text
    submitted = [
        api.post("/jobs", json=job_on(name), headers=mallory) for name in (mine, not_there)
    ]
    assert {answer.status_code for answer in submitted} == {422}
    assert submitted[0].text.replace(mine, not_there) == submitted[1].text
    assert mine not in api.get("/scenarios?limit=1000", headers=mallory).text
    # The name is free for her, and an admin tells the two apart.
    assert post(api, mallory, name=mine).json()["version"] == 1
    admin = {"Authorization": f"Bearer {BOOTSTRAP}"}
    assert api.get(f"/scenarios/{mine}", headers=admin).status_code == 404
    for whose in (owner, "mallory"):
        found = api.get(f"/scenarios/{mine}?owner={whose}", headers=admin).json()
        assert found["owner"] == whose
    listed = api.get("/scenarios?limit=1000", headers=admin).json()["data"]
    assert {entry["owner"] for entry in listed if entry["name"] == mine} == {owner, "mallory"}


def test_scopes_are_those_of_jobs(api: httpx.Client, keys: Database) -> None:
    reader, writer = key_of(keys, "rita", Scope.JOBS_READ), key_of(keys, "rita", Scope.JOBS_WRITE)
    assert post(api, reader).status_code == 403
    assert post(api, writer).status_code == 201
    assert api.get("/scenarios/walk_in_clinic", headers=reader).status_code == 200
    assert api.get("/scenarios/walk_in_clinic", headers=writer).status_code == 403
    assert api.get("/scenarios", headers=writer).status_code == 403


def test_the_list_pages_through_built_in_scenarios_and_then_ones_own(
    api: httpx.Client, somebody: Headers
) -> None:
    for name in ("b", "a", "c"):
        post(api, somebody, name=name)
    post(api, somebody, name="a", title="Two")
    whole = api.get("/scenarios?limit=1000", headers=somebody).json()
    assert (whole["has_more"], whole["next"]) == (False, None)
    names = [(entry["name"], entry["version"]) for entry in whole["data"]]
    own: list[tuple[str, int | None]] = [("a", 2), ("c", 1), ("a", 1), ("b", 1)]
    assert names == [(name, None) for name in list_scenarios()] + own
    for limit in (1, 2, 3, 4, 5, 7, 8):
        found, params = [], {"limit": str(limit)}
        while True:
            page = api.get("/scenarios", params=params, headers=somebody).json()
            assert len(page["data"]) <= limit
            found += page["data"]
            if page["next"] is None:
                break
            params["after"] = page["next"]
        assert found == whole["data"], limit


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"name": "rural_hospital"}, "/name", "built-in"),
        ({"name": "Ward 1"}, "/name", "pattern"),
        ({"name": "a\x00b"}, "/name", "pattern"),
        ({"mix_by": "sex"}, "/mix_by", "district"),
        ({"description": "x" * 4001}, "/description", "4000"),
        ({"surprise": 1}, "/surprise", "not permitted"),
    ],
)
def test_a_bad_scenario_is_refused_at_its_field(
    api: httpx.Client, somebody: Headers, changes: dict[str, Any], pointer: str, words: str
) -> None:
    refused = post(api, somebody, **changes)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert words in json.dumps(refused.json()["errors"])
    assert api.get("/scenarios?limit=1000", headers=somebody).json()["data"][-1]["built_in"]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_refused_at_its_field_alone_and_inside_a_job(
    api: httpx.Client, somebody: Headers, mistake: Mistake
) -> None:
    document = bad_document(mistake)
    headers = somebody | {"content-type": "application/json"}
    for path, body, prefix in (
        ("/scenarios", document, ""),
        ("/jobs", job_on(document), "/environment/scenario"),
    ):
        refused = api.post(path, content=json.dumps(body), headers=headers)  # NaN included
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        pointers = {error["pointer"] for error in refused.json()["errors"]}
        assert prefix + mistake.pointer in pointers
        assert mistake.words in refused.text


def test_one_document_is_bounded_in_size(api: httpx.Client, somebody: Headers) -> None:
    big = clinic(description="é" * 4000)
    refused = api.post("/scenarios", json=big, headers=somebody)
    assert refused.status_code == 422
    assert "GRPO_MAX_SCENARIO_BYTES" in refused.text


def test_of_many_stored_at_once_as_many_are_kept_as_there_is_room(
    api: httpx.Client, somebody: Headers
) -> None:
    def store(number: int) -> httpx.Response:
        return post(api, somebody, title=f"Number {number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(store, range(ROOM + 4)))
    kept = sorted(a.json()["version"] for a in answers if a.status_code == 201)
    assert kept == list(range(1, ROOM + 1))
    refused = [a for a in answers if a.status_code != 201]
    assert {(a.status_code, a.json()["code"]) for a in refused} == {(409, "too_many_scenarios")}
    newest = api.get("/scenarios/walk_in_clinic", headers=somebody).json()
    repeated = api.post("/scenarios", json=newest["document"], headers=somebody)
    assert repeated.status_code == 200  # it stores nothing, so it needs no room


def test_a_job_holds_the_version_that_it_named_when_it_came(
    api: httpx.Client, somebody: Headers
) -> None:
    for number in (1, 2):
        post(api, somebody, title=f"Version {number}")
    for name, title in (("walk_in_clinic", "Version 2"), ("walk_in_clinic@1", "Version 1")):
        job = api.post("/jobs", json=job_on(name), headers=somebody).json()
        scenario = job["config"]["environment"]["scenario"]
        assert scenario["title"] == title
        post(api, somebody, title="Version 3")
        later = api.get(f"/jobs/{job['id']}", headers=somebody).json()
        assert later["config"]["environment"]["scenario"] == scenario
        inline = api.post("/jobs?dry_run=true", json=job_on(scenario), headers=somebody).json()
        named = api.post("/jobs?dry_run=true", json=job_on("walk_in_clinic@3"), headers=somebody)
        assert inline["config"]["environment"]["scenario"] == scenario
        assert named.json()["config"]["environment"]["scenario"]["title"] == "Version 3"


def test_a_repeated_submission_keeps_its_answer_when_the_scenario_has_changed(
    api: httpx.Client, keys: Database, somebody: Headers
) -> None:
    post(api, somebody)
    again = somebody | {"Idempotency-Key": "monday"}
    first = api.post("/jobs", json=job_on("walk_in_clinic"), headers=again)
    post(api, somebody, title="Changed")
    second = api.post("/jobs", json=job_on("walk_in_clinic"), headers=again)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.content == second.content
    inline = api.post("/jobs", json=job_on(clinic()), headers=again)
    assert inline.json()["code"] == "idempotency_key_reused"
    with keys.reading() as session:
        same = select(func.count()).where(JobRow.id == first.json()["id"])
        assert session.scalar(same) == 1


@pytest.mark.parametrize(
    "name", ["walk_in_clinic@0", "walk_in_clinic@01", "rural_hospital@1", "@1", "x@", "x@1@2"]
)
def test_a_name_of_another_form_or_of_nothing_is_refused(
    api: httpx.Client, somebody: Headers, name: str
) -> None:
    refused = api.post("/jobs", json=job_on(name), headers=somebody)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/environment/scenario"


def test_references_are_read_as_they_are_written() -> None:
    for text in ("a", "a@1", "a@999999999", "a@0", "A@1", "a@1000000000"):
        assert str(Reference.read(text)) == text
    assert Reference.read("a@7") == Reference("a", 7)
    assert Reference.read("a@" + "9" * 5000).version is None


def test_the_published_schema_is_what_scenarios_are_written_by(
    api: httpx.Client, somebody: Headers
) -> None:
    answer = api.get("/schemas/scenario", headers=somebody)
    assert answer.headers["content-type"] == "application/schema+json"
    schema = answer.json()
    assert schema == scenario_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == set(Scenario.model_fields)
    assert set(SCENARIO) >= set(schema["required"])
    objects = [part for part in schema["$defs"].values() if part.get("type") == "object"]
    assert all(part["additionalProperties"] is False for part in objects)
    assert {"visits_per_day", "hourly_share"} <= set(schema["$defs"]["Arrivals"]["properties"])
    assert {"mean_hours", "cv"} <= set(schema["$defs"]["Lognormal"]["properties"])


def test_the_client_stores_lists_and_fetches(api: httpx.Client, keys: Database) -> None:
    token = create_key(keys, f"u{uuid4().hex}", USER)[1]
    with GRPOClient(str(api.base_url), token.text) as client:
        assert client.store_scenario(clinic()).version == 1
        assert client.store_scenario(Scenario.parse(clinic(title="Two"))).version == 2
        assert client.scenario("walk_in_clinic").title == "Two"
        assert client.scenario("walk_in_clinic", version=1).title == "A walk-in clinic"
        own = [(s.name, s.version) for s in client.scenarios(page_size=1) if not s.built_in]
        assert own == [("walk_in_clinic", 2), ("walk_in_clinic", 1)]
        with pytest.raises(GRPOClientError, match="scenario_not_found"):
            client.scenario("walk_in_clinic", version=3)
