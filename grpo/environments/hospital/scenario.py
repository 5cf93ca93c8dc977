"""Where scenarios come from: the built-in JSON files, and small queues built by a call.

This module and what it imports need pydantic and numpy only.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from grpo.config import HospitalEnvironment
from grpo.environments.hospital.compiling.compiled import CompiledScenario, compile_scenario
from grpo.environments.hospital.model.scenario_model import (
    Constant,
    Exponential,
    Lognormal,
    LognormalOfLogs,
    Scenario,
)
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.errors import InputError

__all__ = [
    "CompiledScenario",
    "Constant",
    "Exponential",
    "Lognormal",
    "LognormalOfLogs",
    "Scenario",
    "compile_environment",
    "compile_scenario",
    "list_scenarios",
    "load_scenario",
    "make_queue_scenario",
    "starting_point",
]


@cache
def list_scenarios() -> tuple[str, ...]:
    """Return the names of the built-in scenarios, sorted."""
    folder = files("grpo.environments.hospital") / "scenarios"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name[: -len(".json")] for name in names if name.endswith(".json")))


@cache
def load_scenario(name: str) -> Scenario:
    """Return a built-in scenario by name.

    Raises:
        InputError: at /environment/scenario, where no scenario has that name.
    """
    if name not in list_scenarios():
        raise InputError.single(
            "/environment/scenario",
            "no such scenario",
            given=name,
            allowed=", ".join(list_scenarios()),
        )
    path = files("grpo.environments.hospital") / "scenarios" / f"{name}.json"
    return Scenario.model_validate_json(path.read_text(encoding="utf-8"))


@cache
def starting_point() -> Scenario:
    """Return a small hospital whose every value says what it means and where to get it."""
    path = files("grpo.environments.hospital") / "starting_point.json"
    return Scenario.model_validate_json(path.read_text(encoding="utf-8"))


def compile_environment(environment: HospitalEnvironment) -> CompiledScenario:
    """Compile the scenario that a job's environment names or holds, as the job wants it.

    Raises:
        InputError: at /environment/scenario, where no scenario has that name.
    """
    scenario = environment.scenario
    return compile_scenario(
        load_scenario(scenario) if isinstance(scenario, str) else scenario,
        group_aware=environment.group_aware,
        hold=environment.hold,
    )
