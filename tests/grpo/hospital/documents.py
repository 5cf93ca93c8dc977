"""Pieces of scenario documents for tests."""

from __future__ import annotations

from typing import Any


def fact(value: Any) -> dict[str, Any]:
    """A value with a basis."""
    return {"value": value, "basis": "assumed", "source": "a test"}
