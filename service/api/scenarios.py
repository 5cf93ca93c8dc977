"""Scenarios over HTTP: store, list, look; and the schema they are written by."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import JSONResponse

from grpo.environments.hospital.scenario import Scenario
from service.api import scenario_examples, scenario_views
from service.api.auth import ANY_KEY, LIST_JOBS, SUBMIT, CallerDep
from service.api.dependencies import PartsDep, RequireJson, WholeNumber
from service.api.problems import BODY_ERRORS, Responses, document
from service.api.scenario_schemas import ScenarioDetail, ScenarioList
from service.errors import InvalidRequestError
from service.scenarios.catalogue import list_catalogue
from service.scenarios.errors import ScenarioNotFoundError, TooManyScenariosError
from service.scenarios.lookup import find_scenario
from service.scenarios.references import MAX_VERSION, Reference
from service.scenarios.repository import Limits, store_scenario

router = APIRouter(tags=["scenarios"])
LOCATION = {"Location": {"description": "Path of the version.", "schema": {"type": "string"}}}
STORED: Responses = {
    200: {
        "model": ScenarioDetail,
        "description": "The newest version of this name is the same",
        "headers": LOCATION,
    },
    201: {"headers": LOCATION},
}


class SchemaResponse(JSONResponse):
    """A JSON schema, under its own media type."""

    media_type = "application/schema+json"


SCHEMA: Responses = {
    200: {"content": {SchemaResponse.media_type: {"example": {"title": "Scenario"}}}}
}


@router.post(
    "/scenarios",
    status_code=201,
    summary="Store a scenario",
    dependencies=[SUBMIT, RequireJson],
    responses=document(*BODY_ERRORS, TooManyScenariosError, success=STORED),
)
def post_scenario(
    scenario: Annotated[Scenario, Body(openapi_examples=scenario_examples.SUBMISSION)],
    parts: PartsDep,
    caller: CallerDep,
    response: Response,
) -> ScenarioDetail:
    """Store the next version of a name; repeating the newest one stores nothing."""
    limits = Limits(parts.settings.max_scenarios, parts.settings.max_scenario_bytes)
    stored, is_new = store_scenario(parts.database, scenario, caller.owner, limits)
    view = scenario_views.view_detail(stored)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = view.urls.self
    return view


@router.get(
    "/scenarios",
    summary="List scenarios",
    dependencies=[LIST_JOBS],
    responses=document(InvalidRequestError),
)
def get_scenarios(
    parts: PartsDep,
    caller: CallerDep,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=256, description="From ``next``.")] = None,
) -> ScenarioList:
    """Return the built-in scenarios, then every version of your own, newest first."""
    position = scenario_views.read_position(after)
    return scenario_views.view_page(list_catalogue(parts.database, limit, position, caller))


@router.get(
    "/scenarios/{name}",
    summary="Look at a scenario",
    dependencies=[LIST_JOBS],
    responses=document(InvalidRequestError, ScenarioNotFoundError),
)
def get_scenario(
    name: str,
    parts: PartsDep,
    caller: CallerDep,
    version: Annotated[
        WholeNumber | None, Query(ge=1, le=MAX_VERSION, description="Of a stored scenario.")
    ] = None,
    owner: Annotated[
        str | None, Query(max_length=64, description="Whose; for an admin who looks at another's.")
    ] = None,
) -> ScenarioDetail:
    """Return the whole document, and where each of its values comes from."""
    found = find_scenario(parts.database, Reference(name, version), caller, owner)
    return scenario_views.view_detail(found)


@router.get(
    "/schemas/scenario",
    summary="The JSON schema of scenarios",
    dependencies=[ANY_KEY],
    response_class=SchemaResponse,
    responses=document(success=SCHEMA),
)
def get_schema() -> SchemaResponse:
    """Return the schema that a scenario's document fits; units stand in the fields' names."""
    return SchemaResponse(scenario_views.scenario_schema())
