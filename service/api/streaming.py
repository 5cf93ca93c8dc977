"""Server-sent events of one job: what has happened, then what happens, until the job is over.

A stream is an async generator that asks the records from the thread pool, so it never blocks the
event loop; FastAPI adds a comment every 15 seconds to a stream that is silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi.sse import ServerSentEvent
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool

from service.api import views
from service.database import Database
from service.errors import TooManyStreamsError
from service.jobs.repository import watch_events
from service.observability import get_logger

POLL_SECONDS = 0.5
BATCH = 100
RETRY_MILLISECONDS = 3_000
log = get_logger()


class Streams:
    """The open streams of this process: at most ``limit``, and none once it closes.

    Args:
        limit: most streams at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.open = 0
        self.closing = False

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a place for one stream; called on the event loop only.

        Raises:
            TooManyStreamsError: all places are taken.
        """
        if self.open >= self._limit:
            raise TooManyStreamsError.of(self._limit)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def close(self) -> None:
        """End every stream within half a second; clients come back with their last id."""
        self.closing = True

    async def follow(
        self, database: Database, job_id: str, after: int
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield a job's events above ``after`` as they come; ``end`` is the last.

        A database that is away is waited for.
        """
        yield ServerSentEvent(retry=RETRY_MILLISECONDS)
        while not self.closing:
            try:
                events, state = await run_in_threadpool(
                    watch_events, database, job_id, after, BATCH
                )
            except OperationalError as error:
                log.warning("stream_waits", job_id=job_id, error=str(error))
                await asyncio.sleep(POLL_SECONDS)
                continue
            for event in events:
                after = event.sequence
                yield ServerSentEvent(
                    event=event.kind, id=str(event.sequence), data=views.view_event(event)
                )
            if not events and state.is_terminal:
                yield ServerSentEvent(event="end", data={"job_id": job_id, "status": state.value})
                return
            if not events:
                await asyncio.sleep(POLL_SECONDS)
