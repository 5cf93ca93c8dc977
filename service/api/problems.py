"""Problems (RFC 9457): how every error of the service looks on the wire, and in OpenAPI.

One function renders a ``ServiceError``; the handlers translate what the web framework, pydantic
and the library raise into that tree first, so that no answer has another shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from grpo.errors import InputError, Issue, ModelError, locate, make_pointer, shorten
from service.errors import (
    BodyTooLargeError,
    ForbiddenError,
    HostRefusedError,
    InternalError,
    InvalidRequestError,
    MalformedBodyError,
    MediaTypeError,
    MethodNotAllowedError,
    ModelRejectedError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)

MEDIA_TYPE = "application/problem+json"
BODY_ERRORS = (MalformedBodyError, BodyTooLargeError, MediaTypeError, InvalidRequestError)
TYPE_PREFIX = "urn:grpo:problem:"


class FieldIssue(BaseModel):
    """One field of the request that was refused."""

    pointer: str = Field(description="JSON pointer of the field, empty for the whole body.")
    message: str = Field(description="What is wrong, without the value.")
    given: str = Field(description="What was given, cut at 200 characters.")
    allowed: str = Field(description="What would be accepted.")


class Problem(BaseModel):
    """An answer that is not the one asked for."""

    type: str = Field(description="URN of this kind of problem; docs/api.md describes each.")
    title: str
    status: int
    code: str = Field(description="Stable; a client may branch on it.")
    detail: str
    errors: list[FieldIssue]
    request_id: str


def clean(text: str) -> str:
    """Return the text in a form that encodes to UTF-8: lone surrogates become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def render_problem(error: ServiceError, request_id: str) -> Response:
    """Render the error as ``application/problem+json``."""
    problem = Problem(
        type=f"{TYPE_PREFIX}{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=clean(error.detail),
        errors=[
            FieldIssue(
                pointer=clean(issue.pointer),
                message=clean(issue.message),
                given=clean(issue.given),
                allowed=clean(issue.allowed),
            )
            for issue in error.issues
        ],
        request_id=request_id,
    )
    return Response(
        problem.model_dump_json(),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers={**error.headers, "X-Request-Id": request_id},
    )


ABSENT = ("missing", "union_tag_not_found")


def issues_of(entries: Iterable[Any]) -> list[Issue]:
    """Translate pydantic's entries: pointers without union tags, inputs cut short."""
    issues = []
    for entry in entries:
        location, value = locate(entry)
        if location[:1] in (["body"], ["query"]):
            del location[0]
        given = "" if entry["type"] in ABSENT else shorten(value)
        message = entry["msg"].removeprefix("Value error, ")
        issues.append(Issue(make_pointer(location), message, given, _allowed(entry)))
    return issues


SIGNS = {
    "ge": ">= ",
    "gt": "> ",
    "le": "<= ",
    "lt": "< ",
    "pattern": "pattern ",
    "expected": "",
    "expected_tags": "",
    "min_length": "length >= ",
    "max_length": "length <= ",
}


def _allowed(entry: Any) -> str:
    """Say what a field accepts, as far as pydantic's context tells."""
    context = entry.get("ctx", {})
    return ", ".join(f"{sign}{context[name]}" for name, sign in SIGNS.items() if name in context)


def from_entries(entries: Sequence[Any]) -> ServiceError:
    """Translate pydantic's refusal: malformed JSON is 400, wrong fields are 422."""
    if entries[0]["type"] == "json_invalid":
        reason = entries[0].get("ctx", {}).get("error", "")
        return MalformedBodyError(f"the body is not valid JSON: {reason}")
    return InvalidRequestError.of(issues_of(entries))


def list_methods(request: Request) -> set[str]:
    """Return the methods of all routes at the request's path; the router knows only the first."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        route = context.original_route
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            found |= route.methods or set()
    return found


def from_http(error: HTTPException, request: Request) -> ServiceError:
    """Translate what the router and the body parser refuse."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFoundError(
            f"nothing is at {shorten(request.url.path)}; /docs shows what there is"
        )
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = ", ".join(sorted(list_methods(request)))
        return MethodNotAllowedError(f"{request.method} is not allowed here", allow=allow)
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLargeError(str(error.detail))
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return MalformedBodyError("the body is not valid JSON, or is nested too deeply")
    return InternalError(str(error.detail))


def translate(error: Exception, request: Request) -> ServiceError:
    """Find the ``ServiceError`` that tells a client about any exception."""
    found: ServiceError
    match error:
        case ServiceError():
            found = error
        case InputError():
            found = InvalidRequestError.from_input(error)
        case RequestValidationError():
            found = from_entries(error.errors())
        case ModelError():
            found = ModelRejectedError(f"the stored model was refused: {error}")
        case OperationalError():
            found = UnavailableError("the database does not answer, or is busy or full")
        case HTTPException():
            found = from_http(error, request)
        case _:
            found = InternalError("unexpected; the log has the cause under this request_id")
    return found


async def handle(request: Request, error: Exception) -> Response:
    """Render any exception as a problem."""
    return render_problem(translate(error, request), request.state.request_id)


def install_handlers(app: FastAPI) -> None:
    """Let every exception of the application, its router and its body parser become a problem."""
    for kind in (
        ServiceError,
        InputError,
        ModelError,
        RequestValidationError,
        HTTPException,
        OperationalError,
        Exception,
    ):
        app.add_exception_handler(kind, handle)


Responses = dict[int | str, dict[str, Any]]


def document(
    *errors: type[ServiceError], success: Responses | None = None, needs_key: bool = True
) -> Responses:
    """Describe, for OpenAPI, the answers of a route besides its model.

    Args:
        errors: what the route can raise; what every route can answer is added.
        success: what there is to add about its success.
        needs_key: False for the few routes that are open where a key is set.

    Returns:
        The ``responses`` argument of a route: by status, one example per code.
    """
    by_status: Responses = {} if success is None else dict(success)
    raised: list[type[ServiceError]] = [*errors, HostRefusedError, InternalError]
    if needs_key:
        raised += [UnauthorizedError, ForbiddenError, UnavailableError]
    for error in raised:
        entry = by_status.setdefault(
            error.status,
            {
                "model": Problem,
                "description": HTTPStatus(error.status).phrase,
                "content": {MEDIA_TYPE: {"examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][error.code] = {"value": example_of(error)}
    return by_status


def example_of(error: type[ServiceError]) -> dict[str, Any]:
    """Make the example of a problem that OpenAPI shows."""
    doc = (error.__doc__ or "").strip().splitlines()[0]
    issue = FieldIssue(
        pointer="/budget/total_timesteps",
        message="Input should be greater than or equal to 1",
        given="0",
        allowed=">= 1",
    )
    return Problem(
        type=f"{TYPE_PREFIX}{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=doc,
        errors=[issue] if issubclass(error, InvalidRequestError) else [],
        request_id="0199a1c2f3b47c6e8d1f2a3b4c5d6e7f",
    ).model_dump()
