"""What happens around every request: its id, the API key, the size of its body, one log event.

One pure ASGI middleware (a ``BaseHTTPMiddleware`` would double the cost of a request).
"""

from __future__ import annotations

import re
from time import perf_counter
from uuid import uuid4

from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import documentation
from service.api.problems import render_problem
from service.api.telemetry import Telemetry
from service.errors import BodyTooLargeError, HostRefusedError, ServiceError, UnavailableError
from service.keys.records import Caller, Token
from service.keys.ring import KeyRing
from service.observability import bind_context, get_logger
from service.settings import Settings

OPEN_PATHS = documentation.OPEN_PATHS | {"/healthz", "/readyz"}
JOB_PATH = re.compile(r"/jobs/([0-9a-f-]{36})(?:/|$)")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
OWN_NAME = re.compile(r"(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?", re.IGNORECASE)
log = get_logger()


async def identify(keys: KeyRing, header: str) -> Caller:
    """Say who calls, waiting for the records only where a key was not used a moment ago."""
    found = keys.recognise(header)
    return await run_in_threadpool(keys.look_up, found) if isinstance(found, Token) else found


class RequestMiddleware:
    """Guard and record every HTTP request."""

    def __init__(self, app: ASGIApp, settings: Settings, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry
        self.max_body_bytes = settings.max_body_bytes
        self.any_host = settings.asks_for_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connections pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Postgres takes no zero byte in a text, and no record's id has one: so it is unknown.
        scope["path"] = scope["path"].replace("\x00", "\ufffd")
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        job = JOB_PATH.match(scope["path"])
        about = {} if job is None else {"job_id": job.group(1)}
        with bind_context(request_id=request_id, **about):
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
            refusal = await self._refuse(scope, headers)
            if refusal is not None:
                await render_problem(refusal, request_id)(scope, receive, send_with_id)
            else:
                await self.app(scope, self._limit(receive), send_with_id)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            raise
        finally:
            seconds = perf_counter() - started
            self.telemetry.observe(scope, status, seconds)
            caller: Caller | None = scope["state"].get("caller")
            named = {} if caller is None or caller.key_id is None else {"key": caller.key_id}
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round(1000 * seconds, 2),
                **named,
            )

    async def _refuse(self, scope: Scope, headers: Headers) -> ServiceError | None:
        """Find out who calls; return why the request may not enter, judged by its head alone."""
        host = headers.get("host", "")  # every browser sends one
        if host and not self.any_host and OWN_NAME.fullmatch(host) is None:
            return HostRefusedError.of(host)
        if scope["path"] not in OPEN_PATHS:
            keys: KeyRing = scope["app"].state.parts.keys
            try:
                scope["state"]["caller"] = await identify(keys, headers.get("authorization", ""))
            except OperationalError:
                return UnavailableError("the database does not answer, or is busy or full")
            except ServiceError as error:
                return error
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
