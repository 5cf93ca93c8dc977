"""What the service runs on in a test: files in a folder, or servers.

Modules whose tests touch records, HTTP or workers use the fixture ``backend`` and run on each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.database import migrate
from service.settings import Settings
from tests.servers import Postgres, RabbitMQ, Redis

TEMPLATE = "migrated"

embedded_only = pytest.mark.parametrize("backend", ["embedded"], indirect=True)
"""For a test about SQLite's or the broker's files."""

on_every_broker = pytest.mark.parametrize(
    "backend", ["embedded", "scaled", "rabbitmq"], indirect=True
)


class Backend(ABC):
    """Makes settings; the same home means the same records and the same broker."""

    @abstractmethod
    def settings(self, home: Path, *, empty: bool = False, **values: Any) -> Settings:
        """Return settings over records for ``home``.

        Args:
            home: folder of the service.
            empty: no tables yet; otherwise they may be there already.
            values: other settings; they win.
        """


class Embedded(Backend):
    """A SQLite file and a broker of files, both in home."""

    def settings(self, home: Path, *, empty: bool = False, **values: Any) -> Settings:
        """Return settings over a SQLite file, which has no tables before it is migrated."""
        del empty
        return Settings.model_validate({"home": home, **values})


class Scaled(Backend):
    """A database on Postgres per home, with a Redis database or a RabbitMQ host as its broker."""

    _numbers = count(1)

    def __init__(self, postgres: Postgres, broker: Redis | RabbitMQ) -> None:
        self._postgres, self._broker = postgres, broker
        self._known: dict[Path, tuple[str, str, str]] = {}

    def settings(self, home: Path, *, empty: bool = False, **values: Any) -> Settings:
        """Return settings over servers; the home's database is created when first asked for."""
        if home not in self._known:
            number = next(self._numbers)
            name = f"home_{number}"
            database = self._postgres.create(name, "template0" if empty else TEMPLATE)
            if isinstance(self._broker, Redis):
                broker = self._broker.url_of(number)
            else:
                broker = self._broker.url_of(name)
            self._known[home] = (name, database, broker)
        _, database, broker = self._known[home]
        urls = {"database_url": database, "broker_url": broker}
        return Settings.model_validate({"home": home, **urls, **values})

    def close(self) -> None:
        """Drop the databases."""
        for name, _, _ in self._known.values():
            self._postgres.drop(name)


_active: list[Backend] = [Embedded()]


def active() -> Backend:
    """Return the backend of the running test; files in a folder where none was asked for."""
    return _active[-1]


@contextmanager
def using(backend: Backend) -> Iterator[Backend]:
    """Make a backend the active one for as long as the block runs."""
    _active.append(backend)
    try:
        yield backend
    finally:
        _active.pop()


def make_template(postgres: Postgres) -> None:
    """Create the database of which the others are copies."""
    migrate(Settings(database_url=postgres.create(TEMPLATE)))
