"""Dispatch rules as data: one declaration for the command line, comparisons and tuned results.

A rule is a JSON object with its ``kind``; what a kind does stands in ``dispatch_rules``. Numbers by
acuity may also be given by class, in the order of the scenario's classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints

from grpo.schema import FrozenModel

ClassName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Keep = dict[ClassName, dict[ClassName, Annotated[int, Field(ge=1, le=1_000_000)]]]
ByClass = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1e9)], ...], Field(min_length=1, max_length=1024)
]


class _Rule(FrozenModel):
    """What every kind of rule can say of itself."""

    @property
    def group_aware(self) -> bool:
        """Whether it must be told patients' groups, which the law may forbid."""
        return False

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return str(getattr(self, "kind", ""))


class Random(_Rule):
    """Start a class drawn by lot, each that fits with the same chance: a floor for comparisons."""

    kind: Literal["random"] = "random"


class LongestQueue(_Rule):
    """Start the class in which most patients wait."""

    kind: Literal["longest_queue"] = "longest_queue"


class FirstComeFirstServed(_Rule):
    """Start whoever has waited longest."""

    kind: Literal["fcfs"] = "fcfs"


class StrictAcuity(_Rule):
    """Start the most urgent acuity, and inside it whoever has waited longest."""

    kind: Literal["strict_acuity"] = "strict_acuity"


class AccumulatingPriority(_Rule):
    """Start the largest ``credit + rate * wait``."""

    kind: Literal["apq"] = "apq"
    rates: ByClass | None = Field(
        None, description="Priority per hour of waiting, by acuity; 1 / target hours if left out."
    )
    credits: ByClass | None = Field(
        None, description="Priority on arrival, by acuity; none if left out."
    )

    @property
    def label(self) -> str:
        """Its kind, and the rates where they were given."""
        given = ":".join(f"{rate:g}" for rate in self.rates or ())
        return f"apq {given}" if given else "apq"


class CMu(_Rule):
    """Start the largest cost per hour over expected care (Cox and Smith 1961)."""

    kind: Literal["c_mu"] = "c_mu"


class CMuTheta(_Rule):
    """Start the largest cost per hour over care and impatience (Atar, Giat, Shimkin 2010)."""

    kind: Literal["c_mu_theta"] = "c_mu_theta"


class GeneralisedCMu(_Rule):
    """Start the largest c-mu times wait / target: c-mu for quadratic costs (van Mieghem 1995)."""

    kind: Literal["gc_mu"] = "gc_mu"


class EarliestTarget(_Rule):
    """Start whoever's target passes, or passed, first."""

    kind: Literal["earliest_target"] = "earliest_target"


class CostLottery(_Rule):
    """Draw a waiting patient with a chance in proportion to his acuity's cost per hour.

    The one of his class who has waited longest starts.
    """

    kind: Literal["cost_lottery"] = "cost_lottery"


class WorstGroupFirst(_Rule):
    """Start somebody of the group that has cost most per patient so far: naive fairness.

    Groups are the values of the attribute that the scenario mixes by.
    """

    kind: Literal["worst_group_first"] = "worst_group_first"

    @property
    def group_aware(self) -> bool:
        """It looks at groups."""
        return True


class IndexWeights(FrozenModel):
    """The index of one class: ``intercept + slope * wait``."""

    intercept: float
    slope: float = Field(ge=0)


class TuningRecord(FrozenModel):
    """How a tuned index was found, and what it reached on seeds that it was not tuned on.

    Attributes:
        scenario: that it was tuned for.
        group_robustness_weight: w of the objective ``(1 - w) everybody + w worst group``.
        group_target: what counts as a group's performance.
        groups: attributes whose product makes the groups.
        seed: of the search and of its patients.
        evaluations: rules that were simulated.
        started_from: the rule that the search began at.
        objective: F on validation patients, cost per patient; smaller is better.
        start_objective: the same of ``started_from``.
        library_version: of grpo.
    """

    scenario: str
    group_robustness_weight: float = Field(ge=0, le=1)
    group_target: Literal["standardised", "raw"]
    groups: tuple[str, ...]
    seed: int
    evaluations: int
    started_from: str
    objective: float
    start_objective: float
    library_version: str


class TunedIndex(_Rule):
    """Start the largest ``intercept + slope * wait``, each class with its own numbers."""

    kind: Literal["tuned_index"] = "tuned_index"
    classes: dict[ClassName, IndexWeights] = Field(
        min_length=1, description="The numbers of every class of the scenario, by its label."
    )
    keep: Keep = Field(
        default_factory=dict, description="Units kept free, by class or acuity, then by pool."
    )
    sees_groups: bool = Field(False, description="Whether its classes tell groups apart.")
    tuning: TuningRecord | None = None

    @property
    def group_aware(self) -> bool:
        """Whether its classes tell groups apart."""
        return self.sees_groups

    @property
    def label(self) -> str:
        """Its kind, with the weight it was tuned for."""
        return f"tuned w={self.tuning.group_robustness_weight:g}" if self.tuning else "tuned_index"


Unreserved = (
    Random
    | LongestQueue
    | FirstComeFirstServed
    | StrictAcuity
    | AccumulatingPriority
    | CMu
    | CMuTheta
    | GeneralisedCMu
    | EarliestTarget
    | CostLottery
    | WorstGroupFirst
    | TunedIndex
)


class HeadStart(_Rule):
    """Let each step of the declared groups count as so many hours of waiting; to compare only.

    The n-th value of the attribute that the scenario mixes by (n from 0) has a head start of
    ``n * hours_per_step`` in the rule ``base``, whose index must grow with the wait.
    """

    kind: Literal["head_start"] = "head_start"
    base: Annotated[Unreserved, Discriminator("kind")] = FirstComeFirstServed()
    hours_per_step: float = Field(ge=-1000, le=1000)

    @property
    def group_aware(self) -> bool:
        """It looks at groups."""
        return True

    @property
    def label(self) -> str:
        """The hours and the rule below it."""
        return f"{self.base.label} with head start {self.hours_per_step:g} h"


class Reservation(_Rule):
    """Follow ``base``, but start a class only if so many units of its pools then stay free."""

    kind: Literal["reservation"] = "reservation"
    base: Annotated[Unreserved | HeadStart, Discriminator("kind")] = FirstComeFirstServed()
    keep: Keep = Field(
        min_length=1, description="Units kept free, by class or acuity, then by pool."
    )

    @property
    def group_aware(self) -> bool:
        """Whether the rule below it looks at groups."""
        return self.base.group_aware

    @property
    def label(self) -> str:
        """The rule below it and the largest number of units that it keeps."""
        most = max((units for pools in self.keep.values() for units in pools.values()), default=0)
        return f"{self.base.label} keeping {most}"


RuleSpec = Unreserved | HeadStart | Reservation


class RuleChoice(FrozenModel):
    """A rule inside another document."""

    rule: Annotated[RuleSpec, Discriminator("kind")]


UNGROUPED_RULES = (
    "random",
    "longest_queue",
    "fcfs",
    "strict_acuity",
    "apq",
    "c_mu",
    "c_mu_theta",
    "gc_mu",
    "earliest_target",
    "cost_lottery",
)
"""Rules that a name alone makes and that look at no group."""

PLAIN_RULES = (*UNGROUPED_RULES, "worst_group_first")
"""Rules that a name alone makes."""

RULE_KINDS = (*PLAIN_RULES, "reservation", "head_start", "tuned_index")


def parse_rule(data: Any) -> RuleSpec:
    """Read a rule from its name or from plain data.

    Raises:
        InputError: below /rule, for everything that is wrong with it.
    """
    return RuleChoice.parse({"rule": {"kind": data} if isinstance(data, str) else data}).rule
