"""Names of what a hospital shows to a critic alone; needs no compiler."""

from __future__ import annotations

from grpo.environments.hospital.compiling.compiled import CompiledScenario

SOON_HOURS = (1.0, 4.0, 12.0)
"""Spans in which units come free, of which the critic is told."""


def name_privileged(compiled: CompiledScenario) -> tuple[str, ...]:
    """Return the names [X] of the privileged features, in their order.

    By class log1p(patients in care), by class log1p(hours that all its waiting patients have
    waited together); by span and pool, units that stays and cleaning under way give back within
    it, as a share of the scenario's units. Who boards afterwards keeps his units longer than that
    says. Classes are those that the policy tells apart, so protected attributes are told only
    where it sees them too.
    """
    return (
        *(f"{label}.log1p_in_care" for label in compiled.class_labels),
        *(f"{label}.log1p_waited_hours" for label in compiled.class_labels),
        *(f"{pool}.freed_in_{hours:g}h" for hours in SOON_HOURS for pool in compiled.pool_names),
    )
