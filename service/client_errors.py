"""What the client raises: one exception, with a stable code and the fields concerned."""

from __future__ import annotations

from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class ClientIssue:
    """One field that the service refused."""

    pointer: str
    message: str
    given: str = ""
    allowed: str = ""


class GRPOClientError(Exception):
    """The service refused, failed, or could not be reached.

    Attributes:
        code: the problem's stable code; ``unreachable`` if there was no answer, ``timeout`` if a
            wait took too long.
        status: HTTP status, 0 if there was no answer.
        detail: what happened, a sentence.
        issues: the fields concerned.
        request_id: names the request in the service's log.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        issues: tuple[ClientIssue, ...] = (),
        request_id: str = "",
    ) -> None:
        self.code, self.detail, self.status = code, detail, status
        self.issues, self.request_id = issues, request_id
        super().__init__(f"{code}: {detail}")

    @classmethod
    def from_response(cls, response: httpx.Response) -> GRPOClientError:
        """Read a problem; an answer that is none (from a proxy, say) keeps its text."""
        if "problem+json" not in response.headers.get("content-type", ""):
            return cls("http_error", response.text[:200], status=response.status_code)
        problem = response.json()
        return cls(
            problem["code"],
            problem["detail"],
            status=problem["status"],
            issues=tuple(ClientIssue(**issue) for issue in problem["errors"]),
            request_id=problem["request_id"],
        )
