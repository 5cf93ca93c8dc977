"""Structured logs: an event name and fields, as JSON lines on standard error.

Context such as ``request_id`` or ``job_id`` is bound with ``bind_context`` for as long as the work
lasts and cleared after it. Events are names, not sentences: ``request``, ``job_submitted``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send structlog events of at least ``level`` to ``stream``, one JSON object per line.

    A terminal gets the same events in colour. Call once, at an entry point.

    Args:
        level: debug, info, warning or error.
        stream: where to write; standard error if not given.
    """
    target = stream if stream is not None else sys.stderr
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if target.isatty()
        else structlog.processors.JSONRenderer(default=repr)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not target.isatty():
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), stream=target, force=True)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """Return the logger; events are written as ``log.info("event_name", field=value)``."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger())


@contextmanager
def bind_context(**fields: object) -> Iterator[None]:
    """Add the fields to every event inside the block."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield
