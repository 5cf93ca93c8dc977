"""What a group's performance is measured against: nothing, its own specialist, or a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError

Float64 = NDArray[np.float64]
BaselineKind = Literal["raw", "normalised", "regret"]

LEAST_HEADROOM = 1e-9
"""A specialist that is better than the reference by less, relative to both, is no better."""


@dataclass(frozen=True)
class GroupBaseline:
    """The map from a group's performance J to its utility U, and its derivative U'.

    - ``raw``: U = J. The worst group is the one with the least reward, even where nothing could
      be done for it.
    - ``normalised``: ``U = (J − r) / (s − r)`` with r what a reference rule gives the group and s
      what a policy trained for it alone does: 0 as under the reference, 1 the best there is. The
      worst group is the one that got the smallest part of what it could gain.
    - ``regret``: ``U = J − s``: minus what the group loses against its own specialist.

    They lead to different policies; none is right for all purposes, so the user chooses.

    Attributes:
        kind: which.
        references: r by group label; read where normalised.
        specialists: s by group label; read unless raw.

    Source: normalised is the objective of Kalai and Smorodinsky 1975, Other solutions to Nash's
        bargaining problem; regret that of Savage 1951, The theory of statistical decision.
    """

    kind: BaselineKind = "raw"
    references: Mapping[str, float] = field(default_factory=dict)
    specialists: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a range that is no range."""
        if self.kind != "normalised":
            return
        for label, best in self.specialists.items():
            reference = self.references[label]
            if best - reference <= LEAST_HEADROOM * max(abs(best), abs(reference), LEAST_HEADROOM):
                raise InputError.single(
                    "/algorithm/group_baseline",
                    f"group {label!r} gets {best:.6g} from its specialist, no more than the "
                    f"{reference:.6g} of the reference: there is no range to normalise by",
                    given="normalised",
                    allowed="raw, regret, or a larger specialist_share or budget",
                )

    def transform(self, labels: Sequence[str], returns: Float64) -> tuple[Float64, Float64]:
        """Return U [G] and U' [G] of J [G] for groups with these labels.

        Raises:
            InputError: a group has no specialist.
        """
        ones = np.ones(len(returns))
        if self.kind == "raw":
            return returns, ones
        missing = [label for label in labels if label not in self.specialists]
        if missing:
            raise InputError.single(
                "/algorithm/group_baseline",
                f"no specialist was trained for group {missing[0]!r}",
                given=self.kind,
                allowed="raw",
            )
        best = np.array([self.specialists[label] for label in labels], dtype=np.float64)
        if self.kind == "regret":
            return returns - best, ones
        reference = np.array([self.references[label] for label in labels], dtype=np.float64)
        slopes = 1.0 / (best - reference)
        return (returns - reference) * slopes, slopes
