"""Where a scenario's values come from, as one list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from grpo.environments.hospital.model.facts import Basis, Fact
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.errors import make_pointer


@dataclass(frozen=True)
class Origin:
    """Where one value comes from.

    Attributes:
        pointer: JSON pointer of the fact in the scenario's document.
        basis: sourced, computed or assumed.
        source: publication, computation, or the reason for the assumption.
    """

    pointer: str
    basis: Basis
    source: str


def list_origins(scenario: Scenario) -> tuple[Origin, ...]:
    """Return the origin of every value of a scenario that carries one, in the document's order."""
    return tuple(_walk(scenario, ()))


def count_bases(origins: tuple[Origin, ...]) -> dict[str, int]:
    """Return how many values have each basis; 0 where none has it."""
    found = Counter(origin.basis for origin in origins)
    return {basis: found[basis] for basis in get_args(Basis)}


def _walk(node: Any, location: tuple[str | int, ...]) -> Iterator[Origin]:
    if isinstance(node, Fact):
        yield Origin(make_pointer(location), node.basis, node.source)
    if isinstance(node, BaseModel):
        parts: list[tuple[str | int, Any]] = list(node)
    elif isinstance(node, dict):
        parts = list(node.items())
    elif isinstance(node, tuple):
        parts = list(enumerate(node))
    else:
        return
    for name, part in parts:
        yield from _walk(part, (*location, name))
