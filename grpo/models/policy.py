"""The policy that is stored and served: inference in numpy, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grpo.errors import ShapeError
from grpo.models.normalization import normalize
from grpo.models.options import Rivals, find_rivals, forbid_later_options
from grpo.models.parameters import Float32, IndexTerm, Int64, NetworkShape
from grpo.schema import FrozenModel

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Sharpness = Literal["greedy"] | float

MASKED_LOGIT = np.float32(-1e8)
HOLD_SCORE = -1e6
LOWEST_SCORE = -1e5
NORMALIZATION = ("normalization.mean", "normalization.inverse_std")
RULE = ("rule.intercept", "rule.slope")


class ValidationScore(FrozenModel):
    """How one candidate did on the validation seeds.

    Attributes:
        candidate: where it comes from: ``rule`` or a checkpoint, with the share of training done.
        sharpness: factor on its logits, or greedy.
        objective: F, what the choice is made by.
        mean_return: J_0.
        group_returns: J_g by label.
    """

    candidate: str
    sharpness: Sharpness
    objective: float
    mean_return: float
    group_returns: dict[str, float]


class Manifest(FrozenModel):
    """What a policy is, how it came about and how it was chosen; stored beside the tensors.

    Attributes:
        schema_version: of this record.
        kind: what it decides for; ``agent`` for a GRPOAgent saved by its user.
        config: the whole TrainConfig as plain data (an agent: its hyperparameters).
        observation_size: O.
        num_actions: A.
        hidden_sizes: units of the tanh layers.
        num_heads: heads of the stored critic, 0 where none is stored.
        feature_names: [O] where features have names.
        action_labels: [A] where actions have names.
        earlier_options: [A] of ``find_rivals``, which masks go through before the policy
            decides; empty where every allowed action may be taken.
        group_labels: groups of training.
        served: whether the trained network or the dispatch rule it started from is served.
        rule: name of the starting rule.
        sharpness: factor on the logits when serving, or greedy.
        seed: of training.
        timesteps: decisions made in training.
        reproducible: whether the same configuration gives the same digest; the clock ended the
            training of one that is not.
        scale: S, the unit of the temperature.
        merged_acuities: acuities that were standardised as one cell.
        baseline_references: by label, what a normalised performance is 0 at; else empty.
        baseline_specialists: by label, what each group's specialist reached; empty where
            performance is raw.
        unmet_floors: by label, how far the served policy stays below its floor on validation.
        validation: all candidates that were compared.
        runoff: the starting rule and the best candidates on other patients, where there is a rule.
        library_version: version of grpo that trained it.
    """

    schema_version: Literal[1] = 1
    kind: Literal["hospital", "gymnasium", "tabular", "agent"]
    config: dict[str, Any]
    observation_size: int = Field(ge=1, le=1_000_000)
    num_actions: int = Field(ge=1, le=100_000)
    hidden_sizes: tuple[int, ...]
    num_heads: int = Field(0, ge=0)
    feature_names: tuple[str, ...] = ()
    action_labels: tuple[str, ...] = ()
    earlier_options: tuple[int, ...] = ()
    group_labels: tuple[str, ...] = ()
    served: Literal["network", "rule"] = "network"
    rule: str | None = None
    sharpness: Sharpness = "greedy"
    seed: int = 0
    timesteps: int = 0
    reproducible: bool = True
    scale: float = 1.0
    merged_acuities: tuple[tuple[int, ...], ...] = ()
    baseline_references: dict[str, float] = Field(default_factory=dict)
    baseline_specialists: dict[str, float] = Field(default_factory=dict)
    unmet_floors: dict[str, float] = Field(default_factory=dict)
    validation: tuple[ValidationScore, ...] = ()
    runoff: tuple[ValidationScore, ...] = ()
    library_version: str = ""

    @property
    def network_shape(self) -> NetworkShape:
        """Return the sizes of the stored networks."""
        return NetworkShape(
            self.observation_size, self.hidden_sizes, self.num_actions, self.num_heads
        )


@dataclass(frozen=True, eq=False)
class Policy:
    """A frozen policy: observations and masks in, probabilities and actions out.

    Attributes:
        manifest: what it is.
        tensors: by name: the actor's, ``index.feature``, the normalisation's, the rule's where
            there is one, the critic's where stored.
    """

    manifest: Manifest
    tensors: Mapping[str, NDArray[Any]]

    @property
    def sharpness(self) -> Sharpness:
        """Factor on the logits when serving, or ``greedy``."""
        return self.manifest.sharpness

    @property
    def index_bias(self) -> Float32:
        """[A] what the network starts from, as learned."""
        return self.tensors["index.bias"]

    @property
    def index_slope(self) -> Float32:
        """[A] per log1p hour of the longest wait, as learned."""
        return self.tensors["index.slope"]

    @property
    def index_feature(self) -> Int64:
        """[A] index of the raw feature that the slope multiplies, -1 for none."""
        return self.tensors["index.feature"]

    @cached_property
    def _rivals(self) -> Rivals:
        return find_rivals(np.array(self.manifest.earlier_options, dtype=np.int64))

    @cached_property
    def _index(self) -> IndexTerm:
        return IndexTerm(self.index_bias, self.index_slope, self.index_feature)

    @cached_property
    def _layers(self) -> tuple[tuple[Float32, Float32], ...]:
        """Weights and biases of the hidden layers."""
        return tuple(
            (self.tensors[f"actor.{layer}.weight"], self.tensors[f"actor.{layer}.bias"])
            for layer in range(len(self.manifest.hidden_sizes))
        )

    def logits(self, observations: Float32) -> Float32:
        """Return logits [B, A] float32 of raw observations [B, O], before masks and sharpness.

        Raises:
            ShapeError: observations are not [B, O].
        """
        size = self.manifest.observation_size
        if observations.ndim != 2 or observations.shape[1] != size:
            raise ShapeError(f"observations: expected (B, {size}), got {observations.shape}")
        if self.manifest.served == "rule":
            everything = np.ones((len(observations), self.manifest.num_actions), dtype=np.bool_)
            return self._rank_rule(observations, everything)
        hidden = normalize(observations, *(self.tensors[name] for name in NORMALIZATION))
        for weight, bias in self._layers:
            hidden = np.tanh(hidden @ weight + bias)
        logits = hidden @ self.tensors[f"actor.{len(self._layers)}.weight"] + self.index_bias
        if self.index_slope.any():
            logits = logits + self.index_slope * self._index.select(observations)
        return np.asarray(logits, dtype=np.float32)

    def _rule_scores(self, observations: Float32) -> Float64:
        """Return the rule's index [B, A], -inf for actions that start nobody."""
        intercept, slope = (self.tensors[name] for name in RULE)
        waits = np.expm1(self._index.select(observations).astype(np.float64))
        scores = intercept + slope * waits
        waiting = self.index_feature >= 0
        return np.asarray(np.where(waiting, scores, -np.inf))

    def _narrow(self, masks: Bool) -> Bool:
        """Return masks [B, A] without the options that this policy leaves out."""
        return forbid_later_options(masks, self._rivals) if self._rivals else masks

    def _sharpen(self, observations: Float32, masks: Bool) -> Float32:
        """Return masked logits [B, A], sharpened unless greedy."""
        if self.manifest.served == "rule":
            return self._rank_rule(observations, masks)
        logits = np.where(masks, self.logits(observations), MASKED_LOGIT)
        return logits if self.sharpness == "greedy" else logits * np.float32(self.sharpness)

    def _rank_rule(self, observations: Float32, masks: Bool) -> Float32:
        """Return distances [B, A] to the rule's best allowed action; ties go to the longest wait.

        An index rule never holds while somebody fits, so actions that start nobody come last.
        """
        scores = np.where(masks, self._rule_scores(observations), -np.inf)
        best = scores.max(axis=1, keepdims=True)
        distances = scores - np.where(np.isfinite(best), best, 0.0)
        tied = distances == 0
        waits = np.where(tied, self._index.select(observations), -1.0)
        distances -= 1e-3 * (tied & (waits < waits.max(axis=1, keepdims=True)))
        ranked = np.where(np.isfinite(distances), np.maximum(distances, LOWEST_SCORE), HOLD_SCORE)
        return np.where(masks, ranked, MASKED_LOGIT).astype(np.float32)

    def probabilities(self, observations: Float32, masks: Bool) -> Float32:
        """Return probabilities [B, A] at the serving sharpness; greedy gives a 1 and zeros.

        Args:
            observations: [B, O] float32, raw.
            masks: [B, A] bool, at least one allowed per row.
        """
        return _probabilities(self._sharpen(observations, self._narrow(masks)), self.sharpness)

    def act(
        self, observations: Float32, masks: Bool, rng: np.random.Generator | None = None
    ) -> Int64:
        """Return one allowed action per row [B] int64.

        Args:
            observations: [B, O] float32, raw.
            masks: [B, A] bool, at least one allowed per row.
            rng: draws from the probabilities; None takes the most likely action.
        """
        masks = self._narrow(masks)
        sharpened = self._sharpen(observations, masks)
        if rng is None or self.sharpness == "greedy":
            return np.asarray(sharpened.argmax(axis=1), dtype=np.int64)
        noise = rng.gumbel(size=sharpened.shape)
        return np.asarray(np.where(masks, sharpened + noise, -np.inf).argmax(axis=1), np.int64)


def _probabilities(logits: Float32, sharpness: Sharpness) -> Float32:
    """Return the softmax of masked logits [B, A], or a one at their first maximum."""
    if sharpness == "greedy":
        result = np.zeros_like(logits)
        result[np.arange(len(logits)), logits.argmax(axis=1)] = 1.0
        return result
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def with_serving(policy: Policy, **changes: Any) -> Policy:
    """Return the policy with other fields of its manifest, sharing its tensors."""
    return Policy(policy.manifest.model_copy(update=changes), policy.tensors)


def check_tensors(policy: Policy) -> list[str]:
    """Return what is wrong with the tensors against the manifest; empty if they fit."""
    manifest = policy.manifest
    shape = manifest.network_shape
    observation, actions = (manifest.observation_size,), (manifest.num_actions,)
    expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        name: (size, np.float32) for name, size in shape.actor_entries
    }
    expected["index.feature"] = (actions, np.int64)
    expected |= dict.fromkeys(NORMALIZATION, (observation, np.float32))
    if manifest.rule is not None:
        expected |= dict.fromkeys(RULE, (actions, np.float64))
    if manifest.num_heads:
        expected |= {name: (size, np.float32) for name, size in shape.critic_entries}
        heads = (manifest.num_heads,)
        expected |= {"returns.mean": (heads, np.float64), "returns.std": (heads, np.float64)}
    problems = [f"missing tensor {name}" for name in expected if name not in policy.tensors]
    problems += [f"unknown tensor {name}" for name in policy.tensors if name not in expected]
    for name, (size, dtype) in expected.items():
        tensor = policy.tensors.get(name)
        if tensor is None:
            continue
        if tensor.shape != size or tensor.dtype != dtype:
            problems.append(
                f"{name}: expected {size} {dtype.__name__}, got {tensor.shape} {tensor.dtype}"
            )
        elif not np.isfinite(tensor).all():
            problems.append(f"{name}: holds numbers that are not finite")
    feature = policy.tensors.get("index.feature")
    inside = feature is None or -1 <= feature.min() <= feature.max() < manifest.observation_size
    if not problems and not inside:
        problems.append("index.feature: points outside the observation")
    if (earlier := manifest.earlier_options) and not (
        len(earlier) == manifest.num_actions and all(-1 <= e < a for a, e in enumerate(earlier))
    ):
        problems.append("earlier_options: each action needs -1 or an action before it")
    return problems
