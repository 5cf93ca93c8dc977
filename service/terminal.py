"""What the commands share: settings from options, and first mistakes as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import OperationalError

from grpo.errors import GRPOError
from service.client import GRPOClientError
from service.embedded import EmbeddedError
from service.errors import ServiceError
from service.settings import Settings

errors = Console(stderr=True)
output = Console()

Home = Annotated[Path | None, typer.Option(help="Folder of the embedded service. GRPO_HOME")]


def fail(message: str) -> NoReturn:
    """Print one line and exit with status 1."""
    errors.print(f"[red]error:[/red] {' '.join(message.split())}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the errors that users meet into one line each."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "GRPO_" + "_".join(str(part) for part in first["loc"]).upper()
        message = first["msg"].removeprefix("Value error, ")
        fail(message if not first["loc"] else f"{name}: {message}, given {first['input']!r}")
    except GRPOClientError as error:
        fail(f"{error.detail} ({error.code})")
    except OperationalError as error:
        fail(f"the database does not answer: {error.orig}")
    except (EmbeddedError, GRPOError, ServiceError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def read_settings(**given: Any) -> Settings:
    """Read the settings; options that were given win over variables."""
    return Settings(**{name: value for name, value in given.items() if value is not None})
