"""Variants of allowed Gymnasium environments, made by named arguments."""

from __future__ import annotations

from functools import partial

from grpo.environments.catalogue import find_gymnasium
from grpo.environments.gymnasium_batches import AnyEnv
from grpo.environments.gymnasium_vector import EnvironmentMaker, environment_maker
from grpo.grouping.specs import GroupSpec, list_variants


def make_variant(environment_id: str, options: dict[str, float]) -> AnyEnv:
    """Make an environment with some of its constants changed.

    Args:
        environment_id: on the allow-list.
        options: by name as in the catalogue, within the ranges there.

    Raises:
        InputError: at /environment/id, for an id that is not on the list.
    """
    attributes = {o.name: o.attribute for o in find_gymnasium(environment_id).options}
    environment = environment_maker(environment_id)()
    inner = environment.unwrapped
    for name, value in options.items():
        setattr(inner, attributes[name], value)
    if environment_id == "CartPole-v1":
        # What CartPole derives from its constants when it is made.
        inner.total_mass = inner.masspole + inner.masscart  # type: ignore[attr-defined]
        inner.polemass_length = inner.masspole * inner.length  # type: ignore[attr-defined]
    return environment


def make_makers(environment_id: str, spec: GroupSpec) -> tuple[EnvironmentMaker, ...]:
    """Return what makes each variant that a spec names, in the order of its groups; at least one.

    Args:
        environment_id: on the allow-list where the spec has variants, else registered.
        spec: the grouping of a job.
    """
    variants = list_variants(spec)
    if len(variants) == 1:
        return (environment_maker(environment_id),)
    return tuple(partial(make_variant, environment_id, options) for options in variants)
