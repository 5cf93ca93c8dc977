"""A training's state as bytes: compressed safetensors with a JSON header, never pickle.

A checkpoint belongs to one configuration and one version of the library; another one refuses it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from grpo.config import TrainConfig
from grpo.errors import CheckpointError, ModelError
from grpo.models.serialization import dump_policy, load_policy
from grpo.tensors import Tensors, join_tensors, select_tensors
from grpo.training.gate import Candidate

MAX_BYTES = 16 * 2**20
MAX_UNPACKED_BYTES = 2**30
FORMAT = 2
HEADER_KEY = "checkpoint"
COMPRESSION = 1
"""zlib's fastest level: most of a hospital's state is empty slots."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stood.

    Attributes:
        iteration: iterations that were finished.
        tensors: state of the loop, from ``save_loop``.
        candidates: policies kept for validation so far.
    """

    iteration: int
    tensors: Tensors
    candidates: tuple[Candidate, ...]


class CheckpointSink(Protocol):
    """Where a training puts its checkpoints; called from the training thread."""

    def is_due(self) -> bool:
        """Say whether a checkpoint is wanted now; asked where one can be taken."""
        ...

    def keep(self, iteration: int, data: bytes) -> None:
        """Replace the latest checkpoint by this one, taken after an iteration."""
        ...

    def refuse(self, error: CheckpointError) -> None:
        """Hear that a checkpoint could not be made or used; the training goes on."""
        ...


def dump_checkpoint(config: TrainConfig, checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as bytes, at most 16 MiB.

    Raises:
        CheckpointError: the state is larger.
    """
    policies = {
        str(i): np.frombuffer(dump_policy(candidate.policy), dtype=np.uint8)
        for i, candidate in enumerate(checkpoint.candidates)
    }
    header = {
        "format": FORMAT,
        "library_version": version("grpo"),
        "config": _digest(config),
        "iteration": checkpoint.iteration,
        "candidates": [candidate.name for candidate in checkpoint.candidates],
    }
    tensors = join_tensors(loop=checkpoint.tensors, policies=policies)
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    raw = save(ordered, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)})
    data = zlib.compress(raw, COMPRESSION)
    if max(len(data), len(raw) * MAX_BYTES // MAX_UNPACKED_BYTES) > MAX_BYTES:
        raise CheckpointError(
            f"the state of this training takes {len(data)} bytes ({len(raw)} unpacked), "
            f"more than {MAX_BYTES}: fewer environments (num_envs) take less"
        )
    return data


def load_checkpoint(config: TrainConfig, data: bytes) -> Checkpoint:
    """Read a checkpoint of this configuration.

    Raises:
        CheckpointError: it is damaged, or of another training or version of the library.
    """
    raw = _unpack(data)
    header = _read_header(raw)
    expected = {"format": FORMAT, "library_version": version("grpo"), "config": _digest(config)}
    for name, wanted in expected.items():
        if header.get(name) != wanted:
            raise CheckpointError(f"the checkpoint has {name} {header.get(name)!r}, not {wanted!r}")
    try:
        tensors: dict[str, NDArray[Any]] = load(raw)
        policies = select_tensors(tensors, "policies")
        candidates = tuple(
            Candidate(name, load_policy(policies[str(i)].tobytes()))
            for i, name in enumerate(header["candidates"])
        )
        iteration = int(header["iteration"])
    except (SafetensorError, ModelError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error
    return Checkpoint(iteration, select_tensors(tensors, "loop"), candidates)


def _digest(config: TrainConfig) -> str:
    """Return a digest of the configuration."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _unpack(data: bytes) -> bytes:
    """Decompress, to a bounded size."""
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(data, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error
    if not unpacker.eof:
        raise CheckpointError("the checkpoint is truncated or too large")
    return raw


def _read_header(raw: bytes) -> dict[str, Any]:
    """Return our part of the header: 8 bytes of length, little-endian, then JSON."""
    length = int.from_bytes(raw[:8], "little")
    try:
        header = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][HEADER_KEY])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the checkpoint has no header: {error!r}") from error
    if not isinstance(header, dict):
        raise CheckpointError("the checkpoint has no header")
    return header
