"""One update as its threads run it: who computes which gradient, and who makes which step.

A minibatch beyond one chunk of rows is cut into halves, always, and their gradients are added up
apart: two threads take a half each, one thread takes both. Smaller ones are left whole, and two
threads take a network each, or one thread both where networks are small. So no bit depends on the
number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape, count_parameters
from grpo.training.dense_network import CHUNK, HALVES, split_stack
from grpo.training.gradients import GradientWorker, Samples, SurrogateLoss
from grpo.training.meeting import BrokenMeetingError, Meeting, NoMeeting
from grpo.training.update import Batch, UpdateSettings, UpdateStats

Orders = list[list[Int64]]
"""By epoch and minibatch: [S, B] rows of each of S seeds."""

ACTOR, CRITIC = 0, 1

WORTH_SHARING = 2_000_000
"""Rows times parameters of an actor from which a second thread pays (``benchmarks.seeds``).

Below, calls are so short that threads spend more time passing on the interpreter's lock.
"""

_Seen = dict[tuple[int, int, int, int], Float32]
"""What a minibatch's rows show, by source, half and seeds: gathered once for both networks."""


class _Thread(NamedTuple):
    """One thread's part: a worker, its number, and the halves and networks that it does."""

    worker: GradientWorker
    number: int
    halves: tuple[int, ...]
    networks: tuple[int, ...]


class UpdateProgram:
    """PPO's epochs over one batch.

    Args:
        batch: the samples of all seeds, equally many of each.
        orders: rows of the batch.
        count: S.
        learning_rate: of this update.
        ent_coef: weight of the entropy.
        settings: the rest.
        update_actor: whether actors learn at all.
    """

    def __init__(
        self,
        batch: Batch,
        orders: Orders,
        count: int,
        *,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
        update_actor: bool,
    ) -> None:
        self._batch, self._orders, self._count = batch, orders, count
        self._samples = len(batch.actions) // count
        self._loss = SurrogateLoss(settings.clip_coef, ent_coef)
        self._learning_rate, self._settings = learning_rate, settings
        self._update_actor = update_actor
        self._meetings: tuple[Meeting, Meeting] = (NoMeeting(), NoMeeting())
        # By epoch and half, since one thread may be an epoch ahead of the other.
        self._actor_sums = np.zeros((len(orders), HALVES, count, 4))
        self._critic_sums = np.zeros((len(orders), HALVES, count))

    def run(self, workers: Sequence[GradientWorker]) -> list[UpdateStats]:
        """Learn by a thread for each of 1 or 2 workers; return what came of it, by seed."""
        size = max(rows.shape[1] for order in self._orders for rows in order)
        if len(workers) == 1 or not is_worth_sharing(size, workers[0].shape):
            epochs = self._learn(_Thread(workers[0], 0, (0, 1), (ACTOR, CRITIC)))
        elif size > CHUNK:
            self._meetings = (Meeting(), Meeting())
            epochs = self._learn_both(
                _Thread(workers[0], 0, (0,), (ACTOR, CRITIC)),
                _Thread(workers[1], 1, (1,), (ACTOR, CRITIC)),
            )
        else:
            epochs = self._learn_both(
                _Thread(workers[0], 0, (0,), (ACTOR,)), _Thread(workers[1], 1, (0,), (CRITIC,))
            )
        return self._describe(epochs)

    def _learn_both(self, own: _Thread, other: _Thread) -> list[int]:
        """Run both at the same time; return the epochs that each actor made."""
        with ThreadPoolExecutor(max_workers=1) as helper:
            job = helper.submit(self._learn, other)
            try:
                epochs = self._learn(own)
            except BrokenMeetingError:
                job.result()
                raise
            job.result()
        return epochs

    def _learn(self, thread: _Thread) -> list[int]:
        """Do a thread's part of all epochs; return the epochs that each actor made."""
        try:
            return self._run_epochs(thread)
        except BaseException:
            for meeting in self._meetings:
                meeting.break_up()
            raise

    def _run_epochs(self, thread: _Thread) -> list[int]:
        """Run all epochs; an actor stops after one beyond the target KL."""
        members, epochs = list(range(self._count)), [0] * self._count
        active = members if self._update_actor and ACTOR in thread.networks else []
        critics = members if CRITIC in thread.networks else []
        for epoch, order in enumerate(self._orders):
            for rows in order:
                seen: _Seen = {}
                size = min(rows.shape[1], CHUNK)
                for network, learning in ((ACTOR, active), (CRITIC, critics)):
                    for run in split_stack(learning, size):
                        self._teach(thread, network, epoch, rows, run, seen)
            for member in active:
                epochs[member] += 1
            if self._settings.target_kl is not None and active:
                self._meetings[ACTOR].wait(thread.number)
                kl = self._actor_sums[epoch, :, :, 2].sum(axis=0) / self._samples
                active = [s for s in active if kl[s] <= self._settings.target_kl]
        return epochs

    def _teach(
        self,
        thread: _Thread,
        network: int,
        epoch: int,
        rows: Int64,
        run: tuple[int, int],
        seen: _Seen,
    ) -> None:
        """Add a thread's part of the gradient over a minibatch, and step if it is the last one."""
        worker, meeting = thread.worker.part(*run), self._meetings[network]
        inputs = self._batch.observations if network == ACTOR else self._batch.seen_by_critic
        cuts = cut_minibatch(rows.shape[1])
        meeting.wait(thread.number)
        for half in thread.halves:
            columns, pieces = cuts[half]
            own, key = rows[slice(*run), columns], (id(inputs), half, *run)
            for piece in pieces:
                if key not in seen:
                    seen[key] = worker.gather(inputs, own, half)
                part = Samples(self._batch, own[:, piece], seen[key][:, piece], 1 / rows.shape[1])
                if network == ACTOR:
                    sums = self._actor_sums[epoch, half, slice(*run)]
                    worker.add_actor_gradient(part, self._loss, sums, half)
                else:
                    losses = self._critic_sums[epoch, half, slice(*run)]
                    worker.add_critic_gradient(part, self._settings.vf_coef, losses, half)
        networks = worker.actors if network == ACTOR else worker.critics
        rate, norm = self._learning_rate, self._settings.max_grad_norm
        meeting.arrive(thread.number, lambda: networks.step(rate, norm))

    def _describe(self, epochs: list[int]) -> list[UpdateStats]:
        """Return means over each actor's last epoch, and over the critics'."""
        actors = self._actor_sums.sum(axis=1) / self._samples
        critics = self._critic_sums[-1].sum(axis=0) / self._samples
        stats = []
        for member, made in enumerate(epochs):
            means = actors[made - 1, member] if made else np.zeros(4)
            surrogate, entropy, kl, clipped = means.tolist()
            value_loss = float(critics[member])
            stats.append(UpdateStats(-surrogate, value_loss, entropy, kl, clipped, made))
        return stats


def is_worth_sharing(num_rows: int, shape: NetworkShape) -> bool:
    """Say whether a second thread is faster where calls take so many rows."""
    return num_rows * count_parameters(shape.actor_entries) >= WORTH_SHARING


def cut_minibatch(size: int) -> list[tuple[slice, list[slice]]]:
    """Cut a minibatch into two halves of pieces that fill chunks; a small one is the first half.

    Returns:
        by half, its rows, and its pieces counted from the half's first row.
    """
    if size <= CHUNK:
        return [(slice(0, size), [slice(0, size)]), (slice(size, size), [])]
    middle = (size + 1) // HALVES
    return [
        (
            slice(start, stop),
            [slice(a, min(a + CHUNK, stop - start)) for a in range(0, stop - start, CHUNK)],
        )
        for start, stop in ((0, middle), (middle, size))
    ]
