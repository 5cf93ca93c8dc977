"""Finding a scenario by name: a built-in one, the caller's own, or for an admin anybody's."""

from __future__ import annotations

from grpo.environments.hospital.scenario import Scenario, list_scenarios, load_scenario
from service.database import Database
from service.keys.records import Caller
from service.scenarios.errors import ScenarioNotFoundError
from service.scenarios.references import Reference
from service.scenarios.repository import StoredScenario, get_scenario


def find_scenario(
    database: Database, reference: Reference, caller: Caller, owner: str | None = None
) -> Scenario | StoredScenario:
    """Return a built-in scenario, or a stored one that the caller sees.

    Args:
        database: the records.
        reference: its name; a version names a stored one.
        caller: who asks.
        owner: whose it is; the caller's own, if not given.

    Raises:
        ScenarioNotFoundError: there is none such for this caller.
    """
    whose = caller.owner if owner is None else owner
    is_built_in = reference.version is None and owner is None
    if is_built_in and reference.name in list_scenarios():
        return load_scenario(reference.name)
    if not (caller.is_admin or whose == caller.owner):
        raise ScenarioNotFoundError.of(str(reference))
    return get_scenario(database, reference, whose)
