"""What ``grpo compare`` does: prepare the contenders, run them, and draw the picture if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grpo.environments.hospital.rules.rule_specs import RuleSpec
from service.counting import counting

if TYPE_CHECKING:
    from grpo.comparison.report import RuleComparison
    from grpo.environments.hospital.scenario import Scenario
    from grpo.models.policy import Policy


def run_comparison(
    scenario: Scenario,
    rules: Sequence[RuleSpec],
    policies: Mapping[str, Policy],
    *,
    group_by: tuple[str, ...],
    raw: bool,
    weight: float,
    hours: tuple[float | None, float | None],
    replications: int,
    seed: int,
    picture: Path | None,
) -> RuleComparison:
    """Compare under a progress bar; Ctrl-C ends the program, with nothing written.

    Args:
        scenario: the hospital.
        rules: as declared; the first is what the others are compared with.
        policies: by label.
        group_by: attributes whose product makes the groups.
        raw: judge groups as they come, not adjusted for acuity.
        weight: w of the objective.
        hours: of warm-up and judged; None for what the scenario needs.
        replications: at least 2.
        seed: of the patients.
        picture: where to draw it, None for nowhere.

    Raises:
        InputError: contenders, groups or size do not fit.
    """
    # Only here, after the kernels' folder is set.
    from grpo.comparison.contenders import (  # noqa: PLC0415
        Design,
        default_hours,
        make_contenders,
    )
    from grpo.comparison.judging import Question  # noqa: PLC0415
    from grpo.comparison.ranking import compare  # noqa: PLC0415

    contenders = make_contenders(scenario, rules, policies)
    warmup_hours, horizon_hours = (
        usual if asked is None else asked
        for usual, asked in zip(default_hours(scenario), hours, strict=True)
    )
    question = Question(
        design=Design(replications, seed, warmup_hours, horizon_hours),
        group_by=group_by,
        group_target="raw" if raw else "standardised",
        weight=weight,
    )
    # Each also under other costs and, where there is a warm-up, from a crowded start.
    runs = replications * len(contenders) * (1 + len(scenario.alternative_costs))
    runs += replications * len(contenders) * (warmup_hours > 0)
    with counting(runs, "replications") as advance:
        found = compare(contenders, question, advance)
        if picture is not None:
            from grpo.comparison.picture import draw_comparison  # noqa: PLC0415 - heavy

            draw_comparison(found, picture)
    return found
