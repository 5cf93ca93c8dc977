"""Follow training jobs on a terminal: bars that move, or plain lines where nothing can move."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from service.api.schemas import Iteration, Job
from service.client import GRPOClient

POLL_SECONDS = 0.5
LINE_SECONDS = 10.0
PHASES = {
    "compiling": "compiling (once)",
    "validating": "choosing the best checkpoint",
    "evaluating": "judging on new patients",
}


@dataclass
class Followed:
    """What is known of one job: its latest state and its latest iteration."""

    label: str
    job: Job
    latest: Iteration | None = None
    metrics_after: int = 0
    printed_at: float = field(default=0.0)

    def refresh(self, client: GRPOClient) -> None:
        """Fetch the state and the iterations since the last time."""
        self.job = client.job(self.job.id)
        news = client.metrics(self.job.id, after=self.metrics_after)
        if news:
            self.latest, self.metrics_after = news[-1], news[-1].iteration


def describe_state(followed: Followed) -> str:
    """Say in one line where a job is: phase, speed, costs, time left."""
    job, latest = followed.job, followed.latest
    if job.is_over:
        return job.status if job.reason is None else f"{job.status}: {job.reason}"
    if job.status == "queued":
        return "waiting for the worker"
    phase = job.progress.phase
    if phase is None:
        return "starting"
    if phase in PHASES:
        return PHASES[phase]
    if latest is None:
        return "training"
    parts = [f"{latest.steps_per_second:,.0f} steps/s"]
    hospital = job.config.environment.kind == "hospital"
    sign, word = (-1, "cost") if hospital else (1, "return")
    if latest.mean_return is not None:
        parts.append(f"{word} {sign * latest.mean_return:.2f}")
    if latest.worst_group_return is not None:
        parts.append(f"worst group {sign * latest.worst_group_return:.2f}")
    if job.progress.seconds_left is not None:
        parts.append(f"{job.progress.seconds_left:.0f} s left")
    return ", ".join(parts)


def follow_jobs(client: GRPOClient, jobs: Mapping[str, Job], console: Console) -> dict[str, Job]:
    """Show jobs side by side until all are over, or one did not succeed.

    Args:
        client: of the service that runs them.
        jobs: by the label to show them under.
        console: where to show; one that is no terminal gets a line per job every 10 seconds.

    Returns:
        The jobs in their last state, by label.

    Raises:
        GRPOClientError: the service does not answer.
    """
    followed = [Followed(label, job) for label, job in jobs.items()]
    bars = Progress(
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        disable=not console.is_terminal,
    )
    with bars:
        tasks = {
            one.label: bars.add_task(one.label, total=1.0, state=describe_state(one))
            for one in followed
        }
        while True:
            for one in followed:
                one.refresh(client)
                _show(one, bars, tasks[one.label], console)
            over = [one.job for one in followed if one.job.is_over]
            if len(over) == len(followed) or any(job.status != "succeeded" for job in over):
                return {one.label: one.job for one in followed}
            time.sleep(POLL_SECONDS)


def _show(one: Followed, bars: Progress, task: TaskID, console: Console) -> None:
    """Move the bar, or print a line now and then."""
    state = describe_state(one)
    share = 1.0 if one.job.status == "succeeded" else one.job.progress.fraction
    bars.update(task, completed=share, state=state)
    now = time.monotonic()
    if bars.disable and (one.job.is_over or now - one.printed_at >= LINE_SECONDS):
        one.printed_at = now
        console.print(f"{one.label}: {share:4.0%}  {state}", highlight=False)
