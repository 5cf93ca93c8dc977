"""The errors that the service raises on purpose, in one tree.

    ServiceError
    ├── MalformedBodyError       400  the body is not JSON
    ├── UnauthorizedError        401  the API key is missing or wrong
    ├── ForbiddenError           403  the API key lacks the scope
    ├── NotFoundError            404  no such route
    │   ├── JobNotFoundError     404  no such job
    │   └── PolicyNotFoundError  404  no such policy
    ├── MethodNotAllowedError    405  the route exists, the method does not
    ├── JobNotResumableError     409  the job is under way, or has succeeded
    ├── BodyTooLargeError        413  the body exceeds the limit
    ├── MediaTypeError           415  the body is not declared as JSON
    ├── InvalidRequestError      422  fields are wrong; each one is named
    ├── IdempotencyKeyReusedError 422 the key was used for another body
    ├── TooManyJobsError         429  the key's owner has enough jobs under way
    ├── TooManyStreamsError      429  too many event streams are open
    ├── HostRefusedError         421  without keys, only this computer's own names are served
    ├── InternalError            500  a defect of the service
    │   └── ModelRejectedError   500  a stored model fails its digest or its manifest
    └── UnavailableError         503  not now: try again
        └── WarmingUpError       503  the kernels are still being loaded

Those of stored scenarios stand in ``service.scenarios.errors``. Each carries a stable code and an
HTTP status; one handler in ``service.api.problems`` renders them. Free of the web framework.
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
        always: HTTP headers of every occurrence.
        detail: what happened this time, a sentence.
        issues: the fields concerned, possibly none.
    """

    code: ClassVar[str] = "service_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The service failed"
    always: ClassVar[dict[str, str]] = {}

    def __init__(self, detail: str, *, issues: Iterable[Issue] = ()) -> None:
        self.detail = detail
        self.issues = tuple(issues)
        super().__init__(detail)

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to the answer."""
        return dict(self.always)


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
    always: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(ServiceError):
    """The API key is good, but lacks the scope that this route needs."""

    code = "forbidden"
    status = 403
    title = "The API key does not allow this"


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


class JobNotResumableError(ServiceError):
    """The job is under way, or has succeeded: there is nothing to resume."""

    code = "job_not_resumable"
    status = 409
    title = "The job cannot be resumed"

    @classmethod
    def of(cls, job_id: str, state: str) -> JobNotResumableError:
        """Build the error for one job and where it stands."""
        return cls(f"job {shorten(job_id)} is {state}; only failed and cancelled jobs resume")


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


class HostRefusedError(ServiceError):
    """No keys are set and Host is not this computer's own name: a web page may be behind it.

    A page from elsewhere could let its own name point to 127.0.0.1 and so talk to the service
    through a browser on this computer (DNS rebinding).
    """

    code = "host_refused"
    status = 421
    title = "This host is not served"

    @classmethod
    def of(cls, host: str) -> HostRefusedError:
        """Build the error for one value of the header."""
        return cls(
            f"Host {shorten(host)} is served only where keys are asked for; "
            "without keys, ask 127.0.0.1, [::1] or localhost"
        )


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


class IdempotencyKeyReusedError(ServiceError):
    """The Idempotency-Key was used for another body within 24 hours."""

    code = "idempotency_key_reused"
    status = 422
    title = "The key belongs to another request"

    @classmethod
    def of(cls, key: str) -> IdempotencyKeyReusedError:
        """Build the error for one key."""
        return cls(f"the Idempotency-Key {shorten(key)} was used for another body; take a new one")


class TooManyJobsError(ServiceError):
    """The owner of the key has as many jobs queued and running as allowed."""

    code = "too_many_jobs"
    status = 429
    title = "Too many jobs are under way"
    always: ClassVar[dict[str, str]] = {"Retry-After": "10"}

    @classmethod
    def of(cls, found: int, allowed: int) -> TooManyJobsError:
        """Build the error for the jobs that there are and the limit."""
        limit = f"{allowed} are allowed (GRPO_MAX_UNFINISHED_JOBS)"
        return cls(f"{found} jobs are queued or running, {limit}; cancel one, or wait for its end")


class TooManyStreamsError(ServiceError):
    """As many event streams are open as the service allows."""

    code = "too_many_streams"
    status = 429
    title = "Too many streams are open"
    always: ClassVar[dict[str, str]] = {"Retry-After": "5"}

    @classmethod
    def of(cls, limit: int) -> TooManyStreamsError:
        """Build the error for a limit."""
        return cls(f"{limit} streams are open already (GRPO_MAX_STREAMS); poll, or try again")


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
    always: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class WarmingUpError(UnavailableError):
    """The compiled kernels are still being loaded; /readyz turns true when they are."""

    code = "warming_up"
    title = "The service is warming up"


def walk_errors(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Yield every error class below ``root``, parents first."""
    for error in root.__subclasses__():
        yield error
        yield from walk_errors(error)
