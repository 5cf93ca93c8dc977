"""Actor and critic in torch, over the same flat vectors: the reference and accelerator path."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from grpo.models.parameters import Entries, Float32, NetworkShape, count_parameters


class FlatNetwork(nn.Module):
    """Dense tanh layers whose parameters are one vector.

    Attributes:
        flat: [P] parameter, laid out as ``entries``.
    """

    def __init__(self, entries: Entries, flat: Float32, *, device: str = "cpu") -> None:
        """Copy the vector [P] float32."""
        super().__init__()
        self.entries = entries
        self.flat = nn.Parameter(torch.from_numpy(np.array(flat, dtype=np.float32)).to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Return differentiable views by name."""
        views, offset = {}, 0
        for name, shape in self.entries:
            size = count_parameters(((name, shape),))
            views[name] = self.flat[offset : offset + size].view(shape)
            offset += size
        return views


class Actor(FlatNetwork):
    """``logits = W_L tanh(...) + bias_a + slope_a x_a``: a network on top of a dispatch index."""

    def forward(self, observations: Tensor, index_features: Tensor) -> Tensor:
        """Return logits [B, A] of normalised observations [B, O] and raw index features [B, A]."""
        tensors = self.tensors()
        hidden, layer = observations, 0
        while f"actor.{layer}.bias" in tensors:
            hidden = torch.tanh(
                torch.addmm(
                    tensors[f"actor.{layer}.bias"], hidden, tensors[f"actor.{layer}.weight"]
                )
            )
            layer += 1
        logits = torch.addmm(tensors["index.bias"], hidden, tensors[f"actor.{layer}.weight"])
        return logits + tensors["index.slope"] * index_features


class Critic(FlatNetwork):
    """One value per head, in units of that head's return scale."""

    def forward(self, observations: Tensor) -> Tensor:
        """Return values [B, H] of normalised observations [B, O]."""
        tensors = self.tensors()
        hidden, last = observations, len(self.entries) // 2 - 1
        for layer in range(last + 1):
            hidden = torch.addmm(
                tensors[f"critic.{layer}.bias"], hidden, tensors[f"critic.{layer}.weight"]
            )
            if layer < last:
                hidden = torch.tanh(hidden)
        return hidden


class ActorCritic(nn.Module):
    """A separate actor and critic of one shape."""

    def __init__(
        self, shape: NetworkShape, actor: Float32, critic: Float32, *, device: str = "cpu"
    ) -> None:
        """Copy the two flat vectors."""
        super().__init__()
        self.actor = Actor(shape.actor_entries, actor, device=device)
        self.critic = Critic(shape.critic_entries, critic, device=device)

    def forward(self, observations: Tensor, index_features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, A] and values [B, H]."""
        return self.actor(observations, index_features), self.critic(observations)
