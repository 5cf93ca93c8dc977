"""Every error has one shape, a stable code, and a place in the OpenAPI document."""

from __future__ import annotations

import ast
import json
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest

from grpo.config import TrainConfig
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.registry import check_config
from grpo.errors import InputError, Issue
from service.api import catalogue, examples, following, health, jobs, policies, scenarios
from service.api.act_bodies import OBSERVATION, SNAPSHOT
from service.api.openapi import list_answers
from service.api.problems import MEDIA_TYPE, render_problem
from service.api.waiting_room import to_snapshot
from service.errors import InvalidRequestError, ServiceError, walk_errors

FIELDS = {"type", "title", "status", "code", "detail", "errors", "request_id"}
NUL_CURSOR = urlsafe_b64encode(b"2026-11-22T14:05:00+00:00|\x00").decode().rstrip("=")
RAISED_BY_THE_ROUTER = {"not_found", "method_not_allowed"}


@pytest.mark.parametrize("error", list(walk_errors()), ids=lambda error: error.code)
def test_every_error_renders_as_one_shape(error: type[ServiceError]) -> None:
    response = render_problem(error("what happened"), "r1")
    problem = json.loads(bytes(response.body))
    assert set(problem) == FIELDS
    assert response.media_type == MEDIA_TYPE
    assert response.status_code == problem["status"] == error.status
    assert 400 <= error.status < 600
    assert problem["code"] == error.code
    assert problem["type"] == f"urn:grpo:problem:{error.code}"
    assert problem["request_id"] == response.headers["x-request-id"] == "r1"


def test_codes_differ_from_each_other() -> None:
    codes = [error.code for error in walk_errors()]
    assert len(codes) == len(set(codes))


def test_lone_surrogates_in_an_error_do_not_break_its_rendering() -> None:
    error = InvalidRequestError.of([Issue("/\ud800", "bad \udfff", "'\ud800'", "x")])
    problem = json.loads(bytes(render_problem(error, "r1").body))
    assert problem["errors"][0]["pointer"] == "/\\ud800"


def test_the_librarys_input_error_keeps_every_field() -> None:
    issues = [Issue("/a", "wrong", "1", "2"), Issue("/b", "missing")]
    error = InvalidRequestError.from_input(InputError(issues))
    assert error.issues == tuple(issues)
    assert "and 1 more" in error.detail


@pytest.fixture(scope="module")
def openapi(api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(openapi: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


def test_openapi_documents_every_error_that_a_route_can_answer_with(
    openapi: dict[str, Any],
) -> None:
    documented = {
        code
        for _, operation in operations(openapi)
        for response in operation["responses"].values()
        for code in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    }
    every = {error.code for error in walk_errors()}
    assert documented == every - RAISED_BY_THE_ROUTER


def test_openapi_has_an_example_for_every_body_and_every_answer(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]

    def has_example(content: dict[str, Any]) -> bool:
        if content.get("examples") or content.get("example"):
            return True
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        return "example" in schemas.get(name, {})

    for name, operation in operations(openapi):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for part in [*bodies, *operation["responses"].values()]:
            for media_type, content in part.get("content", {}).items():
                assert has_example(content), (name, media_type)


def test_openapi_references_resolve(openapi: dict[str, Any]) -> None:
    text = json.dumps(openapi)
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(openapi["components"]["schemas"])


def test_openapi_lists_exactly_the_routes_of_the_service(openapi: dict[str, Any]) -> None:
    assert {name for name, _ in operations(openapi)} == {
        "post /jobs",
        "get /jobs",
        "get /jobs/{id}",
        "post /jobs/{id}/cancel",
        "post /jobs/{id}/resume",
        "get /jobs/{id}/events",
        "get /jobs/{id}/stream",
        "get /jobs/{id}/logs",
        "get /jobs/{id}/metrics",
        "get /jobs/{id}/fairness",
        "get /policy",
        "get /policy/{id}",
        "get /policy/{id}/model",
        "post /policy/{id}/act",
        "get /environments",
        "post /scenarios",
        "get /scenarios",
        "get /scenarios/{name}",
        "get /schemas/scenario",
        "get /healthz",
        "get /readyz",
        "get /metrics",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/jobs/", 404, "not_found"),
        ("PUT", "/jobs", 405, "method_not_allowed"),
        ("GET", "/jobs/unknown", 404, "job_not_found"),
        ("GET", "/jobs/%ED%A0%80", 404, "job_not_found"),
        ("GET", "/jobs/%00/metrics", 404, "job_not_found"),
        ("GET", "/jobs/unknown/metrics", 404, "job_not_found"),
        ("GET", "/jobs/unknown/fairness", 404, "job_not_found"),
        ("GET", "/jobs/unknown/events", 404, "job_not_found"),
        ("GET", "/jobs/unknown/stream", 404, "job_not_found"),
        ("GET", "/jobs/unknown/logs", 404, "job_not_found"),
        ("GET", "/policy/unknown/model", 404, "policy_not_found"),
        ("GET", "/scenarios/unknown", 404, "scenario_not_found"),
        ("GET", "/scenarios/%00", 404, "scenario_not_found"),
        ("GET", "/scenarios/%ED%A0%80", 404, "scenario_not_found"),
        ("GET", "/scenarios/unknown?owner=%00", 404, "scenario_not_found"),
        ("GET", "/scenarios/rural_hospital?version=1", 404, "scenario_not_found"),
        ("GET", "/scenarios/rural_hospital?version=0", 422, "invalid_request"),
        ("GET", "/scenarios?after=nothing", 422, "invalid_request"),
        ("GET", "/scenarios?limit=0", 422, "invalid_request"),
        ("GET", "/jobs?status=lost", 422, "invalid_request"),
        ("POST", "/jobs/unknown/cancel", 404, "job_not_found"),
        ("GET", "/policy/unknown", 404, "policy_not_found"),
        ("GET", f"/jobs?after={NUL_CURSOR}", 422, "invalid_request"),
        ("GET", "/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/jobs?limit=many", 422, "invalid_request"),
        ("GET", "/jobs?limit=1.0", 422, "invalid_request"),
        ("GET", "/jobs?limit=%2B1", 422, "invalid_request"),
        ("GET", "/jobs?after=nothing", 422, "invalid_request"),
        ("GET", "/policy?after=%FF", 422, "invalid_request"),
        ("GET", "/jobs/unknown/metrics?after=-1", 422, "invalid_request"),
    ],
)
def test_what_does_not_exist_is_a_problem(
    api: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = api.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["code"] == code


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/jobs", "GET, POST"), ("/jobs/x", "GET"), ("/policy/x/act", "POST"), ("/healthz", "GET")],
)
def test_a_wrong_method_is_told_all_the_right_ones(
    api: httpx.Client, path: str, allow: str
) -> None:
    assert api.request("DELETE", path).headers["allow"] == allow


def test_a_request_id_is_echoed_and_a_bad_one_is_replaced(api: httpx.Client) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    other = api.get("/healthz", headers={"X-Request-Id": "a b<script>"}).headers["x-request-id"]
    assert len(other) == 32
    problem = api.get("/nowhere", headers={"X-Request-Id": "abc-2"})
    assert problem.json()["request_id"] == problem.headers["x-request-id"] == "abc-2"


def test_the_examples_are_valid_themselves(openapi: dict[str, Any]) -> None:
    for body in (examples.HOSPITAL_JOB, examples.CARTPOLE_JOB):
        check_config(TrainConfig.parse(body))
    compiled = compile_scenario(load_scenario("rural_hospital"))
    room = SNAPSHOT.validate_json(json.dumps(examples.SNAPSHOT))
    assert len(to_snapshot(room, compiled, 10).patients) == 3
    OBSERVATION.validate_json(json.dumps(examples.OBSERVATION))
    answers = list(list_answers())
    assert len(answers) >= 11
    for model in answers:
        example = openapi["components"]["schemas"][model.__name__]["example"]
        assert set(model.model_validate(example).model_dump(by_alias=True)) == set(example)


ENDPOINTS = [
    Path(str(module.__file__))
    for module in (catalogue, following, health, jobs, policies, scenarios)
]


@pytest.mark.parametrize("path", ENDPOINTS, ids=lambda path: path.stem)
def test_endpoints_are_thin(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert "HTTPException" not in source
    assert "select(" not in source
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
            lines = (node.end_lineno or 0) - node.body[0].lineno
            assert lines <= 15, f"{node.name} has {lines} lines below its docstring"


def test_the_documentation_lists_every_code_with_its_status() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", text, re.MULTILINE))
    assert listed == {(str(error.status), error.code) for error in walk_errors()}
