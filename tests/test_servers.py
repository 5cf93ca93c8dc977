"""The private servers: nothing of them outlives their owner, whatever happens to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.servers import INSTALL, MissingServerError, Postgres, find_program

ROOT = Path(__file__).resolve().parent.parent
OWNER = """
import sys, time
from tests.servers import *
with {kind}() as server:
    print(server.port, server.folder, flush=True)
    time.sleep(600)
"""


def listens(port: int) -> bool:
    """Whether a process listens on a port of loopback."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("kind", ["Redis", "Postgres"])
def test_a_server_ends_with_its_owner_and_leaves_no_folder(
    kind: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", OWNER.format(kind=kind)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        port, folder = owner.stdout.readline().split()
        assert listens(int(port))
        owner.send_signal(number)
        owner.wait(20)
    deadline = time.monotonic() + 10
    while listens(int(port)) or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stopped_server_comes_back_on_its_port_with_what_it_kept() -> None:
    with Postgres() as server:
        url = server.create("kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")
        server.stop()
        assert not listens(server.port)
        assert not server.answers()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (7,)


def test_a_missing_server_is_an_error_that_says_how_to_install_it() -> None:
    with pytest.raises(MissingServerError, match=INSTALL):
        find_program("no-such-server", "usr/lib/nowhere/*/")


def test_the_install_script_names_the_packages_where_it_may_not_install(tmp_path: Path) -> None:
    """A PATH with no server, no sudo and another user: the exact command is printed."""
    for name in ("sh", "ls", "id", "apt-get"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 1000\nexit 1\n" if name in {"ls", "id"} else "")
        program.chmod(0o755)
    (tmp_path / "sh").unlink()
    (tmp_path / "sh").symlink_to("/bin/sh")
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "tests" / "install_servers.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "sudo sh -c 'apt-get update && apt-get install -y" in done.stderr
    assert "postgresql redis-server rabbitmq-server" in done.stderr
