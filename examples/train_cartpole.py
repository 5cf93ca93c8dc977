"""Train a group-robust agent on CartPole, save it, and evaluate what was saved.

    python examples/train_cartpole.py --episodes 1000

Groups are the sides of the track that an episode starts on: leaning left or right.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import fmean

# Small networks run fastest on one thread; this must stand before numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402

from grpo import GRPOAgent, GRPOTrainer  # noqa: E402
from grpo.errors import InputError  # noqa: E402


def lean(state: np.ndarray, episode: int) -> int:
    """Group an episode by the side that its pole leans to at the start."""
    del episode
    return int(state[2] > 0)


def play(agent: GRPOAgent, episodes: int, first_seed: int) -> list[float]:
    """Return the returns of greedy episodes, one per seed."""
    environment = gymnasium.make("CartPole-v1")
    returns = []
    for seed in range(first_seed, first_seed + episodes):
        state, _ = environment.reset(seed=seed)
        total, running = 0.0, True
        while running:
            state, reward, terminated, truncated, _ = environment.step(agent.select_action(state))
            total += float(reward)
            running = not (terminated or truncated)
        returns.append(total)
    environment.close()
    return returns


def main() -> None:
    """Train, save, load, evaluate."""
    parser = argparse.ArgumentParser(description="Train a group-robust agent on CartPole.")
    parser.add_argument("--episodes", type=int, default=1000, help="episodes to train for")
    parser.add_argument("--weight", type=float, default=0.2, help="group_robustness_weight")
    parser.add_argument("--evaluation-episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    for name in ("episodes", "evaluation_episodes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    try:
        agent = GRPOAgent(
            state_dim=4,
            action_dim=2,
            lr=3e-4,
            group_robustness_weight=arguments.weight,
            seed=arguments.seed,
        )
    except InputError as error:
        parser.error(str(error))
    trainer = GRPOTrainer(
        env_name="CartPole-v1", agent=agent, group_assignment_fn=lean, group_when="reset"
    )
    history = trainer.train(num_episodes=arguments.episodes)

    latest = history.episode_rewards[-100:]
    print(f"{len(history.episode_rewards)} episodes, {agent.timesteps} steps")
    print(f"mean return of the last {len(latest)} training episodes: {fmean(latest):.1f}")
    for label, value in sorted(history.group_returns[-1].items()):
        side = "right" if label == "1" else "left"
        weight = history.group_weights[-1][label]
        print(f"  starts leaning {side}: return {value:.1f}, weight {weight:.2f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cartpole.safetensors"
        agent.save(path)
        print(f"saved {path.stat().st_size} bytes")
        loaded = GRPOAgent.load(path)
    returns = play(loaded, arguments.evaluation_episodes, first_seed=10_000)
    print(f"greedy evaluation over {len(returns)} new episodes: {fmean(returns):.1f} of 500")


if __name__ == "__main__":
    main()
