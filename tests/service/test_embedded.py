"""``grpo serve`` as a user meets it: real processes, first mistakes, restarts, a clean end."""

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

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import app
from service.client import GRPOClient
from service.embedded import EmbeddedError, EmbeddedService, bind, lock_home
from service.observability import configure_logging
from service.settings import Settings
from tests.workers.processes import children_of, is_alive

GRPO = str(Path(sys.executable).with_name("grpo"))


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Give back what running the command line inside of this process takes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    configure_logging("error", sys.__stderr__)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRPO, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "300"} | environment,
    )


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A ``grpo serve`` process and the address that it printed."""
    command = [GRPO, "serve", "--home", str(home), "--port", "0", *arguments]
    with (home.parent / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None, (home.parent / "serve.log").read_text()
            yield process, found.group()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
            assert process.stdout is not None
            process.stdout.close()


def eventually(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_serve_prints_its_address_and_stops_all_it_started(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as (process, url):
        with GRPOClient(url) as client:
            eventually(lambda: client.readiness().ready)
        children = children_of(process.pid)
        assert len(children) == 2
        assert f"{url}/docs" in process.stdout.readline()  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)  # SIGTERM ends the other tests of this module
        assert process.wait(30) == 0
        assert not any(is_alive(child) for child in children)


def test_a_second_serve_of_the_same_home_is_refused_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--no-worker") as (process, _):
        second = run("serve", "--home", str(tmp_path / "home"), "--port", "0")
        assert second.returncode == 1
        assert str(process.pid) in second.stderr
        assert "GRPO_HOME" in second.stderr
        assert len(second.stderr.splitlines()) == 1


def test_the_children_end_when_serve_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as (process, url):
        with GRPOClient(url) as client:
            eventually(lambda: client.readiness().ready)
        children = children_of(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: not any(is_alive(child) for child in children))
        lock_home(tmp_path / "home").close()  # and the home is free again


def test_a_dead_process_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port=0)
    with EmbeddedService(settings, with_worker=False, logs=tmp_path / "logs") as service:
        service.wait_ready()
        api = service.children["api"].process
        assert api is not None
        api.kill()
        eventually(lambda: service.children["api"].process not in {None, api})
        service.wait_ready()
    assert service.children["api"].failures == 1


def test_waiting_for_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    service = EmbeddedService(Settings(home=tmp_path / "home", port=0), with_worker=False)
    with service, pytest.raises(EmbeddedError, match="not ready after"):
        service.wait_ready(timeout_seconds=0.01)


def test_a_process_that_keeps_dying_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port=0)
    service = EmbeddedService(settings, with_worker=False, logs=tmp_path / "logs")
    with service:
        api = service.children["api"]
        eventually(lambda: api.process is not None)
        api.command[2] = "service.no_such_module"
        api.kill()
        with pytest.raises(EmbeddedError, match=r"api process keeps dying: see .*logs"):
            service.wait_ready(timeout_seconds=30)
    assert "no_such_module" in (tmp_path / "logs" / "api.log").read_text()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--home", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GRPO_HOST", "0.0.0.0", "GRPO_API_KEY"),  # noqa: S104 - it is refused
        ("GRPO_MAX_PATIENTS", "many", "GRPO_MAX_PATIENTS"),
        ("GRPO_LEASE_SECONDS", "-1", "GRPO_LEASE_SECONDS"),
        ("GRPO_API_KEY", "short", "16 characters"),
        ("GRPO_DATABASE_URL", "mysql://x", "GRPO_DATABASE_URL"),
        ("GRPO_DATABASE_URL", "nonsense", "GRPO_DATABASE_URL"),
        ("GRPO_DATABASE_URL", "sqlite:////proc/nowhere/x.sqlite", "/proc/nowhere"),
    ],
)
def test_first_mistakes_are_one_line_and_no_traceback(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    arguments = ["serve", "--home", str(tmp_path), "--port", "0"]
    done = CliRunner().invoke(app, arguments, env={variable: value, "COLUMNS": "300"})
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_watching_without_a_service_is_one_line() -> None:
    done = run("watch", "some-job", "--url", "http://127.0.0.1:9")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "unreachable" in done.stderr


def test_migrate_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = CliRunner().invoke(app, ["migrate", "--home", str(tmp_path / "home")])
        assert done.exit_code == 0, done.stderr
        assert "schema at" in done.stdout


def test_warming_names_the_folder_of_the_kernels(tmp_path: Path) -> None:
    done = run("warm", "--home", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert os.environ["NUMBA_CACHE_DIR"] in done.stdout


def test_warming_refuses_a_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    done = CliRunner().invoke(app, ["warm", "--home", str(tmp_path)])
    assert done.exit_code == 1
    assert f"{tmp_path}/file/kernels: Not a directory" in done.stderr.replace("\n", "")


def test_help_lists_the_commands() -> None:
    text = run("--help").stdout
    for command in ("serve", "worker", "migrate", "warm", "demo", "watch"):
        assert command in text


def test_a_process_left_without_its_parent_exits_at_once(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as listener:
        done = subprocess.run(
            [sys.executable, "-m", "service.server", "--parent", "1"],
            env=os.environ | {"GRPO_HOME": str(tmp_path), "GRPO_PORT": "0"},
            timeout=30,
            check=False,
        )
        assert isinstance(listener, socket.socket)
    assert done.returncode == 1


def test_health_answers_while_the_kernels_still_compile(tmp_path: Path) -> None:
    environment = os.environ | {
        "GRPO_HOME": str(tmp_path),
        "NUMBA_CACHE_DIR": str(tmp_path / "empty"),
        "GRPO_PORT": "0",
    }
    with bind("127.0.0.1", 0) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.server", "--fd", str(listener.fileno())],
            env=environment,
            pass_fds=[listener.fileno()],
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                assert client.get("/healthz").json() == {"status": "ok"}
                readiness = client.get("/readyz")
                assert readiness.status_code == 503
                assert readiness.json()["checks"]["kernels"] == "still loading"
        finally:
            process.terminate()
            process.wait(30)
