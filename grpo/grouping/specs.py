"""Declarative group specs: JSON that says who belongs to which group. No code, no ``eval``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from grpo.schema import FrozenModel

MAX_GROUPS = 64

Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w .:<>=+-]+$")]


class AttributeGroups(FrozenModel):
    """Group patients by one declared attribute, or by the product of several.

    These are reward groups: one decision touches several groups, and the environment reports
    what each of them gained.
    """

    kind: Literal["attribute"] = "attribute"
    attributes: tuple[Label, ...] = Field(
        min_length=1,
        max_length=4,
        description="Attributes the scenario declares, e.g. age_group; several make a product.",
        examples=[["age_group"]],
    )

    @model_validator(mode="after")
    def _distinct(self) -> AttributeGroups:
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError("attributes must differ from each other")
        return self


class ThresholdGroups(FrozenModel):
    """Group by one feature of the state, cut at edges: label i holds edges[i-1] <= x < edges[i].

    With ``when="reset"`` the group is fixed at the first observation of an episode (episode
    groups). With ``when="step"`` every state is labelled anew (state groups), a heuristic: the
    resulting update is the gradient of no group's return, since visiting is not accounted for.
    """

    kind: Literal["threshold"] = "threshold"
    feature: int = Field(ge=0, lt=4096, description="Index of the feature in the observation.")
    edges: tuple[float, ...] = Field(
        min_length=1, max_length=MAX_GROUPS - 1, description="Strictly increasing cut points."
    )
    labels: tuple[Label, ...] = Field(
        min_length=2, max_length=MAX_GROUPS, description="One label more than there are edges."
    )
    when: Literal["reset", "step"] = "reset"

    @model_validator(mode="after")
    def _consistent(self) -> ThresholdGroups:
        if any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must be strictly increasing")
        if len(self.labels) != len(self.edges) + 1:
            raise ValueError(
                f"labels must be one more than edges: {len(self.edges) + 1}, not {len(self.labels)}"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from each other")
        return self


GroupSpec = Annotated[AttributeGroups | ThresholdGroups, Field(discriminator="kind")]
