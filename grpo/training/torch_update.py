"""PPO's update by autograd: the reference of the hand-written one, and the accelerator's path."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from grpo.models.actor_critic import ActorCritic
from grpo.models.parameters import Float32, NetworkShape
from grpo.objectives.surrogate import clipped_surrogate, squared_error
from grpo.tensors import Tensors, join_tensors, select_tensors, take_number, take_tensor
from grpo.training.update import Batch, MinibatchOrder, UpdateSettings, UpdateStats

SHARED_COLUMNS = 7
"""What a minibatch holds; behind them stands what only the critic sees, if it sees more."""


class TorchLearner:
    """The learner in torch; see ``Learner``."""

    def __init__(
        self, shape: NetworkShape, actor: Float32, critic: Float32, *, device: str = "cpu"
    ) -> None:
        """Copy the two vectors to the device."""
        self.shape = shape
        self.device = torch.device(device)
        self.network = ActorCritic(shape, actor, critic, device=device)
        make = torch.optim.Adam
        self._actor_optimizer = make(self.network.actor.parameters(), lr=1.0, eps=1e-5)
        self._critic_optimizer = make(self.network.critic.parameters(), lr=1.0, eps=1e-5)

    @property
    def actor_parameters(self) -> Float32:
        """[P] float32, a copy."""
        return self.network.actor.flat.detach().cpu().numpy().copy()

    @property
    def critic_parameters(self) -> Float32:
        """[Q] float32, a copy."""
        return self.network.critic.flat.detach().cpu().numpy().copy()

    def _send(self, array: np.ndarray) -> Tensor:
        """Return the array as a tensor on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _index_features(self, features: Float32 | None, rows: int) -> Tensor:
        """Return index features, zeros where there are none."""
        if features is None:
            return torch.zeros(rows, self.shape.num_actions, device=self.device)
        return self._send(features)

    @property
    def num_threads(self) -> int:
        """One: torch has threads of its own."""
        return 1

    @torch.no_grad()
    def compute_logits(
        self,
        observations: Float32,
        index_features: Float32 | None,
        thread: int = 0,  # noqa: ARG002 - there is one
    ) -> Float32:
        """Return logits [B, A] of normalised observations."""
        features = self._index_features(index_features, len(observations))
        logits: Tensor = self.network.actor(self._send(observations), features)
        return logits.cpu().numpy()

    @torch.no_grad()
    def compute_values(self, inputs: Float32, thread: int | None = None) -> Float32:
        """Return values [B, H] in units of the heads' scales."""
        del thread
        values: Tensor = self.network.critic(self._send(inputs))
        return values.cpu().numpy()

    @torch.no_grad()
    def rescale_values(self, factor: Float32, shift: Float32) -> None:
        """Change the critic's last layer so that it returns ``factor · values + shift``."""
        tensors, last = self.network.critic.tensors(), len(self.shape.hidden_sizes)
        tensors[f"critic.{last}.weight"].mul_(self._send(factor))
        tensors[f"critic.{last}.bias"].mul_(self._send(factor)).add_(self._send(shift))

    def save_state(self) -> Tensors:
        """Return both networks and their optimisers, as arrays."""
        return join_tensors(
            actor=_save(self.network.actor.flat, self._actor_optimizer),
            critic=_save(self.network.critic.flat, self._critic_optimizer),
        )

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        actor, critic = (select_tensors(tensors, part) for part in ("actor", "critic"))
        _restore(self.network.actor.flat, self._actor_optimizer, actor)
        _restore(self.network.critic.flat, self._critic_optimizer, critic)

    def update(
        self,
        batch: Batch,
        order: MinibatchOrder,
        *,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
        update_actor: bool = True,
    ) -> UpdateStats:
        """Run PPO's epochs; the actor stops after an epoch beyond the target KL."""
        private = () if batch.critic_inputs is None else (batch.critic_inputs,)
        data = [
            self._send(batch.observations),
            self._index_features(batch.index_features, len(batch.actions)),
            *map(self._send, (batch.action_masks, batch.actions, batch.log_probs)),
            *map(self._send, (batch.advantages, batch.returns, *private)),
        ]
        # Sums stay on the device: a number asked for would make the host wait at every minibatch.
        nothing = torch.zeros(4, device=self.device)
        actor, value_loss = nothing, nothing[0]
        epochs, stopped = 0, not update_actor
        for epoch in range(len(order.rows)):
            sums, value_loss = nothing.clone(), nothing[0].clone()
            for rows in order.split(epoch):
                chosen = self._send(rows)
                minibatch = [item[chosen] for item in data]
                share = len(rows) / len(batch.actions)
                if not stopped:
                    sums += share * self._step_actor(minibatch, learning_rate, ent_coef, settings)
                value_loss += share * self._step_critic(minibatch, learning_rate, settings)
            if not stopped:
                actor, epochs = sums, epochs + 1
                stopped = settings.target_kl is not None and float(sums[2]) > settings.target_kl
        policy_loss, entropy, kl, clipped = actor.tolist()
        return UpdateStats(policy_loss, float(value_loss), entropy, kl, clipped, epochs)

    def _step_actor(
        self,
        minibatch: list[Tensor],
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
    ) -> Tensor:
        """Step the actor; return [4] policy loss, entropy, KL and clip fraction."""
        observations, features, masks, actions, old_log_probs, advantages, *_ = minibatch
        parts = clipped_surrogate(
            self.network.actor(observations, features),
            masks,
            actions,
            old_log_probs,
            advantages,
            clip_coef=settings.clip_coef,
            ent_coef=ent_coef,
        )
        self._step(self._actor_optimizer, parts.loss, learning_rate, settings)
        return torch.stack([part.detach() for part in parts[1:]])

    def _step_critic(
        self, minibatch: list[Tensor], learning_rate: float, settings: UpdateSettings
    ) -> Tensor:
        """Step the critic; return its loss."""
        observations, *_, returns = minibatch[:SHARED_COLUMNS]
        inputs = minibatch[SHARED_COLUMNS] if len(minibatch) > SHARED_COLUMNS else observations
        error = squared_error(self.network.critic(inputs), returns)
        self._step(self._critic_optimizer, settings.vf_coef * error, learning_rate, settings)
        return error.detach()

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        learning_rate: float,
        settings: UpdateSettings,
    ) -> None:
        """Backpropagate, clip, and make one optimiser step."""
        group = optimizer.param_groups[0]
        group["lr"] = learning_rate
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(group["params"], settings.max_grad_norm)
        optimizer.step()


MOMENTS = ("exp_avg", "exp_avg_sq")


def _save(flat: nn.Parameter, optimizer: torch.optim.Adam) -> Tensors:
    """Return a parameter vector and its optimiser's moments, zeros before the first step."""
    state = optimizer.state[flat]
    zeros = torch.zeros_like(flat)
    moments = {name: state.get(name, zeros).detach().cpu().numpy().copy() for name in MOMENTS}
    parameters = flat.detach().cpu().numpy().copy()
    return {"parameters": parameters, "steps": np.array(float(state.get("step", 0))), **moments}


@torch.no_grad()
def _restore(flat: nn.Parameter, optimizer: torch.optim.Adam, tensors: Tensors) -> None:
    """Take a parameter vector and its optimiser's moments over."""
    size = (flat.numel(),)

    def send(name: str) -> Tensor:
        return torch.from_numpy(take_tensor(tensors, name, size, np.float32)).to(flat.device)

    flat.copy_(send("parameters"))
    steps = torch.tensor(take_number(tensors, "steps"))
    optimizer.state[flat] = {"step": steps, **{name: send(name) for name in MOMENTS}}
