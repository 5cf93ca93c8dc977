"""The words that every part of a scenario is made of: values with their origin, names, ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints

from grpo.schema import FrozenModel, field_error

T = TypeVar("T")

Basis = Literal["sourced", "computed", "assumed"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=1e-6, le=1000)]
Multiple = Annotated[float, Field(ge=0, le=1000)]
Hours = Annotated[float, Field(ge=1e-6, le=1e6)]
Amount = Annotated[float, Field(ge=0, le=1e6)]
Units = Annotated[int, Field(ge=0, le=10_000)]
Shares = tuple[Share, ...]

SHARE_TOLERANCE = 1e-3
HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
LARGEST_RATE_PER_DAY = 100_000.0


class Fact(FrozenModel, Generic[T]):
    """A value that says where it comes from.

    Attributes:
        value: the value itself, in the unit that the field's name gives.
        basis: sourced (published), computed (from published values), or assumed.
        source: publication, computation, or the reason for the assumption.
    """

    value: T
    basis: Basis
    source: str = Field(min_length=1, max_length=1000, pattern=PRINTABLE)


def require_sum_one(what: str, shares: Sequence[float], *location: str | int) -> None:
    """Refuse shares that do not add up to 1 (rounded tables may miss it by 0.001)."""
    if abs(sum(shares) - 1) > SHARE_TOLERANCE:
        raise field_error(f"{what} must add up to 1, not {sum(shares):.6g}", *location)


def require_keys(
    what: str, table: Mapping[str, object], expected: Sequence[str], *location: str | int
) -> None:
    """Refuse a table whose keys are not exactly the expected values."""
    if set(table) != set(expected):
        raise field_error(
            f"{what} needs exactly the keys {list(expected)}, not {sorted(table)}", *location
        )


def require_distinct(what: str, names: Sequence[str], *location: str | int) -> None:
    """Refuse a name that stands twice, and say which."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise field_error(f"{what} must differ from each other; twice: {twice}", *location)


def normalised(shares: Sequence[float]) -> tuple[float, ...]:
    """Return shares that add up to exactly 1 but for rounding."""
    total = sum(shares)
    return tuple(share / total for share in shares)
