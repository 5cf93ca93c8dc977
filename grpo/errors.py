"""The errors that the library raises on purpose, in one flat tree under GRPOError.

- InputError: input that names its fields, what was given and what is allowed
- ShapeError: an array whose axes differ from the documented ones
- ModelError: a stored model that is truncated, altered or of another shape
- SimulationError: a simulation that cannot go on without losing something
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

GIVEN_LIMIT = 200


class GRPOError(Exception):
    """Root of every error that the library raises on purpose."""


@dataclass(frozen=True)
class Issue:
    """One thing wrong with an input.

    Attributes:
        pointer: JSON pointer of the field (RFC 6901), ``""`` for the whole input.
        message: what is wrong, a sentence without the value.
        given: ``repr`` of what was given, cut at 200 characters.
        allowed: what would be accepted.
    """

    pointer: str
    message: str
    given: str = ""
    allowed: str = ""

    def __str__(self) -> str:
        """Render as one line: field, complaint, what was given, what is allowed."""
        parts = [f"{self.pointer or '/'}: {self.message}"]
        if self.given:
            parts.append(f"given {self.given}")
        if self.allowed:
            parts.append(f"allowed {self.allowed}")
        return "; ".join(parts)


def shorten(value: object) -> str:
    """Return ``repr(value)`` cut at 200 characters, so that an error never echoes a whole body."""
    text = repr(value)
    return text if len(text) <= GIVEN_LIMIT else text[: GIVEN_LIMIT - 1] + "…"


def make_pointer(location: Iterable[str | int]) -> str:
    """Join a location such as ``("budget", "total_timesteps")`` to a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


class InputError(GRPOError, ValueError):
    """Input was refused; ``issues`` names each field, what was given and what is allowed."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        """Keep the issues; there is at least one."""
        self.issues = tuple(issues)
        super().__init__("\n".join(map(str, self.issues)))

    @classmethod
    def single(
        cls, pointer: str, message: str, *, given: object = None, allowed: str = ""
    ) -> InputError:
        """Build the error for one field."""
        shown = "" if given is None else shorten(given)
        return cls([Issue(pointer, message, shown, allowed)])

    @classmethod
    def from_validation(cls, error: ValidationError) -> InputError:
        """Translate pydantic's error, dropping the tags of discriminated unions from pointers."""
        issues = []
        for entry in error.errors(include_url=False, include_context=False):
            location = [part for part in entry["loc"] if part not in UNION_TAGS]
            issues.append(Issue(make_pointer(location), entry["msg"], shorten(entry["input"])))
        return cls(issues)


# Values of ``kind`` in the library's discriminated unions: pydantic puts them into locations,
# where no such field exists in the body that the user wrote.
UNION_TAGS = frozenset({"hospital", "gymnasium", "attribute", "threshold"})


class ShapeError(GRPOError, ValueError):
    """An array has other axes than documented; the message names expected and got."""


class ModelError(GRPOError):
    """A stored model is truncated, altered, or does not fit the manifest that it carries."""


class SimulationError(GRPOError, RuntimeError):
    """The simulation would have to drop something (a record, a patient) to go on."""
