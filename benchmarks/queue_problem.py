"""What a queueing problem with a known optimum is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grpo.environments.hospital.model.scenario_model import Scenario

Float64 = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Queue:
    """A queueing problem with its exact optimum.

    Attributes:
        name: of the case in queue_cases.json.
        scenario: the problem.
        best: the optimal cost, in what ``measure`` gives.
        fcfs: the cost of first come first served.
        measure: cost of waits by class [K], and of the cost per hour.
        required: least percentage of the way from FCFS to the optimum.
        algorithm: hyperparameters besides those of all queues.
        steps: budget.
        hold: whether a server may be kept free.
        half_life_hours: of the discount.
        judged_hours: what the gate judges by; long queues take hundreds of hours to forget.
    """

    name: str
    scenario: Scenario
    best: float
    fcfs: float
    measure: Callable[[Float64, float], float]
    required: float
    algorithm: dict[str, Any]
    steps: int
    hold: bool = False
    half_life_hours: float = 24.0
    judged_hours: float = 2_000.0
