"""The errors that the service raises on purpose, in one tree.

    ServiceError
    ├── MalformedBodyError       400  the body is not JSON
    ├── UnauthorizedError        401  the API key is missing or wrong
    ├── NotFoundError            404  no such route
    │   ├── JobNotFoundError     404  no such job
    │   └── PolicyNotFoundError  404  no such policy
    ├── MethodNotAllowedError    405  the route exists, the method does not
    ├── BodyTooLargeError        413  the body exceeds the limit
    ├── MediaTypeError           415  the body is not declared as JSON
    ├── InvalidRequestError      422  fields are wrong; each one is named
    ├── InternalError            500  a defect of the service
    │   └── ModelRejectedError   500  a stored model fails its digest or its manifest
    └── UnavailableError         503  not now: try again
        └── WarmingUpError       503  the kernels are still being loaded

Each carries a stable code and an HTTP status; one handler in ``service.api.problems`` renders
them. Free of the web framework, because workers import the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from grpo.errors import InputError, Issue, shorten


class FencedError(Exception):
    """A write came under a fence number that is no longer the job's: the writer must stop.

    It never reaches a client: only workers write under a fence.
    """


class ServiceError(Exception):
    """Root of the errors that a client is told about.

    Attributes:
        code: stable and machine-readable; a client may branch on it.
        status: HTTP status of the answer.
        title: one short phrase, the same for every occurrence.
        detail: what happened this time, a sentence.
        issues: the fields concerned, possibly none.
    """

    code: ClassVar[str] = "service_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The service failed"

    def __init__(self, detail: str, *, issues: Iterable[Issue] = ()) -> None:
        self.detail = detail
        self.issues = tuple(issues)
        super().__init__(detail)

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to the answer."""
        return {}


class MalformedBodyError(ServiceError):
    """The body is not JSON, or nested deeper than the parser allows."""

    code = "malformed_json"
    status = 400
    title = "The body is not valid JSON"


class UnauthorizedError(ServiceError):
    """The API key is missing or wrong."""

    code = "unauthorized"
    status = 401
    title = "An API key is required"

    @property
    def headers(self) -> dict[str, str]:
        """Name the scheme that is expected, as HTTP demands of a 401."""
        return {"WWW-Authenticate": "Bearer"}


class NotFoundError(ServiceError):
    """Nothing lives at this path."""

    code = "not_found"
    status = 404
    title = "Nothing is here"


class JobNotFoundError(NotFoundError):
    """No job has this id."""

    code = "job_not_found"
    title = "No such job"

    @classmethod
    def of(cls, job_id: str) -> JobNotFoundError:
        """Build the error for one id."""
        return cls(f"no job has the id {shorten(job_id)}; GET /jobs lists them")


class PolicyNotFoundError(NotFoundError):
    """No policy has this id, and no job of this id has one."""

    code = "policy_not_found"
    title = "No such policy"

    @classmethod
    def of(cls, policy_id: str) -> PolicyNotFoundError:
        """Build the error for one id."""
        return cls(
            f"no policy has the id {shorten(policy_id)}, nor has a job of that id finished one; "
            "GET /policy lists them"
        )


class MethodNotAllowedError(ServiceError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"

    def __init__(self, detail: str, *, allow: str = "") -> None:
        super().__init__(detail)
        self.allow = allow

    @property
    def headers(self) -> dict[str, str]:
        """List the methods that the path takes."""
        return {"Allow": self.allow} if self.allow else {}


class BodyTooLargeError(ServiceError):
    """The body is larger than the service accepts."""

    code = "body_too_large"
    status = 413
    title = "The body is too large"

    @classmethod
    def of(cls, limit: int) -> BodyTooLargeError:
        """Build the error for a limit in bytes."""
        return cls(f"the body must not exceed {limit} bytes (GRPO_MAX_BODY_BYTES)")


class MediaTypeError(ServiceError):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"
    status = 415
    title = "The body must be JSON"


class InvalidRequestError(ServiceError):
    """Fields are missing, unknown or out of range; ``issues`` names each one."""

    code = "invalid_request"
    status = 422
    title = "The request was refused"

    @classmethod
    def from_input(cls, error: InputError) -> InvalidRequestError:
        """Translate the library's complaint about its input."""
        return cls.of(error.issues)

    @classmethod
    def of(cls, issues: Iterable[Issue]) -> InvalidRequestError:
        """Build the error; its detail is the first complaint and how many follow."""
        found = tuple(issues)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return cls(f"{found[0]}{more}", issues=found)


class InternalError(ServiceError):
    """A defect of the service; the log holds the cause under the request id."""

    code = "internal_error"
    status = 500
    title = "The service failed"


class ModelRejectedError(InternalError):
    """A stored model fails its digest or does not fit its manifest, so it is not used."""

    code = "model_rejected"
    title = "The stored model was refused"


class UnavailableError(ServiceError):
    """The service cannot answer now; the same request may succeed later."""

    code = "unavailable"
    status = 503
    title = "Not available now"

    @property
    def headers(self) -> dict[str, str]:
        """Say when to try again."""
        return {"Retry-After": "1"}


class WarmingUpError(UnavailableError):
    """The compiled kernels are still being loaded; /readyz turns true when they are."""

    code = "warming_up"
    title = "The service is warming up"


def walk_errors(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Yield every error class below ``root``, parents first."""
    for error in root.__subclasses__():
        yield error
        yield from walk_errors(error)
