"""The simulator against exact answers, and its speed: ``python -m benchmarks.simulator``.

``--exact`` prints the table of exact cases alone, ``--speed`` the speeds alone, and
``--write-scenarios`` writes the scenario files of the exact cases. SimPy and Ciw are in the extra
``bench``; where they are not installed their lines say so. All run on one core; speeds are medians
of repeated runs, per second of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.queue_cases import write_scenarios
from benchmarks.sampled_cases import every_case
from grpo.environments.hospital.event_trace import trace_episode
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
    list_scenarios,
    load_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.hospital.warm import warm

REPEATS = 5
QUEUE = {"rate": 10.0, "speed": 1.0, "servers": 12}
BEDS = (10, 30, 100, 300, 1000, 2000)


def print_exact_cases() -> None:
    """Print estimate, standard error and exact value of every measure, as a table."""
    print("| case | measure | exact | estimate | standard error | deviation in errors |")
    print("|---|---|---|---|---|---|")
    for case in every_case():
        for measure, samples in zip(case.measures, case.run(), strict=True):
            error = samples.std(ddof=1) / np.sqrt(len(samples))
            off = samples.mean() - measure.exact
            # A share of exactly 1 has no error.
            off = off / error if error > 0 else off
            print(
                f"| {case.name} | {measure.name} | {measure.exact:.5f} | {samples.mean():.5f} | "
                f"{error:.5f} | {off:+.1f} |",
                flush=True,
            )


def plain_emergency_department(beds: int = 36) -> Scenario:
    """Five classes, two pools, patience; 78% of the beds in use."""
    load = 0.78 * beds / 36
    return make_queue_scenario(
        rates={"all": [rate * load for rate in (0.12, 1.9, 7.0, 2.9, 0.6)]},
        treatments=[Lognormal(mean_hours=m, cv=0.75) for m in (3.0, 3.6, 3.4, 1.7, 1.1)],
        pools={"bed": beds, "nurse": int(1.3 * beds)},
        needs=[{"bed": 1, "nurse": n} for n in (4, 2, 1, 1, 1)],
        patience=[None, *(Exponential(mean_hours=h) for h in (100.0, 20.0, 14.0, 11.0))],
        costs_per_hour=(50, 8, 3, 1.5, 1),
        targets_minutes=(0, 10, 30, 60, 120),
        factor_beyond_target=2,
        lump_hours=14,
    )


def million_patients_per_minute(compiled: CompiledScenario, rule: IndexRule, hours: float) -> float:
    """Return the millions of patients that one core simulates in a minute under a rule."""
    rates = []
    for seed in range(REPEATS):
        start = time.process_time()
        log = simulate(compiled, rule, episodes=32, seed=seed, warmup_hours=0, horizon_hours=hours)
        rates.append(len(log.type) / (time.process_time() - start) * 60 / 1e6)
    return float(np.median(rates))


def million_decisions_per_second(name: str, num_envs: int = 1024, steps: int = 100) -> float:
    """Return the millions of decisions per second of a batch, random actions, with observations."""
    compiled = compile_scenario(load_scenario(name))
    environment = HospitalVectorEnvironment(compiled, num_envs, np.ones((4, compiled.num_types)))
    _, masks = environment.reset(1)
    generator = np.random.default_rng(0)
    rates = []
    for _ in range(REPEATS):
        seconds = 0.0
        for _ in range(steps):
            actions = (generator.random(masks.shape) * masks).argmax(axis=1)
            start = time.process_time()
            masks = environment.step(actions).action_masks
            seconds += time.process_time() - start
        rates.append(num_envs * steps / seconds / 1e6)
    return float(np.median(rates))


def nanoseconds_per_event(beds: int) -> float:
    """Return what an event costs in a department of so many beds, patients in proportion."""
    compiled = compile_scenario(plain_emergency_department(beds))
    rule = make_rule("c_mu", compiled)
    hours = 40_000 / compiled.type_rates.sum()
    events = len(trace_episode(compiled, rule, seed=0, horizon_hours=hours).hours)
    times = []
    for seed in range(REPEATS):
        start = time.process_time()
        simulate(compiled, rule, episodes=8, seed=seed, warmup_hours=0, horizon_hours=hours)
        times.append((time.process_time() - start) / (8 * events))
    return 1e9 * float(np.median(times))


def queue_in_simpy(patients: int) -> None:
    """Run an M/M/c queue in SimPy."""
    simpy: Any = import_module("simpy")
    generator = np.random.default_rng(0)
    gaps = generator.exponential(1 / QUEUE["rate"], patients)
    stays = generator.exponential(1 / QUEUE["speed"], patients)
    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=int(QUEUE["servers"]))

    def visit(stay: float) -> Iterator[Any]:
        with servers.request() as request:
            yield request
            yield environment.timeout(stay)

    def arrivals() -> Iterator[Any]:
        for gap, stay in zip(gaps, stays, strict=True):
            yield environment.timeout(gap)
            environment.process(visit(stay))

    environment.process(arrivals())
    environment.run()


def queue_in_ciw(patients: int) -> None:
    """Run an M/M/c queue in Ciw."""
    ciw: Any = import_module("ciw")
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=QUEUE["rate"])],
        service_distributions=[ciw.dists.Exponential(rate=QUEUE["speed"])],
        number_of_servers=[int(QUEUE["servers"])],
    )
    ciw.seed(0)
    ciw.Simulation(network).simulate_until_max_time(patients / QUEUE["rate"])


def queue_here(patients: int) -> None:
    """Run the same M/M/c queue in this simulator."""
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"all": (QUEUE["rate"],)},
            treatments=(Exponential(mean_hours=1 / QUEUE["speed"]),),
            pools={"server": int(QUEUE["servers"])},
        )
    )
    hours = patients / QUEUE["rate"] / 16
    rule = make_rule("fcfs", compiled)
    simulate(compiled, rule, episodes=16, seed=0, warmup_hours=0, horizon_hours=hours)


def print_peers() -> None:
    """Print the speed of one queue, M/M/12 at 83%, in three simulators."""
    peers: list[tuple[str, str | None, Callable[[int], None], int]] = [
        ("this simulator", None, queue_here, 2_000_000),
        ("SimPy", "simpy", queue_in_simpy, 100_000),
        ("Ciw", "ciw", queue_in_ciw, 50_000),
    ]
    for name, module, run, patients in peers:
        if module is not None and find_spec(module) is None:
            print(f"{name}: not installed (pip install '.[bench]')")
            continue
        times = []
        for _ in range(3):
            start = time.process_time()
            run(patients)
            times.append(time.process_time() - start)
        speed = patients / float(np.median(times)) * 60 / 1e6
        print(f"{name}, M/M/12: {speed:.1f} million patients/min, one core")


def print_speeds() -> None:
    """Print all speeds."""
    plain = compile_scenario(plain_emergency_department())
    speed = million_patients_per_minute(plain, make_rule("c_mu", plain), 2000)
    print(f"5 classes, 2 pools, patience (c-mu): {speed:.0f} million patients/min, one core")
    for name in list_scenarios():
        compiled = compile_scenario(load_scenario(name))
        for rule in ("fcfs", "c_mu"):
            speed = million_patients_per_minute(compiled, make_rule(rule, compiled), 1000)
            print(f"{name}, {rule}: {speed:.0f} million patients/min, one core")
    for name in list_scenarios():
        decisions = million_decisions_per_second(name)
        print(f"{name}, 1,024 at once: {decisions:.2f} million decisions/s, one core")
    print_peers()
    for beds in BEDS:
        print(f"{beds} beds: {nanoseconds_per_event(beds):.0f} ns per event")


def main() -> None:
    """Print what was asked for; by default everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exact", action="store_true", help="the exact cases alone")
    parser.add_argument("--speed", action="store_true", help="the speeds alone")
    parser.add_argument("--write-scenarios", action="store_true", help="write scenario files")
    chosen = parser.parse_args()
    if chosen.write_scenarios:
        write_scenarios([case.scenario for case in every_case()])
        return
    start = time.process_time()
    warm()
    print(f"kernels ready after {time.process_time() - start:.1f} s of processor time\n")
    if not chosen.speed:
        print_exact_cases()
        print()
    if not chosen.exact:
        print_speeds()


if __name__ == "__main__":
    main()
