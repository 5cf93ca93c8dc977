"""Runs the migrations: under one lock, all or nothing, without losing child rows on SQLite.

The URL comes from the caller (``service.database.migrate``), or from the ``GRPO_*`` settings when
Alembic's own command line is used.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine

import service.jobs.side_models
import service.keys.models
import service.policies.models
import service.scenarios.models  # noqa: F401  registers every other table
from service.database import Base, make_engine
from service.settings import Settings

ADVISORY_LOCK = 0x6772706F


def _url() -> str:
    given = context.config.attributes.get("url")
    return given if given is not None else Settings().sqlalchemy_url


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        compare_server_default=True,
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_on_sqlite(engine: Engine) -> None:
    """Switch foreign keys off before BEGIN: a batch step drops tables, and would cascade."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        if driver is None:
            raise RuntimeError("the SQLite connection is closed")
        driver.execute("PRAGMA foreign_keys = OFF")
        connection.execution_options(writes=True)
        with connection.begin():
            _run(connection)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise RuntimeError(f"the migration leaves broken references: {broken[:10]}")


def _run_on_postgresql(engine: Engine) -> None:
    """Wait a bounded time for locks, so that a migration never blocks the running service."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '4s'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
        _run(connection)


def _run_online() -> None:
    engine = make_engine(_url())
    try:
        if engine.dialect.name == "sqlite":
            _run_on_sqlite(engine)
        else:
            _run_on_postgresql(engine)
    finally:
        engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations need a connection: their steps read the database they change")
_run_online()
