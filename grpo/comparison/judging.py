"""Run contenders on the same patients and measure each under every set of costs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.comparison.contenders import Contender, Design, run_contender
from grpo.comparison.warmup import StartTrace, trace_start
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.simulate import PatientLog
from grpo.fairness.by_group import Patients, ratio_metrics
from grpo.fairness.intervals import Estimate, ratio_of_sums, standardised_ratio
from grpo.fairness.metrics import MetricName
from grpo.grouping.heads import GroupTarget, Heads, build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.training.evaluation import patients_of

Float64 = NDArray[np.float64]
OWN_COSTS = "the scenario's own"
Progress = Callable[[str, int], None]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is kept of one contender's run.

    Attributes:
        contender: who decided.
        log_digest: of who came and when, which is the same for all contenders.
        counts: patients, still waiting, diverted.
        metrics: by name, value [G + 1] and contributions of episodes.
        judged: [G + 1] of the judged cost by name of the cost set, the last for everybody the cost
            per patient.
        trace: what the check of the warm-up needs.
    """

    contender: Contender
    log_digest: str
    counts: tuple[int, int, int]
    metrics: dict[MetricName, Estimate]
    judged: dict[str, Estimate]
    trace: StartTrace


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked about contenders.

    Attributes:
        design: how they are simulated.
        group_by: attributes whose product makes the groups.
        group_target: whether worst group, gap and objective are about the acuity-adjusted cost.
        weight: w of the objective ``(1 - w) cost per patient + w worst group``, in [0, 1].
    """

    design: Design
    group_by: tuple[str, ...]
    group_target: GroupTarget = "standardised"
    weight: float = 0.5

    @property
    def judged_by(self) -> MetricName:
        """The metric that worst group, gap and objective are about."""
        return "standardised_cost" if self.group_target == "standardised" else "cost_per_patient"


@dataclass(frozen=True, eq=False)
class Judge:
    """Runs contenders and keeps what the comparison needs of each.

    Attributes:
        question: what is asked.
        heads: the groups, and the acuities that costs are adjusted for.
        scenarios: the hospital under each set of costs, its own first.
    """

    question: Question
    heads: Heads
    scenarios: dict[str, Scenario]

    @classmethod
    def make(cls, compiled: CompiledScenario, question: Question) -> Judge:
        """Build the groups, and find the scenario's sets of costs."""
        design, scenario = question.design, compiled.scenario
        heads = build_heads(
            compiled,
            AttributeGroups(attributes=question.group_by),
            "standardised",
            evaluation_hours=design.replications * design.horizon_hours,
        )
        others = {c.name: scenario.with_costs(c.name) for c in scenario.alternative_costs}
        return cls(question, heads, {OWN_COSTS: scenario, **others})

    def judge(self, contender: Contender, on_progress: Progress | None = None) -> Judgement:
        """Simulate a contender under every set of costs and measure it.

        What it decides does not change with the costs that it is charged, since its numbers are
        those of the scenario's own costs and costs change nothing else. (A rule that looks at
        running costs, worst group first, does follow the costs it is charged.)
        """

        def on_part(count: int) -> None:
            if on_progress is not None:
                on_progress(contender.label, count)

        log = run_contender(contender, self.question.design, on_part)
        patients = patients_of(log, contender.compiled, self.heads)
        judged = {OWN_COSTS: self._judged(patients, log)}
        for name, scenario in self.scenarios.items():
            if name != OWN_COSTS:
                charged = run_contender(
                    contender.charged_by(scenario), self.question.design, on_part
                )
                judged[name] = self._judged(patients, charged)
        return Judgement(
            contender=contender,
            log_digest=_digest(log),
            counts=(log.episode.size, int(patients.waiting.sum()), int(patients.diverted.sum())),
            metrics=ratio_metrics(patients),
            judged=judged,
            trace=trace_start(contender, self.question.design, log, on_part),
        )

    def _judged(self, patients: Patients, log: PatientLog) -> Estimate:
        """Estimate the judged cost of the groups, and the cost per patient of everybody."""
        sums = patients.sums(log.cost)
        counts = patients.sums(np.ones(log.cost.size))
        plain = ratio_of_sums(sums.sum(axis=2), counts.sum(axis=2))
        if self.question.group_target == "raw":
            return plain
        adjusted = standardised_ratio(sums, counts, patients.mix)
        return Estimate(
            np.append(adjusted.value[:-1], plain.value[-1]),
            np.column_stack([adjusted.per_episode[:, :-1], plain.per_episode[:, -1]]),
        )


def _digest(log: PatientLog) -> str:
    """Fingerprint who came and when."""
    digest = hashlib.sha256()
    for column in (log.episode, log.type, log.arrival_hours):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
