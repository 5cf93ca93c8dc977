"""Static facts about the Gymnasium environments that a job may name: spaces, starts, options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from grpo.errors import InputError

Bounds = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Option:
    """A named argument of an environment's variants.

    Attributes:
        name: what a job calls it.
        low: least value.
        high: largest value.
        default: what the environment has without it.
        attribute: the field of the environment that holds it.
    """

    name: str
    low: float
    high: float
    default: float
    attribute: str


@dataclass(frozen=True)
class EnvironmentDescription:
    """What a client may know of an environment before it trains.

    Attributes:
        id: Gymnasium id.
        kind: which kind of ``environment`` a job gives for it.
        title: what it is, in a few words.
        observation_size: number of features.
        num_actions: number of discrete actions.
        grouping: the usual kind of group spec.
        groupings: every kind of group spec that fits.
        scenario: the hospital's scenario, None elsewhere.
        options: what its variants may change.
    """

    id: str
    kind: Literal["hospital", "gymnasium"]
    title: str
    observation_size: int
    num_actions: int
    grouping: Literal["attribute", "threshold"]
    groupings: tuple[str, ...]
    scenario: str | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Ranges:
    """Least and largest value of each feature.

    Attributes:
        starts: of first states.
        states: of states that are acted in.
    """

    starts: Bounds
    states: Bounds


FOREIGN_GROUPINGS = ("threshold", "norm", "variant", "product")
ANY = (-math.inf, math.inf)
SMALL = (-0.1, 0.1)
SMALL_COSINE = (math.cos(0.1), 1.0)
SMALL_SINE = (-math.sin(0.1), math.sin(0.1))
UNIT = (-1.0, 1.0)

GYMNASIUM_ENVIRONMENTS = (
    EnvironmentDescription(
        "CartPole-v1",
        "gymnasium",
        "Balance a pole on a cart",
        4,
        2,
        "threshold",
        FOREIGN_GROUPINGS,
        options=(
            Option("length", 0.05, 5.0, 0.5, "length"),
            Option("masspole", 0.01, 2.0, 0.1, "masspole"),
            Option("masscart", 0.1, 10.0, 1.0, "masscart"),
            Option("gravity", 1.0, 30.0, 9.8, "gravity"),
            Option("force_mag", 1.0, 100.0, 10.0, "force_mag"),
        ),
    ),
    EnvironmentDescription(
        "MountainCar-v0",
        "gymnasium",
        "Drive an underpowered car uphill",
        2,
        3,
        "threshold",
        FOREIGN_GROUPINGS,
        options=(
            Option("force", 0.0005, 0.005, 0.001, "force"),
            Option("gravity", 0.001, 0.005, 0.0025, "gravity"),
            Option("goal_velocity", 0.0, 0.07, 0.0, "goal_velocity"),
        ),
    ),
    EnvironmentDescription(
        "Acrobot-v1",
        "gymnasium",
        "Swing a two-link robot up",
        6,
        3,
        "threshold",
        FOREIGN_GROUPINGS,
        options=(
            Option("link_mass_1", 0.5, 2.0, 1.0, "LINK_MASS_1"),
            Option("link_mass_2", 0.5, 2.0, 1.0, "LINK_MASS_2"),
            Option("link_length_1", 0.5, 2.0, 1.0, "LINK_LENGTH_1"),
            Option("torque_noise_max", 0.0, 1.0, 0.0, "torque_noise_max"),
        ),
    ),
)
RANGES = {
    "CartPole-v1": Ranges(
        starts=((-0.05, 0.05),) * 4,
        states=((-2.4, 2.4), ANY, (-math.radians(12), math.radians(12)), ANY),
    ),
    "MountainCar-v0": Ranges(
        starts=((-0.6, -0.4), (0.0, 0.0)),
        states=((-1.2, 0.6), (-0.07, 0.07)),
    ),
    "Acrobot-v1": Ranges(
        starts=(SMALL_COSINE, SMALL_SINE, SMALL_COSINE, SMALL_SINE, SMALL, SMALL),
        states=(*((UNIT,) * 4), (-4 * math.pi, 4 * math.pi), (-9 * math.pi, 9 * math.pi)),
    ),
}


def find_gymnasium(environment_id: str) -> EnvironmentDescription:
    """Return the description of an allowed Gymnasium id.

    Raises:
        InputError: at /environment/id, for an id that is not on the list.
    """
    for description in GYMNASIUM_ENVIRONMENTS:
        if description.id == environment_id:
            return description
    raise InputError.single(
        "/environment/id",
        "not an environment of this service",
        given=environment_id,
        allowed=", ".join(description.id for description in GYMNASIUM_ENVIRONMENTS),
    )
