"""Published figures that a simulated hospital is held against, and the bands that count as hits.

Bands were stated before the comparison: where several publications or a spread between hospitals
exist, they span it; otherwise they are 25% to either side. None of these figures is an input, but
for those whose ``note`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        measure: what ``realism.measure`` calls it.
        label: what it is, with its unit.
        value: as published, in words.
        low, high: the band.
        source: where it was published.
        note: how far the scenario was made to meet it, or why it need not; may be empty.
    """

    measure: str
    label: str
    value: str
    low: float
    high: float
    source: str
    note: str = ""


_INPUT = "fitted: admission is an input"
_CENSUS = (
    Published(
        "census_trough_hour",
        "hour of the fewest patients present",
        "6",
        5,
        7,
        "NHAMCS 2006",
    ),
    Published(
        "census_peak_hour",
        "hour of the most patients present",
        "19",
        17,
        21,
        "NHAMCS 2006",
    ),
    Published(
        "census_ratio",
        "most over fewest patients present",
        "3.05",
        2.3,
        3.8,
        "NHAMCS 2006: 19,000 at 6 h, 58,000 at 19 h",
        "arrivals by hour were shaped after it, without waits",
    ),
)
_LEFT = Published(
    "left_unseen_percent",
    "left unseen, %",
    "2.1 (quartiles 0.6-4.6)",
    0.6,
    4.6,
    "US hospitals 2021",
    "patience was chosen with it in view",
)
_SEEN = (
    Published("seen_within_15_percent", "seen within 15 min, %", "39", 29, 49, "US 2019"),
    Published("seen_within_60_percent", "seen within 60 min, %", "72", 62, 82, "US 2019"),
)
_TARGET = Published(
    "within_target_percent",
    "seen within the target, %",
    "78 (median hospital)",
    63,
    93,
    "US hospitals, recommended times of their own",
)
_STAYS = tuple(
    Published(
        f"ed_stay_minutes_{level}",
        f"stay in the department, acuity {level}, min",
        f"{first} and {second}",
        0.8 * min(first, second),
        1.2 * max(first, second),
        "Tanabe (n = 403) and NHAMCS 2009-11",
        "treatment was set between these and Batt",
    )
    for level, first, second in ((2, 255, 280), (3, 304, 237), (4, 193, 157), (5, 98, 135))
)
_BOARDING = (
    Published(
        "boarding_median_minutes",
        "boarding of the admitted, median, min",
        "79 (quartiles 36-145)",
        36,
        145,
        "US 2007-10",
        "the model knows waits for a bed only, not the time to hand over",
    ),
    Published(
        "boarded_over_2_h_percent",
        "boarding over 2 h, % of the admitted",
        "32",
        22,
        42,
        "US 2007-10",
        "see the median",
    ),
    Published(
        "boarded_over_4_h_percent",
        "boarding over 4 h, % of the admitted",
        "25 off peak, 35 in winter",
        12,
        35,
        "US 2022-24",
    ),
    Published(
        "boarded_over_24_h_percent",
        "boarding over 24 h, % of the admitted",
        "2.6 off peak, 5 in winter",
        0.5,
        6,
        "US 2022-24",
    ),
)
_ICU = Published(
    "icu_bed_percent",
    "intensive care beds in use, %",
    "68 (SD 21 between units)",
    47,
    89,
    "US intensive care units",
    "beds were set for 82%",
)

URBAN = (
    Published(
        "mean_wait_minutes",
        "mean wait, min",
        "62.4 urban, 69.8 at 50,000 visits and more",
        30,
        75,
        "US 2009",
        "2019 was shorter; overflow beds and cleaning were chosen with it in view",
    ),
    *_SEEN,
    _LEFT,
    _TARGET,
    Published("admitted_percent", "admitted, %", "13 overall, 16 urban", 10.5, 16.5, "US", _INPUT),
    *_CENSUS,
    *_STAYS,
    *_BOARDING,
    Published(
        "ward_bed_percent",
        "ward beds in use, %",
        "75 (2023-24)",
        60,
        92,
        "US hospitals",
        "beds for the department's patients, set for 91%",
    ),
    _ICU,
)
RURAL = (
    Published(
        "mean_wait_minutes",
        "mean wait, min",
        "40.0 non-urban, 33.8 below 20,000 visits",
        20,
        50,
        "US 2009",
        "shifts, swing beds and cleaning were chosen with it in view",
    ),
    *_SEEN,
    _LEFT,
    _TARGET,
    Published("admitted_percent", "admitted, %", "8.3 rural", 6, 10.5, "HCUP 2008", _INPUT),
    Published(
        "transferred_percent",
        "transferred, %",
        "1.6 (Ontario)",
        1.2,
        5,
        "Ontario; up to 5 assumed",
        "fitted: intensive care is an input",
    ),
    *_CENSUS,
    *_STAYS,
    *_BOARDING,
    Published(
        "ward_bed_percent",
        "ward beds in use, %",
        "75 (2023-24)",
        60,
        92,
        "US hospitals",
        "beds for the department's patients, set for 81%",
    ),
)
PEDIATRIC = (
    Published(
        "median_wait_minutes",
        "wait, median, min",
        "71 (15 departments)",
        53,
        89,
        "Alberta, children",
    ),
    Published(
        "ed_stay_home_median_minutes",
        "stay of those sent home, median, min",
        "141 (15 departments)",
        106,
        176,
        "Alberta, children",
    ),
    Published(
        "ed_stay_admitted_median_minutes",
        "stay of the admitted, median, min",
        "389 (15 departments)",
        292,
        486,
        "Alberta, children",
    ),
    _LEFT,
    Published(
        "admitted_percent",
        "admitted, %",
        "4.5 of all children's visits",
        4,
        10,
        "US; more in children's hospitals",
        _INPUT,
    ),
    Published(
        "picu_bed_percent",
        "pediatric intensive care beds in use, %",
        "68 (SD 21 between units)",
        47,
        89,
        "US intensive care units of all ages",
        "beds were set for 77%",
    ),
)
PUBLISHED = {
    "rural_hospital": RURAL,
    "urban_hospital": URBAN,
    "pediatric_hospital": PEDIATRIC,
}
