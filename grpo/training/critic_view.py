"""What a critic sees beyond the policy: found, normalised, kept beside the rollout."""

from __future__ import annotations

import numpy as np

from grpo.environments.vector import Privileged, VectorEnvironment
from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import Float32
from grpo.objectives.advantages import Bool

NOTHING = "{} has nothing to show to the critic alone"


def count_privileged_features(environment: VectorEnvironment, *, privileged_critic: bool) -> int:
    """Return X, how many features the critic sees beyond the observation; 0 if it shall not.

    Raises:
        TypeError: it shall, and the environment has none to show.
    """
    if not privileged_critic:
        return 0
    if not isinstance(environment, Privileged):
        raise TypeError(NOTHING.format(type(environment).__name__))
    return environment.privileged_size


class CriticView:
    """The critic's inputs of one iteration: normalised observations, then privileged features.

    Attributes:
        features: [T, N, X] float32, as the environment gave them.
        inputs: [T, N, O + X] float32, normalised.
    """

    def __init__(
        self,
        environment: VectorEnvironment,
        normalizer: ObservationNormalizer,
        observations: Float32,
    ) -> None:
        """Allocate for observations [T, N, O].

        Args:
            environment: shows the features.
            normalizer: of the features.
            observations: those of the rollout, for their axes.

        Raises:
            TypeError: the environment has nothing to show.
        """
        if not isinstance(environment, Privileged):
            raise TypeError(NOTHING.format(type(environment).__name__))
        steps, size = observations.shape[:2], observations.shape[-1]
        more = environment.privileged_size
        self._environment, self._normalizer = environment, normalizer
        self.features: Float32 = np.empty((*steps, more), dtype=np.float32)
        self.inputs: Float32 = np.empty((*steps, size + more), dtype=np.float32)
        self._size = size

    def part(self, environment: VectorEnvironment, columns: slice) -> CriticView:
        """Return the view of some of the environments, which an environment of their own shows.

        Raises:
            TypeError: it has nothing to show.
        """
        part = CriticView(environment, self._normalizer, self.inputs[:0, columns, : self._size])
        part.features, part.inputs = self.features[:, columns], self.inputs[:, columns]
        return part

    def observe(self, t: int, observations: Float32) -> None:
        """Record what the critic sees at step t beside normalised observations [N, O]."""
        self._environment.observe_privileged(self.features[t])
        self.inputs[t, :, : self._size] = observations
        self.inputs[t, :, self._size :] = self._normalizer(self.features[t])

    def look(self, observations: Float32, rows: Bool | None = None) -> Float32:
        """Return the inputs [B, O + X] now, for normalised observations of some rows or all."""
        features = np.empty(self.features.shape[1:], dtype=np.float32)
        self._environment.observe_privileged(features)
        chosen = features if rows is None else features[rows]
        return np.concatenate([observations, self._normalizer(chosen)], axis=1)

    def learn(self) -> None:
        """Add the recorded features to the normaliser's moments."""
        self._normalizer.update(self.features.reshape(-1, self.features.shape[-1]))
