"""GRPOAgent: the networks that are trained, with a face for people who write their own scripts."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from grpo.config import Algorithm
from grpo.errors import InputError, ModelError, ShapeError
from grpo.models.parameters import NetworkShape, named_views, pack
from grpo.models.policy import NORMALIZATION, Manifest, Policy
from grpo.models.serialization import dump_policy, load_policy
from grpo.seeding import make_generator
from grpo.training.brain import Brain
from grpo.training.scales import ReturnScale
from grpo.training.update import make_learner

LARGEST = float(np.finfo(np.float32).max)
FACE_DEFAULTS: dict[str, Any] = {"group_target": "raw"}
"""Else the fields' own: 16 x 128, not the 64 x 32 of jobs. Here budgets are episodes, and with many
environments most of them are played before anything was learned."""

FACE = {"learning_rate": "lr", "clip_coef": "eps_clip"}
"""Names of the fixed face for hyperparameters of ``Algorithm``."""


class GRPOAgent:
    """A group-robust agent: actor, critic, normalisation and hyperparameters.

    Args:
        state_dim: length of a flattened state, O >= 1.
        action_dim: number of discrete actions, A >= 1.
        lr: learning rate at the start, > 0; falls to 0 over a training.
        eps_clip: PPO's clip range, > 0.
        gamma: discount per step in [0, 1].
        group_robustness_weight: w in ``(1 - w) * mean + w * worst group``; 0 is plain PPO.
        seed: of the first parameters and of everything drawn later.
        device: ``cpu``, or a torch device such as ``cuda``.
        **hyperparameters: any other field of ``grpo.config.Algorithm``.

    Raises:
        InputError: an argument is unknown or out of range; names it.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        lr: float = 1e-3,
        eps_clip: float = 0.2,
        gamma: float = 0.99,
        group_robustness_weight: float = 0.2,
        *,
        seed: int = 0,
        device: str = "cpu",
        **hyperparameters: Any,
    ) -> None:
        self.state_dim = _check_count("state_dim", state_dim)
        self.action_dim = _check_count("action_dim", action_dim)
        self.seed = _check_seed(seed)
        self.algorithm = make_algorithm(
            learning_rate=lr,
            clip_coef=eps_clip,
            gamma=gamma,
            group_robustness_weight=group_robustness_weight,
            **hyperparameters,
        )
        shape = NetworkShape(state_dim, self.algorithm.hidden_sizes, action_dim, num_heads=1)
        self.brain = Brain.create(shape, seed, device=device)
        self.timesteps = 0
        self._rng = make_generator(seed, "select_action")

    @property
    def group_robustness_weight(self) -> float:
        """Return w in ``(1 - w) * mean + w * worst group``."""
        return self.algorithm.group_robustness_weight

    def make_policy(self, *, greedy: bool = True) -> Policy:
        """Return a frozen copy of the policy, with the critic beside it."""
        brain, shape = self.brain, self.brain.learner.shape
        moments = (brain.normalizer.mean.copy(), brain.normalizer.inverse_std.copy())
        critic = np.array(brain.learner.critic_parameters)
        tensors: dict[str, NDArray[Any]] = {
            **named_views(shape.actor_entries, np.array(brain.learner.actor_parameters)),
            **named_views(shape.critic_entries, critic),
            **dict(zip(NORMALIZATION, moments, strict=True)),
            "index.feature": brain.index.feature,
            "returns.mean": brain.returns.mean.copy(),
            "returns.std": brain.returns.std.copy(),
        }
        manifest = Manifest(
            kind="agent",
            config=self.algorithm.model_dump(mode="json"),
            observation_size=self.state_dim,
            num_actions=self.action_dim,
            hidden_sizes=shape.hidden_sizes,
            num_heads=shape.num_heads,
            sharpness="greedy" if greedy else 1.0,
            seed=self.seed,
            timesteps=self.timesteps,
            library_version=version("grpo"),
        )
        return Policy(manifest, tensors)

    def select_action(self, state: ArrayLike, *, deterministic: bool = True) -> int:
        """Return the most likely action in a state, or draw one.

        Args:
            state: [O] finite numbers, or any shape with O elements.
            deterministic: False draws from the policy, reproducibly from the agent's seed.

        Raises:
            ShapeError: the state has another number of elements.
            InputError: the state holds a number that is not finite.
        """
        given = _read_numbers(state)
        if given.size != self.state_dim:
            raise ShapeError(f"state: expected {self.state_dim} numbers, got {given.size}")
        if not (np.abs(given) <= LARGEST).all():  # also not a number
            raise InputError.single(
                "/state",
                "holds a number that is not finite in single precision",
                given=state,
                allowed=f"-{LARGEST:.3g} to {LARGEST:.3g}",
            )
        observation = given.astype(np.float32).reshape(1, -1)
        logits = self.brain.learner.compute_logits(self.brain.normalizer(observation), None)[0]
        if deterministic:
            return int(logits.argmax())
        return int((logits + self._rng.gumbel(size=len(logits))).argmax())

    def save(self, path: str | Path) -> None:
        """Write the agent to a file (safetensors), replacing it in one step."""
        target = Path(path)
        aside = target.with_name(target.name + ".partial")
        aside.write_bytes(dump_policy(self.make_policy()))
        aside.replace(target)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> GRPOAgent:
        """Read an agent that ``save`` wrote; nothing in the file is executed.

        The optimisers' moments are not stored: training that goes on starts them anew.

        Raises:
            ModelError: the file is truncated or altered, or holds no agent.
        """
        policy = load_policy(Path(path).read_bytes())
        manifest = policy.manifest
        if manifest.kind != "agent" or not manifest.num_heads:
            raise ModelError(f"{path} holds a policy of kind {manifest.kind!r}, not an agent")
        hyperparameters = dict(manifest.config)
        for field, argument in FACE.items():
            hyperparameters[argument] = hyperparameters.pop(field, None)
        agent = cls(
            manifest.observation_size,
            manifest.num_actions,
            seed=manifest.seed,
            device=device,
            **hyperparameters,
        )
        agent._restore(policy, device)
        return agent

    def _restore(self, policy: Policy, device: str) -> None:
        """Take parameters, normalisation and return scale over from a stored policy."""
        shape, tensors = policy.manifest.network_shape, policy.tensors
        actor, critic = pack(shape.actor_entries, tensors), pack(shape.critic_entries, tensors)
        self.brain.learner = make_learner(shape, actor, critic, device=device)
        self.brain.normalizer.restore(*(tensors[name] for name in NORMALIZATION))
        self.brain.returns = ReturnScale.restored(tensors["returns.mean"], tensors["returns.std"])
        self.timesteps = policy.manifest.timesteps


def make_algorithm(**fields: Any) -> Algorithm:
    """Build hyperparameters for Gymnasium environments from the face's arguments.

    Raises:
        InputError: a name is unknown or a value out of range; names the argument.
    """
    try:
        algorithm = Algorithm.model_validate({**FACE_DEFAULTS, **fields})
    except ValidationError as error:
        refused = InputError.from_validation(error)
        issues = []
        for issue in refused.issues:
            name = issue.pointer.lstrip("/")
            issues.append(type(issue)(f"/{FACE.get(name, name)}", issue.message, issue.given))
        raise InputError(issues) from error
    if algorithm.privileged_critic:
        raise InputError.single(
            "/privileged_critic", "an agent's critic sees what its actor sees", allowed="false"
        )
    return algorithm


def _read_numbers(state: ArrayLike) -> NDArray[np.float64]:
    """Return a state's numbers.

    Raises:
        InputError: it holds something else.
    """
    try:
        return np.asarray(state, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError.single("/state", "must hold numbers", given=state) from error


def _check_seed(seed: int) -> int:
    """Return a seed that is at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError.single(
            "/seed", "must be an integer", given=seed, allowed="0 to 9223372036854775807"
        )
    return seed


def _check_count(name: str, value: int) -> int:
    """Return a count that is at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError.single(f"/{name}", "must be an integer", given=value, allowed=">= 1")
    return value
