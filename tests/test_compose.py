"""``docker-compose.yml`` is true: its variables are settings, its commands work on real servers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.client import GRPOClient, GRPOClientError
from service.settings import Settings
from tests.servers import Postgres, Redis, free_port
from tests.service.job_records import CONFIG

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-this-test-only"
OURS = ("migrate", "api", "worker")
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


class UnsetVariableError(Exception):
    """Compose refuses to start without this variable."""


def interpolate(text: str, given: dict[str, str]) -> str:
    """Fill in ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` as Compose does."""

    def fill(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if given.get(name):
            return given[name]
        if operator == ":?":
            raise UnsetVariableError(f"{name}: {rest}")
        return rest or ""

    return VARIABLE.sub(fill, text)


def read_compose(**given: str) -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(interpolate(text, given))["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return read_compose(GRPO_API_KEY=KEY)


def test_compose_refuses_to_start_without_a_key() -> None:
    with pytest.raises(UnsetVariableError, match="GRPO_API_KEY"):
        read_compose()


def test_every_variable_is_a_setting_and_its_value_is_legal(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"GRPO_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        environment = services[name]["environment"]
        assert set(environment) <= known
        with monkeypatch.context() as patched:
            for variable, value in environment.items():
                assert isinstance(value, str), f"{variable} would reach the process as text"
                patched.setenv(variable, value)
            assert Settings().to_environment().items() >= environment.items()


def test_addresses_name_services_and_only_the_api_has_the_key(services: dict[str, Any]) -> None:
    for name in OURS:
        environment = services[name]["environment"]
        assert (
            f"@postgres:5432/{services['postgres']['environment']['POSTGRES_DB']}"
            in (environment["GRPO_DATABASE_URL"])
        )
        assert environment["GRPO_BROKER_URL"].startswith("redis://redis:")
        assert ("GRPO_API_KEY" in environment) == (name == "api")
    assert services["api"]["ports"] == [f"127.0.0.1:8000:{Settings().port}"]


def test_services_start_in_an_order_in_which_each_finds_what_it_needs(
    services: dict[str, Any],
) -> None:
    for name in ("api", "worker"):
        needs = services[name]["depends_on"]
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
        assert needs["redis"] == {"condition": "service_healthy"}
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert all("healthcheck" in services[name] for name in ("postgres", "redis", "api"))


def test_workers_can_be_many(services: dict[str, Any]) -> None:
    assert not {"ports", "container_name"} & set(services["worker"])


def test_the_image_holds_every_package_of_the_product() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for package in ("grpo", "service", "workers", "migrations"):
        assert f"COPY {package} {package}" in dockerfile
        assert f"!{package}" in ignored


class Stack:
    """The commands of the file as processes, with private servers behind their addresses."""

    def __init__(self, services: dict[str, Any], home: Path, database: str, broker: str) -> None:
        self.services = services
        self.port = free_port()
        self._where = {
            "GRPO_HOME": str(home),
            "GRPO_DATABASE_URL": database,
            "GRPO_BROKER_URL": broker,
            "GRPO_HOST": "127.0.0.1",
            "GRPO_PORT": str(self.port),
        }

    def environment(self, name: str) -> dict[str, str]:
        told: dict[str, str] = self.services[name]["environment"]
        moved = {key: value for key, value in self._where.items() if key in told}
        return os.environ | told | moved

    def command(self, words: list[str]) -> list[str]:
        programs = {"python": sys.executable, "grpo": str(Path(sys.executable).with_name("grpo"))}
        return [programs[words[0]], *words[1:]]

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            self.command(self.services[name]["command"]), env=self.environment(name), cwd=ROOT
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                # uvicorn stops in order, then ends by the signal that it got
                assert process.wait(30) in {0, -signal.SIGTERM}
            finally:
                process.kill()

    def listens(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def is_healthy(self) -> bool:
        words = [
            word.replace(":8000", f":{self.port}")
            for word in self.services["api"]["healthcheck"]["test"][1:]
        ]
        done = subprocess.run(self.command(words), check=False, capture_output=True, timeout=30)
        return done.returncode == 0


def test_the_commands_of_the_file_serve_a_training_with_two_workers(
    services: dict[str, Any], tmp_path: Path, postgres: Postgres, redis_server: Redis
) -> None:
    database = postgres.create("compose")
    stack = Stack(services, tmp_path, database, redis_server.url_of(0))
    migrate = stack.command(services["migrate"]["command"])
    subprocess.run(migrate, env=stack.environment("migrate"), check=True, timeout=60)
    with stack.running("api") as api, stack.running("worker"), stack.running("worker"):
        while not stack.listens():  # each look at its health starts a process
            assert api.poll() is None
            time.sleep(0.05)
        while not stack.is_healthy():
            assert api.poll() is None
        url = f"http://127.0.0.1:{stack.port}"
        with GRPOClient(url) as stranger, pytest.raises(GRPOClientError, match="unauthorized"):
            stranger.jobs()
        with GRPOClient(url, KEY) as client:
            jobs = [client.submit(CONFIG).id for _ in range(2)]
            for job in jobs:
                over = client.wait(job, timeout_seconds=120)
                assert over.status == "succeeded", (over.reason, over.detail)
                assert client.policy(job).job_id == job
    postgres.drop("compose")


def test_the_health_checks_of_the_servers_pass_when_they_are_well(
    services: dict[str, Any], postgres: Postgres, redis_server: Redis
) -> None:
    check = services["postgres"]["healthcheck"]["test"][1:]
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port)}
    subprocess.run([postgres.program(check[0]), *check[1:]], env=where, check=True, timeout=30)
    cli, *arguments = services["redis"]["healthcheck"]["test"][1:]
    told = subprocess.run(
        [cli, "-p", str(redis_server.port), *arguments], check=True, capture_output=True, timeout=30
    )
    assert told.stdout == b"PONG\n"
