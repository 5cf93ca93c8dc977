"""Who is compared with whom, at which settings, and what ratio is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.peers.contest import Arm
from benchmarks.peers.task import Task

MOST_ROUNDS_OF_OTHERS = 3
PEERS = ("sb3", "skrl", "rejax", "pufferlib")
EQUAL = Task()
SLOW = replace(EQUAL, timesteps=40_000)
"""The same for a library that needs seconds for it."""
FAST = Task(num_envs=64, num_steps=32, minibatch_size=512, timesteps=400_000)
SB3_FAST = Task(minibatch_size=2048, update_epochs=4, timesteps=60_000)
RURAL = Task(
    environment="rural",
    num_envs=256,
    num_steps=128,
    minibatch_size=4096,
    timesteps=400_000,
    ent_coef=0.0,
)
SINGLE = replace(EQUAL, environment="rural", ent_coef=0.0, one_by_one=True)


@dataclass(frozen=True)
class Goal:
    """What is aimed at: the letter of the goal, and the ratio of ours to a peer."""

    letter: str
    ratio: float


@dataclass(frozen=True)
class Contest:
    """Arms that are compared, ours first, and the goals.

    Attributes:
        name: for ``--only``.
        title: heads the table.
        number: what is compared: steps_per_second or solved_after.
        arms: ours first.
        goals: by label of the arm that ours is compared with.
        rounds: None takes the command's.
    """

    name: str
    title: str
    number: str
    arms: tuple[Arm, ...]
    goals: dict[str, Goal]
    rounds: int | None = None


def make_contests(timesteps: int | None, solve_rounds: int) -> list[Contest]:
    """Return the contests.

    Args:
        timesteps: cuts every budget, for a quick look.
        solve_rounds: seeds of the time to 475.
    """

    def cut(task: Task) -> Task:
        return task if timesteps is None else replace(task, timesteps=timesteps)

    solve, slow = replace(FAST, solve=True, timesteps=500_000), replace(EQUAL, solve=True)
    robust = replace(RURAL, group_robustness_weight=0.5, num_groups=3)
    contests = [
        Contest(
            "equal",
            "CartPole, equal work per sample: 16 environments x 128, minibatch 256, 4 epochs",
            "steps_per_second",
            (
                Arm("grpo", "grpo", EQUAL),
                Arm("sb3", "sb3", SLOW),
                Arm("skrl", "skrl", SLOW),
                Arm("rejax", "rejax", EQUAL),
            ),
            {"sb3": Goal("a", 2.5)},
        ),
        Contest(
            "default",
            "CartPole, our defaults; peers at the setting that is fast for them",
            "steps_per_second",
            (
                Arm("grpo", "grpo", replace(FAST, threads=2)),
                Arm("sb3", "sb3", SB3_FAST),
                Arm("skrl", "skrl", replace(FAST, timesteps=100_000)),
                Arm("rejax", "rejax", FAST),
                Arm("rejax, 2 threads", "rejax", replace(FAST, threads=2)),
            ),
            {
                "sb3": Goal("b", 10.0),
                "skrl": Goal("b", 5.0),
                "rejax": Goal("b", 0.6),
                "rejax, 2 threads": Goal("b", 0.6),
            },
        ),
        Contest(
            "solve",
            "CartPole, seconds to a mean greedy return of 475 (evaluation not counted)",
            "solved_after",
            (
                Arm("grpo", "grpo", solve),
                Arm("sb3", "sb3", replace(slow, timesteps=500_000)),
            ),
            {"sb3": Goal("c", 0.5)},
            solve_rounds,
        ),
        Contest(
            "solve others",
            "CartPole, seconds to 475: the other libraries",
            "solved_after",
            (
                Arm("grpo", "grpo", solve),
                Arm("skrl", "skrl", solve),
                Arm("rejax", "rejax", solve),
            ),
            {},
            min(solve_rounds, MOST_ROUNDS_OF_OTHERS),
        ),
        Contest(
            "rural",
            "Rural hospital, our defaults; SB3 on our batch (equal work) and one by one",
            "steps_per_second",
            (
                Arm("grpo", "grpo", replace(RURAL, threads=2)),
                Arm("grpo, 1 thread", "grpo", RURAL),
                Arm("sb3, our batch", "sb3", replace(RURAL, timesteps=65_536)),
                Arm("sb3, one by one", "sb3", replace(SINGLE, timesteps=20_480)),
            ),
            {"sb3, our batch": Goal("d", 20.0), "sb3, one by one": Goal("d", 20.0)},
        ),
        Contest(
            "single",
            "Rural hospital, equal work: ours as a batch, SB3 on single Gymnasium environments",
            "steps_per_second",
            (
                Arm("grpo", "grpo", replace(SINGLE, timesteps=100_000)),
                Arm("sb3, one by one", "sb3", replace(SINGLE, timesteps=20_480)),
            ),
            {},
            1,
        ),
        Contest(
            "robust",
            "Rural hospital: what 3 groups cost",
            "steps_per_second",
            (
                Arm("w = 0.5, 3 groups", "grpo", robust),
                Arm("w = 0", "grpo", RURAL),
            ),
            {"w = 0": Goal("e", 0.85)},
        ),
        Contest(
            "groups",
            "Rural hospital: what 12 groups cost",
            "steps_per_second",
            (
                Arm("w = 0.5, 12 groups", "grpo", replace(robust, num_groups=12)),
                Arm("w = 0", "grpo", RURAL),
            ),
            {"w = 0": Goal("e", 0.6)},
        ),
    ]
    return [
        replace(c, arms=tuple(replace(arm, task=cut(arm.task)) for arm in c.arms)) for c in contests
    ]
