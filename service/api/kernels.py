"""Loading the compiled kernels while the service already answers: /readyz tells when they are in.

Numba is not imported before ``start``, since its cache folder must be set first.
"""

from __future__ import annotations

import threading
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.scenario import compile_scenario, list_scenarios, load_scenario
from service.errors import WarmingUpError
from service.observability import get_logger
from service.process import use_kernel_cache
from service.settings import Settings

log = get_logger()


class AnyAllowed:
    """A policy that likes every allowed action alike."""

    def probabilities(
        self, observations: NDArray[np.float32], masks: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return [B, A]; the observations are not looked at."""
        del observations
        return np.asarray(masks / masks.sum(axis=1, keepdims=True), dtype=np.float32)


def warm_act() -> None:
    """Import what ``act`` needs and decide once, so that no request waits for the compiler."""
    # Only here does numba come in, after its cache folder is set.
    from grpo.environments.hospital.live.recommend import recommend  # noqa: PLC0415
    from grpo.environments.hospital.live.snapshot import Snapshot, WaitingPatient  # noqa: PLC0415
    from service.api import waiting_room  # noqa: F401, PLC0415

    compiled = compile_scenario(load_scenario(list_scenarios()[0]))
    capacity = tuple(compiled.capacity.tolist())
    snapshot = Snapshot(0.0, capacity, capacity, (WaitingPatient("nobody", 0, 0.0),))
    recommend(AnyAllowed(), compiled, snapshot)


class KernelWarmup:
    """Imports and compiles, once, what ``act`` calls, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = "still loading"
        self._thread = threading.Thread(target=self._warm, name="kernel-warmup", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def state(self) -> str:
        """``ok``, or what is missing."""
        return self._state

    def require(self) -> None:
        """Raise WarmingUpError unless the kernels are in."""
        if self._state != "ok":
            raise WarmingUpError(f"compiled kernels: {self._state}; /readyz tells when they are in")

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until they are in; return whether they are."""
        self._thread.join(timeout_seconds)
        return self._state == "ok"

    def _warm(self) -> None:
        started = perf_counter()
        try:
            use_kernel_cache(self._settings)
            warm_act()
        except Exception as error:
            self._state = f"failed: {error}"
            log.exception("kernels_failed")
            raise
        self._state = "ok"
        log.info("kernels_ready", seconds=round(perf_counter() - started, 2))
