"""What happens around every request: its id, the API key, the size of its body, one log event.

One pure ASGI middleware (a ``BaseHTTPMiddleware`` would double the cost of a request).
"""

from __future__ import annotations

import hmac
import re
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import render_problem
from service.errors import BodyTooLargeError, ServiceError, UnauthorizedError
from service.observability import bind_context, get_logger
from service.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
log = get_logger()


class RequestMiddleware:
    """Guard and record every HTTP request."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.max_body_bytes = settings.max_body_bytes
        key = settings.api_key
        self.expected = None if key is None else b"Bearer " + key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connections pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        with bind_context(request_id=request_id):
            await self._record(scope, receive, send, headers, request_id)

    async def _record(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, request_id: str
    ) -> None:
        started, status = perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            refusal = self._refuse(scope["path"], headers)
            if refusal is not None:
                await render_problem(refusal, request_id)(scope, receive, send_with_id)
            else:
                await self.app(scope, self._limit(receive), send_with_id)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            raise
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round(1000 * (perf_counter() - started), 2),
            )

    def _refuse(self, path: str, headers: Headers) -> ServiceError | None:
        """Return why the request may not enter, judged by its head alone."""
        if self.expected is not None and path not in OPEN_PATHS:
            given = headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self.expected):
                return UnauthorizedError("send the header Authorization: Bearer <GRPO_API_KEY>")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_body_bytes:
            return BodyTooLargeError.of(self.max_body_bytes)
        return None

    def _limit(self, receive: Receive) -> Receive:
        """Count the bytes of a body that does not announce its length."""
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body_bytes:
                # FastAPI turns whatever the body's reader raises into a 400, except this class.
                raise HTTPException(413, BodyTooLargeError.of(self.max_body_bytes).detail)
            return message

        return receive_limited
