"""Several trainings of two arms: what is claimed, and what holds a claim back."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.errors import InputError
from grpo.fairness.assessment import assess_episodes, assess_patients
from grpo.fairness.report import EpisodeValues, FairnessReport
from grpo.fairness.seed_report import FailedRun, SeedComparison
from grpo.fairness.seed_statements import claim_table
from grpo.fairness.seeds import compare_seeds
from tests.grpo.fairness.records import LABELS, draw_patients, make_provenance

EPISODES = 100
Levels = tuple[float, float, float]  # costs of the three groups


@pytest.fixture(scope="module")
def template() -> FairnessReport:
    arms = {
        "policy": draw_patients(5, episodes=EPISODES, effect=1.0),
        "fcfs": draw_patients(6, episodes=EPISODES),
    }
    return assess_patients(arms, LABELS, make_provenance(episodes=EPISODES))  # type: ignore[arg-type]


def train(
    template: FairnessReport, levels: Levels, seeds: int, *, weight: float, luck: int = 0
) -> list[FairnessReport]:
    """Fill in what trainings would have left: levels, noise by seed, and episodes they share."""
    shared = np.random.default_rng(1).normal(0, 0.3, EPISODES)
    reports = []
    for seed in range(1, seeds + 1):
        own = np.random.default_rng([seed, luck]).normal(0, 0.05, 3)
        groups = [level + shift + shared for level, shift in zip(levels, own, strict=True)]
        facts = template.provenance.model_copy(
            update={"training_seed": seed, "group_robustness_weight": weight}
        )
        values = EpisodeValues(
            everybody=tuple(np.mean(groups, axis=0).tolist()),
            groups=tuple(tuple(group.tolist()) for group in groups),
        )
        changes = {"provenance": facts, "policy_episodes": values}
        reports.append(template.model_copy(update=changes))
    return reports


def compare(
    template: FairnessReport, robust: Levels, plain: Levels, seeds: int = 10, **more: object
) -> SeedComparison:
    return compare_seeds(
        train(template, robust, seeds, weight=0.5, luck=1),
        train(template, plain, seeds, weight=0.0),
        label="w = 0.5",
        against_label="w = 0",
        resamples=2_000,
        **more,  # type: ignore[arg-type]
    )


def test_a_worst_group_that_gained_in_every_training_is_an_improvement_with_its_price(
    template: FairnessReport,
) -> None:
    found = compare(template, (2.2, 2.2, 2.5), (2.0, 2.0, 3.0))
    assert found.improved
    worst = found.claim("worst group")
    assert worst is not None
    # All ten differences are negative: 2 of 1,024 sign patterns; Holm over six claims, and others
    # are as small, so at most six times that.
    assert worst.p_value == 2 / 1024
    assert worst.p_adjusted <= 6 * 2 / 1024
    assert worst.difference.value == pytest.approx(-0.5, abs=0.1)
    assert (worst.cliffs_delta, worst.probability_of_improvement) == (-1, 1)
    assert "The worst group gained" in found.statements[0]
    price = next(s for s in found.statements if s.startswith("The price is paid by"))
    assert "g0" in price
    assert "g1" in price
    assert "g2" not in price


def test_the_numbers_are_those_of_the_trainings(template: FairnessReport) -> None:
    robust = train(template, (2.2, 2.2, 2.5), 10, weight=0.5, luck=1)
    plain = train(template, (2.0, 2.0, 3.0), 10, weight=0.0)
    found = compare_seeds(robust, list(reversed(plain)), resamples=2_000)
    tables = [
        np.array([report.policy_episodes.groups for report in arm])  # type: ignore[union-attr]
        for arm in (robust, plain)
    ]
    means = [table.mean(axis=2) for table in tables]  # [S, G]
    for subject, first, second in (
        ("g0", means[0][:, 0], means[1][:, 0]),
        ("worst group", means[0].max(axis=1), means[1].max(axis=1)),
        ("gap", np.ptp(means[0], axis=1), np.ptp(means[1], axis=1)),
    ):
        claim = found.claim(subject)
        assert claim is not None
        assert claim.first == pytest.approx(first.mean())
        assert claim.second == pytest.approx(second.mean())
        assert claim.difference.value == pytest.approx((first - second).mean())
        assert claim.relative.value in (None, pytest.approx(first.mean() / second.mean() - 1))
        # Eight of ten seeds remain of which the middle six count: two cut at each end.
        assert claim.first_iqm == pytest.approx(np.sort(first)[2:8].mean())
    everybody = found.claim("everybody")
    assert everybody is not None
    assert found.efficiency_kept is not None
    assert found.efficiency_kept.value == pytest.approx(everybody.second / everybody.first)


def test_episodes_that_all_trainings_share_cancel_in_the_differences(
    template: FairnessReport,
) -> None:
    found = compare(template, (2.0, 2.0, 3.0), (2.0, 2.0, 3.0))
    claim = found.claim("g0")
    assert claim is not None
    assert claim.difference.low is not None
    assert claim.difference.high is not None
    # Seeds' noise .05 sqrt(2) / sqrt(10) = .022 alone remains, times 2 x 2.26 = .10; the episodes'
    # .3 / sqrt(100) = .03 would make it .24.
    assert claim.difference.high - claim.difference.low < 0.16


def test_equal_arms_are_not_distinguishable(template: FairnessReport) -> None:
    found = compare(template, (2.0, 2.0, 3.0), (2.0, 2.0, 3.0))
    assert not found.improved
    assert {claim.verdict for claim in found.claims} == {"not distinguishable"}
    assert "No improvement is claimed" in found.statements[0]


def test_levelling_down_is_no_improvement(template: FairnessReport) -> None:
    # Both other groups are brought down to the worst one, who gains nothing.
    found = compare(template, (3.0, 3.0, 3.0), (2.0, 2.0, 3.0))
    gap = found.claim("gap")
    assert gap is not None
    assert gap.verdict == "lower"
    assert not found.improved
    said = " ".join(found.statements)
    assert "levelling down is no improvement" in said
    assert "gained" not in said


def test_where_the_other_trainings_show_no_gap_beyond_chance_none_is_closed(
    template: FairnessReport,
) -> None:
    alike = template.policy.model_copy(
        update={"gap": template.policy.gap.model_copy(update={"beyond_null": False})}
    )
    plain = template.model_copy(update={"arms": (alike, *template.arms[1:])})
    found = compare(plain, (2.2, 2.2, 2.5), (2.0, 2.0, 3.0))
    said = " ".join(found.statements)
    assert "0 of 10 trainings of w = 0 show a gap beyond chance: no disparity to close" in said
    assert "narrower" not in said


def test_two_equal_ways_of_training_rarely_get_any_claim(template: FairnessReport) -> None:
    """Family-wise error of 60 A/A comparisons: Holm at 5%, three binomial errors add .084."""
    claimed = 0
    for experiment in range(60):
        arms = [
            train(template, (2.0, 2.0, 3.0), 10, weight=weight, luck=2 * experiment + place)
            for place, weight in enumerate((0.5, 0.0))
        ]
        found = compare_seeds(*arms, resamples=100)
        claimed += any(claim.verdict in {"lower", "higher"} for claim in found.claims)
    assert claimed / 60 <= 0.05 + 0.084


def test_five_seeds_claim_nothing_however_large_the_difference(template: FairnessReport) -> None:
    found = compare(template, (2.0, 2.0, 2.0), (2.0, 2.0, 9.0), seeds=5)
    assert not found.improved
    assert {claim.verdict for claim in found.claims} == {"too few seeds"}
    assert any(
        "5 seeds: the smallest p-value they can reach is 0.0625" in s for s in found.statements
    )


def test_a_failed_training_is_named_and_holds_the_claim_back(template: FairnessReport) -> None:
    failed = [FailedRun(arm="w = 0.5", seed=11, reason="diverged at iteration 3")]
    found = compare(template, (2.2, 2.2, 2.5), (2.0, 2.0, 3.0), failed=failed)
    assert not found.improved
    said = " ".join(found.statements)
    assert "Failed: w = 0.5, seed 11: diverged at iteration 3" in said
    assert "1 of the trainings failed" in said


def test_a_loss_against_the_rule_is_shown_to_be_small_or_not(template: FairnessReport) -> None:
    fcfs = template.rule_episodes["fcfs"]
    costs = [float(np.mean(np.array(group, np.float64))) for group in fcfs.groups]
    found = compare(template, (costs[0] * 0.5, costs[1] * 1.5, costs[2] * 0.5), (2.0, 2.0, 3.0))
    held = {(h.subject, h.against): h.shown for h in found.non_inferiority}
    assert held["g0", "FCFS"]
    assert held["g2", "FCFS"]
    assert not held["g1", "FCFS"]
    loss = next(h.loss.value for h in found.non_inferiority if h.subject == "g1")
    assert loss == pytest.approx(0.5, abs=0.1)


def test_fewer_than_a_hundred_episodes_claim_nothing() -> None:
    short = assess_episodes(
        np.ones(3), np.eye(3), ("a", "b", "c"), make_provenance(judged_by="mean_return", episodes=3)
    )
    levels = {
        weight: [
            short.model_copy(
                update={
                    "provenance": short.provenance.model_copy(
                        update={"training_seed": seed, "group_robustness_weight": weight}
                    ),
                    "policy_episodes": EpisodeValues(
                        everybody=(1.0, 1.0, 1.0),
                        groups=((1.0 + weight,) * 3,) * 2 + ((None,) * 3,),
                    ),
                }
            )
            for seed in range(10)
        ]
        for weight in (0.0, 0.5)
    }
    found = compare_seeds(levels[0.5], levels[0.0], resamples=200)
    worst = found.claim("worst group")
    assert worst is not None
    assert worst.verdict == "too few episodes"
    # Returns are better when higher: all first arms exceed all second ones.
    assert worst.probability_of_improvement == 1
    assert found.unjudged == ("c",)
    assert found.efficiency_kept is None
    assert any("No value, in no claim: c" in s for s in found.statements)


def test_the_table_lines_up_and_the_value_survives_json(template: FairnessReport) -> None:
    found = compare(template, (2.2, 2.2, 2.5), (2.0, 2.0, 3.0))
    lines = claim_table(found)
    assert len(lines) == 2 + len(found.claims)
    end = lines[1].index("P(better)") + len("P(better)")
    for line, claim in zip(lines[2:], found.claims, strict=True):
        assert line.startswith(claim.subject)
        assert line[:end].endswith(f"{claim.probability_of_improvement:.2f}")
        assert line[end:].strip() == claim.verdict
    assert SeedComparison.model_validate_json(found.model_dump_json()) == found


def test_what_does_not_pair_is_refused(template: FairnessReport) -> None:
    first = train(template, (2.0, 2.0, 2.0), 3, weight=0.5)
    second = train(template, (2.0, 2.0, 2.0), 3, weight=0.0)
    with pytest.raises(InputError, match="/against: training seeds occur in one arm only"):
        compare_seeds(first, second[:2])
    with pytest.raises(InputError, match="/reports: a training seed occurs twice"):
        compare_seeds([*first, first[0]], second)
    with pytest.raises(InputError, match="differs within the arm"):
        compare_seeds([*first[:2], second[2]], second)
    with pytest.raises(InputError, match="2 to 20 seeds"):
        compare_seeds(first[:1], second[:1])
    moved = second[0].provenance.model_copy(update={"evaluation_seed": 8})
    with pytest.raises(InputError, match="/provenance/evaluation_seed: differs"):
        compare_seeds(first, [second[0].model_copy(update={"provenance": moved}), *second[1:]])
    named = [r.model_copy(update={"groups": ("gap", "g1", "g2")}) for r in (*first, *second)]
    with pytest.raises(InputError, match="/groups: a group is called like a claim"):
        compare_seeds(named[:3], named[3:])
    with pytest.raises(InputError, match="1 to 20"):
        compare_seeds(
            train(template, (2.0, 2.0, 2.0), 21, weight=0.5),
            train(template, (2.0, 2.0, 2.0), 21, weight=0.0),
            resamples=100,
        )
