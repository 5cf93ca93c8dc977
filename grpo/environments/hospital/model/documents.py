"""Scenario documents as text that people edit: short parts on one line, long ones broken."""

from __future__ import annotations

import json
from typing import Any

WIDTH = 120
INDENT = 2


def format_document(data: Any) -> str:
    """Write plain data as JSON that is pleasant to read and to compare line by line.

    A list or an object that fits stands on one line. Otherwise each part begins a line, but plain
    values of a list share lines.

    Args:
        data: what ``json`` can write, without NaN and infinity.
    """
    return _format(data, 0, 0) + "\n"


def _format(data: Any, indent: int, used: int) -> str:
    flat = json.dumps(data, ensure_ascii=False, allow_nan=False)
    if not isinstance(data, dict | list | tuple) or not data or indent + used + len(flat) < WIDTH:
        return flat
    inner = indent + INDENT
    if isinstance(data, dict):
        keys = [json.dumps(key, ensure_ascii=False) + ": " for key in data]
        parts = [k + _format(v, inner, len(k)) for k, v in zip(keys, data.values(), strict=True)]
        opening, closing = "{", "}"
    elif any(isinstance(part, dict | list | tuple) for part in data):
        parts = [_format(part, inner, 0) for part in data]
        opening, closing = "[", "]"
    else:
        parts = _fill([json.dumps(part, ensure_ascii=False) for part in data], WIDTH - inner)
        opening, closing = "[", "]"
    margin = "\n" + " " * inner
    return f"{opening}{margin}{(',' + margin).join(parts)}\n{' ' * indent}{closing}"


def _fill(words: list[str], width: int) -> list[str]:
    """Put as many words on a line as fit, commas between them."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 2 + len(word) < width:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return lines
