"""What tests of training share."""

from __future__ import annotations

import pytest


@pytest.fixture
def threads_share_small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two threads work where they are given, also on networks too small to gain by that."""
    monkeypatch.setattr("grpo.training.fused_update.WORTH_SHARING", 0)
