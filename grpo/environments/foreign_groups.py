"""Check group specs against a Gymnasium environment: features, variants, groups nobody can be in.

Static: nothing here imports an environment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from grpo.config import TrainConfig
from grpo.environments.catalogue import RANGES, Bounds, EnvironmentDescription
from grpo.errors import InputError
from grpo.grouping.specs import (
    AttributeGroups,
    GroupSpec,
    NormGroups,
    ProductGroups,
    ThresholdGroups,
    VariantGroups,
    find_when,
    list_leaves,
    list_variants,
    locate_leaves,
)

LEAST_EPISODES_PER_VARIANT = 2


def check_foreign_groups(config: TrainConfig, described: EnvironmentDescription) -> None:
    """Check the group spec of a job in a Gymnasium environment.

    Raises:
        InputError: for attributes, a feature that does not exist, an option that is not on the
            list or out of its range, two variants alike, fewer copies or judged episodes than
            variants need, or a group that no state can belong to. Each names its field.
    """
    spec = config.grouping
    for pointer, leaf in locate_leaves(spec):
        if isinstance(leaf, AttributeGroups):
            raise InputError.single(
                f"{pointer}/kind",
                "does not fit an environment of kind 'gymnasium'",
                given=leaf.kind,
                allowed=", ".join(described.groupings),
            )
        if isinstance(leaf, ThresholdGroups) and leaf.feature >= described.observation_size:
            raise InputError.single(
                f"{pointer}/feature",
                f"{described.id} has {described.observation_size} features",
                given=leaf.feature,
                allowed=f"0 to {described.observation_size - 1}",
            )
        if isinstance(leaf, VariantGroups):
            _check_variants(pointer, leaf, described)
    _check_counts(config)
    ranges = RANGES[described.id]
    bounds = ranges.starts if find_when(spec) == "reset" else ranges.states
    if (impossible := find_impossible(spec, bounds)) is not None:
        raise InputError.single(
            "/grouping/of" if isinstance(spec, ProductGroups) else "/grouping/edges",
            f"no {'first state' if find_when(spec) == 'reset' else 'state'} of {described.id} can "
            f"belong to group {impossible!r}",
        )


def _check_variants(pointer: str, leaf: VariantGroups, described: EnvironmentDescription) -> None:
    """Check every option of every variant, and that no two variants are one environment."""
    options = {option.name: option for option in described.options}
    seen: dict[tuple[float, ...], str] = {}
    for n, variant in enumerate(leaf.variants):
        for name, value in variant.options.items():
            field = f"{pointer}/variants/{n}/options/{name}"
            if name not in options:
                raise InputError.single(
                    field, f"{described.id} has no such option", given=value,
                    allowed=", ".join(options),
                )  # fmt: skip
            low, high = options[name].low, options[name].high
            if not low <= value <= high:
                raise InputError.single(
                    field, "out of range", given=value, allowed=f"{low:g} to {high:g}"
                )
        complete = tuple(variant.options.get(name, o.default) for name, o in options.items())
        if complete in seen:
            raise InputError.single(
                f"{pointer}/variants/{n}/options",
                f"the same environment as variant {seen[complete]!r}",
                given=variant.options,
            )
        seen[complete] = variant.label


def _check_counts(config: TrainConfig) -> None:
    """Demand a copy of the environment and some judged episodes for each variant."""
    variants = len(list_variants(config.grouping))
    judged = LEAST_EPISODES_PER_VARIANT * variants
    if config.algorithm.num_envs < variants:
        raise InputError.single(
            "/algorithm/num_envs",
            f"{variants} variants need a copy of the environment each",
            given=config.algorithm.num_envs,
            allowed=f">= {variants}",
        )
    if variants > 1 and config.evaluation.episodes < judged:
        raise InputError.single(
            "/evaluation/episodes",
            f"{variants} variants need {LEAST_EPISODES_PER_VARIANT} judged episodes each",
            given=config.evaluation.episodes,
            allowed=f">= {judged}",
        )


def find_impossible(spec: GroupSpec, bounds: Bounds) -> str | None:
    """Return the first group that no state within bounds can belong to, None where there is none.

    Args:
        spec: of episode or state groups; variants hold any state.
        bounds: [O] least and largest value of each feature.
    """
    leaves = [leaf for leaf in list_leaves(spec) if isinstance(leaf, ThresholdGroups | NormGroups)]
    for cell in product(*(range(len(leaf.labels)) for leaf in leaves)):
        if not _is_possible(leaves, cell, bounds):
            return "+".join(leaf.labels[n] for leaf, n in zip(leaves, cell, strict=True))
    return None


def _is_possible(
    leaves: Sequence[ThresholdGroups | NormGroups], cell: Sequence[int], bounds: Bounds
) -> bool:
    """Say whether the box of one combination of labels has a state of a fitting length."""
    box = list(bounds)
    shortest, longest = 0.0, math.inf
    for leaf, n in zip(leaves, cell, strict=True):
        low = leaf.edges[n - 1] if n > 0 else -math.inf
        high = leaf.edges[n] if n < len(leaf.edges) else math.inf
        if isinstance(leaf, NormGroups):
            shortest, longest = max(shortest, low), min(longest, high)
        elif _overlaps(low, high, *box[leaf.feature]):
            feature_low, feature_high = box[leaf.feature]
            box[leaf.feature] = (max(low, feature_low), min(high, feature_high))
        else:
            return False
    least = math.hypot(*(max(0.0, low, -high) for low, high in box))
    most = math.hypot(*(max(abs(low), abs(high)) for low, high in box))
    return shortest < longest and _overlaps(shortest, longest, least, most)


def _overlaps(start: float, end: float, low: float, high: float) -> bool:
    """Say whether start <= x < end has more than an endpoint in common with low <= x <= high."""
    return start <= low < end if low == high else max(start, low) < min(end, high)
