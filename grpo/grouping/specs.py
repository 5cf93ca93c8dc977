"""Declarative group specs: JSON that says who belongs to which group. No code, no ``eval``."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from grpo.schema import FrozenModel

MAX_GROUPS = 64
MAX_ATTRIBUTES = 4
MAX_DEPTH = 3

Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w .:<>=+-]+$")]


def _check_edges(edges: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse edges out of order."""
    if any(b <= a for a, b in pairwise(edges)):
        raise ValueError("edges must be strictly increasing")
    return edges


def _check_labels(labels: tuple[str, ...], edges: tuple[float, ...] | None) -> tuple[str, ...]:
    """Refuse labels that are not one more than the edges (None: wrong themselves) or repeated."""
    if edges is not None and len(labels) != len(edges) + 1:
        raise ValueError(f"labels must be one more than edges: {len(edges) + 1}, not {len(labels)}")
    if len(set(labels)) != len(labels):
        raise ValueError("labels must differ from each other")
    return labels


class AttributeGroups(FrozenModel):
    """Group patients by one declared attribute, or by the product of several.

    These are reward groups: one decision touches several groups, and the environment reports
    what each of them gained.
    """

    kind: Literal["attribute"] = "attribute"
    attributes: tuple[Label, ...] = Field(
        min_length=1,
        max_length=MAX_ATTRIBUTES,
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
    edges: Annotated[tuple[float, ...], AfterValidator(_check_edges)] = Field(
        min_length=1, max_length=MAX_GROUPS - 1, description="Strictly increasing cut points."
    )
    labels: tuple[Label, ...] = Field(
        min_length=2, max_length=MAX_GROUPS, description="One label more than there are edges."
    )
    when: Literal["reset", "step"] = "reset"

    @field_validator("labels")
    @classmethod
    def _fit(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _check_labels(labels, info.data.get("edges"))


class NormGroups(FrozenModel):
    """Group by the Euclidean length of the state, cut at edges as for thresholds.

    Features count in the environment's own units. ``when`` means what it means for thresholds.
    """

    kind: Literal["norm"] = "norm"
    edges: Annotated[tuple[Annotated[float, Field(gt=0)], ...], AfterValidator(_check_edges)] = (
        Field(
            min_length=1, max_length=MAX_GROUPS - 1, description="Strictly increasing lengths > 0."
        )
    )
    labels: tuple[Label, ...] = Field(
        min_length=2, max_length=MAX_GROUPS, description="One label more than there are edges."
    )
    when: Literal["reset", "step"] = "reset"

    @field_validator("labels")
    @classmethod
    def _fit(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _check_labels(labels, info.data.get("edges"))


class Variant(FrozenModel):
    """One variant of an environment: a label, and what is changed by named arguments."""

    label: Label
    options: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")], float] = (
        Field(
            default_factory=dict,
            max_length=16,
            description="Arguments that GET /environments lists; others keep their defaults.",
        )
    )


class VariantGroups(FrozenModel):
    """Group episodes by the variant of the environment that they are played in.

    Copy i of the environment, and judged episode i, is of variant i modulo the number of variants.
    """

    kind: Literal["variant"] = "variant"
    variants: tuple[Variant, ...] = Field(
        min_length=2,
        max_length=MAX_GROUPS,
        examples=[
            [
                {"label": "short pole", "options": {"length": 0.25}},
                {"label": "long pole", "options": {"length": 1.0}},
            ]
        ],
    )

    @model_validator(mode="after")
    def _distinct(self) -> VariantGroups:
        if len({variant.label for variant in self.variants}) != len(self.variants):
            raise ValueError("labels of variants must differ from each other")
        return self


class ProductGroups(FrozenModel):
    """Group by every combination of the groups of two or three specs; labels are joined by ``+``.

    Attributes combine with attributes. Thresholds, norms and variants combine with each other,
    where thresholds and norms agree on ``when``. Products may hold products, three deep at most.
    """

    kind: Literal["product"] = "product"
    of: tuple[GroupSpec, ...] = Field(min_length=2, max_length=3)

    @model_validator(mode="after")
    def _consistent(self) -> ProductGroups:
        if (depth := _depth(self)) > MAX_DEPTH:
            raise ValueError(f"products are nested {depth} deep, more than {MAX_DEPTH}")
        leaves = list_leaves(self)
        attributes = [leaf for leaf in leaves if isinstance(leaf, AttributeGroups)]
        if attributes:
            if len(attributes) != len(leaves):
                kinds = sorted({leaf.kind for leaf in leaves} - {"attribute"})
                raise ValueError(f"attribute does not combine with {', '.join(kinds)}")
            names = [name for leaf in attributes for name in leaf.attributes]
            if len(set(names)) != len(names):
                raise ValueError("attributes of a product must differ from each other")
            if len(names) > MAX_ATTRIBUTES:
                raise ValueError(f"a product combines {len(names)} attributes, more than 4")
        else:
            self._check_episode_groups(leaves)
        return self

    def _check_episode_groups(self, leaves: list[LeafGroups]) -> None:
        cuts = [leaf for leaf in leaves if isinstance(leaf, ThresholdGroups | NormGroups)]
        if len({leaf.when for leaf in cuts}) > 1:
            raise ValueError("members of a product must agree on when: reset or step")
        options = [
            set().union(*(variant.options for variant in leaf.variants))
            for leaf in leaves
            if isinstance(leaf, VariantGroups)
        ]
        if len(set().union(*options)) != sum(map(len, options)):
            raise ValueError("two members of a product vary the same option")
        labels = [labels_of(leaf) for leaf in leaves]
        if (groups := math.prod(map(len, labels))) > MAX_GROUPS:
            raise ValueError(f"the product has {groups} groups, more than {MAX_GROUPS}")
        if len(set(map("+".join, product(*labels)))) != groups:
            raise ValueError("labels joined by + must differ from each other")


LeafGroups = AttributeGroups | ThresholdGroups | NormGroups | VariantGroups
GroupSpec = Annotated[
    AttributeGroups | ThresholdGroups | NormGroups | VariantGroups | ProductGroups,
    Field(discriminator="kind"),
]
ProductGroups.model_rebuild()


def locate_leaves(spec: GroupSpec, pointer: str = "/grouping") -> list[tuple[str, LeafGroups]]:
    """Return the specs that a spec is made of, in order, each after its JSON pointer."""
    if not isinstance(spec, ProductGroups):
        return [(pointer, spec)]
    members = enumerate(spec.of)
    return [leaf for n, member in members for leaf in locate_leaves(member, f"{pointer}/of/{n}")]


def list_leaves(spec: GroupSpec) -> list[LeafGroups]:
    """Return the specs that a spec is made of, in order; itself where it is no product."""
    return [leaf for _, leaf in locate_leaves(spec)]


def merge_attributes(spec: GroupSpec) -> AttributeGroups | None:
    """Return one spec of all attributes, in order; None where groups are not of patients."""
    names: list[str] = []
    for leaf in list_leaves(spec):
        if not isinstance(leaf, AttributeGroups):
            return None
        names += leaf.attributes
    return AttributeGroups(attributes=tuple(names))


def list_variants(spec: GroupSpec) -> tuple[dict[str, float], ...]:
    """Return what each variant changes, every combination of several; ``({},)`` without any."""
    groups = [leaf.variants for leaf in list_leaves(spec) if isinstance(leaf, VariantGroups)]
    return tuple(
        {name: value for variant in combination for name, value in variant.options.items()}
        for combination in product(*groups)
    )


def find_when(spec: GroupSpec) -> Literal["reset", "step"]:
    """Return whether labels belong to the episode or to the state."""
    cuts = [leaf for leaf in list_leaves(spec) if isinstance(leaf, ThresholdGroups | NormGroups)]
    return "step" if any(leaf.when == "step" for leaf in cuts) else "reset"


def labels_of(leaf: LeafGroups) -> tuple[str, ...]:
    """Return the labels of episode or state groups; attributes get theirs from the scenario."""
    if isinstance(leaf, VariantGroups):
        return tuple(variant.label for variant in leaf.variants)
    return () if isinstance(leaf, AttributeGroups) else leaf.labels


def _depth(spec: GroupSpec) -> int:
    return 1 + max(map(_depth, spec.of)) if isinstance(spec, ProductGroups) else 0
