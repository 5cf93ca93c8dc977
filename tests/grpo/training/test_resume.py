"""A training that is stopped and goes on elsewhere ends to the bit like one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.errors import CheckpointError
from grpo.models.parameters import NetworkShape, initialise_actor, initialise_critic
from grpo.tensors import restore_generator, save_generator, take_tensor
from grpo.training.checkpoint import MAX_BYTES, load_checkpoint
from grpo.training.specialists import _measured
from grpo.training.update import Batch, Learner, MinibatchOrder, UpdateSettings, make_learner
from tests.grpo.training.resumed import run_part

HOSPITAL: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    "algorithm": {"num_envs": 8, "num_steps": 16, "minibatch_size": 64, "hidden_sizes": [16]},
    "budget": {"total_timesteps": 24 * 128},
    "evaluation": {"episodes": 2, "warmup_hours": 0, "horizon_hours": 6},
}
CARTPOLE = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {"kind": "threshold", "feature": 2, "edges": [0], "labels": ["left", "right"]},
    "algorithm": {
        "num_envs": 4, "num_steps": 256, "minibatch_size": 256, "hidden_sizes": [16],
        "update_epochs": 2,
        "learning_rate": 1e-5,  # so slow that the pole falls at once, and judging is quick
    },
    "budget": {"total_timesteps": 40 * 1024},
    "evaluation": {"episodes": 2},
}  # fmt: skip


def run_elsewhere(folder: Path, config: TrainConfig, stop_after: int) -> dict[str, Any]:
    """Run a part in a fresh process, from the checkpoint in the folder and leaving its own."""
    (folder / "job.json").write_text(config.model_dump_json())
    (folder / "checkpoint").touch()
    arguments = [folder / "job.json", folder / "checkpoint", str(stop_after), folder / "part.json"]
    program = [sys.executable, "-m", "tests.grpo.training.resumed", *map(str, arguments)]
    subprocess.run(program, check=True)
    part: dict[str, Any] = json.loads((folder / "part.json").read_text())
    return part


@pytest.mark.parametrize(
    ("job", "segment"), [(HOSPITAL, 1), (CARTPOLE, 8)], ids=["hospital", "CartPole"]
)
def test_stopped_and_resumed_trainings_end_to_the_bit_like_uninterrupted_ones(
    tmp_path: Path, job: dict[str, Any], segment: int
) -> None:
    config = TrainConfig.parse(job)
    whole, digest = run_part(config, b"", None)
    total = len(whole.series)
    assert [n for n, _ in whole.kept] == [n for n in range(1, total + 1) if n % segment == 0]
    assert max(len(data) for _, data in whole.kept) < MAX_BYTES
    stops = np.random.default_rng(5).choice(np.arange(2, total), size=2, replace=False)
    first_stop, second_stop = sorted(stops.tolist())
    # The first part restores nothing, so it may run here; those that do run in fresh processes.
    begun, _ = run_part(config, b"", first_stop)
    (tmp_path / "checkpoint").write_bytes(begun.kept[-1][1] if begun.kept else b"")
    series: list[dict[str, Any]] = json.loads(json.dumps(begun.series))
    for stop in (second_stop, 0):
        part = run_elsewhere(tmp_path, config, stop)
        first = part["series"][0]["iteration"]
        series = series[: first - 1] + part["series"]
    assert part["digest"] == digest
    assert series == json.loads(json.dumps(whole.series))


@pytest.mark.parametrize(
    "algorithm",
    [
        {"method": "group_dro", "dual_step": 0.5, "privileged_critic": True},
        {"method": "floor", "floors": {"*": -5.0, "elderly": -1.0}},
        {"group_baseline": "regret", "specialist_share": 0.4},
    ],
    ids=["group_dro, privileged critic", "floor", "specialists"],
)
def test_what_a_method_remembers_survives_a_stop_to_the_bit(algorithm: dict[str, Any]) -> None:
    """Multipliers, cumulative weights, a critic's own moments, specialists: all matter."""
    config = TrainConfig.parse(
        {
            **HOSPITAL,
            "algorithm": {**HOSPITAL["algorithm"], **algorithm},
            "budget": {"total_timesteps": 8 * 128},
        }
    )
    _measured.clear()
    whole, digest = run_part(config, b"", None)
    first, _ = run_part(config, b"", stop_after=2)
    _measured.clear()
    rest, resumed = run_part(config, first.kept[-1][1], None)
    assert resumed == digest
    assert first.series + rest.series == whole.series
    assert _measured == {}  # specialists came with the checkpoint and were not trained again


def test_checkpoints_of_another_training_and_damaged_ones_are_refused() -> None:
    config = TrainConfig.parse(HOSPITAL)
    part, _ = run_part(config, b"", stop_after=1)
    ((_, data),) = part.kept
    other = TrainConfig.parse({**HOSPITAL, "seed": 2})
    with pytest.raises(CheckpointError, match="has config"):
        load_checkpoint(other, data)
    for damaged in (b"", data[:-1], data[: len(data) // 2], zlib.compress(b"{}"), b"\0" * 100):
        with pytest.raises(CheckpointError):
            load_checkpoint(config, damaged)


def test_a_generator_goes_on_where_it_was_saved_with_half_a_draw_left() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    generator.integers(0, 2**31, dtype=np.int32)  # leaves the other half of a 64-bit draw
    saved = save_generator(generator)
    expected = generator.integers(0, 2**31, 5, dtype=np.int32)
    other = np.random.Generator(np.random.PCG64(4))
    restore_generator(other, {"rng": saved}, "rng")
    assert (other.integers(0, 2**31, 5, dtype=np.int32) == expected).all()


def test_an_array_of_other_axes_or_type_is_refused_by_name() -> None:
    tensors = {"clock": np.zeros((2, 3))}
    for shape, dtype in (((3, 2), np.float64), ((2,), np.float64), ((2, 3), np.float32)):
        with pytest.raises(CheckpointError, match="clock"):
            take_tensor(tensors, "clock", shape, dtype)
    with pytest.raises(CheckpointError, match="no streams"):
        take_tensor(tensors, "streams", (1,), np.uint64)


@pytest.mark.parametrize("device", ["cpu", "torch on the cpu"])
def test_a_restored_learner_makes_the_same_next_update(device: str) -> None:
    shape = NetworkShape(3, (8,), 2, 1)
    rng = np.random.default_rng(1)
    actor, critic = initialise_actor(shape, rng), initialise_critic(shape, rng)
    observations = rng.standard_normal((32, 3)).astype(np.float32)
    floats = rng.standard_normal((3, 32)).astype(np.float32)
    batch = Batch(
        observations, None, np.ones((32, 2), np.bool_), rng.integers(0, 2, 32),
        -np.abs(floats[0]), floats[1], floats[2][:, None],
    )  # fmt: skip
    settings = UpdateSettings(0.2, 0.5, 0.5, None)
    order = MinibatchOrder(np.tile(np.arange(32), (3, 1)), np.array([0, 32]))

    def make() -> Learner:
        if device == "cpu":
            return make_learner(shape, actor, critic)
        from grpo.training.torch_update import TorchLearner  # noqa: PLC0415 - slow to import

        return TorchLearner(shape, actor, critic, device="cpu")

    def update(learner: Learner) -> np.ndarray:
        learner.update(batch, order, learning_rate=0.01, ent_coef=0.01, settings=settings)
        return np.concatenate([learner.actor_parameters, learner.critic_parameters])

    first = make()
    update(first)
    second = make()
    second.restore_state(first.save_state())
    assert (update(second) == update(first)).all()
