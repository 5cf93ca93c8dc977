"""``grpo submit | watch | cancel | resume | act``: what a client asks of a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import GRPOClient
from service.files import read_json
from service.process import use_kernel_cache
from service.terminal import errors, one_line_errors, output, read_settings

app = typer.Typer()
Url = Annotated[str, typer.Option(envvar="GRPO_URL", help="Where the service is.")]
LOCAL = "http://127.0.0.1:8000"
JobFile = Annotated[Path, typer.Argument(help="The job as JSON; - reads standard input.")]


@contextmanager
def open_client(url: str) -> Iterator[GRPOClient]:
    """Open a client with the key of the settings; what goes wrong becomes one line."""
    with one_line_errors():
        key = read_settings().api_key
        with GRPOClient(url, None if key is None else key.get_secret_value()) as client:
            yield client


@app.command()
def submit(
    file: JobFile,
    url: Url = LOCAL,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeating with the same key submits only once.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check and estimate; submit nothing.")] = False,
) -> None:
    """Submit a training job and print its id."""
    with open_client(url) as client:
        body = read_json(file)
        if dry_run:
            estimate = client.estimate(body)
            print_json(estimate.model_dump(mode="json", exclude={"config"}))
            return
        job = client.submit(body, idempotency_key=idempotency_key)
        typer.echo(job.id)
        errors.print(f"{job.status}; follow it with: grpo watch {job.id}", highlight=False)


@app.command()
def watch(job: str, url: Url = LOCAL) -> None:
    """Follow one job with a progress bar until it is over; exit with 1 if it failed."""
    from service.progress import follow_jobs  # noqa: PLC0415 - only here

    with open_client(url) as client:
        finished = follow_jobs(client, {job[:8]: client.job(job)}, output)[job[:8]]
    output.print(f"{finished.status} {finished.reason or ''}{finished.detail}", highlight=False)
    raise typer.Exit(1 if finished.status == "failed" else 0)


@app.command()
def cancel(job: str, url: Url = LOCAL) -> None:
    """Ask for a job's end and print where it stands."""
    with open_client(url) as client:
        typer.echo(client.cancel(job).status)


@app.command()
def resume(job: str, url: Url = LOCAL) -> None:
    """Queue a failed or cancelled job again and print where it stands."""
    with open_client(url) as client:
        typer.echo(client.resume(job).status)


@app.command()
def act(
    policy: Annotated[str, typer.Argument(help="Id of a policy or of its job, or a model file.")],
    file: Annotated[Path, typer.Argument(help="The state as JSON; - reads standard input.")],
    url: Url = LOCAL,
) -> None:
    """Ask a policy for a decision and print it as JSON; a model file needs no service."""
    with open_client(url) as client:
        body = read_json(file)
        model = Path(policy)
        decision = act_on_file(model, body) if model.is_file() else client.act(policy, body)
        print_json(decision)


def act_on_file(model: Path, body: Any) -> dict[str, Any]:
    """Decide with a model file, as the service would.

    Raises:
        ModelError: the file is no model.
        ServiceError: the state was refused.
    """
    settings = read_settings()
    use_kernel_cache(settings)
    # Only here, after the kernels' folder is set.
    from grpo.models.serialization import digest_bytes, load_policy  # noqa: PLC0415
    from service.api.acting import decide  # noqa: PLC0415
    from service.policies.cache import ServedPolicy, compile_for  # noqa: PLC0415

    stored = model.read_bytes()
    policy = load_policy(stored)
    served = ServedPolicy(model.name, digest_bytes(stored), policy, compile_for(policy))
    raw = json.dumps(body).encode()
    decision: dict[str, Any] = json.loads(decide(served, raw, settings.max_patients))
    return decision


def print_json(data: Any) -> None:
    """Print plain data as indented JSON on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
