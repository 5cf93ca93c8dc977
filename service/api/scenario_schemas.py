"""What the service answers about scenarios. Only pydantic here: the client shares these models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from service.api import scenario_examples
from service.api.schemas import Answer


class AcuityView(Answer):
    """One level of urgency."""

    level: int
    target_minutes: float | None
    cost_per_hour: float
    needs: dict[str, int]


class ScenarioUrls(Answer):
    """Where a scenario is found."""

    self: str


class ScenarioView(Answer):
    """A hospital that a job may name, as the policy meets it."""

    name: str
    version: int | None = Field(description="Null for a built-in scenario, which has none.")
    built_in: bool
    owner: str | None = Field(description="Whose it is; null for nobody's.")
    created_at: datetime | None = Field(description="Null for a built-in scenario.")
    title: str
    description: str
    pools: dict[str, int] = Field(description="Capacity by pool.")
    attributes: dict[str, list[str]] = Field(description="What groups can be made of, with values.")
    acuities: list[AcuityView]
    predicted_stay_bands: list[str] = Field(description="Empty where stays are not told apart.")
    visits_per_day: float
    urls: ScenarioUrls


class ScenarioList(Answer):
    """A page of the scenarios that a job may name: built-in ones first, then stored versions."""

    model_config = ConfigDict(json_schema_extra={"example": scenario_examples.SCENARIOS})

    data: list[ScenarioView]
    has_more: bool
    next: str | None = Field(description="Give it as ?after= to get the next page.")


class FactView(Answer):
    """Where one value of a scenario comes from."""

    pointer: str = Field(description="JSON pointer of the value in the document.")
    basis: Literal["sourced", "computed", "assumed"]
    source: str


class PoolCheck(Answer):
    """What is asked of a pool if nobody had to wait. Hours of the week begin on Monday, 0 h."""

    pool: str
    mean_offered: float = Field(description="Units in use on average, cleaning included.")
    mean_staffed: float
    load: float | None = Field(description="Offered over staffed; null where nothing is staffed.")
    offered_by_hour: list[float] = Field(description="By hour of the week, 168 entries.")
    staffed_by_hour: list[float]


class StageCheck(Answer):
    """How many patients a stage would see if nobody had to wait."""

    stage: str
    patients_per_day: float
    mean_stay_hours: float
    mean_occupancy: float
    occupancy_by_hour: list[float]


class SurgeCheck(Answer):
    """What an event asks for beyond the usual, and what it brings."""

    surge: str
    patients: float
    unit_hours: dict[str, float] = Field(description="Asked for, by pool.")
    added_unit_hours: dict[str, float] = Field(description="Brought by its capacity steps.")


class WarningView(Answer):
    """Something doubtful, with its numbers."""

    code: Literal["unstable", "overloaded_hours", "needs_above_plan"]
    pointer: str
    message: str


class ScenarioCheck(Answer):
    """What is known of a scenario without simulating it."""

    pools: list[PoolCheck]
    stages: list[StageCheck]
    surges: list[SurgeCheck]
    warnings: list[WarningView]


class ScenarioDetail(ScenarioView):
    """A scenario whole, what of it is sourced, computed and assumed, and what it asks for."""

    model_config = ConfigDict(json_schema_extra={"example": scenario_examples.DETAIL})

    document: dict[str, Any] = Field(description="The scenario; it can be posted, or put in a job.")
    facts: list[FactView] = Field(description="Every value's origin, in the document's order.")
    basis_counts: dict[str, int] = Field(description="How many values have each basis.")
    check: ScenarioCheck
