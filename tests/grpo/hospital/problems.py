"""Small problems that several tests of the simulator share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.scenario import (
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)

CASES = Path(__file__).resolve().parents[2] / "data" / "queue_cases.json"
Float64 = NDArray[np.float64]


def load_case(case_id: str) -> dict[str, Any]:
    for case in json.loads(CASES.read_text(encoding="utf-8"))["cases"]:
        if case["id"] == case_id:
            return dict(case)
    raise KeyError(case_id)


def rural_department() -> Scenario:
    """The emergency department of the rural hospital alone: five spaces and 12 quarter-nurses.

    Without wards, shifts, weekdays, cleaning, deterioration and second choices of care; 28 visits
    a day keep the five spaces as busy (.71) as boarding does.
    """
    plain = load_scenario("rural_hospital").model_dump(mode="json", exclude_none=True)
    for part in ("stages", "routes", "harm", "deterioration_factor", "alternative_costs"):
        del plain[part]
    plain["pools"] = [
        {"name": pool["name"], "capacity": pool["capacity"]} for pool in plain["pools"][:2]
    ]
    plain["pools"][0]["capacity"]["value"] = 5
    del plain["arrivals"]["weekday_factor"]
    plain["arrivals"]["visits_per_day"]["value"] = 28
    for acuity in plain["acuities"]:
        acuity.pop("deterioration_per_hour", None)
        del acuity["options"]
    return Scenario.parse(plain | {"name": "rural_department"})


def rural(*, group_aware: bool = False, hold: bool = True) -> CompiledScenario:
    """The rural department, compiled."""
    return compile_scenario(rural_department(), group_aware=group_aware, hold=hold)


def two_groups() -> Scenario:
    """Two groups with different acuity mixes; given the acuity nothing else tells them apart."""
    return make_queue_scenario(
        rates={"young": (0.2, 0.6, 1.2), "old": (0.7, 0.8, 0.3)},
        treatments=(
            Lognormal(mean_hours=1.5, cv=0.7),
            Lognormal(mean_hours=1.0, cv=1.2),
            Exponential(mean_hours=0.6),
        ),
        pools={"bed": 4, "nurse": 6},
        needs=({"bed": 1, "nurse": 3}, {"bed": 1, "nurse": 1}, {"bed": 1, "nurse": 1}),
        patience=(None, Exponential(mean_hours=10), Exponential(mean_hours=4)),
        costs_per_hour=(10, 3, 1),
        targets_minutes=(0, 20, 60),
        factor_beyond_target=2,
        lump_hours=6,
    )


def random_allowed(masks: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int64]:
    """An allowed action per row, every one equally likely."""
    return np.asarray((generator.random(masks.shape) * masks).argmax(axis=1), dtype=np.int64)


class LinearPolicy:
    """Softmax of a fixed random linear map; enough to make every choice depend on every feature."""

    def __init__(self, observation_size: int, num_actions: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.weights = generator.normal(size=(observation_size, num_actions)).astype(np.float32)

    def probabilities(
        self, observations: NDArray[np.float32], masks: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        logits = np.where(masks, observations @ self.weights, -np.inf)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)

    def act(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray(self.probabilities(observations, masks).argmax(axis=1), dtype=np.int64)
