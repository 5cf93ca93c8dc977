"""Who may come in: loopback by default, a key otherwise; and what the log says of it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from service.api.problems import MEDIA_TYPE
from service.observability import bind_context, configure_logging, get_logger
from service.settings import Settings
from tests.backends import Backend
from tests.service.support import running_api

KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def guarded(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("guarded")
    with running_api(backend.settings(home, port=0, api_key=SecretStr(KEY))) as client:
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_the_documentation_is_open_and_loads_nothing_from_elsewhere(guarded: httpx.Client) -> None:
    page = guarded.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)|url: ["']([^"']+)""", page.text)
    assert len(addresses) == 4  # script, style, icon, and the document
    for address in (given or asked for given, asked in addresses):
        assert ":" not in address
        assert guarded.get(httpx.URL(str(page.url)).join(address)).status_code == 200
    schemes = guarded.get("/openapi.json").json()["components"]["securitySchemes"]
    assert [(s["type"], s["scheme"]) for s in schemes.values()] == [("http", "bearer")]
    headers = {"Authorization": f"Bearer {KEY}"}
    assert guarded.get("/docs/other.js", headers=headers).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("GET", "/policy"),
        ("POST", "/policy/x/act"),
        ("GET", "/docs/"),
        ("GET", "/docs/other.js"),
        ("GET", "/nowhere"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
    ],
)
@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer wrong", f"Bearer {KEY}x", f"Basic {KEY}", KEY, "Bearer \xff"],
)
def test_everything_else_needs_the_key(
    guarded: httpx.Client, method: str, path: str, given: str | None
) -> None:
    headers = [] if given is None else [(b"Authorization", given.encode("latin-1"))]
    response = guarded.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "unauthorized"
    assert KEY not in response.text


def test_the_key_opens(guarded: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert guarded.get("/jobs", headers=headers).status_code == 200
    assert guarded.get("/nowhere", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.0.7", "example.org"],  # noqa: S104 - they are refused
)
def test_only_loopback_is_bound_without_a_key(host: str) -> None:
    with pytest.raises(ValidationError, match="GRPO_API_KEY"):
        Settings(host=host)
    assert Settings(host=host, api_key=SecretStr(KEY)).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert Settings(host=host).api_key is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(guarded: httpx.Client, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {KEY}"}
    assert guarded.get("/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/jobs", "/healthz", "/docs", "/nowhere"])
@pytest.mark.parametrize(
    "host",
    [
        "rebound.example.org",
        "rebound.example.org:8000",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "127.0.0.1@example.org",
        "192.168.0.7",
    ],
)
def test_without_keys_a_foreign_host_is_refused(api: httpx.Client, path: str, host: str) -> None:
    response = api.get(path, headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (421, "host_refused")
    assert response.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:8000"])
def test_without_keys_the_computers_own_names_are_served(api: httpx.Client, host: str) -> None:
    assert api.get("/jobs", headers={"Host": host}).status_code == 200


def test_with_keys_every_host_is_served(guarded: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Host": "grpo.example.org"}
    assert guarded.get("/jobs", headers=headers).status_code == 200


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValidationError, match="GRPO_API_KEY must be ASCII"):
        Settings(api_key=SecretStr("schlüssel-mit-umlaut"))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="16 characters"):
        Settings(api_key=SecretStr("short"))


def test_settings_survive_the_way_through_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, port=0, api_key=SecretStr(KEY), max_patients=7)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(Settings(api_key=SecretStr(KEY)))


def test_events_are_json_lines_with_the_bound_context() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    try:
        with bind_context(request_id="r1"):
            get_logger().info("inside", n=1)
            get_logger().debug("too quiet")
        get_logger().warning("outside")
    finally:
        configure_logging("error")
    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (inside["event"], inside["n"], inside["request_id"]) == ("inside", 1, "r1")
    assert inside["level"] == "info"
    assert inside["timestamp"].endswith("Z")
    assert "request_id" not in outside


def test_every_request_leaves_one_event_without_its_key(tmp_path: Path) -> None:
    stream = io.StringIO()
    with running_api(Settings(home=tmp_path, port=0, api_key=SecretStr(KEY))) as client:
        configure_logging("info", stream)
        try:
            headers = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "r7"}
            client.get("/jobs/unknown?secret=1", headers=headers)
        finally:
            configure_logging("error")
    (event,) = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (event["event"], event["method"], event["path"]) == ("request", "GET", "/jobs/unknown")
    assert (event["status"], event["request_id"]) == (404, "r7")
    assert event["milliseconds"] > 0
    assert KEY not in stream.getvalue()
