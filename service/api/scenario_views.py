"""From scenarios, built-in or stored, to answers."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import BANDS
from grpo.environments.hospital.model.provenance import count_bases
from grpo.environments.hospital.review.scenario_review import ScenarioReview, review_scenario
from grpo.environments.hospital.scenario import Scenario, load_scenario
from service.api.scenario_schemas import (
    AcuityView,
    FactView,
    PoolCheck,
    ScenarioCheck,
    ScenarioDetail,
    ScenarioList,
    ScenarioUrls,
    ScenarioView,
    StageCheck,
    SurgeCheck,
    WarningView,
)
from service.api.views import read_cursor, write_cursor
from service.jobs.records import Cursor
from service.scenarios.catalogue import CataloguePage, Position
from service.scenarios.repository import StoredScenario

BUILT_IN = "built-in|"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def view_page(page: CataloguePage) -> ScenarioList:
    """Show a page of the catalogue."""
    built_in = [view_scenario(load_scenario(name)) for name in page.built_in]
    return ScenarioList(
        data=[*built_in, *(view_scenario(stored.scenario, stored) for stored in page.stored)],
        has_more=page.next is not None,
        next=write_position(page.next),
    )


def view_scenario(scenario: Scenario, stored: StoredScenario | None = None) -> ScenarioView:
    """Show a scenario in a list; their sources stay in its document."""
    path = f"/scenarios/{scenario.name}"
    return ScenarioView(
        name=scenario.name,
        version=None if stored is None else stored.version,
        built_in=stored is None,
        owner=None if stored is None else stored.owner,
        created_at=None if stored is None else stored.created,
        title=scenario.title,
        description=scenario.description,
        pools={pool.name: pool.capacity.value for pool in scenario.pools},
        attributes={a.name: list(a.values) for a in scenario.attributes},
        acuities=[
            AcuityView(
                level=acuity.level,
                target_minutes=None
                if acuity.target_minutes is None
                else acuity.target_minutes.value,
                cost_per_hour=acuity.cost_per_hour.value,
                needs=acuity.needs.value,
            )
            for acuity in scenario.acuities
        ],
        predicted_stay_bands=[] if scenario.stay_bands is None else list(BANDS),
        visits_per_day=scenario.arrivals.visits_per_day.value,
        urls=ScenarioUrls(self=path if stored is None else f"{path}?version={stored.version}"),
    )


def view_detail(found: Scenario | StoredScenario) -> ScenarioDetail:
    """Show a scenario whole."""
    stored = found if isinstance(found, StoredScenario) else None
    scenario = found.scenario if isinstance(found, StoredScenario) else found
    review = review_scenario(scenario)
    origins = review.origins
    return ScenarioDetail(
        **dict(view_scenario(scenario, stored)),
        document=scenario.model_dump(mode="json", exclude_none=True),
        facts=[FactView(**asdict(origin)) for origin in origins],
        basis_counts=count_bases(origins),
        check=view_review(review),
    )


def view_review(review: ScenarioReview) -> ScenarioCheck:
    """Show what is known of a scenario without simulating it, rounded to 4 decimal places."""

    def rounded(values: NDArray[np.float64]) -> list[float]:
        return [round(value, 4) for value in values.tolist()]

    return ScenarioCheck(
        pools=[
            PoolCheck(
                pool=pool.pool,
                mean_offered=round(pool.mean_offered, 4),
                mean_staffed=round(pool.mean_staffed, 4),
                load=round(pool.load, 4) if pool.mean_staffed else None,
                offered_by_hour=rounded(pool.offered),
                staffed_by_hour=rounded(pool.staffed),
            )
            for pool in review.load.pools
        ],
        stages=[
            StageCheck(
                stage=stage.stage,
                patients_per_day=round(stage.patients_per_day, 4),
                mean_stay_hours=round(stage.mean_stay_hours, 4),
                mean_occupancy=round(float(stage.occupancy.mean()), 4),
                occupancy_by_hour=rounded(stage.occupancy),
            )
            for stage in review.load.stages
        ],
        surges=[SurgeCheck(**asdict(surge)) for surge in review.surges],
        warnings=[WarningView.model_validate(asdict(warning)) for warning in review.warnings],
    )


@cache
def scenario_schema() -> dict[str, Any]:
    """Return the JSON schema of a scenario's document."""
    return {"$schema": DIALECT, **Scenario.model_json_schema()}


def write_position(position: Position | None) -> str | None:
    """Make a position opaque."""
    if position is None:
        return None
    if isinstance(position.last, Cursor):
        return write_cursor(position.last)
    return base64.urlsafe_b64encode(f"{BUILT_IN}{position.last}".encode()).decode().rstrip("=")


def read_position(text: str | None) -> Position | None:
    """Read a position that ``write_position`` made.

    Raises:
        InputError: at /after, where it is none.
    """
    if text is None:
        return None
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        plain = ""
    if plain.startswith(BUILT_IN):
        return Position(plain.removeprefix(BUILT_IN))
    cursor = read_cursor(text)
    return None if cursor is None else Position(cursor)
