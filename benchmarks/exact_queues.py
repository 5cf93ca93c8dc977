"""Queues whose optimal control is known, trained in the hospital simulator.

Percentages are of the way from first come first served to the optimum: 100 is the optimum, 0 is
FCFS. What FCFS costs is known exactly too, so every cost is divided by how much more than that the
judged patients cost under it: most of the noise of long queues goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.exact_cases import SEEDS, Case
from benchmarks.queue_problem import Float64, Queue
from grpo.config import TrainConfig
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import Constant, Exponential, compile_scenario
from grpo.environments.hospital.simulate import Chooser, simulate
from grpo.models.policy import Policy
from grpo.oracles.queues import erlang_c, solve_robust_queue
from grpo.seeding import make_generator
from grpo.training.job import train_policy

EPISODES = 64
HOURS = 20_000.0
PATIENTS = 1_100_000
"""Judged hours are fewer where more patients than this would arrive in them."""
WARMUP_HOURS = 1_000.0
EVALUATION_SEED = 99
ADMISSION_REWARDS = (10.0, 1.0)
BEDS = 10
HELD_BACK = 3
GROUPS = ("adult", "pediatric", "elderly", "other")
LOSING_HOURS = 1e-4  # patience where there is no queue: who is not admitted at once is lost


ALGORITHM: dict[str, Any] = {
    "group_robustness_weight": 0.0,
    "group_target": "raw",
    "start_rule": None,
    "num_envs": 256,
    "num_steps": 64,
    "minibatch_size": 2048,
    "learning_rate": 1e-3,
    "trace_hours": 12.0,
    "ent_coef": 0.003,
}


def make_config(queue: Queue, seed: int, **changes: Any) -> TrainConfig:
    """Return the job that trains on a queue."""
    return TrainConfig.parse(
        {
            "environment": {
                "kind": "hospital",
                "scenario": queue.scenario.model_dump(mode="json"),
                "hold": queue.hold,
                "half_life_hours": queue.half_life_hours,
            },
            "grouping": {"kind": "attribute", "attributes": ["group"]},
            "algorithm": {**ALGORITHM, **queue.algorithm, **changes},
            "budget": {"total_timesteps": queue.steps},
            "seed": seed,
            "evaluation": {
                "episodes": 8,
                "warmup_hours": queue.judged_hours / 4,
                "horizon_hours": queue.judged_hours,
            },
        }
    )


def measure_cost(queue: Queue, chooser: Any, compiled: CompiledScenario, hours: float) -> float:
    """Simulate and return the cost, as the queue measures it."""
    log = simulate(
        compiled,
        chooser,
        episodes=EPISODES,
        seed=EVALUATION_SEED,
        warmup_hours=WARMUP_HOURS,
        horizon_hours=hours,
    )
    classes = compiled.type_class[log.type]
    counts = np.bincount(classes, minlength=compiled.num_classes)
    waits = np.bincount(classes, weights=log.wait_hours, minlength=compiled.num_classes) / counts
    return queue.measure(waits, float(log.cost.sum()) / (EPISODES * hours))


def make_chooser(policy: Policy) -> Chooser:
    """Let a policy decide as it is served."""
    rng = make_generator(EVALUATION_SEED, "serving")
    return lambda observations, masks: policy.act(observations, masks, rng)


def score_queue(queue: Queue, seed: int, hours: float = HOURS, **changes: Any) -> float:
    """Train, and return how much of the way from FCFS to the optimum the policy came, percent."""
    policy = train_policy(make_config(queue, seed, **changes), num_threads=1).policy
    compiled = compile_scenario(queue.scenario, group_aware=False, hold=queue.hold)
    hours = min(hours, PATIENTS / (EPISODES * float(compiled.type_rates.sum())))
    excess = measure_cost(queue, make_rule("fcfs", compiled), compiled, hours) / queue.fcfs
    cost = measure_cost(queue, make_chooser(policy), compiled, hours) / excess
    return 100 * (queue.fcfs - cost) / (queue.fcfs - queue.best)


def within(best: float, fcfs: float, tolerance: float, allowance: float = 0.0) -> float:
    """Return the percentage that stands for a cost of at most ``(1 + tolerance) best``.

    ``allowance`` is a cost besides waiting that the tolerance is relative to as well.
    """
    return 100 * (1 - tolerance * (best + allowance) / (fcfs - best))


def _cost_rate(waits: Float64, cost_per_hour: float) -> float:
    """Return the cost per hour, whatever the waits."""
    del waits
    return cost_per_hour


def make_priority_queue(
    name: str,
    rates: tuple[float, ...],
    service_rates: tuple[float, ...],
    costs: tuple[float, ...],
    *,
    best: float,
    required_within: float,
) -> Queue:
    """Return an M/M/1 queue with costs per hour of waiting, where the c-mu rule is optimal.

    ``best`` is the optimal cost rate in the system, waiting and in care.
    """
    arrivals, mu, holding = (np.array(part) for part in (rates, service_rates, costs))
    load = float((arrivals / mu).sum())
    in_care = float(holding @ (arrivals / mu))
    residual = float((arrivals / mu**2).sum())
    fcfs = float(holding @ arrivals) * residual / (1 - load)  # Pollaczek and Khinchine
    scenario = make_queue_scenario(
        rates={"all": rates},
        treatments=[Exponential(mean_hours=1 / rate) for rate in service_rates],
        pools={"server": 1},
        costs_per_hour=costs,
        name=name,
    )
    required = within(best - in_care, fcfs, required_within, allowance=in_care)
    return Queue(name, scenario, best - in_care, fcfs, _cost_rate, required, {}, 1_000_000)


def make_group_queue(
    name: str = "group_robust_mm1",
    by_class: tuple[float, ...] = (0.25, 0.4, 0.2),
    costs: tuple[float, ...] = (1.0, 1.5, 2.5),
    *,
    servers: int = 1,
    steps: int = 2_000_000,
    siblings: int = 4,
) -> Queue:
    """Return a group for each class, one service law: the worst weighted wait is to be least.

    The optimum is that of the polymatroid of waits (``solve_robust_queue``).
    """
    rates, weights = np.array(by_class), np.array(costs)
    heads = np.vstack([np.zeros(len(rates)), np.diag(weights)])
    best = solve_robust_queue(rates, 1.0, servers, heads, weight=1.0).value
    load = float(rates.sum())
    fcfs = float(weights.max()) * erlang_c(load, servers) / (servers - load)
    scenario = make_queue_scenario(
        rates={
            group: tuple(rates[k] if k == n else 0.0 for k in range(len(rates)))
            for n, group in enumerate(GROUPS[: len(rates)])
        },
        treatments=[Exponential(mean_hours=1.0)] * len(rates),
        pools={"server": servers},
        costs_per_hour=costs,
        name=name,
    )
    return Queue(
        name,
        scenario,
        best,
        fcfs,
        lambda waits, _: float((weights * waits).max()),
        within(best, fcfs, 0.03),
        {"group_robustness_weight": 1.0, "start_rule": "fcfs", "num_envs": 400, "num_steps": 128,
         "minibatch_size": 4096, "siblings": siblings},
        steps,
        judged_hours=8_000.0,
    )  # fmt: skip


def make_loss_queue() -> Queue:
    """Return ten beds without a queue: who is lost costs what his admission would have paid.

    FCFS admits everybody who fits. The optimum holds three beds back for the class that pays 10.
    """
    arrivals = (4.0, 8.0)
    scenario = make_queue_scenario(
        rates={"all": arrivals},
        treatments=[Exponential(mean_hours=1.0)] * 2,
        pools={"bed": BEDS},
        costs_per_hour=ADMISSION_REWARDS,
        patience=[Constant(hours=LOSING_HOURS)] * 2,
        lump_hours=1.0,
        name="trunk_reservation",
    )
    offered = float(np.dot(arrivals, ADMISSION_REWARDS))
    best, accept_all = 41.690983, 33.507598  # rewards per hour in queue_cases.json
    required = 100 * (1 - 0.01 * best / (best - accept_all))
    return Queue(
        "trunk_reservation",
        scenario,
        offered - best,
        offered - accept_all,
        _cost_rate,
        required,
        {"trace_hours": 2.0},
        500_000,
        hold=True,
        half_life_hours=4.0,
        judged_hours=100.0,
    )


def read_held(policy: Policy) -> list[bool]:
    """Return for 0 to 9 busy beds whether a patient of the class that pays 1 is kept waiting."""
    names, busy = policy.manifest.feature_names, np.arange(BEDS)
    observations = np.zeros((BEDS, len(names)), dtype=np.float32)
    for name, value in {
        "ed.2.log1p_count": np.log1p(1.0),
        "ed.2.present": 1.0,
        "bed.free_share": 1 - busy / BEDS,
        "bed.capacity_share": 1.0,
        "cos_hour_of_day": 1.0,
    }.items():
        observations[:, names.index(name)] = value
    labels = policy.manifest.action_labels
    masks = np.array([label != "ed.1" for label in labels])[None].repeat(BEDS, axis=0)
    shares = policy.probabilities(observations, masks)[:, labels.index("hold")]
    return [bool(share > 0.5) for share in shares]


def score_held(seed: int) -> float:
    """Return the percentage of states in which the trained policy holds as the optimum does.

    In one of the ten, with 6 beds busy, holding as well costs only .4% of the reward.
    """
    held = read_held(train_policy(make_config(make_loss_queue(), seed), num_threads=1).policy)
    return 100 * float(np.mean([h == (b >= BEDS - HELD_BACK) for b, h in enumerate(held)]))


def queues() -> tuple[Queue, ...]:
    """Return the cases to be trained on."""
    return (
        make_priority_queue(
            "cmu_mm1_nonpreemptive", (0.2, 0.15, 0.1), (1.0, 0.5, 0.4), (1.0, 3.0, 2.0),
            best=5.6103571, required_within=0.02,
        ),
        make_priority_queue(
            "cmu_2class_average_and_discounted", (0.3, 0.25), (1.0, 0.5), (1.0, 3.0),
            best=7.65, required_within=0.02,
        ),
        make_loss_queue(),
        make_group_queue(),
        make_group_queue("group_robust_two_groups", (0.5, 0.3), (1.0, 3.0)),
        # Four groups take longer to settle, and errors of J that four siblings would double.
        make_group_queue(
            "group_robust_mm2", (0.4, 0.6, 0.3, 0.3), (1.0, 2.0, 3.0, 1.5),
            servers=2, steps=4_000_000, siblings=1,
        ),
    )  # fmt: skip


def queue_cases() -> tuple[Case, ...]:
    """Return the queues as cases."""

    def make(queue: Queue) -> Case:
        return Case(queue.name, lambda seed: score_queue(queue, seed), queue.required, SEEDS)

    holds = Case("trunk_reservation, states where it holds", score_held, 90.0, SEEDS)
    return (*(make(queue) for queue in queues()), holds)
