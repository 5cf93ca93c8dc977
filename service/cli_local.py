"""``grpo train``: the library from the command line, without a service."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from grpo.config import TrainConfig
from grpo.training.observer import IterationMetrics, Phase, TrainingStopped
from service.files import read_json, write_whole
from service.process import use_kernel_cache
from service.terminal import Home, errors, fail, one_line_errors, read_settings

if TYPE_CHECKING:
    from grpo.training.job import TrainingResult

app = typer.Typer()
PHASES: dict[Phase, str] = {
    "compiling": "compiling (once)",
    "training": "training",
    "validating": "choosing the best checkpoint",
    "evaluating": "judging on new episodes",
}


class TerminalObserver:
    """Moves a progress bar, and ends the training at Ctrl-C.

    Args:
        total_timesteps: the budget.
    """

    def __init__(self, total_timesteps: int) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            console=errors,
            disable=not errors.is_terminal,
        )
        self.stop = threading.Event()
        self._task = self.bars.add_task("starting", total=total_timesteps, speed="")

    def on_phase(self, name: Phase) -> None:
        """Name the phase: on the bar, or on a line where nothing can move."""
        self.bars.update(self._task, description=PHASES[name])
        if self.bars.disable:
            errors.print(PHASES[name], highlight=False)

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Move the bar."""
        speed = f"{metrics.steps_per_second:,.0f} steps/s"
        self.bars.update(self._task, completed=metrics.timesteps, speed=speed)

    def should_stop(self) -> bool:
        """Say whether Ctrl-C was pressed."""
        return self.stop.is_set()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask the training to end with its iteration."""
        del number, frame
        self.stop.set()


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="The job as JSON; - reads standard input.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(),
    home: Home = None,
) -> None:
    """Train here, and write NAME.safetensors and NAME.report.json once all is done.

    NAME is the file's, without its ending.
    """
    with one_line_errors():
        use_kernel_cache(read_settings(home=home))
        config = TrainConfig.parse(read_json(file))
        name = "policy" if str(file) == "-" else file.stem
        folder.mkdir(parents=True, exist_ok=True)
        result = run_training(config)
        for path, content in list_files(result, folder / name):
            write_whole(path, content)
            typer.echo(path)
        for statement in result.report.statements:
            errors.print(statement, soft_wrap=True, highlight=False)


def run_training(config: TrainConfig) -> TrainingResult:
    """Train under a progress bar; Ctrl-C or SIGTERM ends the program, with nothing written."""
    from grpo.training.job import train_policy  # noqa: PLC0415 - after the kernels' folder is set

    observer = TerminalObserver(config.budget.total_timesteps)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, observer.on_signal)
    try:
        with observer.bars:
            return train_policy(config, observer)
    except TrainingStopped:
        fail("stopped; nothing was written")


def list_files(result: TrainingResult, stem: Path) -> list[tuple[Path, bytes]]:
    """Return the files of a training with their contents, the model last."""
    from grpo.models.serialization import dump_policy  # noqa: PLC0415 - see above

    report = result.report.model_dump_json(indent=2).encode()
    return [
        (stem.with_name(f"{stem.name}.report.json"), report),
        (stem.with_name(f"{stem.name}.safetensors"), dump_policy(result.policy)),
    ]
