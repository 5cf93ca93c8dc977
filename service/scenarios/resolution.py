"""From a stored scenario's name in a job to the scenario itself: a job holds all that it needs."""

from __future__ import annotations

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.scenario import list_scenarios
from grpo.errors import InputError
from service.database import Database
from service.keys.records import Caller
from service.scenarios.errors import ScenarioNotFoundError
from service.scenarios.references import Reference
from service.scenarios.repository import get_scenario


def resolve_scenario(database: Database, config: TrainConfig, caller: Caller) -> TrainConfig:
    """Return the job with the caller's stored scenario written out where it names one.

    A job that names a built-in scenario, holds one, or needs none stays as it is.

    Raises:
        InputError: at /environment/scenario, where the caller has no such scenario.
    """
    environment = config.environment
    if not isinstance(environment, HospitalEnvironment):
        return config
    name = environment.scenario
    if not isinstance(name, str) or name in list_scenarios():
        return config
    try:
        stored = get_scenario(database, Reference.read(name), caller.owner)
    except ScenarioNotFoundError as error:
        known = f"{', '.join(list_scenarios())}, or one stored by POST /scenarios"
        raise InputError.single(
            "/environment/scenario", "no such scenario", given=name, allowed=known
        ) from error
    inline = environment.model_copy(update={"scenario": stored.scenario})
    return config.model_copy(update={"environment": inline})
