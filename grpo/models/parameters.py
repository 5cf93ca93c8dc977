"""Parameters of actor and critic as two flat vectors with named views, and their first values.

One vector per network makes averaging, clipping, saving and sharing with torch a single operation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from grpo.errors import ShapeError

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Entries = tuple[tuple[str, tuple[int, ...]], ...]

HIDDEN_GAIN = math.sqrt(2.0)
POLICY_GAIN = 0.01
VALUE_GAIN = 1.0


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a separate actor and critic of tanh layers.

    Attributes:
        observation_size: O.
        hidden_sizes: units of each tanh layer, at least one layer.
        num_actions: A.
        num_heads: H, outputs of the critic.
        privileged_size: X, features that the critic sees beside the observation.
    """

    observation_size: int
    hidden_sizes: tuple[int, ...]
    num_actions: int
    num_heads: int
    privileged_size: int = 0

    @property
    def actor_sizes(self) -> tuple[int, ...]:
        """Widths of the actor from observation to logits."""
        return (self.observation_size, *self.hidden_sizes, self.num_actions)

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """Widths of the critic from what it sees to values."""
        inputs = self.observation_size + self.privileged_size
        return (inputs, *self.hidden_sizes, self.num_heads)

    @property
    def actor_entries(self) -> Entries:
        """Names and shapes in the actor's vector; ``index.bias`` is the bias of its last layer."""
        index = (("index.bias", (self.num_actions,)), ("index.slope", (self.num_actions,)))
        return _layer_entries("actor", self.actor_sizes)[:-1] + index

    @property
    def critic_entries(self) -> Entries:
        """Names and shapes in the critic's vector."""
        return _layer_entries("critic", self.critic_sizes)


def _layer_entries(prefix: str, sizes: tuple[int, ...]) -> Entries:
    """Name weights [in, out] and biases [out] of consecutive dense layers."""
    entries: list[tuple[str, tuple[int, ...]]] = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        entries.append((f"{prefix}.{layer}.weight", (fan_in, fan_out)))
        entries.append((f"{prefix}.{layer}.bias", (fan_out,)))
    return tuple(entries)


def count_parameters(entries: Entries) -> int:
    """Return the length of the flat vector that holds the entries."""
    return sum(math.prod(shape) for _, shape in entries)


def named_views(entries: Entries, flat: Float32) -> dict[str, Float32]:
    """Return views into flat vectors [..., P] by name; writing to a view writes to the vectors.

    Raises:
        ShapeError: the vectors' length is not that of the entries.
    """
    if flat.shape[-1:] != (count_parameters(entries),):
        raise ShapeError(f"parameters: expected ({count_parameters(entries)},), got {flat.shape}")
    views, offset = {}, 0
    for name, shape in entries:
        size = math.prod(shape)
        views[name] = flat[..., offset : offset + size].reshape(*flat.shape[:-1], *shape)
        offset += size
    return views


def pack(entries: Entries, tensors: Mapping[str, Float32]) -> Float32:
    """Return the flat vector of named tensors: the inverse of ``named_views``."""
    flat = np.zeros(count_parameters(entries), dtype=np.float32)
    for name, view in named_views(entries, flat).items():
        view[...] = tensors[name]
    return flat


@dataclass(frozen=True)
class IndexTerm:
    """What a dispatch rule adds to the logits: ``bias_a + slope_a x[feature_a]``.

    Attributes:
        bias: [A] float32.
        slope: [A] float32.
        feature: [A] int64, index into the raw observation (log1p of the wait), -1 for none.
    """

    bias: Float32
    slope: Float32
    feature: Int64

    @staticmethod
    def empty(num_actions: int) -> IndexTerm:
        """Return the term that adds nothing."""
        zeros = np.zeros(num_actions, dtype=np.float32)
        return IndexTerm(zeros, zeros, np.full(num_actions, -1, dtype=np.int64))

    def select(self, observations: Float32) -> Float32:
        """Return x[feature_a] [B, A] of raw observations [B, O], zero where there is none."""
        chosen = observations[:, np.maximum(self.feature, 0)]
        return np.asarray(chosen * (self.feature >= 0), dtype=np.float32)


def initialise_actor(
    shape: NetworkShape, rng: np.random.Generator, index: IndexTerm | None = None
) -> Float32:
    """Draw the actor: orthogonal layers, the last near zero so that the index term decides first.

    Source: gains sqrt 2 and .01 after Andrychowicz et al. 2021, What matters in on-policy RL.
    """
    flat = _orthogonal_layers(shape.actor_entries, rng, POLICY_GAIN, len(shape.actor_sizes) - 2)
    if index is not None:
        views = named_views(shape.actor_entries, flat)
        views["index.bias"][...] = index.bias
        views["index.slope"][...] = index.slope
    return flat


def initialise_critic(shape: NetworkShape, rng: np.random.Generator) -> Float32:
    """Draw the critic: orthogonal layers, gain sqrt 2, the last with gain 1."""
    return _orthogonal_layers(shape.critic_entries, rng, VALUE_GAIN, len(shape.critic_sizes) - 2)


def _orthogonal_layers(
    entries: Entries, rng: np.random.Generator, last_gain: float, last_layer: int
) -> Float32:
    """Fill every weight with a scaled orthogonal matrix and everything else with zeros."""
    flat = np.zeros(count_parameters(entries), dtype=np.float32)
    for name, view in named_views(entries, flat).items():
        if not name.endswith(".weight"):
            continue
        rows, columns = view.shape
        normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
        factor, upper = np.linalg.qr(normal)
        factor = factor * np.sign(np.diagonal(upper))
        gain = last_gain if int(name.split(".")[1]) == last_layer else HIDDEN_GAIN
        view[...] = gain * (factor if rows >= columns else factor.T)
    return flat
