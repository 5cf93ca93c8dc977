"""Policies as bytes: safetensors with the manifest in its header. Reading never executes code."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from grpo.errors import ModelError
from grpo.models.policy import Manifest, Policy, check_tensors

MANIFEST_KEY = "manifest"
MAX_HEADER_BYTES = 16 * 2**20


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of stored bytes in hexadecimal: the policy's digest."""
    return hashlib.sha256(data).hexdigest()


def dump_policy(policy: Policy) -> bytes:
    """Return the policy as safetensors bytes, the same for the same policy.

    Raises:
        ModelError: the tensors do not fit the manifest.
    """
    problems = check_tensors(policy)
    if problems:
        raise ModelError("the policy cannot be stored: " + "; ".join(problems))
    tensors = {name: np.ascontiguousarray(policy.tensors[name]) for name in sorted(policy.tensors)}
    manifest = json.dumps(policy.manifest.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    return save(tensors, metadata={MANIFEST_KEY: manifest})


def load_policy(data: bytes, expected_sha256: str | None = None) -> Policy:
    """Read a policy.

    Args:
        data: what ``dump_policy`` returned.
        expected_sha256: digest recorded when it was stored; checked before anything is read.

    Raises:
        ModelError: bytes are truncated or altered, or tensors do not fit the manifest.
    """
    if expected_sha256 is not None and digest_bytes(data) != expected_sha256:
        raise ModelError(
            f"stored model refused: its SHA-256 is {digest_bytes(data)}, "
            f"recorded was {expected_sha256}"
        )
    manifest = _read_manifest(data)
    try:
        tensors: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"stored model is truncated or altered: {error}") from error
    policy = Policy(manifest, tensors)
    problems = check_tensors(policy)
    if problems:
        raise ModelError("stored model does not fit its manifest: " + "; ".join(problems[:5]))
    return policy


def _read_manifest(data: bytes) -> Manifest:
    """Return the manifest in the header: 8 bytes of length, little-endian, then JSON."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, MAX_HEADER_BYTES):
        raise ModelError("stored model is truncated: its header is not complete")
    try:
        header = json.loads(data[8 : 8 + length])
        manifest = json.loads(header["__metadata__"][MANIFEST_KEY])
        return Manifest.model_validate(manifest)
    except (KeyError, TypeError, ValueError, RecursionError, ValidationError) as error:
        raise ModelError(
            f"stored model has no readable manifest: {type(error).__name__}"
        ) from error
