"""The command line: what runs a service stands here, the other commands in modules of their own.

First mistakes get one line, not a traceback. Options override ``GRPO_*`` variables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from service import cli_jobs, cli_keys, cli_local, cli_rules, cli_scenario
from service.database import head_revision, migrate
from service.embedded import EmbeddedService
from service.observability import configure_logging
from service.process import use_kernel_cache
from service.terminal import Home, errors, one_line_errors, output, read_settings

app = typer.Typer(
    name="grpo",
    help="Train, audit and serve group-robust decision policies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_jobs.app)
app.add_typer(cli_local.app)
app.add_typer(cli_rules.app)
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_scenario.app, name="scenario")
Host = Annotated[str | None, typer.Option(help="Address to listen on. GRPO_HOST")]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes any free one. GRPO_PORT")]


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
        Path(folder).mkdir(parents=True, exist_ok=True)  # numba would take another in silence
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
