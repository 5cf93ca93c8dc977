"""Judge arms on the same patients, or a policy by its episodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grpo.errors import ShapeError, SimulationError
from grpo.fairness.assembly import JudgedArm, Sampled, make_report
from grpo.fairness.by_group import P90, Patients, p90_waits, ratio_metrics, waits_by_group
from grpo.fairness.disparity import permuted_gaps
from grpo.fairness.intervals import (
    EpisodeBootstrap,
    Estimate,
    ratio_of_sums,
    resampled_quantile,
)
from grpo.fairness.report import ArmName, FairnessReport, MetricName, Provenance

Float64 = NDArray[np.float64]

PATIENT_METRICS: tuple[MetricName, ...] = (
    "cost_per_patient",
    "standardised_cost",
    "mean_wait_minutes",
    "p90_wait_minutes",
    "share_within_target",
    "left_unseen",
)


def assess_patients(
    arms: Mapping[ArmName, Patients], labels: Mapping[ArmName, str], provenance: Provenance
) -> FairnessReport:
    """Judge ways of deciding by what happened to the same patients.

    Args:
        arms: the trained policy first; every arm with the same patients in the same order.
        labels: how to call each arm in words.
        provenance: the circumstances; the numbers of resamples and shuffles are filled in.

    Raises:
        SimulationError: the arms did not face the same patients.
        InputError: fewer than 2 episodes.
    """
    policy = arms["policy"]
    for name, patients in arms.items():
        for column in ("episode", "group", "cell"):
            if not np.array_equal(getattr(patients, column), getattr(policy, column)):
                raise SimulationError(
                    f"arm {name!r} faced other patients than the policy: {column}"
                )
    bootstrap = EpisodeBootstrap.draw(policy.episodes, provenance.evaluation_seed)
    judged = {
        name: _judge_patients(patients, bootstrap, provenance.judged_by)
        for name, patients in arms.items()
    }
    return make_report(
        kind="patients",
        group_labels=policy.group_labels,
        judged=judged,
        labels=labels,
        provenance=provenance,
        bootstrap=bootstrap,
        null=_null_gaps(arms, judged["policy"], provenance),
    )


def assess_episodes(
    returns: Float64, membership: Float64, group_labels: tuple[str, ...], provenance: Provenance
) -> FairnessReport:
    """Judge a policy by its episodes' undiscounted returns.

    A group's value is ``sum_e s_eg R_e / sum_e s_eg`` with s the episode's membership: 1 or 0 where
    an episode belongs to one group, else the share of its states that belong to g (then no null
    is known, since labels of states cannot be shuffled).

    Args:
        returns: [E] finite.
        membership: [E, G] >= 0.
        group_labels: [G] names.
        provenance: the circumstances.

    Raises:
        ShapeError: the axes do not fit, or a return is not finite.
    """
    if membership.shape != (returns.size, len(group_labels)) or not np.isfinite(returns).all():
        raise ShapeError(f"expected finite [E] and [E, G], got {returns.shape}, {membership.shape}")
    bootstrap = EpisodeBootstrap.draw(returns.size, provenance.evaluation_seed)
    weights = np.concatenate([membership, np.ones((returns.size, 1))], axis=1)
    estimate = ratio_of_sums(weights * returns[:, None], weights)
    sampled = Sampled(estimate.value, bootstrap.means(estimate.per_episode))
    nobody = np.zeros(len(group_labels) + 1, np.int64)
    judged = JudgedArm(
        weights.sum(axis=0), nobody, nobody, {"mean_return": sampled},
        _groups_of(estimate), _everybody_of(estimate),
    )  # fmt: skip
    null = None
    known = np.flatnonzero(np.isfinite(judged.judged.value))
    if known.size >= 2 and np.isin(membership, (0.0, 1.0)).all():
        zeros = np.zeros(returns.size, np.int64)
        null = permuted_gaps(
            returns[:, None], group=np.searchsorted(known, membership.argmax(axis=1)),
            stratum=zeros, cell=zeros, mix=np.ones(1), num_groups=known.size,
            seed=provenance.evaluation_seed,
        )  # fmt: skip
    return make_report(
        kind="episodes",
        group_labels=group_labels,
        judged={"policy": judged},
        labels={"policy": "trained policy"},
        provenance=provenance,
        bootstrap=bootstrap,
        null=null,
    )


def _groups_of(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value[:-1], estimate.per_episode[:, :-1])


def _everybody_of(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value[-1:], estimate.per_episode[:, -1:])


def _judge_patients(
    patients: Patients, bootstrap: EpisodeBootstrap, judged_by: MetricName
) -> JudgedArm:
    """Measure one arm and resample every metric."""
    estimates = ratio_metrics(patients)
    metrics = {n: Sampled(e.value, bootstrap.means(e.per_episode)) for n, e in estimates.items()}
    waits = waits_by_group(patients)
    p90 = [resampled_quantile(minutes, episode, P90, bootstrap) for minutes, episode in waits]
    metrics["p90_wait_minutes"] = Sampled(p90_waits(waits), np.stack(p90, axis=1))
    return JudgedArm(
        counts=patients.sums(np.ones(patients.episode.size)).sum(axis=(0, 2)),
        still_waiting=patients.sums(patients.waiting).sum(axis=(0, 2)).astype(np.int64),
        diverted=patients.sums(patients.diverted).sum(axis=(0, 2)).astype(np.int64),
        metrics={name: metrics[name] for name in PATIENT_METRICS},
        judged=_groups_of(estimates[judged_by]),
        overall=_everybody_of(estimates["cost_per_patient"]),
    )


def _null_gaps(
    arms: Mapping[ArmName, Patients], policy: JudgedArm, provenance: Provenance
) -> Float64 | None:
    """Shuffle labels among the groups that have a value; None with fewer than two of them."""
    known = np.flatnonzero(np.isfinite(policy.judged.value))
    if known.size < 2:
        return None
    first = arms["policy"]
    chosen = np.isin(first.group, known)
    by_acuity = provenance.judged_by == "standardised_cost"
    cell = first.cell[chosen] if by_acuity else np.zeros(int(chosen.sum()), np.int64)
    mix = first.mix if by_acuity else np.ones(1)
    return permuted_gaps(
        np.stack([patients.cost[chosen] for patients in arms.values()], axis=1),
        group=np.searchsorted(known, first.group[chosen]),
        stratum=first.episode[chosen] * mix.size + cell,
        cell=cell,
        mix=mix,
        num_groups=known.size,
        seed=provenance.evaluation_seed,
    )
