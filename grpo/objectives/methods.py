"""Robust methods by name: the one place that knows all of them and what each reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from grpo.errors import InputError
from grpo.objectives.adaptive_weights import AlphaFair, Floor, GroupDRO
from grpo.objectives.group_weights import (
    WEIGHT_CAP,
    CVaR,
    Gini,
    Mean,
    RobustMethod,
    SoftMin,
    Worst,
)

MethodName = Literal["softmin", "group_dro", "worst", "cvar", "gini", "alpha_fair", "floor", "mean"]
METHOD_NAMES: tuple[MethodName, ...] = get_args(MethodName)
WEIGHTLESS: frozenset[MethodName] = frozenset({"mean", "alpha_fair", "floor"})
"""Methods that take no w."""


@dataclass(frozen=True)
class MethodParameters:
    """What methods read besides w; each reads its own.

    Attributes:
        temperature: τ of ``softmin``, in units of the scale, at the start.
        final_temperature: the same at the end; None keeps it.
        cvar_alpha: mass of the worst groups that ``cvar`` looks at, in (0, 1].
        dual_step: η of ``group_dro`` and ``floor``.
        fairness_alpha: alpha of ``alpha_fair``, >= 0.
        fairness_floor: the utility that counts as nothing under ``alpha_fair``.
    """

    temperature: float = 0.02
    final_temperature: float | None = None
    cvar_alpha: float = 0.5
    dual_step: float = 0.05
    fairness_alpha: float = 1.0
    fairness_floor: float = 0.0


def make_method(
    name: str,
    weight: float = 0.0,
    parameters: MethodParameters | None = None,
    *,
    cap: float = WEIGHT_CAP,
) -> RobustMethod:
    """Build the method that turns the groups' utilities into weights, by name, with w capped.

    Args:
        name: one of ``METHOD_NAMES``.
        weight: w in [0, 1]; methods without a w take none but 0.
        parameters: what else methods read.
        cap: largest w that is used; 1 lifts it, for problems whose optimum at w = 1 is known.

    Raises:
        InputError: an unknown name, a weight outside [0, 1] or one that the method cannot take.

    Source: see the classes.
    """
    pointer = "/algorithm/group_robustness_weight"
    if not 0 <= weight <= 1:
        raise InputError.single(pointer, "outside its range", given=weight, allowed="[0, 1]")
    if name in WEIGHTLESS and weight != 0:
        raise InputError.single(
            pointer, f"method {name!r} takes none", given=weight, allowed="0, or none at all"
        )
    given, used = parameters or MethodParameters(), min(weight, cap)
    methods: dict[str, RobustMethod] = {
        "softmin": SoftMin(used, given.temperature, given.final_temperature),
        "group_dro": GroupDRO(used, given.dual_step),
        "worst": Worst(used),
        "cvar": CVaR(used, given.cvar_alpha),
        "gini": Gini(used),
        "alpha_fair": AlphaFair(given.fairness_alpha, given.fairness_floor),
        "floor": Floor(given.dual_step),
        "mean": Mean(),
    }
    if name not in methods:
        raise InputError.single(
            "/algorithm/method", "unknown method", given=name, allowed=", ".join(METHOD_NAMES)
        )
    return methods[name]
