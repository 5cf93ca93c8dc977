"""A bar for work that is counted, on standard error; Ctrl-C ends it with nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.terminal import errors, fail

Advance = Callable[[str, int], None]


@contextmanager
def counting(total: int, what: str) -> Iterator[Advance]:
    """Yield a function that moves the bar: told what is being done, and how many are finished.

    Args:
        total: where the bar ends.
        what: it counts, in the plural.

    Raises:
        typer.Exit: with status 1, at Ctrl-C.
    """
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
        transient=True,
    )
    task = bars.add_task("starting", total=total)
    try:
        with bars:
            yield lambda description, count: bars.update(
                task, description=description, advance=count
            )
    except KeyboardInterrupt:
        fail("stopped; nothing was written")
