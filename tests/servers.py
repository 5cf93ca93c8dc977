"""Private Postgres, Redis and RabbitMQ for tests: free ports, on loopback, folders of their own.

Each server hangs on a leash (``tests.leash``): it stops and its folder goes when the process that
started it ends, also by Ctrl-C or ``kill -9``. Started as root they run as their packages' users.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import psycopg
import redis
from kombu import Connection
from kombu.exceptions import KombuError

INSTALL = "apt-get install -y postgresql redis-server rabbitmq-server iproute2 sqlite3"
LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 90.0
ROOT = Path(__file__).resolve().parent.parent


class MissingServerError(Exception):
    """A server's program is not installed; the message is the command that installs it."""


def find_program(name: str, *places: str) -> str:
    """Return the path of a server's program; Debian keeps some of them out of PATH.

    Raises:
        MissingServerError: it is nowhere.
    """
    candidates = [found for place in places for found in sorted(Path("/").glob(place + name))]
    path = shutil.which(name) if not candidates else str(candidates[-1])
    if path is None:
        raise MissingServerError(f"{name} is not installed; run as root: {INSTALL}")
    return path


def free_port(address: str = LOOPBACK) -> int:
    """Return a port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """One server, as a context manager; it can be stopped and started again in between.

    Args:
        user: who runs it where we are root.
        stop_signal: ends it quickly.
        address: where it listens; beyond loopback it trusts whoever reaches that, so only in a
            network namespace of its own.
    """

    def __init__(self, user: str, stop_signal: str, address: str = LOOPBACK) -> None:
        self.address, self.port = address, free_port(address)
        self._user = user if os.getuid() == 0 else None
        self._stop_signal = stop_signal
        self.folder = Path(tempfile.mkdtemp(prefix=f"grpo-{type(self).__name__.lower()}-"))
        self._leash: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """Address for the settings."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the first start needs."""

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments, in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves clients now."""

    def __enter__(self) -> Self:
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def as_user(self, command: list[str]) -> list[str]:
        """Return the command as it runs under the server's own user."""
        if self._user is None:
            return command
        drop = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups"]
        return [*drop, "--", *command]

    def environment(self) -> dict[str, str]:
        """Return the variables of its programs."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C"}

    def leash(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        """Start a command that ends when we do; its output goes to a log in the folder."""
        python = [sys.executable, str(ROOT / "tests" / "leash.py"), self._stop_signal]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*python, str(self.folder), "--", *self.as_user(command)],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it, on the same port and folder as before, and wait until it answers."""
        self._leash = self.leash(self.command(), "server")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            if self._leash.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "server.log").read_text("utf-8", "replace")
                raise RuntimeError(f"{type(self).__name__} did not start:\n{log[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and keep its folder; ``start`` brings it back."""
        if self._leash is not None:
            self._leash.communicate(b"k")
            self._leash = None

    def close(self) -> None:
        """Stop it for good and remove its folder."""
        for leash in (self._leash, *self._others):
            if leash is not None:
                leash.communicate()
        self._leash, self._others = None, []
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """A Postgres cluster of its own; without durability, which no test needs."""

    def __init__(self, address: str = LOOPBACK) -> None:
        super().__init__("postgres", "SIGQUIT", address)

    @property
    def url(self) -> str:
        """Address of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the address of one database."""
        return f"postgresql://grpo@{self.address}:{self.port}/{database}"

    def program(self, name: str) -> str:
        """Return the path of one of its programs, of the newest version installed."""
        return find_program(name, "usr/lib/postgresql/*/bin/")

    def prepare(self) -> None:
        """Make the cluster."""
        command = [self.program("initdb"), "-D", str(self.folder / "data"), "-U", "grpo"]
        options = ["--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(
            self.as_user([*command, *options]),
            check=True,
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        if self.address != LOOPBACK:
            with (self.folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as file:
                file.write("host all all samenet trust\n")

    def command(self) -> list[str]:
        """Run the server on its address only."""
        settings = {
            "listen_addresses": self.address,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 300,
            "shared_buffers": "64MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self.program("postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction, in the database ``postgres``."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self, name: str, template: str = "template0") -> str:
        """Create a database, empty or as a copy, and return its address."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Redis(Server):
    """A Redis of its own that keeps nothing; each number below ``DATABASES`` is a broker."""

    DATABASES = 10_000

    def __init__(self, address: str = LOOPBACK) -> None:
        super().__init__("redis", "SIGTERM", address)

    @property
    def url(self) -> str:
        """Address of the database 0."""
        return self.url_of(0)

    def url_of(self, number: int) -> str:
        """Return the address of one of its databases."""
        return f"redis://{self.address}:{self.port}/{number}"

    def prepare(self) -> None:
        """Redis needs nothing."""

    def command(self) -> list[str]:
        """Run it on its address only."""
        where = ["--port", str(self.port), "--bind", self.address, "--dir", str(self.folder)]
        where += ["--protected-mode", "yes" if self.address == LOOPBACK else "no"]
        keep = ["--save", "", "--appendonly", "no", "--databases", str(self.DATABASES)]
        return [find_program("redis-server"), *where, *keep]

    def answers(self) -> bool:
        """Whether it says PONG."""
        try:
            with redis.Redis(self.address, self.port, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False


class RabbitMQ(Server):
    """A RabbitMQ node with a port mapper (epmd) of its own; each virtual host is a broker."""

    def __init__(self) -> None:
        super().__init__("rabbitmq", "SIGKILL")
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self._node = f"grpo-{self.port}@localhost"

    @property
    def url(self) -> str:
        """Address of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def url_of(self, host: str) -> str:
        """Create a virtual host and return its address."""
        rights = dict.fromkeys(("configure", "write", "read"), ".*")
        definitions = {
            "vhosts": [{"name": host}],
            "permissions": [{"user": "guest", "vhost": host, **rights}],
        }
        file = self.folder / f"{host}.json"
        file.write_text(json.dumps(definitions), encoding="utf-8")
        self._control("import_definitions", str(file))  # one program for both: a second each
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{host}"

    def _program(self, name: str) -> str:
        return find_program(name, "usr/lib/rabbitmq/bin/")

    def _control(self, *arguments: str) -> None:
        command = [self._program("rabbitmqctl"), "-q", "-n", self._node, *arguments]
        subprocess.run(
            self.as_user(command),
            check=True,
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )

    def prepare(self) -> None:
        """Start the port mapper, which would otherwise become a daemon that nobody stops."""
        self._program("rabbitmq-server")
        mapper = [find_program("epmd"), "-address", "127.0.0.1", "-port", str(self._mapper_port)]
        self._others.append(self.leash(mapper, "epmd"))

    def environment(self) -> dict[str, str]:
        """Point every path, port and name at the folder."""
        folder = str(self.folder)
        return super().environment() | {
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1"
            ),
        }

    def command(self) -> list[str]:
        """Run the node."""
        return [self._program("rabbitmq-server")]

    def answers(self) -> bool:
        """Whether a client can log in."""
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=0)  # connect() tries again after 2 s
        except (OSError, KombuError):
            return False
        return True
