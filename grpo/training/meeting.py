"""Where two threads meet without waiting for each other longer than they must."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Semaphore


class BrokenMeetingError(RuntimeError):
    """The other thread failed, so what is waited for will never come."""


class Meeting:
    """Joins two threads again and again: the last to arrive does what follows from both.

    The first goes on with other work, and waits only where it needs that done.
    """

    def __init__(self) -> None:
        self._first = Lock()
        self._finished = Semaphore(0), Semaphore(0)
        self._owed = [False, False]
        self._broken = False

    def arrive(self, thread: int, finish: Callable[[], None]) -> None:
        """Say that a thread, 0 or 1, is done with its part; the last one runs ``finish``."""
        if self._first.acquire(blocking=False):
            self._owed[thread] = True
            return
        finish()
        self._first.release()
        self._finished[1 - thread].release()

    def wait(self, thread: int) -> None:
        """Return once ``finish`` has run since the thread arrived.

        Raises:
            BrokenMeetingError: the other thread failed.
        """
        if self._owed[thread]:
            self._finished[thread].acquire()
            self._owed[thread] = False
        if self._broken:
            raise BrokenMeetingError("the other thread failed")

    def break_up(self) -> None:
        """Let nobody wait any more."""
        self._broken = True
        for semaphore in self._finished:
            semaphore.release()


class NoMeeting(Meeting):
    """The same for a thread that does all parts itself."""

    def arrive(self, thread: int, finish: Callable[[], None]) -> None:  # noqa: ARG002
        """Run ``finish``."""
        finish()

    def wait(self, thread: int) -> None:
        """Return at once."""
