"""Compare two ways of training over several seeds: the unit of replication is the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grpo.fairness.compare import episode_table
from grpo.fairness.intervals import RESAMPLES
from grpo.fairness.report import ArmName, FairnessReport, MetricName, Value
from grpo.fairness.seed_report import (
    EVERYBODY,
    GAP,
    LEAST_EPISODES,
    LEAST_SEEDS,
    WORST_GROUP,
    Claim,
    FailedRun,
    NonInferiority,
    SeedComparison,
    SeedVerdict,
)
from grpo.fairness.seed_samples import (
    Sampled,
    make_value,
    pair_reports,
    relative_change,
    sample_arm,
)
from grpo.fairness.seed_statements import describe_seeds
from grpo.fairness.significance import (
    Interval,
    cliffs_delta,
    holm,
    interquartile_mean,
    is_non_inferior,
    probability_of_improvement,
    sign_flip_test,
)
from grpo.fairness.two_way import TwoWayBootstrap

Float64 = NDArray[np.float64]

SIGNIFICANT = 0.05


def compare_seeds(
    reports: Sequence[FairnessReport],
    against: Sequence[FairnessReport],
    *,
    label: str = "the first arm",
    against_label: str = "the second",
    margin: float = 0.05,
    rule: ArmName = "fcfs",
    failed: Sequence[FailedRun] = (),
    resamples: int = RESAMPLES,
) -> SeedComparison:
    """Say what the reports of several trainings support about two ways of training.

    Differences are paired by training seed and episode; intervals resample seeds and, once for all
    seeds and arms, episodes. The worst group is that of each training, taken anew inside each
    resample. The family that Holm adjusts is declared here and does not depend on the numbers:
    everybody, the worst group, the gap and every group.

    Args:
        reports: of the first arm, one per training seed, 2 to 20.
        against: of the second arm, with the same seeds, in any order.
        label: the first arm in words.
        against_label: the second in words.
        margin: the largest tolerable loss, a share: of everybody against the second arm, and of
            any group against the rule. Declare it before looking.
        rule: the rule of today that no group may lose against.
        failed: trainings of either arm that gave no policy.
        resamples: at least 100.

    Raises:
        InputError: the reports do not pair, name each circumstance; or there are too few or too
            many seeds.
    """
    pairs = pair_reports(reports, against)
    first, seeds = pairs.first[0], pairs.seeds
    facts = first.provenance
    rng = np.random.default_rng(np.random.SeedSequence([facts.evaluation_seed, *seeds]))
    bootstrap = TwoWayBootstrap.draw(
        len(seeds), facts.episodes, rng, confidence=facts.confidence, resamples=resamples
    )
    lower_is_better = pairs.lower_is_better
    sampled = (
        sample_arm(pairs.first, pairs, bootstrap),
        sample_arm(pairs.second, pairs, bootstrap),
    )
    claims = _claim_all(sampled, bootstrap, lower_is_better=lower_is_better)
    worst = next((c for c in claims if c.subject == WORST_GROUP), None)
    overall: MetricName = "mean_return" if first.kind == "episodes" else "cost_per_patient"
    found = SeedComparison(
        label=label, against=against_label, seeds=seeds, episodes=facts.episodes,
        evaluation_seed=facts.evaluation_seed, environment=facts.environment,
        confidence=facts.confidence, resamples=resamples, judged_by=facts.judged_by,
        overall=overall, claims=claims,
        unjudged=pairs.groups(known=False),
        efficiency_kept=_efficiency(sampled, bootstrap) if lower_is_better else None,
        non_inferiority=_non_inferiority(
            sampled, first, rule, against_label, margin, bootstrap
        ) if lower_is_better else (),
        rule=rule if rule in first.rule_episodes else None,
        gaps_beyond_chance=_count_gaps(pairs.second),
        failed=tuple(failed),
        improved=not failed
        and worst is not None
        and worst.verdict == ("lower" if lower_is_better else "higher"),
    )  # fmt: skip
    return found.model_copy(update={"statements": describe_seeds(found)})


def _count_gaps(reports: Sequence[FairnessReport]) -> int | None:
    """Count the trainings whose gap is beyond chance; None where no null is known."""
    found = [report.policy.gap.beyond_null for report in reports]
    return None if None in found else sum(map(bool, found))


def _claim_all(
    sampled: tuple[dict[str, Sampled], dict[str, Sampled]],
    bootstrap: TwoWayBootstrap,
    *,
    lower_is_better: bool,
) -> tuple[Claim, ...]:
    """Test every quantity and adjust for their number."""
    ours, theirs = sampled
    p_values = [sign_flip_test(ours[name].by_seed - theirs[name].by_seed) for name in ours]
    adjusted = holm(p_values)
    claims = []
    for name, p_value, p_adjusted in zip(ours, p_values, adjusted, strict=True):
        a, b = ours[name], theirs[name]
        difference = make_value(a.mean - b.mean, a.samples - b.samples, bootstrap)
        better = (b, a) if lower_is_better or name == GAP else (a, b)
        claims.append(
            Claim(
                subject=name, first=a.mean, second=b.mean, difference=difference,
                # A share of a gap near 0 says nothing.
                relative=Value() if name == GAP else relative_change(a, b, bootstrap),
                first_iqm=interquartile_mean(a.by_seed),
                second_iqm=interquartile_mean(b.by_seed),
                p_value=p_value, p_adjusted=float(p_adjusted),
                cliffs_delta=cliffs_delta(a.by_seed, b.by_seed),
                probability_of_improvement=probability_of_improvement(
                    better[0].by_seed, better[1].by_seed
                ),
                verdict=_verdict(difference, float(p_adjusted), bootstrap),
            )
        )  # fmt: skip
    return tuple(claims)


def _verdict(difference: Value, p_adjusted: float, bootstrap: TwoWayBootstrap) -> SeedVerdict:
    """Give a direction only where seeds, episodes, interval and adjusted test all allow it."""
    if (lacking := _lacking(bootstrap)) is not None:
        return lacking
    if difference.low is None or difference.high is None or p_adjusted >= SIGNIFICANT:
        return "not distinguishable"
    if difference.low > 0:
        return "higher"
    return "lower" if difference.high < 0 else "not distinguishable"


def _lacking(bootstrap: TwoWayBootstrap) -> Literal["too few seeds", "too few episodes"] | None:
    """Say what is missing for any claim."""
    if bootstrap.seeds.shape[1] < LEAST_SEEDS:
        return "too few seeds"
    return "too few episodes" if bootstrap.episodes.shape[1] < LEAST_EPISODES else None


def _efficiency(
    sampled: tuple[dict[str, Sampled], dict[str, Sampled]], bootstrap: TwoWayBootstrap
) -> Value:
    """Give the second arm's cost of everybody over the first's."""
    ours, theirs = sampled
    a, b = ours[EVERYBODY], theirs[EVERYBODY]
    if a.mean <= 0 or a.samples.min() <= 0:
        return Value()
    return make_value(b.mean / a.mean, b.samples / a.samples, bootstrap)


def _non_inferiority(
    sampled: tuple[dict[str, Sampled], dict[str, Sampled]],
    report: FairnessReport, rule: ArmName, against: str, margin: float,
    bootstrap: TwoWayBootstrap,
) -> tuple[NonInferiority, ...]:  # fmt: skip
    """Hold everybody against the other arm, and everybody and every group against the rule."""
    ours, theirs = sampled
    pairs = [(EVERYBODY, against, ours[EVERYBODY], theirs[EVERYBODY])]
    if rule in report.rule_episodes:
        label = next(arm.label for arm in report.arms if arm.name == rule)
        values = episode_table(report, rule)
        for column, subject in enumerate((EVERYBODY, *report.groups)):
            if subject not in ours or not np.isfinite(values[:, column]).all():
                continue
            # A rule has no training: it is the same under every seed.
            samples = bootstrap.episodes @ values[:, column]
            mean = np.full(len(bootstrap.seeds[0]), values[:, column].mean())
            pairs.append((subject, label, ours[subject], Sampled(mean, samples)))
    found = []
    for subject, other, a, b in pairs:
        loss = relative_change(a, b, bootstrap)
        known = loss.value is not None and loss.low is not None and loss.high is not None
        interval = Interval(loss.value or 0.0, loss.low or 0.0, loss.high or 0.0)
        found.append(
            NonInferiority(
                subject=subject, against=other, loss=loss, margin=margin,
                shown=known and _lacking(bootstrap) is None and is_non_inferior(interval, margin),
            )
        )  # fmt: skip
    return tuple(found)
