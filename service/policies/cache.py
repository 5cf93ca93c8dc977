"""Policies ready to decide, kept in memory: a request waits for the database only once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.scenario import CompiledScenario, compile_environment
from grpo.models.policy import Policy
from grpo.models.serialization import load_policy
from service.database import Database
from service.keys.ownership import require_policy
from service.keys.records import OPERATOR, Caller
from service.policies.repository import get_policy, get_policy_bytes


@dataclass(frozen=True)
class ServedPolicy:
    """A policy in memory.

    Attributes:
        policy_id: its own id, also where it was asked for by its job's.
        digest: SHA-256 of the stored bytes, compared with them on loading.
        policy: what decides.
        compiled: the hospital that it decides for; None for an array environment.
        owner: whose it is.
    """

    policy_id: str
    digest: str
    policy: Policy
    compiled: CompiledScenario | None
    owner: str | None = None


class PolicyCache:
    """The policies used last, at most ``size`` of them. Policies never change once stored."""

    def __init__(self, database: Database, size: int) -> None:
        self._database = database
        self._size = size
        self._served: OrderedDict[str, ServedPolicy] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, any_id: str, caller: Caller = OPERATOR) -> ServedPolicy | None:
        """Return a policy if it is in memory, by its own id or its job's; never waits for I/O.

        A policy that the caller does not see is as good as not there.
        """
        with self._lock:
            served = self._served.get(self._aliases.get(any_id, any_id))
            if served is None or not caller.sees(served.owner):
                return None
            self._served.move_to_end(served.policy_id)
            return served

    def load(self, any_id: str, caller: Caller = OPERATOR) -> ServedPolicy:
        """Read a policy from the database, verify its digest, keep and return it.

        Raises:
            PolicyNotFoundError: there is none that the caller sees.
            ModelError: the stored bytes are truncated, altered or of another shape.
        """
        require_policy(self._database, any_id, caller)
        record = get_policy(self._database, any_id)
        stored, digest = get_policy_bytes(self._database, record.id)
        policy = load_policy(stored, expected_sha256=digest)
        served = ServedPolicy(record.id, digest, policy, compile_for(policy), record.owner)
        with self._lock:
            self._served[record.id] = served
            self._aliases[record.job_id] = record.id
            while len(self._served) > self._size:
                self._served.popitem(last=False)
            while len(self._aliases) > self._size:
                self._aliases.popitem(last=False)
        return served


def compile_for(policy: Policy) -> CompiledScenario | None:
    """Compile the hospital that a policy was trained for; None for an array environment."""
    environment = TrainConfig.parse(policy.manifest.config).environment
    if not isinstance(environment, HospitalEnvironment):
        return None
    return compile_environment(environment)
