"""The connection to the records: one engine, short transactions, time told by the database.

SQLite runs with a write-ahead log, full synchronisation and writing transactions that take the
write lock at their start; Postgres runs with its defaults. The same functions work on both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, MetaData, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from service.settings import Settings

BUSY_TIMEOUT_MS = 10_000
FULL_ERRORS = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"})
CONNECT_TIMEOUT_S = 5
# libpq's options: a peer that a network no longer reaches is given up after about ten seconds,
# where TCP alone would wait for a quarter of an hour.
NOTICE_SILENCE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# And the server gives up a client that it no longer reaches, or that stands still between two
# statements: the rows which that one has locked could be taken over by nobody.
SERVER_OPTIONS = {
    "timezone": "utc",
    "idle_in_transaction_session_timeout": 10_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of the records; constraints get names, so that migrations can alter them."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: always aware and in UTC in Python, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite gets it without a zone, since it keeps none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times in the records carry a zone; this one has none")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Attach UTC to what SQLite kept without a zone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseTime(FunctionElement[datetime]):
    """The database's own clock plus some seconds; hosts' clocks do not enter leases."""

    type = UtcDateTime()
    inherit_cache = True
    name = "database_time"


def database_time(offset_seconds: float = 0.0) -> DatabaseTime:
    """Return the SQL expression for the database's time, ``offset_seconds`` later."""
    return DatabaseTime(float(offset_seconds))


@compiles(DatabaseTime, "sqlite")
def _sqlite_time(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    """Render with six digits of seconds, as SQLAlchemy writes times, so that text compares."""
    offset = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {offset}))"


@compiles(DatabaseTime, "postgresql")
def _postgresql_time(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    """Read the clock at the statement, not at the start of the transaction."""
    offset = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {offset}))"


def _tune_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, the driver does not
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where the transaction will write: upgrading it later fails."""
    immediate = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def make_engine(url: str) -> Engine:
    """Create the engine for a SQLite or Postgres URL; nothing connects yet.

    Raises:
        ValueError: the URL names another database.
    """
    parsed: URL = make_url(url)
    dump = partial(json.dumps, allow_nan=False)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, json_serializer=dump, pool_size=8, max_overflow=32)
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            json_serializer=dump,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": " ".join(f"-c {name}={value}" for name, value in SERVER_OPTIONS.items()),
                **NOTICE_SILENCE,
            },
        )
    raise ValueError(f"database_url must begin with sqlite:// or postgresql://, not {backend}://")


class Database:
    """One engine and the two kinds of transactions over it.

    Args:
        settings: names the database.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = make_engine(settings.sqlalchemy_url)
        self._writing_engine = self.engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads; it sees one consistent state."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that writes; it commits at the end, or rolls back on an error."""
        with Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def is_storage_full(error: BaseException) -> bool:
    """Say whether the database refused a write because its disk is full."""
    if not isinstance(error, DBAPIError):
        return False
    if getattr(error.orig, "sqlstate", None) == "53100":  # Postgres: disk_full
        return True
    return getattr(error.orig, "sqlite_errorname", "") in FULL_ERRORS


def alembic_config(url: str) -> Any:
    """Return Alembic's configuration for our migrations on the database at ``url``."""
    from alembic.config import Config  # noqa: PLC0415 - 0.14 s that only migrating needs

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring the schema to ``revision``, forwards or backwards to ``base``; repeating is harmless.

    Several processes may call it at once: the migration runs under the database's lock.
    """
    from alembic import command  # noqa: PLC0415 - 0.14 s that only migrating needs

    config = alembic_config(settings.sqlalchemy_url)
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - 0.14 s that only migrating needs

    head = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    if head is None:
        raise RuntimeError(f"no migrations in {MIGRATIONS}")
    return head


def current_revision(database: Database) -> str | None:
    """Return the revision of the schema in the database, None before the first migration."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - 0.14 s that only migrating needs

    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
