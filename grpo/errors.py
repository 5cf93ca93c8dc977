"""The errors that the library raises on purpose, in one flat tree under GRPOError.

- InputError: input that names its fields, what was given and what is allowed
- ShapeError: an array whose axes differ from the documented ones
- ModelError: a stored model that is truncated, altered or of another shape
- SimulationError: a simulation that cannot go on without losing something
- CheckpointError: a training's stored state that cannot be written, or continued from
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        for entry in error.errors(include_url=False):
            location, given = locate(entry)
            issues.append(Issue(make_pointer(location), entry["msg"], shorten(given)))
        return cls(issues)


# Tags of the library's discriminated unions: pydantic puts them into locations, where no such
# field exists in the body that the user wrote.
SCENARIO_TAGS = ("scenario by name", "scenario inline")
ENVIRONMENT_TAGS = frozenset({"hospital", "gymnasium"})
GROUP_TAGS = frozenset({"attribute", "threshold", "norm", "variant", "product"})
LAW_TAGS = frozenset(
    {"exponential", "lognormal", "lognormal_of_logs", "gamma", "weibull", "constant", "empirical"}
)
LAW_FIELDS = frozenset({"treatment", "patience", "stay", "turnaround"})

RULE_TAGS = frozenset(
    [
        "random",
        "longest_queue",
        "fcfs",
        "strict_acuity",
        "apq",
        "c_mu",
        "c_mu_theta",
        "gc_mu",
        "earliest_target",
        "cost_lottery",
        "worst_group_first",
        "reservation",
        "head_start",
        "tuned_index",
    ]
)


def drop_tags(location: Sequence[str | int]) -> list[str | int]:
    """Return pydantic's location without tags of unions, each dropped only where it can stand.

    Elsewhere the same word is a name that the user chose, e.g. a pool called ``constant``. The
    mark of a key that was refused goes too: the pointer of its value names it.
    """
    marked = location[:-1] if location and location[-1] == "[key]" else location
    return [part for n, part in enumerate(marked) if not _is_tag(part, marked[:n])]


def locate(entry: Mapping[str, Any]) -> tuple[list[str | int], Any]:
    """Return the field that one of pydantic's entries is about, and what was given for it.

    Pydantic blames a union for a wrong tag; the field that holds the tag is to blame. A rule of
    several fields blames the model they are in; ``grpo.schema.field_error`` says which of them.
    """
    location, given, about = drop_tags(entry["loc"]), entry.get("input"), entry.get("ctx", {})
    if entry["type"] == "field":
        return [*location, *about["field"]], _dig(given, about["field"])
    if entry["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(given, dict):
        field = str(about["discriminator"]).strip("'")
        return [*location, field], given.get(field)
    return location, given


def _dig(given: Any, location: Iterable[str | int]) -> Any:
    """Return what stands at a place in plain data, None where there is nothing."""
    for part in location:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return None
    return given


def _is_tag(part: str | int, before: Sequence[str | int]) -> bool:
    """Say whether a part is a tag, given those before it."""
    last, earlier = (before[-1] if before else ""), (before[-2] if len(before) > 1 else "")
    return (
        part in SCENARIO_TAGS
        or (part in ENVIRONMENT_TAGS and last == "environment")
        or (part in GROUP_TAGS and (last == "grouping" or (earlier == "of" and last != "of")))
        or (part in LAW_TAGS and last == "value" and earlier in LAW_FIELDS)
        or (part in RULE_TAGS and last in {"rule", "base"})
    )


class ShapeError(GRPOError, ValueError):
    """An array has other axes than documented; the message names expected and got."""


class ModelError(GRPOError):
    """A stored model is truncated, altered, or does not fit the manifest that it carries."""


class SimulationError(GRPOError, RuntimeError):
    """The simulation would have to drop something (a record, a patient) to go on."""


class CheckpointError(GRPOError):
    """A training's state is too large to store, damaged, or of another training or version."""
