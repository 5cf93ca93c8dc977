"""How a job names a stored scenario: ``my_hospital`` for the newest version, ``my_hospital@2``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_VERSION = 10**9 - 1
VERSIONED = re.compile(rf"({NAME.pattern})@([1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class Reference:
    """A scenario's name, and which version of it (None: the newest)."""

    name: str
    version: int | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``name`` or ``name@version``; a text of another form is a name that nothing has."""
        found = VERSIONED.fullmatch(text)
        return cls(text) if found is None else cls(found[1], int(found[2]))

    def __str__(self) -> str:
        """Write it as a job does."""
        return self.name if self.version is None else f"{self.name}@{self.version}"
