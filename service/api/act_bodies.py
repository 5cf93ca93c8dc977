"""What ``POST /policy/{id}/act`` takes and gives. Strict: a number in quotes is no number."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic.json_schema import models_json_schema

from grpo.schema import FrozenModel
from service.api import examples
from service.api.schemas import Answer

MAX_WAIT_MINUTES = 366 * 24 * 60.0
Token = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Body(FrozenModel):
    """Part of a request: frozen, strict, without unknown fields."""

    model_config = ConfigDict(strict=True)


class Resource(Body):
    """One pool: how much is staffed now, and how much of it is free."""

    pool: Word
    capacity: int = Field(ge=0, le=100_000)
    free: int = Field(
        ge=-100_000,
        le=100_000,
        description="At most the capacity; below 0 by what a shift that ended still uses.",
    )


class Patient(Body):
    """One waiting patient, by an opaque id; names and free text are refused.

    ``groups`` is read by group-aware policies only; the others ignore it. ``age`` is read by no
    policy: it is accepted so that a hospital may send the list that it has.
    """

    id: Token = Field(description="Opaque, unique within the request.")
    stage: Word = Field("ed", description="What the patient waits for: ed, or a later stage.")
    acuity: int = Field(ge=1, le=16, description="1 is the most urgent.")
    predicted_stay_band: Word | None = Field(
        None, description="short or long; required where the scenario tells stays in ed apart."
    )
    holds: dict[Word, Annotated[int, Field(ge=0, le=100_000)]] = Field(
        default_factory=dict,
        max_length=64,
        description="Units by pool on which the patient boards: they come free when he starts.",
        examples=[{"ed_space": 1, "nurse_unit": 1}],
    )
    age: float | None = Field(None, ge=0, le=130, description="Ignored; see groups.")
    groups: dict[Word, Word] = Field(
        default_factory=dict,
        max_length=16,
        description="Attribute of the scenario -> value, for group-aware policies.",
        examples=[{"age_group": "elderly"}],
    )
    arrived: AwareDatetime | None = Field(
        None,
        description="When the wait began, with zone: the arrival, or the end of the care before. "
        "Or give waiting_minutes.",
    )
    waiting_minutes: float | None = Field(None, ge=0, le=MAX_WAIT_MINUTES)

    @model_validator(mode="after")
    def _one_wait(self) -> Self:
        if (self.arrived is None) == (self.waiting_minutes is None):
            raise ValueError("give either arrived or waiting_minutes")
        return self


class Options(Body):
    """How to decide."""

    max_assignments: int | None = Field(
        None, ge=0, le=100_000, description="Stop after so many; as many as fit, if not given."
    )
    choice: Literal["served", "most_likely"] = Field(
        "served",
        description="served: as judged in the report, drawn from the probabilities unless the "
        "policy is greedy; most_likely: always the most probable action.",
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Seed of the draw; made from the waiting room if absent."
    )


class SnapshotBody(Body):
    """A waiting room as it stands: what is free, and who waits.

    Hour and weekday are read off ``time`` as written: give the hospital's own offset.
    """

    time: AwareDatetime
    resources: tuple[Resource, ...] = Field(min_length=1, max_length=64)
    patients: tuple[Patient, ...]
    options: Options = Options()


class ObservationBody(Body):
    """An observation of an array environment.

    With ``seed`` the action is drawn from the probabilities, the same one for the same seed;
    without, it is the most probable one.
    """

    observation: tuple[float, ...] = Field(min_length=1, max_length=4096)
    seed: int | None = Field(None, ge=0, lt=2**63)


SNAPSHOT: TypeAdapter[SnapshotBody] = TypeAdapter(SnapshotBody)
OBSERVATION: TypeAdapter[ObservationBody] = TypeAdapter(ObservationBody)


class Assignment(Answer):
    """One patient to start now."""

    patient: str
    class_: str = Field(alias="class", description="What the policy saw: stage, acuity, stay band.")
    action: str = Field(description="The class, and the care option where it is not the first.")
    rank: int
    probability: float
    needs: dict[str, int] = Field(description="Units taken, by pool.")


class Ranked(Answer):
    """One waiting patient's place in the order."""

    patient: str
    score: float
    waiting_minutes: float
    target_minutes: float | None
    feasible: bool = Field(description="Whether the needs fit what is free in this snapshot.")


class Hold(Answer):
    """Capacity that the policy keeps on purpose, and when to ask again at the latest."""

    reason: str
    review_after_seconds: float
    probability: float
    free: dict[str, int] = Field(description="Units that are kept, by pool.")


class Decision(Answer):
    """What to do in this waiting room."""

    model_config = ConfigDict(json_schema_extra={"example": examples.DECISION})

    policy: str
    digest: str
    assignments: list[Assignment]
    ranking: list[Ranked] = Field(description="Everybody waiting, first to last.")
    choice: Literal["drawn", "most_likely"] = Field(description="How each action was chosen.")
    stop: Literal["hold", "nobody_waits", "nothing_fits", "max_assignments"] = Field(
        description="Why nothing more is assigned."
    )
    hold: Hold | None = Field(description="Set where stop is hold.")
    probabilities: dict[str, float] = Field(description="Of the first choice, by class and hold.")
    warnings: list[str]
    source: Literal["network", "rule"]


class Action(Answer):
    """What to do in this state."""

    model_config = ConfigDict(json_schema_extra={"example": examples.ACTION})

    policy: str
    digest: str
    action: int
    probabilities: list[float]
    source: Literal["network", "rule"]


REF_TEMPLATE = "#/components/schemas/{model}"


def body_definitions() -> dict[str, Any]:
    """Return the schemas of the raw bodies, which FastAPI does not see, by name."""
    models: tuple[type[BaseModel], ...] = (SnapshotBody, ObservationBody)
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template=REF_TEMPLATE
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def body_schema() -> dict[str, Any]:
    """Describe the raw body for OpenAPI: the handler decodes it without FastAPI's detour."""
    references = [
        {"$ref": REF_TEMPLATE.format(model=model.__name__)}
        for model in (SnapshotBody, ObservationBody)
    ]
    content = {"schema": {"anyOf": references}, "examples": examples.ACT_BODIES}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
