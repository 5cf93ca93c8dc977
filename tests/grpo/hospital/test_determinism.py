"""Same seed, same bits; other policies, same patients; other company, same hospital."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import grpo
from grpo.environments.hospital.physics import state as columns
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.simulate import PatientLog, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.kernel_cache import kernel_cache_folder
from tests.grpo.hospital.problems import LinearPolicy, random_allowed, rural


def trajectory(num_envs: int, seed: int, steps: int = 120) -> list[NDArray[np.generic]]:
    """Everything that a policy and a trainer see of the first two hospitals."""
    compiled = rural()
    environment = HospitalVectorEnvironment(compiled, num_envs, np.ones((2, compiled.num_types)))
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)
    observations, masks = environment.reset(seed)
    seen: list[NDArray[np.generic]] = [observations[:2].copy(), masks[:2].copy()]
    for _ in range(steps):
        transition = environment.step(policy.act(observations, masks))
        observations, masks = transition.observations, transition.action_masks
        seen += [observations[:2].copy(), masks[:2].copy(), transition.head_rewards[:2].copy()]
        seen += [transition.discounts[:2].copy(), environment.total_rewards[:2].copy()]
    return seen


def test_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    first, again, other = trajectory(2, 7), trajectory(2, 7), trajectory(2, 8)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_hospital_does_not_depend_on_how_many_run_beside_it() -> None:
    few, many = trajectory(2, 7), trajectory(9, 7)
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=True))


def test_an_episode_does_not_depend_on_how_many_run_beside_it() -> None:
    compiled = rural()
    rule = make_rule("fcfs", compiled)
    few = simulate(compiled, rule, episodes=2, seed=3)
    many = simulate(compiled, rule, episodes=5, seed=3)
    assert np.array_equal(few.wait_hours, many.wait_hours[many.episode < 2])


@pytest.mark.parametrize("rule", ["strict_acuity", "apq", "c_mu", "gc_mu"])
def test_every_rule_faces_the_same_patients(rule: str) -> None:
    compiled = rural()
    log = simulate(compiled, make_rule(rule, compiled), episodes=4, seed=5)
    fcfs = simulate(compiled, make_rule("fcfs", compiled), episodes=4, seed=5)
    assert np.array_equal(log.episode, fcfs.episode)
    assert np.array_equal(log.type, fcfs.type)
    assert np.array_equal(log.arrival_hours, fcfs.arrival_hours)
    assert not np.array_equal(log.wait_hours, fcfs.wait_hours)


def test_key_and_patience_of_a_patient_do_not_depend_on_the_policy() -> None:
    compiled = rural()
    known: list[dict[tuple[int, int], tuple[int, float]]] = []
    for actions_seed in (1, 2):
        environment = HospitalVectorEnvironment(
            compiled, 4, np.ones((1, compiled.num_types)), burn_in=False
        )
        _, masks = environment.reset(6)
        generator = np.random.default_rng(actions_seed)
        facts: dict[tuple[int, int], tuple[int, float]] = {}
        for _ in range(200):
            masks = environment.step(random_allowed(masks, generator)).action_masks
            for i in range(4):
                events = environment.state.counts[i, columns.NUM_EVENTS]
                for slot in environment.state.stacks[i, columns.HEAP, :events]:
                    serial = int(environment.state.keys[i, slot, columns.SERIAL])
                    key = int(environment.state.keys[i, slot, columns.KEY])
                    deadline = float(environment.state.times[i, slot, columns.DEADLINE])
                    facts[i, serial] = (key, deadline)
        known.append(facts)
    common = known[0].keys() & known[1].keys()
    assert len(common) > 50
    assert all(known[0][key] == known[1][key] for key in common)


def test_an_index_rule_in_the_kernel_equals_the_same_rule_as_a_chooser() -> None:
    compiled = rural(hold=False)
    rule = make_rule("gc_mu", compiled)

    def choose(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        waits = np.expm1(observations[:, compiled.wait_features].astype(np.float64))
        index = np.where(masks[:, :-1], rule.intercept + rule.slope * waits, -np.inf)
        held = ~masks[:, :-1].any(axis=1)
        return np.where(held, compiled.hold_action, index.argmax(axis=1))

    inside = simulate(compiled, rule, episodes=8, seed=9)
    outside = simulate(compiled, choose, episodes=8, seed=9)
    assert np.array_equal(inside.wait_hours, outside.wait_hours)
    assert np.array_equal(inside.outcome, outside.outcome)


@pytest.mark.parametrize("where", ["given folder", "beside the sources"])
def test_an_edited_callee_gives_the_new_answer(tmp_path: Path, where: str) -> None:
    """Numba's own cache looks at the caller's file alone and would give the old answer."""
    package = tmp_path / "grpo"
    shutil.copytree(
        Path(grpo.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    folder = package / "environments" / "hospital" / "physics"
    head = "from grpo.environments.hospital.physics.kernel import kernel\n"
    callee = "@kernel\ndef callee(x: float) -> float:\n    return x + {}\n"
    (folder / "probe_callee.py").write_text(head + callee.format(1))
    (folder / "probe.py").write_text(
        head
        + "from grpo.environments.hospital.physics.probe_callee import callee\n\n"
        + "@kernel\ndef probe(x: float) -> float:\n    return callee(x)\n"
    )
    program = (
        "import os, pathlib\n"
        "from grpo.kernel_cache import kernel_cache_folder\n"
        f"if {where == 'given folder'}:\n"
        "    root = pathlib.Path(os.environ['PROBE_ROOT'])\n"
        "    os.environ['NUMBA_CACHE_DIR'] = str(kernel_cache_folder(root))\n"
        "from grpo.environments.hospital.physics.probe import probe\n"
        "print(probe(1.0))\n"
    )

    def answer() -> float:
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        environment |= {"PYTHONPATH": str(tmp_path), "PROBE_ROOT": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=environment,
        )
        return float(done.stdout)

    assert answer() == 2.0
    assert answer() == 2.0
    (folder / "probe_callee.py").write_text(head + callee.format(10))
    assert answer() == 11.0


def test_the_cache_folder_is_named_by_a_digest_and_nothing_is_created(tmp_path: Path) -> None:
    folder = kernel_cache_folder(tmp_path / "root")
    assert folder.parent == tmp_path / "root"
    assert folder == kernel_cache_folder(tmp_path / "root")
    assert not folder.exists()


def test_hospitals_run_by_threads_side_by_side_are_those_run_by_one() -> None:
    """The kernels let go of Python's lock, and share nothing but the scenario."""
    compiled = rural()
    rule = make_rule("c_mu", compiled)

    def run(episode: int) -> PatientLog:
        return simulate(
            compiled, rule, episodes=1, first_episode=episode, seed=4, horizon_hours=500.0
        )

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(run, range(8)))
    alone = simulate(compiled, rule, episodes=8, seed=4, horizon_hours=500.0)
    for name in ("type", "arrival_hours", "wait_hours", "outcome", "cost"):
        joined = np.concatenate([getattr(log, name) for log in together])
        assert np.array_equal(joined, getattr(alone, name))
