"""The errors about stored scenarios; they belong to the tree of ``service.errors``."""

from __future__ import annotations

from grpo.errors import shorten
from service.errors import NotFoundError, ServiceError


class ScenarioNotFoundError(NotFoundError):
    """No scenario has this name, or not this version."""

    code = "scenario_not_found"
    title = "No such scenario"

    @classmethod
    def of(cls, reference: str) -> ScenarioNotFoundError:
        """Build the error for what was asked for."""
        return cls(f"no scenario is called {shorten(reference)}; GET /scenarios lists them")


class TooManyScenariosError(ServiceError):
    """The owner of the key has stored as many versions of scenarios as allowed."""

    code = "too_many_scenarios"
    status = 409
    title = "Too many scenarios are stored"

    @classmethod
    def of(cls, allowed: int) -> TooManyScenariosError:
        """Build the error for the limit."""
        return cls(
            f"{allowed} versions of scenarios are stored, as many as allowed (GRPO_MAX_SCENARIOS); "
            "a job may also hold its scenario itself"
        )
