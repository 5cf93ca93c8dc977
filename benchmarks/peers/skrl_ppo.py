"""skrl on Gymnasium's vectorised CartPole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import skrl
import torch
from skrl import logger
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
from skrl.utils import set_seed

from benchmarks.peers.task import HIDDEN, Act, Task


class Policy(CategoricalMixin, Model):
    """Logits of the actions."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        CategoricalMixin.__init__(self)
        self.layers = make_layers(self.num_observations, self.num_actions)

    def compute(self, inputs: Any, role: str = "") -> Any:  # noqa: ARG002 - skrl passes it
        """Return the logits."""
        return self.layers(inputs["observations"]), {}


class Value(DeterministicMixin, Model):
    """The critic."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.layers = make_layers(self.num_observations, 1)

    def compute(self, inputs: Any, role: str = "") -> Any:  # noqa: ARG002 - skrl passes it
        """Return the value."""
        return self.layers(inputs["observations"]), {}


def make_layers(inputs: int, outputs: int) -> torch.nn.Sequential:
    """Return a 64-64 tanh network."""
    first, second = HIDDEN
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, first),
        torch.nn.Tanh(),
        torch.nn.Linear(first, second),
        torch.nn.Tanh(),
        torch.nn.Linear(second, outputs),
    )


def train(task: Task, start: Callable[[], None], after_iteration: Callable[[Act], bool]) -> str:
    """Train PPO with the loop of its own sequential trainer, nothing written to disk."""
    logger.setLevel("ERROR")
    torch.set_num_threads(task.threads)
    agent, environments = make_agent(task)
    agent.init()
    agent.enable_training_mode(True)
    observations, _ = environments.reset()

    def act(states: Any) -> Any:
        with torch.no_grad():
            outputs = agent.policy.compute({"observations": torch.as_tensor(states)}, "policy")
        return outputs[0].argmax(dim=1).numpy()

    total = task.timesteps + 2 * task.samples
    start()
    for timestep in itertools.count():
        agent.pre_interaction(timestep=timestep, timesteps=total)
        with torch.no_grad():
            actions, _ = agent.act(observations, None, timestep=timestep, timesteps=total)
            following, rewards, terminated, truncated, infos = environments.step(actions)
            agent.record_transition(
                observations=observations,
                states=None,
                actions=actions,
                rewards=rewards,
                next_observations=following,
                next_states=None,
                terminated=terminated,
                truncated=truncated,
                infos=infos,
                timestep=timestep,
                timesteps=total,
            )
        agent.post_interaction(timestep=timestep, timesteps=total)
        observations = following
        if (timestep + 1) % task.num_steps == 0 and not after_iteration(act):
            break
    return str(skrl.__version__)


def make_agent(task: Task) -> tuple[Any, Any]:
    """Return the agent and its environments; separate 64-64 tanh networks."""
    set_seed(task.seed)
    environments = wrap_env(
        gymnasium.make_vec("CartPole-v1", task.num_envs, vectorization_mode="vector_entry_point"),
        verbose=False,
    )
    device = torch.device("cpu")
    spaces = {
        "observation_space": environments.observation_space,
        "action_space": environments.action_space,
        "device": device,
    }
    settings = PPO_CFG(
        rollouts=task.num_steps,
        learning_epochs=task.update_epochs,
        mini_batches=task.samples // task.minibatch_size,
        learning_rate=task.learning_rate,
        discount_factor=task.gamma,
        gae_lambda=task.gae_lambda,
        entropy_loss_scale=task.ent_coef,
        value_loss_scale=0.5,
        value_clip=0.0,
        grad_norm_clip=0.5,
        time_limit_bootstrap=True,
    )
    settings.experiment.write_interval = 0
    settings.experiment.checkpoint_interval = 0
    memory = RandomMemory(memory_size=task.num_steps, num_envs=task.num_envs, device=device)
    agent = PPO(
        models={"policy": Policy(**spaces), "value": Value(**spaces)},
        memory=memory,
        cfg=settings,
        observation_space=environments.observation_space,
        action_space=environments.action_space,
        device=device,
    )
    return agent, environments
