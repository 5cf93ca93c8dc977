"""``grpo keys create | list | revoke``: API keys, on a host that reaches the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from service.database import Database, migrate
from service.keys.records import ApiKey, Scope
from service.keys.repository import create_key, list_keys, revoke_key
from service.settings import Settings
from service.terminal import Home, errors, one_line_errors, output, read_settings

DAY = 86_400.0
app = typer.Typer(help="API keys: who may do what, and whose jobs they see.", no_args_is_help=True)


@contextmanager
def open_records(settings: Settings) -> Iterator[Database]:
    """Open the migrated records."""
    migrate(settings)
    database = Database(settings)
    try:
        yield database
    finally:
        database.close()


@app.command()
def create(
    owner: Annotated[str, typer.Argument(help="Whose it is; keys of one owner see the same jobs.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; may be repeated.")],
    days: Annotated[
        float | None, typer.Option(help="How long it works; for ever if left out.")
    ] = None,
    home: Home = None,
) -> None:
    """Make a key and show it, this once: only a digest of it is kept.

    To rotate, make another key for the same owner, hand it out, then revoke the old one.
    """
    with one_line_errors():
        settings = read_settings(home=home)
        lifetime = None if days is None else days * DAY
        with open_records(settings) as database:
            key, token = create_key(database, owner, scope, lifetime_seconds=lifetime)
        until = "for ever" if key.expires is None else f"until {key.expires:%Y-%m-%d %H:%M} UTC"
        errors.print(f"key {key.id} of {key.owner}, {until}; shown only now:", highlight=False)
        typer.echo(token.text)
        if not settings.asks_for_keys:
            errors.print(
                "the service asks for keys once GRPO_API_KEY or GRPO_REQUIRE_KEYS=true is set",
                highlight=False,
            )


@app.command("list")
def list_command(home: Home = None) -> None:
    """Show all keys, without their secrets."""
    with one_line_errors():
        with open_records(read_settings(home=home)) as database:
            keys = list_keys(database)
        table = Table("id", "owner", "scopes", "state", "created", "expires", "last used", box=None)
        now = datetime.now(UTC)
        for key in keys:
            times = [show_time(at) for at in (key.created, key.expires, key.last_used)]
            table.add_row(key.id, key.owner, " ".join(sorted(key.scopes)), state(key, now), *times)
        output.print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that list shows.")], home: Home = None
) -> None:
    """End a key for good; every API process feels it within seconds."""
    with one_line_errors():
        with open_records(read_settings(home=home)) as database:
            key = revoke_key(database, key_id)
        output.print(f"key {key.id} of {key.owner} is revoked", highlight=False)


def state(key: ApiKey, now: datetime) -> str:
    """Say in one word whether a key works."""
    if key.revoked is not None:
        return "revoked"
    return "live" if key.is_live(now) else "expired"


def show_time(moment: datetime | None) -> str:
    """Show a moment to the minute, in UTC; a dash where there is none."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
