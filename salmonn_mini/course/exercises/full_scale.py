"""Chapter 12, full scale: exercises and quiz."""

from __future__ import annotations

import random

import numpy as np
import torch

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter


@exercise("12.1", "what training must hold", level=1, minutes=6)
def count_bytes(training_bytes: Student) -> None:
    """bytes of all weights, and of what AdamW keeps: frozen numbers have `bits` bits each; a trained number
    has weight, gradient and two moments, each in float32
    """
    frozen, trained, bits = 1000, 10, 4
    given = training_bytes(frozen, trained, bits)
    hint(
        same(given, 16 * (frozen + trained)) or same(given, 500 + 16 * (frozen + trained)),
        "The frozen numbers have gradients and moments here. They never change, so they need neither.",
    )
    hint(
        same(given, 4 * frozen + 160),
        "1,000 numbers of 4 bits are not 4,000 bytes: a byte has 8 bits.",
    )
    hint(
        same(given, 160),
        "The frozen weights cost nothing here. Mind that 4 // 8 is 0: a number of 4 bits takes half a byte.",
    )
    hint(same(given, 500), "Only the frozen weights are counted.")
    hint(
        same(given, 500 + 120),
        "12 bytes a trained number: one of the four is missing, its weight, its gradient or a moment.",
    )
    hint(
        same(given, 500 + 40),
        "The trained weights alone. Their gradients and AdamW's two moments come on top.",
    )
    hint(
        same(given, 500 + 80),
        "8 bytes a trained number: that is weight and gradient, or two moments. It needs all four.",
    )
    hint(
        same(given, 500 + 20),
        "The trained numbers have 4 bits here. A learning step is too small for that: they are in float32.",
    )
    for sizes in ((1000, 10, 4), (1000, 10, 16), (13_000_000, 33_000, 8), (0, 7, 16)):
        expect(
            training_bytes(*sizes),
            sizes[0] * sizes[2] / 8 + 16 * sizes[1],
            f"frozen, trained, bits = {sizes}",
        )


@exercise("12.2", "how long a run lasts", level=1, minutes=5)
def last(run_hours: Student) -> None:
    """hours of `steps` steps with `batch_size` clips each, over all GPUs, of which each trains on
    `samples_per_second` clips a second
    """
    steps, batch_size, speed, gpus = 100, 64, 2.0, 8
    seconds = steps * batch_size / (speed * gpus)
    given = run_hours(steps, batch_size, speed, gpus)
    hint(same(given, seconds), "These are seconds. An hour has 3,600.")
    hint(same(given, seconds / 60), "These are minutes. An hour has 3,600 seconds.")
    hint(
        same(given, seconds * gpus / 3600),
        "The GPUs make no difference here. batch_size is that of all GPUs together; they share it.",
    )
    hint(same(given, seconds * gpus**2 / 3600), "More GPUs take longer here. They work at the same time.")
    hint(
        same(given, seconds / batch_size / 3600),
        "A step is not one clip: it takes batch_size clips, and the speed counts clips.",
    )
    hint(
        same(given, seconds * speed**2 / 3600),
        "A faster GPU takes longer here: samples_per_second are clips in a second, not seconds for a clip.",
    )
    for sizes in ((100, 64, 2.0, 8), (80_000, 256, 10.0, 32), (12, 1, 0.5, 1)):
        steps, batch_size, speed, gpus = sizes
        expect(
            run_hours(*sizes),
            steps * batch_size / (speed * gpus) / 3600,
            f"steps, batch_size, samples_per_second, gpus = {sizes}",
        )


@exercise("12.3", "one loss from many processes", level=2, minutes=10)
def share(own_loss: Student) -> None:
    """what a process calls `backward` on: its own tokens' losses (n,), so weighted that the mean of this over
    all processes is the mean over all `tokens` tokens of the whole batch
    """
    losses = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    total, tokens, processes = 9.0, 20, 4
    given = own_loss(losses, tokens, processes)
    hint(
        same(given, total / 3),
        "The mean of its own tokens. A process with few tokens would weigh as much as one with many.",
    )
    hint(
        same(given, total / tokens),
        "Nearly: but the gradients are averaged over the processes afterwards, and come out 4 times too small.",
    )
    hint(same(given, total), "The sum of its own tokens: it grows with the batch. Divide by all tokens.")
    hint(
        same(given, total / processes) or same(given, total / 3 / processes),
        "Divided by the processes. Their mean does that already: it has to be undone, not repeated.",
    )
    hint(
        same(given, total / tokens / processes),
        "Divided by the processes as well as by the tokens. Their mean does it once more: multiply instead.",
    )
    hint(
        same(given, total * processes),
        "Times the processes, right, but not divided by the number of all tokens.",
    )
    hint(
        not isinstance(given, torch.Tensor) or not given.requires_grad,
        "A plain number has no gradient: compute with the tensor, without item(), float() or detach().",
    )
    expect(given, total * processes / tokens, "Losses 1, 2, 6 of 20 tokens, 4 processes")
    alone = own_loss(losses[:2], 2, 1)
    expect(alone, 1.5, "One process alone with losses 1, 2 of 2 tokens")


N, BATCH, EPOCH = 42, 8, 5  # clips, clips a step, and the steps of an epoch: two clips are left over


@exercise("12.4", "an order that survives a kill", level=3, minutes=15)
def order(batch_at: Student) -> None:
    """the numbers of the clips in a step, a list of batch_size whole numbers below n: the same for the same
    seed and step, whatever was asked before. Each epoch has a random order of its own; what does not fill a
    batch is left out
    """
    first = [_batch(batch_at, 0, step) for step in range(2 * EPOCH)]
    random_state = _global_state()
    again = [_batch(batch_at, 0, step) for step in reversed(range(2 * EPOCH))][::-1]
    hint(
        _global_state() != random_state,
        "It changes the global generator, which others draw from. Make one of its own: np.random.default_rng(…).",
    )
    hint(
        first != again,
        "The same step, asked twice, gives two batches: a resumed run would see other clips. "
        "Only seed and step may count.",
    )
    hint(
        first[0] == list(range(BATCH)),
        "The clips come in the order of their numbers. Shuffle them, anew in each epoch.",
    )
    epochs = first[:EPOCH], first[EPOCH:]
    hint(
        len({tuple(batch) for batch in epochs[0]}) == 1,
        "Every step of an epoch has the same clips: take the step's own piece of the order.",
    )
    hint(
        epochs[0] == epochs[1],
        "Step 5 begins a new epoch (42 // 8 = 5), but the order is that of the first one.",
    )
    for number, batches in enumerate(epochs):
        order = sorted(clip for batch in batches for clip in batch)
        hint(
            len(set(order)) < len(order),
            f"Epoch {number}, steps {number * EPOCH} to {number * EPOCH + 4}: a clip comes twice. Shuffle all 42 "
            "clips once an epoch, and cut that order into batches; the two that are left over are left out.",
        )
    hint(
        _batch(batch_at, 1, 0) == first[0],
        "The seed makes no difference: two runs with two seeds would see the same order.",
    )


def _batch(batch_at: Student, seed: int, step: int) -> list[int]:
    given = batch_at(seed, step, N, BATCH)
    what = f"Step {step} with 42 clips, 8 a step"
    hint(
        isinstance(given, np.ndarray | torch.Tensor), f"{what}: give a list of whole numbers, with tolist()."
    )
    hint(not isinstance(given, list), f"{what}: give a list of whole numbers.")
    hint(len(given) != BATCH, f"{what}: the batch has {len(given)} clips, not 8.")
    whole = all(isinstance(clip, int | np.integer) and 0 <= clip < N for clip in given)
    hint(not whole, f"{what}: a batch holds whole numbers from 0 to 41.")
    return [int(clip) for clip in given]


def _global_state() -> tuple:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 (whether it was touched is the question)
    return random.getstate(), kind, keys.tobytes(), *rest, torch.random.get_rng_state().numpy().tobytes()


enter(
    12,
    """
The LLM is frozen. What does it cost in training that it does not cost in answering?
- Gradients and moments for its 13 billion numbers.
  Only what is trained has these.
+ What its layers keep for the backward pass.
  The gradient must pass through the LLM to reach LoRA and the Q-Former, so inner values are kept.
- Nothing.
  Then no gradient could pass through it. That is true of the encoders: nothing before them is trained.

You move 13B from one GPU to 8 GPUs with DDP. How much memory does each of them save?
- Seven eighths.
  DDP copies the whole model to every GPU; it divides the batch.
- Only the optimizer's part.
  That is ZeRO-2, and here it would be 0.35 GB.
+ None for the weights.
  Each GPU has a whole copy. To divide the weights: FSDP2 or ZeRO-3.

Four processes; you write loss = own_losses.mean() and let DDP average the gradients. What is wrong?
- Nothing: the mean of means is the mean.
  Only where every process has as many answer tokens.
+ Tokens in a process with short answers weigh more.
  Each process weighs a quarter, however many tokens it has. Sum, and divide by the tokens of all.
- The gradient is four times too large.
  The mean keeps its size. Its weights are wrong.

A run is killed while it writes a checkpoint. What does it lose here?
+ The steps since the checkpoint before; they are computed again, to the same bits.
  A checkpoint gets its name only when it is whole. The order of clips and all draws follow from seed and step.
- The checkpoint that was being overwritten.
  No checkpoint is overwritten: a new one is written to a temporary name, then renamed.
- Nothing at all.
  What was computed after the last checkpoint is gone. It comes back, because it is computed again.

Your log says that two processes run, but the speed has not changed. What do you look at first?
- The learning rate.
  It changes what is learned, not how fast steps are taken.
+ The world size that the run itself saw.
  A launcher may quietly give a world of one. The package writes the number and the wrapper into config.json.
- The loss.
  It is the same with one process and with two; that is the point.
""",
)
