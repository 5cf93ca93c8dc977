"""The API keeps the promises of its OpenAPI document for requests that nobody thought of.

A real process answers what schemathesis makes up: no 5xx, no status, header, media type or body
that is not documented, nothing malformed accepted, no route without its key. A longer run:
``python -m benchmarks.fuzz``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend
from tests.service.fuzzing import Target, fuzz, fuzzed_service


@pytest.fixture(scope="module")
def target(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home: Path = tmp_path_factory.mktemp("fuzzed")
    with fuzzed_service(backend.settings(home, port=0)) as target:
        yield target


def count_cases(output: str) -> int:
    (count,) = re.findall(r"^ *(\d+) generated, ", output, re.MULTILINE)
    return int(count)


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_edge_cases_of_every_parameter_are_answered_as_documented(
    target: Target, tmp_path: Path
) -> None:
    done = fuzz(
        target,
        tmp_path,
        "examples,coverage",
        key=target.admin,
        known_id=True,
        examples=10,
        seconds=30,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert count_cases(done.stdout) > 300


@pytest.mark.parametrize("backend", ["scaled"], indirect=True)
def test_random_requests_are_answered_as_documented(target: Target, tmp_path: Path) -> None:
    done = fuzz(target, tmp_path, "fuzzing", key=target.user, known_id=False, examples=7)
    assert done.returncode == 0, done.stdout[-8000:]
    assert count_cases(done.stdout) > 100


@pytest.mark.parametrize("backend", ["scaled"], indirect=True)
def test_random_sequences_of_requests_are_answered_as_documented(
    target: Target, tmp_path: Path
) -> None:
    done = fuzz(target, tmp_path, "stateful", key=target.user, known_id=False, examples=5)
    assert done.returncode == 0, done.stdout[-8000:]
    assert count_cases(done.stdout) > 10
