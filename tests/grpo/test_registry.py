"""The allow-list and the check of jobs against it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium
import pytest

from grpo.config import TrainConfig
from grpo.environments.registry import check_config, list_environments
from grpo.errors import InputError

HOSPITAL: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
}
CARTPOLE: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {
        "kind": "threshold",
        "feature": 2,
        "edges": [0.0],
        "labels": ["left", "right"],
    },
}


@pytest.mark.parametrize("config", [HOSPITAL, CARTPOLE])
def test_a_fitting_job_passes(config: dict[str, Any]) -> None:
    check_config(TrainConfig.parse(config))


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        (
            HOSPITAL | {"environment": {"kind": "hospital", "scenario": "mars"}},
            "/environment/scenario",
        ),
        (
            HOSPITAL | {"grouping": {"kind": "attribute", "attributes": ["star_sign"]}},
            "/grouping/attributes/0",
        ),
        (HOSPITAL | {"grouping": CARTPOLE["grouping"]}, "/grouping/kind"),
        (CARTPOLE | {"grouping": HOSPITAL["grouping"]}, "/grouping/kind"),
        (
            CARTPOLE | {"environment": {"kind": "gymnasium", "id": "Doom-v1"}},
            "/environment/id",
        ),
        (CARTPOLE | {"grouping": CARTPOLE["grouping"] | {"feature": 4}}, "/grouping/feature"),
        (CARTPOLE | {"algorithm": {"start_rule": "fcfs"}}, "/algorithm/start_rule"),
        (CARTPOLE | {"algorithm": {"group_target": "standardised"}}, "/algorithm/group_target"),
    ],
)
def test_an_unfitting_job_is_refused_by_field(config: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InputError) as refused:
        check_config(TrainConfig.parse(config))
    assert [issue.pointer for issue in refused.value.issues] == [pointer]


def test_an_id_with_a_module_part_is_refused_before_anything_is_imported() -> None:
    config = CARTPOLE | {"environment": {"kind": "gymnasium", "id": "antigravity:Env-v0"}}
    with pytest.raises(InputError, match="/environment/id"):
        TrainConfig.parse(config)
    assert "antigravity" not in sys.modules


def test_gymnasium_descriptions_are_true() -> None:
    for described in list_environments():
        if described.kind == "gymnasium":
            environment = gymnasium.make(described.id)
            assert environment.observation_space.shape == (described.observation_size,)
            assert environment.action_space.n == described.num_actions  # type: ignore[attr-defined]
            environment.close()


def test_the_registry_imports_no_heavy_library() -> None:
    code = (
        "import sys, grpo.environments.registry as r; r.list_environments();"
        "print([m for m in ('torch', 'numba', 'scipy', 'gymnasium') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
