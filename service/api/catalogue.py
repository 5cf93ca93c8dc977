"""What a job may name besides scenarios: environments."""

from __future__ import annotations

from fastapi import APIRouter

from grpo.environments.registry import list_environments
from service.api import views
from service.api.auth import ANY_KEY
from service.api.problems import document
from service.api.schemas import EnvironmentList

router = APIRouter(tags=["catalogue"])


@router.get(
    "/environments", summary="List environments", dependencies=[ANY_KEY], responses=document()
)
def get_environments() -> EnvironmentList:
    """Return the environments that a job may name; no other is ever imported."""
    return EnvironmentList(data=[views.view_environment(e) for e in list_environments()])
