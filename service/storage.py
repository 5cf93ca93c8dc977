"""A reserve beside the SQLite file: given up when the disk is full, so that ends can be written.

Postgres looks after its own disk; there the reserve does nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import make_url

from service.settings import Settings

RESERVE_BYTES = 4 * 2**20
ENOUGH_BYTES = 3 * RESERVE_BYTES
"""Free space at which the reserve is taken again."""

LEAST_BYTES = 2**18
"""With less than this a write may fail at any moment."""


class StorageReserve:
    """A file of 4 MiB on the disk of the records.

    Args:
        settings: names the database.
    """

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.sqlalchemy_url)
        embedded = url.get_backend_name() == "sqlite" and url.database
        self.path = Path(f"{url.database}-reserve") if embedded else None

    def take(self) -> None:
        """Take the reserve, unless it is there or the disk has less than 12 MiB left."""
        if self.path is None or self.path.exists() or self._free() < ENOUGH_BYTES:
            return
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            with aside.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
            aside.replace(self.path)
        except OSError:
            aside.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the reserve up; repeating it is harmless."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def check(self) -> str:
        """Return ``ok``, or how full the disk is."""
        if self.path is None:
            return "ok"
        free = self._free()
        if free >= (LEAST_BYTES if self.path.exists() else ENOUGH_BYTES):
            return "ok"
        return f"the disk of the records is full: {free} bytes left"

    def _free(self) -> int:
        """Return the bytes left on the disk of the records."""
        if self.path is None:
            return 0
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize
