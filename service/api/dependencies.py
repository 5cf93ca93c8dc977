"""What endpoints are given: the parts of the running service, and a check of the media type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, cast

from fastapi import Depends, Request
from pydantic import BeforeValidator

from grpo.errors import shorten
from service.api.kernels import KernelWarmup
from service.api.streaming import Streams
from service.api.telemetry import Telemetry
from service.database import Database
from service.errors import MediaTypeError
from service.jobs.queue import JobQueue
from service.keys.ring import KeyRing
from service.policies.cache import PolicyCache
from service.settings import Settings

DIGITS = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True)
class Parts:
    """What one running application holds."""

    settings: Settings
    database: Database
    queue: JobQueue
    policies: PolicyCache
    kernels: KernelWarmup
    keys: KeyRing
    streams: Streams
    telemetry: Telemetry


async def get_parts(request: Request) -> Parts:
    """Return the parts that the lifespan has built."""
    return cast(Parts, request.app.state.parts)


async def require_json(request: Request) -> None:
    """Refuse a body that is not declared as JSON; browsers cannot send that across sites."""
    given = request.headers.get("content-type", "")
    if given == "application/json":
        return
    message = Message()
    message["content-type"] = given
    kind = message.get_content_type() if given else ""
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise MediaTypeError(f"send Content-Type: application/json, not {shorten(given)}")


def read_digits(value: object) -> object:
    """Refuse what is no whole number to the eye: ``1.0``, ``+1`` and `` 1`` mean nothing here."""
    if isinstance(value, str) and DIGITS.fullmatch(value) is None:
        raise ValueError("not a whole number")
    return value


WholeNumber = Annotated[int, BeforeValidator(read_digits)]
PartsDep = Annotated[Parts, Depends(get_parts)]
RequireJson = Depends(require_json)
