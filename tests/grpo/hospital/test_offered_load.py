"""Expected loads against closed forms: Little's law, M_t/G/inf, and numerical integration."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from grpo.environments.hospital.model.scenario_model import (
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    LognormalOfLogs,
    Weibull,
)
from grpo.environments.hospital.review.law_integrals import gamma_share, mean_of, mean_within
from grpo.environments.hospital.review.offered_load import offered_load
from grpo.environments.hospital.scenario import Scenario, load_scenario
from service.api.example_scenario import SCENARIO
from tests.grpo.hospital.documents import fact

LAWS: list[Law] = [
    Exponential(mean_hours=2.0),
    Constant(hours=3.0),
    Lognormal(mean_hours=2.0, cv=1.3),
    LognormalOfLogs(mu=0.3, sigma=0.8),
    Gamma(mean_hours=5.0, cv=0.5),
    Gamma(mean_hours=5.0, cv=1.8),
    Weibull(mean_hours=2.0, cv=0.6),
    Weibull(mean_hours=2.0, cv=1.7),
    Empirical(quantile_hours=(0.0, 1.0, 1.5, 1.5, 4.0)),
]
HOURS = np.array([0.1, 0.7, 1.5, 3.0, 8.0, 30.0])


def survival(law: Law, x: float) -> float:  # noqa: PLR0911 - one return for each law
    """The chance that a time is longer than x, by scipy or by hand."""
    match law:
        case Exponential():
            return math.exp(-x / law.mean_hours)
        case Constant():
            return float(x < law.hours)
        case Lognormal():
            s = math.sqrt(math.log1p(law.cv**2))
            return float(stats.lognorm.sf(x, s, scale=law.mean_hours * math.exp(-(s**2) / 2)))
        case LognormalOfLogs():
            return float(stats.lognorm.sf(x, law.sigma, scale=math.exp(law.mu)))
        case Gamma():
            shape = 1 / law.cv**2
            return float(stats.gamma.sf(x, shape, scale=law.mean_hours / shape))
        case Weibull():
            shape = _weibull_shape(law.cv)
            scale = law.mean_hours / math.gamma(1 + 1 / shape)
            return float(stats.weibull_min.sf(x, shape, scale=scale))
        case Empirical():
            pieces = list(pairwise(law.quantile_hours))
            chances = [(b - x) / (b - a) if b > a else float(b > x) for a, b in pieces]
            return float(np.clip(chances, 0, 1).mean())


def _weibull_shape(cv: float) -> float:
    def miss(k: float) -> float:
        return math.gamma(1 + 2 / k) / math.gamma(1 + 1 / k) ** 2 - 1 - cv**2

    return float(optimize.brentq(miss, 0.2, 20))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.kind}-{getattr(law, 'cv', '')}")
def test_the_mean_within_a_horizon_is_the_integral_of_the_survival(law: Law) -> None:
    found = mean_within(law, HOURS)
    for x, value in zip(HOURS, found, strict=True):
        cut = [point for point in (0.01, 0.1, 1.0, 1.5, 3.0, 4.0) if point < x]
        exact = integrate.quad(lambda u: survival(law, u), 0, x, points=cut, limit=400)[0]
        assert value == pytest.approx(exact, rel=2e-5)
    assert mean_within(law, np.array([-2.0, 0.0])).tolist() == [-2.0, 0.0]
    assert mean_within(law, np.array([1e9]))[0] == pytest.approx(mean_of(law), rel=1e-6)
    assert mean_within(law, 3 * HOURS, 3.0) == pytest.approx(3 * found)


@pytest.mark.parametrize("shape", [0.05, 0.7, 1.0, 3.5, 40.0, 1e4])
def test_the_incomplete_gamma_function_agrees_with_scipy(shape: float) -> None:
    x = np.concatenate([[0.0, 1e-9], shape * np.array([0.3, 0.9, 1.0, 1.1, 3.0]), [1e5]])
    assert gamma_share(shape, x) == pytest.approx(special.gammainc(shape, x), abs=1e-11)


def scenario_of(**changes: Any) -> Scenario:
    """One pool, one acuity, everybody alike."""
    acuity = {
        "level": 1,
        "cost_per_hour": fact(1.0),
        "needs": fact({"room": 2}),
        "treatment": fact({"kind": "exponential", "mean_hours": 3.0}),
    }
    plain = {
        "name": "one_pool",
        "title": "One pool",
        "description": "For a test.",
        "pools": [{"name": "room", "capacity": fact(10)}],
        "waiting_room": fact(10),
        "arrivals": {"visits_per_day": fact(48.0), "hourly_share": fact([1 / 24] * 24)},
        "attributes": [{"name": "group", "values": ["all"], "share": fact([1.0])}],
        "mix_by": "group",
        "acuity_share": fact({"all": [1.0]}),
        "acuities": [acuity],
        "costs": SCENARIO["costs"],
        "review_minutes": fact(15.0),
    }
    return Scenario.parse(plain | changes)


def test_an_even_stream_gives_littles_law_in_every_hour() -> None:
    """2 an hour for 3 hours are 6 patients, who take 12 units."""
    load = offered_load(scenario_of())
    assert load.pools[0].offered == pytest.approx(np.full(168, 12.0))
    assert load.pools[0].load == pytest.approx(1.2)
    assert load.pools[0].mean_staffed == 10.0
    (stage,) = load.stages
    assert stage.stage == "ed"
    assert stage.patients_per_day == pytest.approx(48.0)
    assert stage.mean_stay_hours == pytest.approx(3.0)


def test_a_daily_cycle_of_exponential_stays_follows_its_differential_equation() -> None:
    """m' = rate(t) - m / 3, with the rate constant within hours, solved by small steps."""
    share = np.array([1, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 7, 7, 6, 6, 6, 5, 5, 4, 3, 2, 2, 1.0])
    share /= share.sum()
    arrivals = {"visits_per_day": fact(48.0), "hourly_share": fact(share.tolist())}
    found = offered_load(scenario_of(arrivals=arrivals)).pools[0].offered
    steps, m, means = 600, 6.0, np.zeros(24)
    for day in range(4):
        for hour in range(24):
            total = 0.0
            for _ in range(steps):
                m += (48 * share[hour] - m / 3) / steps
                total += m
            if day == 3:
                means[hour] = total / steps
    # Half hours within which patients come and go evenly: within half a percent.
    assert found[:24] == pytest.approx(2 * means, rel=5e-3)
    assert found[24:48] == pytest.approx(found[:24])


def test_weekdays_move_the_load_and_keep_its_mean() -> None:
    factors = [1.4, 1, 1, 1, 1, 0.8, 0.8]  # normalised: their mean is 1
    arrivals = {
        "visits_per_day": fact(48.0),
        "hourly_share": fact([1 / 24] * 24),
        "weekday_factor": fact([2 * f for f in factors]),
    }
    pool = offered_load(scenario_of(arrivals=arrivals)).pools[0]
    assert pool.mean_offered == pytest.approx(12.0)
    # At a Monday's end, eight mean stays after its start, hardly anybody is from Sunday.
    assert pool.offered[23] == pytest.approx(1.4 * 12, rel=1e-3)
    assert pool.offered[167] == pytest.approx(0.8 * 12, rel=1e-3)


def test_routes_lead_on_to_wards_and_cleaning_keeps_beds() -> None:
    """Of 48 a day half go to a ward for 4 days, of those a fifth on to an ICU for 2, all clean 2 h.

    ward 24 / day x 4 days = 96 patients; ICU 4.8 / day x 2 days = 9.6; each release takes 2 h of
    cleaning: 24 / 24 x 2 = 2 beds, and 0.4.
    """
    clean = fact({"kind": "constant", "hours": 2.0})
    pools = [
        {"name": "room", "capacity": fact(10)},
        {"name": "ward_bed", "capacity": fact(120), "turnaround": clean},
        {"name": "icu_bed", "capacity": fact(12), "turnaround": clean},
    ]

    def stage(name: str, pool: str, hours: float) -> dict[str, Any]:
        option = {"name": name, "needs": fact({pool: 1})}
        stay = fact({"kind": "lognormal", "mean_hours": hours, "cv": 1.0})
        return {
            "name": name,
            "options": [option],
            "stay": stay,
            "waiting_cost_per_hour": fact(1.0),
        }

    routes = [
        {"origin": "ed", "destination": "ward", "probability": fact({"all": [0.5]})},
        {"origin": "ward", "destination": "icu", "probability": fact({"all": [0.2]})},
    ]
    stages = [stage("ward", "ward_bed", 96.0), stage("icu", "icu_bed", 48.0)]
    load = offered_load(scenario_of(pools=pools, stages=stages, routes=routes))
    assert [pool.mean_offered for pool in load.pools] == pytest.approx([12.0, 98.0, 10.0])
    assert [s.patients_per_day for s in load.stages] == pytest.approx([48.0, 24.0, 4.8])
    assert [s.mean_stay_hours for s in load.stages] == pytest.approx([3.0, 96.0, 48.0])
    assert [s.occupancy.mean() for s in load.stages] == pytest.approx([6.0, 96.0, 9.6])


def test_plans_of_days_and_of_weeks_are_what_is_staffed() -> None:
    day = [2] * 8 + [10] * 12 + [5] * 4
    for plan in (day, day * 7):
        pools = [{"name": "room", "capacity": fact(10), "plan": fact(plan)}]
        pool = offered_load(scenario_of(pools=pools)).pools[0]
        assert pool.staffed[[0, 8, 23, 24, 167]].tolist() == [2, 10, 5, 2, 5]
        assert pool.mean_staffed == pytest.approx((16 + 120 + 20) / 24)


def test_the_built_in_arrival_profile_has_the_published_trough_peak_and_ratio() -> None:
    """Infinite-server occupancy: least at 6, largest at 19, ratio 2.98 (19,000 to 58,000: 3.05)."""
    shares = load_scenario("rural_hospital").arrivals.hourly_share.model_dump()
    acuity = {
        "level": 1,
        "cost_per_hour": fact(1.0),
        "needs": fact({"room": 1}),
        "treatment": fact({"kind": "lognormal", "mean_hours": 2.94, "cv": 0.87}),
    }
    arrivals = {"visits_per_day": fact(24.0), "hourly_share": shares}
    load = offered_load(scenario_of(arrivals=arrivals, acuities=[acuity]))
    day = load.stages[0].occupancy[:24]
    assert int(day.argmin()) == 6
    assert int(day.argmax()) == 19
    assert day.max() / day.min() == pytest.approx(2.98, abs=0.05)
