"""What the base of all declarative models accepts as a number."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from grpo.config import Algorithm, TrainConfig
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.scenario import list_scenarios, load_scenario
from grpo.errors import InputError
from grpo.schema import FrozenModel


class Inner(FrozenModel):
    default: int = 3  # fields called like the keywords of a schema are fields
    type: float = 0.5


class Sample(FrozenModel):
    count: int = 1
    share: float | None = None
    on: bool = False
    counts: tuple[int, ...] = ()
    shares: dict[str, float] = Field(default_factory=dict)
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"count": "1"}, "/count"),
        ({"count": 1.0}, "/count"),
        ({"count": True}, "/count"),
        ({"share": "0.5"}, "/share"),
        ({"share": False}, "/share"),
        ({"on": 1}, "/on"),
        ({"on": "true"}, "/on"),
        ({"counts": [1, "2"]}, "/counts/1"),
        ({"shares": {"a": "1"}}, "/shares/a"),
        ({"inner": [{}, {"default": "3"}]}, "/inner/1/default"),
        ({"inner": [{"type": "1"}]}, "/inner/0/type"),
    ],
)
def test_what_is_no_number_is_refused_at_any_depth(data: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InputError) as refused:
        Sample.parse(data)
    assert [issue.pointer for issue in refused.value.issues] == [pointer]


def test_integers_are_floats_and_lists_are_tuples() -> None:
    data = {"share": 1, "counts": [1, 2], "shares": {"a": 1}, "inner": [{"type": 2}]}
    found = Sample.parse(data)
    assert (found.share, found.counts, found.shares) == (1.0, (1, 2), {"a": 1.0})
    assert found.inner == (Inner(type=2.0),)
    assert Sample.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("name", list_scenarios())
def test_every_scenario_reads_back(name: str) -> None:
    scenario = load_scenario(name)
    assert Scenario.parse(scenario.model_dump(mode="json")) == scenario


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({"num_envs": 8192, "num_steps": 128}, True),  # 2**20
        ({"num_envs": 8192, "num_steps": 129}, False),
        ({"hidden_sizes": [2048, 2048]}, True),  # 2**22
        ({"hidden_sizes": [2048, 2048, 1]}, False),
        ({"hidden_sizes": [4096]}, True),
        ({"minibatch_size": 2048}, True),  # 16 * 128
        ({"minibatch_size": 2049}, False),
    ],
)
def test_sizes_are_bounded_together(fields: dict[str, Any], accepted: bool) -> None:
    if accepted:
        Algorithm.parse(fields)
        return
    with pytest.raises(InputError) as refused:
        Algorithm.parse(fields)
    assert [issue.pointer for issue in refused.value.issues] == [f"/{list(fields)[-1]}"]


def test_a_job_reads_back() -> None:
    config = TrainConfig.parse(
        {
            "environment": {"kind": "hospital"},
            "grouping": {"kind": "attribute", "attributes": ["age_group"]},
        }
    )
    assert TrainConfig.parse(config.model_dump(mode="json")) == config
