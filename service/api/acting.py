"""From a request body to a decision: decode, check against the scenario, ask the policy, answer.

No I/O and no waiting: an ordinary waiting room takes about a millisecond on the event loop. What
needs compiled kernels is imported on first use, after ``service.api.kernels`` has loaded them.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.live.recommendation import Recommendation
from grpo.errors import Issue
from service.api.act_bodies import OBSERVATION, SNAPSHOT
from service.api.problems import from_entries
from service.errors import InvalidRequestError
from service.policies.cache import ServedPolicy

Decoded = TypeVar("Decoded")
MAX_ISSUES = 50
HOSPITAL_FORM = "this policy decides for a hospital: send {time, resources, patients}"
ARRAY_FORM = "this policy decides on arrays: send {observation}"


def decide(served: ServedPolicy, raw: bytes, max_patients: int) -> bytes:
    """Decide on one request body.

    Args:
        served: the policy.
        raw: the body as received.
        max_patients: most patients that are accepted.

    Returns:
        The answer as JSON.

    Raises:
        MalformedBodyError: the body is not JSON.
        InvalidRequestError: fields are wrong; every one is named, up to 50.
    """
    if served.compiled is None:
        return decide_on_observation(served, raw)
    return decide_on_waiting_room(served, served.compiled, raw, max_patients)


def decode(adapter: TypeAdapter[Decoded], raw: bytes, form: str) -> Decoded:
    """Decode a JSON body in one step; a refusal says first what form this policy takes."""
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        refusal = from_entries(error.errors(include_url=False)[:MAX_ISSUES])
        if isinstance(refusal, InvalidRequestError):
            refusal = InvalidRequestError(f"{form}; {refusal.detail}", issues=refusal.issues)
        raise refusal from error


def decide_on_waiting_room(
    served: ServedPolicy, compiled: CompiledScenario, raw: bytes, max_patients: int
) -> bytes:
    """Answer a hospital snapshot; see ``decide``."""
    from grpo.environments.hospital.live.recommend import recommend  # noqa: PLC0415 - see above
    from grpo.environments.hospital.live.snapshot import seed_of  # noqa: PLC0415
    from service.api.waiting_room import list_warnings, to_snapshot  # noqa: PLC0415

    body = decode(SNAPSHOT, raw, HOSPITAL_FORM)
    snapshot = to_snapshot(body, compiled, max_patients)
    options = body.options
    drawn = options.choice == "served" and served.policy.sharpness != "greedy"
    seed = seed_of(snapshot) if options.seed is None else options.seed
    found = recommend(
        served.policy,
        compiled,
        snapshot,
        max_assignments=options.max_assignments,
        rng=np.random.default_rng(seed) if drawn else None,
    )
    head = {"policy": served.policy_id, "digest": served.digest}
    tail = {
        "choice": "drawn" if drawn else "most_likely",
        "warnings": list_warnings(snapshot, compiled),
        "source": served.policy.manifest.served,
    }
    return to_json(head | _describe(found) | tail)


def _describe(found: Recommendation) -> dict[str, Any]:
    """Write a recommendation in the body's units."""
    hold = found.hold
    return {
        "assignments": [
            {
                "patient": one.patient_id,
                "class": one.class_label,
                "action": one.action_label,
                "rank": one.rank,
                "probability": one.probability,
                "needs": one.needs,
            }
            for one in found.assignments
        ],
        "ranking": [
            {
                "patient": one.patient_id,
                "score": one.score,
                "waiting_minutes": 60 * one.wait_hours,
                "target_minutes": None if one.target_hours is None else 60 * one.target_hours,
                "feasible": one.feasible,
            }
            for one in found.ranking
        ],
        "stop": found.stop,
        "hold": None
        if hold is None
        else {
            "reason": hold.reason,
            "review_after_seconds": hold.review_after_seconds,
            "probability": hold.probability,
            "free": hold.free,
        },
        "probabilities": found.probabilities,
    }


def decide_on_observation(served: ServedPolicy, raw: bytes) -> bytes:
    """Answer an observation of an array environment; see ``decide``."""
    body = decode(OBSERVATION, raw, ARRAY_FORM)
    size = served.policy.manifest.observation_size
    if len(body.observation) != size:
        given = str(len(body.observation))
        raise InvalidRequestError.of(
            [Issue("/observation", "wrong number of features", given, f"{size} numbers")]
        )
    with np.errstate(over="ignore"):
        observations = np.array([body.observation], dtype=np.float32)
    if not np.isfinite(observations).all():
        raise InvalidRequestError.of(
            [Issue("/observation", "a number does not fit 32-bit floats", "", "|x| <= 3.4e38")]
        )
    masks = np.ones((1, served.policy.manifest.num_actions), dtype=np.bool_)
    generator = None if body.seed is None else np.random.default_rng(body.seed)
    action = served.policy.act(observations, masks, generator)
    probabilities = served.policy.probabilities(observations, masks)
    return to_json(
        {
            "policy": served.policy_id,
            "digest": served.digest,
            "action": int(action[0]),
            "probabilities": [float(p) for p in probabilities[0]],
            "source": served.policy.manifest.served,
        }
    )
