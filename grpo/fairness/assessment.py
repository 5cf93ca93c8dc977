"""Judge arms on the same patients, or a policy by its episodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError, SimulationError
from grpo.fairness.assembly import JudgedArm, Sampled, make_report
from grpo.fairness.breakdown import (
    ParityJudge,
    ParityName,
    judge_inequality,
    judge_intersections,
    outcomes_of,
)
from grpo.fairness.by_group import P90, Patients, p90_waits, ratio_metrics, waits_by_group
from grpo.fairness.disparity import permuted_gaps
from grpo.fairness.intervals import EpisodeBootstrap, Estimate, ratio_of_sums
from grpo.fairness.report import ArmName, FairnessReport, MetricName, Provenance
from grpo.fairness.waits import resampled_wait_quantile

Float64 = NDArray[np.float64]

PATIENT_METRICS: tuple[MetricName, ...] = (
    "cost_per_patient",
    "standardised_cost",
    "mean_wait_minutes",
    "p90_wait_minutes",
    "share_within_target",
    "left_unseen",
    "overtaken",
    "queue_jump_rate",
    "mean_boarding_minutes",
    "cost_by_recorded_acuity",
    "under_triaged",
    "deaths_per_thousand",
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
    null, null_of_rates = _null_gaps(arms, provenance)
    judge = ParityJudge(bootstrap, _acuities(provenance, policy), null_of_rates)
    judged = {
        name: _judge_patients(name, patients, judge, provenance.judged_by)
        for name, patients in arms.items()
    }
    return make_report(
        kind="patients",
        group_labels=policy.group_labels,
        judged=judged,
        labels=labels,
        provenance=provenance,
        bootstrap=bootstrap,
        null=null,
        intersections=judge_intersections(arms),
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
        ShapeError: the axes do not fit.
        InputError: a return is not finite (the environment gave a reward that is no number), or
            there are fewer than 2 episodes.
    """
    if membership.shape != (returns.size, len(group_labels)):
        raise ShapeError(f"expected [E] and [E, G], got {returns.shape}, {membership.shape}")
    if not np.isfinite(returns).all():
        episode = int(np.flatnonzero(~np.isfinite(returns))[0])
        raise InputError.single(
            f"/returns/{episode}", "the episode's rewards do not add up to a number",
            given=float(returns[episode]), allowed="finite rewards",
        )  # fmt: skip
    bootstrap = EpisodeBootstrap.draw(returns.size, provenance.evaluation_seed)
    weights = np.concatenate([membership, np.ones((returns.size, 1))], axis=1)
    estimate = ratio_of_sums(weights * returns[:, None], weights)
    samples = bootstrap.means(estimate.per_episode)
    sampled = Sampled.of_resamples(estimate.value, samples, bootstrap)
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


def _acuities(provenance: Provenance, patients: Patients) -> tuple[tuple[int, ...], ...]:
    """Return the acuities of every cell; cells are numbered where nobody has said."""
    if len(provenance.merged_acuities) == patients.mix.size:
        return provenance.merged_acuities
    return tuple((cell + 1,) for cell in range(patients.mix.size))


def _judge_patients(
    name: ArmName, patients: Patients, judge: ParityJudge, judged_by: MetricName
) -> JudgedArm:
    """Measure one arm and resample every metric."""
    bootstrap = judge.bootstrap
    estimates = ratio_metrics(patients)
    metrics = {n: Sampled.of(n, e, bootstrap) for n, e in estimates.items()}
    waits = waits_by_group(patients)
    p90 = [resampled_wait_quantile(group, P90, bootstrap) for group in waits]
    metrics["p90_wait_minutes"] = Sampled.of_resamples(
        p90_waits(waits), np.stack(p90, axis=1), bootstrap
    )
    return JudgedArm(
        counts=patients.sums(np.ones(patients.episode.size)).sum(axis=(0, 2)),
        still_waiting=patients.sums(patients.waiting).sum(axis=(0, 2)).astype(np.int64),
        diverted=patients.sums(patients.diverted).sum(axis=(0, 2)).astype(np.int64),
        metrics={metric: metrics[metric] for metric in PATIENT_METRICS if metric in metrics},
        judged=_groups_of(estimates[judged_by]),
        overall=_everybody_of(estimates["cost_per_patient"]),
        parity=judge.judge(name, patients),
        inequality=judge_inequality(_groups_of(estimates[judged_by]), bootstrap),
    )


def _null_gaps(
    arms: Mapping[ArmName, Patients], provenance: Provenance
) -> tuple[Float64 | None, dict[tuple[ArmName, ParityName], float]]:
    """Shuffle group labels: gaps in the judged cost [M, A], and 95% values of rate differences.

    Costs and outcomes share the shuffles where both are standardised. An outcome that everybody
    has is alike under every label and needs none.
    """
    first = arms["policy"]
    costs = np.stack([patients.cost for patients in arms.values()], axis=1)
    outcomes = {
        (arm, name): selected.astype(np.float64)
        for arm, patients in arms.items()
        for name, selected in outcomes_of(patients).items()
        if not selected.all()
    }
    columns = np.stack([*outcomes.values()], axis=1) if outcomes else np.zeros((len(costs), 0))
    seed = provenance.evaluation_seed
    if provenance.judged_by == "standardised_cost":
        both = _shuffled_gaps(first, np.concatenate([costs, columns], axis=1), first.mix, seed)
        gaps = None if both is None else both[:, : len(arms)]
        rates = None if both is None else both[:, len(arms) :]
    else:
        gaps = _shuffled_gaps(first, costs, np.ones(1), seed)
        rates = _shuffled_gaps(first, columns, first.mix, seed) if outcomes else None
    if rates is None:
        return gaps, {}
    null_95 = np.quantile(rates, 0.95, axis=0) if outcomes else ()
    return gaps, dict(zip(outcomes, map(float, null_95), strict=True))


def _shuffled_gaps(patients: Patients, columns: Float64, mix: Float64, seed: int) -> Float64 | None:
    """Shuffle labels among the groups that have a value; None with fewer than two of them."""
    cell = patients.cell if mix.size > 1 else np.zeros_like(patients.cell)
    groups = len(patients.group_labels)
    counts = np.bincount(patients.group * mix.size + cell, minlength=groups * mix.size)
    known = np.flatnonzero((counts.reshape(groups, -1)[:, mix > 0] > 0).all(axis=1))
    if known.size < 2:
        return None
    chosen = np.isin(patients.group, known)
    return permuted_gaps(
        columns[chosen],
        group=np.searchsorted(known, patients.group[chosen]),
        stratum=patients.episode[chosen] * mix.size + cell[chosen],
        cell=cell[chosen],
        mix=mix,
        num_groups=known.size,
        seed=seed,
    )
