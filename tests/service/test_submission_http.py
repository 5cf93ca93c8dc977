"""POST /jobs and the reading of jobs, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from grpo.environments.hospital.scenario import list_scenarios
from service.api.examples import INLINE_JOB, SUBMISSIONS, VARIANTS_JOB
from service.api.problems import MEDIA_TYPE
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB

JSON = {"Content-Type": "application/json"}
CROWDED = {"kind": "hospital", "scenario": "urban_hospital", "group_aware": True}
POLES, LENGTH = VARIANTS_JOB["grouping"]["of"]


def test_a_job_is_accepted_with_its_place_and_its_urls(api: httpx.Client) -> None:
    response = api.post("/jobs", json=HOSPITAL_JOB)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}" == job["urls"]["self"]
    assert job["status"] == "queued"
    assert job["config"]["algorithm"]["clip_coef"] == 0.2  # defaults are filled in
    assert job["config"]["algorithm"]["num_envs"] == 256  # the hospital's preset
    for name, url in job["urls"].items():
        if name == "stream":
            continue  # it would not end before the job does
        status = api.get(url).status_code
        expected = {"cancel": 405, "act": 405, "policy": 404}.get(name, 200)
        assert status == expected, name


@pytest.mark.parametrize("example", SUBMISSIONS)
def test_every_job_that_openapi_shows_is_accepted_and_shown_again(
    api: httpx.Client, example: str
) -> None:
    body = SUBMISSIONS[example]["value"]
    job = api.post("/jobs", json=body).json()
    assert job["status"] == "queued", job
    shown = api.get(f"/jobs/{job['id']}").json()["config"]
    again = api.post("/jobs", json=shown)
    assert again.status_code == 202
    assert again.json()["config"] == shown
    if example == "inline":
        assert shown["environment"]["scenario"]["title"] == "A walk-in clinic"


def test_lists_page_through_all_jobs_newest_first(api: httpx.Client) -> None:
    ids = [api.post("/jobs", json=CARTPOLE_JOB).json()["id"] for _ in range(5)]
    found: list[str] = []
    after = None
    while True:
        params = {"limit": 2} | ({} if after is None else {"after": after})
        page = api.get("/jobs", params=params).json()
        found += [job["id"] for job in page["data"]]
        after = page["next"]
        assert page["has_more"] == (after is not None)
        if after is None:
            break
    assert found[:5] == ids[::-1]
    assert len(found) == len(set(found))


def test_cancelling_a_queued_job_ends_it_and_repeating_is_harmless(api: httpx.Client) -> None:
    job_id = api.post("/jobs", json=CARTPOLE_JOB).json()["id"]
    for _ in range(2):
        job = api.post(f"/jobs/{job_id}/cancel").json()
        assert job["status"] == "cancelled"
        assert job["reason"] == "cancelled_by_client"
    fairness = api.get(f"/jobs/{job_id}/fairness").json()
    assert (fairness["final"], fairness["report"], fairness["latest"]) == (False, None, None)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return copy


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("unknown field", changed(HOSPITAL_JOB, "colour", "red"), "/colour"),
    ("unknown hyperparameter", changed(HOSPITAL_JOB, "algorithm.lr", 0.1), "/algorithm/lr"),
    ("wrong type", changed(HOSPITAL_JOB, "seed", "one"), "/seed"),
    ("not a number", changed(HOSPITAL_JOB, "algorithm.gamma", float("nan")), "/algorithm/gamma"),
    ("infinite", changed(HOSPITAL_JOB, "algorithm.vf_coef", float("inf")), "/algorithm/vf_coef"),
    (
        "weight out of range",
        changed(HOSPITAL_JOB, "algorithm.group_robustness_weight", 1.5),
        "/algorithm/group_robustness_weight",
    ),
    (
        "unknown scenario",
        changed(HOSPITAL_JOB, "environment.scenario", "moon_base"),
        "/environment/scenario",
    ),
    (
        "a path as scenario",
        changed(HOSPITAL_JOB, "environment.scenario", "../etc/passwd"),
        "/environment/scenario",
    ),
    (
        "undeclared attribute",
        changed(HOSPITAL_JOB, "grouping.attributes", ["shoe_size"]),
        "/grouping/attributes/0",
    ),
    ("unknown kind", changed(HOSPITAL_JOB, "grouping.kind", "zodiac"), "/grouping/kind"),
    ("no kind", HOSPITAL_JOB | {"grouping": {"attributes": ["age_group"]}}, "/grouping/kind"),
    ("unknown environment", changed(HOSPITAL_JOB, "environment.kind", "bank"), "/environment/kind"),
    (
        "a number in quotes",
        changed(HOSPITAL_JOB, "budget.total_timesteps", "100"),
        "/budget/total_timesteps",
    ),
    (
        "a fraction for an integer",
        changed(HOSPITAL_JOB, "budget.total_timesteps", 100.0),
        "/budget/total_timesteps",
    ),
    ("a truth value for a number", changed(HOSPITAL_JOB, "seed", True), "/seed"),
    (
        "a number for a truth value",
        changed(HOSPITAL_JOB, "environment.hold", 1),
        "/environment/hold",
    ),
    (
        "a number in quotes in a list",
        changed(CARTPOLE_JOB, "grouping.edges", ["0.0"]),
        "/grouping/edges/0",
    ),
    (
        "more decisions at once than fit memory",
        HOSPITAL_JOB | {"algorithm": {"num_envs": 16_384, "num_steps": 65}},
        "/algorithm/num_steps",
    ),
    (
        "more observations at once than fit memory",
        changed(HOSPITAL_JOB, "environment", CROWDED)
        | {"algorithm": {"num_envs": 8_192, "num_steps": 128}},
        "/algorithm/num_steps",
    ),
    (
        "minibatches larger than an iteration",
        HOSPITAL_JOB | {"algorithm": {"num_envs": 16, "num_steps": 16}},
        "/algorithm/minibatch_size",
    ),
    (
        "a network beyond memory",
        changed(HOSPITAL_JOB, "algorithm.hidden_sizes", [4096, 4096]),
        "/algorithm/hidden_sizes",
    ),
    (
        "a judgement of too many patients",
        HOSPITAL_JOB | {"evaluation": {"episodes": 5_000, "horizon_hours": 5_000}},
        "/evaluation/episodes",
    ),
    (
        "a judgement of too many hours",
        HOSPITAL_JOB
        | {"evaluation": {"episodes": 5_000, "warmup_hours": 10_000, "horizon_hours": 1}},
        "/evaluation/episodes",
    ),
    (
        "weight of the method without one",
        changed(HOSPITAL_JOB, "algorithm.method", "mean"),
        "/algorithm/group_robustness_weight",
    ),
    ("too few labels", changed(CARTPOLE_JOB, "grouping.labels", ["a"]), "/grouping/labels"),
    (
        "as many labels as edges",
        changed(CARTPOLE_JOB, "grouping.edges", [0.0, 1.0]),
        "/grouping/labels",
    ),
    (
        "a number in an inline scenario",
        changed(INLINE_JOB, "environment.scenario.waiting_room.value", -1),
        "/environment/scenario/waiting_room/value",
    ),
    (
        "an inline scenario under a built-in's name",
        changed(INLINE_JOB, "environment.scenario.name", "urban_hospital"),
        "/environment/scenario/name",
    ),
    (
        "a scenario of no kind",
        changed(HOSPITAL_JOB, "environment.scenario", 7),
        "/environment/scenario",
    ),
    (
        "a product's member",
        changed(VARIANTS_JOB, "grouping.of", [LENGTH, LENGTH | {"edges": [-1.0]}]),
        "/grouping/of/1/edges/0",
    ),
    (
        "groups that no state belongs to",
        changed(VARIANTS_JOB, "grouping", LENGTH | {"edges": [7.0]}),
        "/grouping/edges",
    ),
    (
        "an option that is not on the list",
        changed(
            VARIANTS_JOB,
            "grouping",
            POLES | {"variants": [{"label": "a"}, {"label": "b", "options": {"__class__": 1.0}}]},
        ),
        "/grouping/variants/1/options/__class__",
    ),
    (
        "groups of states for a hospital",
        HOSPITAL_JOB | {"grouping": CARTPOLE_JOB["grouping"]},
        "/grouping/kind",
    ),
    (
        "environment with a module path",
        changed(CARTPOLE_JOB, "environment.id", "antigravity:Env-v0"),
        "/environment/id",
    ),
    (
        "environment off the list",
        changed(CARTPOLE_JOB, "environment.id", "Secret-v0"),
        "/environment/id",
    ),
    ("feature out of range", changed(CARTPOLE_JOB, "grouping.feature", 4), "/grouping/feature"),
    ("unsorted edges", changed(CARTPOLE_JOB, "grouping.edges", [1.0, 0.0]), "/grouping/edges"),
    (
        "start rule without dispatch",
        changed(CARTPOLE_JOB, "algorithm.start_rule", "fcfs"),
        "/algorithm/start_rule",
    ),
    (
        "steps beyond the service's limit",
        changed(HOSPITAL_JOB, "budget.total_timesteps", 200_000_001),
        "/budget/total_timesteps",
    ),
    (
        "steps beyond any limit",
        changed(HOSPITAL_JOB, "budget.total_timesteps", 10**30),
        "/budget/total_timesteps",
    ),
]


@pytest.mark.parametrize(("body", "pointer"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_refused_field_is_named(api: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    response = api.post("/jobs", content=json.dumps(body), headers=JSON)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = response.json()
    assert problem["code"] == "invalid_request"
    assert pointer in [issue["pointer"] for issue in problem["errors"]]
    assert all(len(issue["given"]) <= 200 for issue in problem["errors"])


def test_integers_are_numbers_and_the_largest_sizes_are_accepted(api: httpx.Client) -> None:
    algorithm = {"num_envs": 8_192, "num_steps": 128, "gamma": 1, "hidden_sizes": [2048, 2048]}
    response = api.post("/jobs", json=CARTPOLE_JOB | {"algorithm": algorithm})
    assert response.status_code == 202, response.text
    assert response.json()["config"]["algorithm"]["gamma"] == 1.0
    judged = {"episodes": 10_000}  # of a Gymnasium environment: its hours are not read
    assert api.post("/jobs", json=CARTPOLE_JOB | {"evaluation": judged}).status_code == 202


def test_what_is_allowed_is_said(api: httpx.Client) -> None:
    body = changed(HOSPITAL_JOB, "environment.scenario", "moon_base")
    (issue,) = api.post("/jobs", json=body).json()["errors"]
    assert issue["given"] == "'moon_base'"
    assert "rural_hospital" in issue["allowed"]


def test_a_refused_job_leaves_nothing_behind(api: httpx.Client) -> None:
    before = api.get("/jobs", params={"limit": 1}).json()["data"]
    api.post("/jobs", json=changed(HOSPITAL_JOB, "budget.total_timesteps", 0))
    assert api.get("/jobs", params={"limit": 1}).json()["data"] == before


BROKEN: list[tuple[str, bytes, int]] = [
    ("malformed", b'{"environment":', 400),
    ("100,000 lists deep", b"[" * 100_000, 400),
    ("100,000 closed lists deep", b"[" * 100_000 + b"]" * 100_000, 400),
    ("100,000 objects deep", b'{"environment":' * 60_000, 400),
    ("not UTF-8", b'{"environment":"\xff\xfe"}', 400),
    ("an integer of 5,000 digits", b'{"seed":' + b"9" * 5_000 + b"}", 400),
    ("lone surrogate as value", json.dumps({"environment": {"kind": "\ud800"}}).encode(), 422),
    ("lone surrogate as key", json.dumps({"\ud800": 1}).encode(), 422),
    (
        "lone surrogate inside",
        json.dumps(changed(HOSPITAL_JOB, "grouping.attributes", ["\udfff"])).encode(),
        422,
    ),
    ("a list", b"[]", 422),
    ("null", b"null", 422),
    ("nothing", b"", 422),
]


@pytest.mark.parametrize(("body", "status"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_broken_body_is_the_clients_error(api: httpx.Client, body: bytes, status: int) -> None:
    response = api.post("/jobs", content=body, headers=JSON)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_that_is_not_declared_as_json_is_refused(api: httpx.Client, kind: str) -> None:
    response = api.post("/jobs", content=b"{}", headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/jobs", "/policy/unknown/act"])
def test_a_body_over_the_limit_is_refused_with_and_without_its_length(
    api: httpx.Client, path: str
) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 65_536

    for content in (b" " * (2**20 + 1), pieces()):
        response = api.post(path, content=content, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert api.get("/healthz").status_code == 200


def test_the_catalogue_names_what_a_job_may_name(api: httpx.Client) -> None:
    environments = api.get("/environments").json()["data"]
    by_id = {environment["id"]: environment for environment in environments}
    assert by_id["CartPole-v1"]["groupings"] == ["threshold", "norm", "variant", "product"]
    pole = {"name": "length", "low": 0.05, "high": 5.0, "default": 0.5}
    assert pole in by_id["CartPole-v1"]["options"]
    scenarios = {scenario["name"]: scenario for scenario in api.get("/scenarios").json()["data"]}
    assert set(scenarios) == set(list_scenarios())
    assert scenarios["rural_hospital"]["pools"]["ed_space"] == 6
    assert scenarios["rural_hospital"]["attributes"] == {
        "age_group": ["pediatric", "adult", "elderly"]
    }
    for scenario in scenarios:
        body = changed(HOSPITAL_JOB, "environment.scenario", scenario)
        assert api.post("/jobs", json=body).status_code == 202
