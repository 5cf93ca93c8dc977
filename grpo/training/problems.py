"""What a training needs to know of its environment: how to step it and how to judge a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from grpo.config import GymnasiumEnvironment, HospitalEnvironment, TrainConfig
from grpo.environments.gymnasium_variants import make_makers
from grpo.environments.gymnasium_vector import GymnasiumVectorEnvironment
from grpo.environments.vector import VectorEnvironment
from grpo.errors import InputError
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import (
    GroupSpec,
    find_when,
    list_variants,
    merge_attributes,
)
from grpo.models.parameters import IndexTerm
from grpo.models.policy import Policy
from grpo.seeding import derive_seed
from grpo.training.episodes import play_episodes
from grpo.training.hospital_problem import HospitalProblem
from grpo.training.judgement import RUNOFF_FACTOR, Judgement

GYMNASIUM_VALIDATION_EPISODES = 16


class Problem(Protocol):
    """One kind of environment as the training job sees it."""

    @property
    def num_groups(self) -> int:
        """G."""
        ...

    @property
    def state_groups(self) -> bool:
        """Whether labels belong to states, not to episodes."""
        ...

    @property
    def index(self) -> IndexTerm | None:
        """What the policy's logits start from."""
        ...

    @property
    def rule_name(self) -> str | None:
        """Name of the starting rule."""
        ...

    @property
    def scale(self) -> float | None:
        """S, the unit of the temperature; None where training measures it."""
        ...

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return the environment to train on."""
        ...

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:
        """Judge a policy, as it would be served, on this job's validation seeds.

        A run-off is judged on others, and more of them where the judgement is by sampling.
        """
        ...

    def judge_reference(self, uniform: Policy) -> Judgement:
        """Judge what normalised performance is 0 at: a rule, or the policy of uniform choice."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return the manifest's fields about the environment."""
        ...

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the starting rule for the policy to carry, empty where there is none."""
        ...


class GymnasiumProblem:
    """Episode or state groups of a Gymnasium environment."""

    index = None
    rule_name = None
    scale = None

    def __init__(
        self, config: TrainConfig, environment: GymnasiumEnvironment, spec: GroupSpec
    ) -> None:
        """Keep the specification, of episode or state groups."""
        self._config, self._id, self._spec = config, environment.id, spec
        self._labels = make_labeller(spec)
        self.num_groups = len(self._labels.names)
        self.state_groups = find_when(spec) == "step"
        self._variants = len(list_variants(spec))
        self._seed = derive_seed(config.seed, "validation")

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return N copies of the environment, its variants in turn."""
        return GymnasiumVectorEnvironment(
            make_makers(self._id, self._spec),
            num_envs,
            gamma=self._config.algorithm.gamma,
            labeller=self._labels,
            when=find_when(self._spec),
        )

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:
        """Play whole episodes; a group's return is weighted by its share of their states."""
        rounds = max(2, -(-GYMNASIUM_VALIDATION_EPISODES // self._variants))
        played = play_episodes(
            self._id,
            policy,
            self._spec,
            episodes=self._variants * rounds * (RUNOFF_FACTOR if runoff else 1),
            seed=derive_seed(self._config.seed, "run-off") if runoff else self._seed,
        )
        totals = played.membership.sum(axis=0)
        sums = played.returns @ played.membership
        labels = zip(self._labels.names, sums, totals, strict=True)
        groups = {name: float(part / total) for name, part, total in labels if total > 0}
        return Judgement(float(played.returns.mean()), groups)

    def judge_reference(self, uniform: Policy) -> Judgement:
        """Judge uniformly random actions."""
        return self.judge(uniform)

    def describe(self) -> Mapping[str, Any]:
        """Return the names of the groups."""
        return {"kind": "gymnasium", "group_labels": self._labels.names}

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return nothing: there is no starting rule."""
        return {}


def make_problem(config: TrainConfig) -> Problem:
    """Return the problem of a job.

    Raises:
        InputError: the grouping does not fit the environment.
    """
    environment, grouping = config.environment, config.grouping
    attributes = merge_attributes(grouping)
    if isinstance(environment, HospitalEnvironment) and attributes is not None:
        return HospitalProblem(config, environment, attributes)
    if isinstance(environment, GymnasiumEnvironment) and attributes is None:
        return GymnasiumProblem(config, environment, grouping)
    raise InputError.single(
        "/grouping/kind",
        "does not fit the environment",
        given=grouping.kind,
        allowed="attributes for hospital, others for gymnasium",
    )
