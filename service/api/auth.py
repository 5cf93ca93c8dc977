"""What each route asks of its caller: a scope, and that the record in its path is theirs.

Every route declares one ``Access``; an application with a route that declares none does not start.
The middleware has found out who calls before any of this runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.concurrency import run_in_threadpool

from service.api.dependencies import Parts
from service.errors import ForbiddenError
from service.keys.ownership import require_job, require_policy
from service.keys.quota import Account
from service.keys.records import Caller, Scope

# What FastAPI serves by itself; it is open (service.api.documentation).
DOCUMENT_PATHS = frozenset({"/openapi.json"})


@dataclass(frozen=True)
class Access:
    """Who may use a route.

    Attributes:
        scope: what the key must have; ``any`` key will do, or ``none`` is needed.
        record: what ``{id}`` in the path names; it must be visible to the caller. An endpoint
            that looks for itself (``act``, whose policies are in memory) says ``own``.
    """

    scope: Scope | Literal["any", "none"]
    record: Literal["job", "policy", "own"] | None = None

    async def check(self, request: Request) -> None:
        """Refuse the request unless its caller may.

        Raises:
            ForbiddenError: the scope is missing.
            JobNotFoundError, PolicyNotFoundError: the record does not exist for this caller.
        """
        if self.scope == "none":
            return
        caller = await get_caller(request)
        if self.scope != "any" and not caller.may(self.scope):
            raise ForbiddenError(f"this needs a key with the scope {self.scope}")
        if self.record is None or self.record == "own" or caller.is_admin:
            return  # an admin sees all, and the endpoint itself says what does not exist
        look = require_job if self.record == "job" else require_policy
        parts = cast(Parts, request.app.state.parts)
        await run_in_threadpool(look, parts.database, request.path_params["id"], caller)


async def get_caller(request: Request) -> Caller:
    """Return who sends the request, as the middleware found out."""
    return cast(Caller, request.state.caller)


async def get_account(request: Request) -> Account:
    """Return on whose account a submission goes."""
    parts, caller = cast(Parts, request.app.state.parts), await get_caller(request)
    return Account(caller.owner, parts.settings.max_unfinished_jobs)


def allow(
    scope: Scope | Literal["any", "none"], record: Literal["job", "policy", "own"] | None = None
) -> Any:
    """Declare a route's access; goes into its ``dependencies``, before all others."""
    return Depends(Access(scope, record).check)


CallerDep = Annotated[Caller, Depends(get_caller)]
AccountDep = Annotated[Account, Depends(get_account)]
ANYBODY = allow("none")
ANY_KEY = allow("any")
SUBMIT = allow(Scope.JOBS_WRITE)
CHANGE_JOB = allow(Scope.JOBS_WRITE, "job")
LIST_JOBS = allow(Scope.JOBS_READ)
READ_JOB = allow(Scope.JOBS_READ, "job")
LIST_POLICIES = allow(Scope.JOBS_READ)
READ_POLICY = allow(Scope.JOBS_READ, "policy")
ACT = allow(Scope.POLICY_ACT, "own")
OPERATE = allow(Scope.ADMIN)


def list_access(app: FastAPI) -> Iterator[tuple[str, str, Access | None]]:
    """Yield method, path and declared access of every route; None where not exactly one is."""
    for context in iter_route_contexts(app.routes):
        route: Any = context.original_route
        path, methods = str(getattr(route, "path", "")), getattr(route, "methods", None)
        if path in DOCUMENT_PATHS and not isinstance(route, APIRoute):
            continue
        owners = [
            getattr(dependency.dependency, "__self__", None)
            for dependency in getattr(route, "dependencies", ())
        ]
        declared = [owner for owner in owners if isinstance(owner, Access)]
        for method in sorted(methods or {"*"}):
            yield method, path, declared[0] if len(declared) == 1 else None


def require_declared_access(app: FastAPI) -> None:
    """Refuse an application with a route whose access nobody thought about.

    Raises:
        RuntimeError: naming the routes.
    """
    undeclared = [f"{method} {path}" for method, path, access in list_access(app) if access is None]
    if undeclared:
        raise RuntimeError(f"these routes declare no access (service.api.auth): {undeclared}")
