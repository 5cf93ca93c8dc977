"""Policies as bytes: safetensors with the manifest in its header. Reading never executes code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from grpo.errors import ModelError
from grpo.models.policy import Manifest, Policy, check_tensors

MANIFEST_KEY = "manifest"
CONTENT_KEY = "content_sha256"
MAX_HEADER_BYTES = 16 * 2**20


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of stored bytes in hexadecimal: the policy's digest."""
    return hashlib.sha256(data).hexdigest()


def digest_content(manifest: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of a policy's content: what a file must hold to be what was written.

    Args:
        manifest: plain data, without this digest.
        tensors: by name; dtypes, shapes and bytes count, and no two contents run together.
    """
    described = [
        [name, tensor.dtype.str, list(tensor.shape)] for name, tensor in sorted(tensors.items())
    ]
    digest = hashlib.sha256(_write_json([manifest, described]).encode())
    for _, tensor in sorted(tensors.items()):
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def dump_policy(policy: Policy) -> bytes:
    """Return the policy as safetensors bytes, the same for the same policy.

    The header carries the digest of manifest and tensors, so that a file that was damaged is
    refused wherever it is read. Whoever can write the file can write that digest too: against
    forgery, keep ``digest_bytes`` elsewhere, as the service does.

    Raises:
        ModelError: the tensors do not fit the manifest.
    """
    problems = check_tensors(policy)
    if problems:
        raise ModelError("the policy cannot be stored: " + "; ".join(problems))
    tensors = {name: np.ascontiguousarray(policy.tensors[name]) for name in sorted(policy.tensors)}
    manifest = policy.manifest.model_dump(mode="json")
    content = digest_content(manifest, tensors)
    # One entry, since safetensors writes several in no fixed order.
    return save(tensors, metadata={MANIFEST_KEY: _write_json({**manifest, CONTENT_KEY: content})})


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
    manifest, content = _read_manifest(data)
    try:
        tensors: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"stored model is truncated or altered: {error}") from error
    if digest_content(manifest.model_dump(mode="json"), tensors) != content:
        raise ModelError("stored model was altered: its content does not have its digest")
    policy = Policy(manifest, tensors)
    problems = check_tensors(policy)
    if problems:
        raise ModelError("stored model does not fit its manifest: " + "; ".join(problems[:5]))
    return policy


def _read_manifest(data: bytes) -> tuple[Manifest, str]:
    """Return manifest and digest from the header: 8 bytes of length, little-endian, then JSON."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, MAX_HEADER_BYTES):
        raise ModelError("stored model is truncated: its header is not complete")
    try:
        header = json.loads(data[8 : 8 + length])
        text = header["__metadata__"][MANIFEST_KEY]
        found = json.loads(text)
        if _write_json(found) != text:
            raise ModelError("stored model was altered: its manifest is written in another way")
        content = str(found.pop(CONTENT_KEY))
        return Manifest.model_validate(found), content
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
        ValidationError,
    ) as error:
        raise ModelError(
            f"stored model has no readable manifest: {type(error).__name__}"
        ) from error


def _write_json(value: Any) -> str:
    """Write plain data as JSON, in one way."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
