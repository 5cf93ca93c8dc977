"""The command line: ``grpo serve | worker | migrate | warm | demo | watch``.

First mistakes get one line, not a traceback. Options override ``GRPO_*`` variables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import OperationalError

from grpo.errors import GRPOError
from service.client import GRPOClient, GRPOClientError
from service.database import head_revision, migrate
from service.embedded import EmbeddedError, EmbeddedService
from service.observability import configure_logging
from service.process import use_kernel_cache
from service.settings import Settings

app = typer.Typer(
    name="grpo",
    help="Train, audit and serve group-robust decision policies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True)
output = Console()

Home = Annotated[Path | None, typer.Option(help="Folder of the embedded service. GRPO_HOME")]
Host = Annotated[str | None, typer.Option(help="Address to listen on. GRPO_HOST")]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes any free one. GRPO_PORT")]
Url = Annotated[str, typer.Option(envvar="GRPO_URL", help="Where the service is.")]


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
    except (EmbeddedError, GRPOError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def read_settings(**given: Any) -> Settings:
    """Read the settings; options that were given win over variables."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


@app.command()
def serve(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    worker: Annotated[bool, typer.Option(help="Also start a worker process.")] = True,
) -> None:
    """Run the whole service here: API, worker, records, until Ctrl-C."""
    stop, seen = threading.Event(), 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        stop.set()
        if seen > 1:
            service.kill()

    with one_line_errors():
        settings = read_settings(home=home, host=host, port=port)
        configure_logging(settings.log_level)
        service = EmbeddedService(settings, with_worker=worker)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, on_signal)
        with service:
            output.print(f"GRPO serves at [bold]{service.url}[/bold]", highlight=False)
            output.print(f"API docs at [bold]{service.url}/docs[/bold]", highlight=False)
            output.print(f"records in {settings.home.absolute()}; Ctrl-C stops", highlight=False)
            stop.wait()
            output.print("stopping", highlight=False)


@app.command()
def worker(home: Home = None) -> None:
    """Run one worker process, which trains what is queued."""
    with one_line_errors():
        settings = read_settings(home=home)
        use_kernel_cache(settings)
        environment = os.environ | settings.to_environment()
    # Replace this process, so that signals and the exit status are the worker's own.
    os.execve(sys.executable, [sys.executable, "-m", "workers"], environment)  # noqa: S606


@app.command("migrate")
def migrate_command(home: Home = None) -> None:
    """Create the tables, or bring them up to date."""
    with one_line_errors():
        settings = read_settings(home=home)
        migrate(settings)
        output.print(f"schema at {head_revision()}", highlight=False)


@app.command()
def warm(home: Home = None) -> None:
    """Compile every kernel once and keep the machine code, so that nothing compiles later."""
    with one_line_errors():
        folder = use_kernel_cache(read_settings(home=home))
        with errors.status("compiling (once)"):
            subprocess.run([sys.executable, "-m", "service.warmup"], check=True)
        output.print(f"kernels in {folder}", highlight=False)


@app.command()
def demo(
    home: Home = None,
    timesteps: Annotated[int | None, typer.Option(min=1, help="Budget of each training.")] = None,
    episodes: Annotated[int | None, typer.Option(min=2, help="Judged episodes.")] = None,
) -> None:
    """Train two policies for the rural hospital, compare how groups fare, ask for a decision."""
    from service.demo import (  # noqa: PLC0415 - only here
        DEFAULT_EPISODES,
        DEFAULT_HOME,
        DEFAULT_TIMESTEPS,
        run_demo,
    )

    with one_line_errors():
        configure_logging("warning")
        status = run_demo(
            home=home or DEFAULT_HOME,
            timesteps=timesteps or DEFAULT_TIMESTEPS,
            episodes=episodes or DEFAULT_EPISODES,
        )
    raise typer.Exit(status)


@app.command()
def watch(job: str, url: Url = "http://127.0.0.1:8000") -> None:
    """Follow one job with a progress bar until it is over; exit with 1 if it failed."""
    from service.progress import follow_jobs  # noqa: PLC0415 - only here

    with one_line_errors():
        key = read_settings().api_key
        with GRPOClient(url, None if key is None else key.get_secret_value()) as client:
            finished = follow_jobs(client, {job[:8]: client.job(job)}, output)[job[:8]]
    output.print(f"{finished.status} {finished.reason or ''}{finished.detail}", highlight=False)
    raise typer.Exit(1 if finished.status == "failed" else 0)


def main() -> None:
    """Run the command line."""
    app()
