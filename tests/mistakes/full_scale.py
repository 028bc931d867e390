"""Wrong answers to the exercises of chapter 12, each with a piece of the hint that is meant for it."""

import random

import numpy as np


def cut(order, step, n, batch_size):
    place = step % (n // batch_size)
    return list(order)[place * batch_size : (place + 1) * batch_size]


def map_in_order(seed, step, n, batch_size):
    return cut(range(n), step, n, batch_size)


def same_in_every_epoch(seed, step, n, batch_size):
    return cut(np.random.default_rng(seed).permutation(n).tolist(), step, n, batch_size)


def drawn_each_step(seed, step, n, batch_size):
    return np.random.default_rng((seed, step)).choice(n, batch_size, replace=False).tolist()


def from_the_global_generator(seed, step, n, batch_size):
    return random.sample(range(n), batch_size)


def without_a_seed(seed, step, n, batch_size):
    return np.random.default_rng().choice(n, batch_size, replace=False).tolist()


def seeds_the_global_generator(seed, step, n, batch_size):
    random.seed(seed + step // (n // batch_size))
    return cut(random.sample(range(n), n), step, n, batch_size)


def without_the_seed(seed, step, n, batch_size):
    epoch = step // (n // batch_size)
    return cut(np.random.default_rng(epoch).permutation(n).tolist(), step, n, batch_size)


def always_the_first(seed, step, n, batch_size):
    epoch = step // (n // batch_size)
    return np.random.default_rng((seed, epoch)).permutation(n)[:batch_size].tolist()


def with_the_rest(seed, step, n, batch_size):
    epoch, place = divmod(step, -(-n // batch_size))
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return order[place * batch_size : (place + 1) * batch_size].tolist()


def as_array(seed, step, n, batch_size):
    return np.arange(batch_size)


MISTAKES = {
    "12.1": [
        (lambda frozen, trained, bits: 16 * (frozen + trained), "so they need neither"),
        (lambda frozen, trained, bits: frozen * bits + 16 * trained, "a byte has 8 bits"),
        (lambda frozen, trained, bits: frozen * (bits // 8) + 16 * trained, "takes half a byte"),
        (lambda frozen, trained, bits: frozen * bits / 8, "Only the frozen weights"),
        (lambda frozen, trained, bits: frozen * bits / 8 + 12 * trained, "one of the four is missing"),
        (lambda frozen, trained, bits: frozen * bits / 8 + 8 * trained, "It needs all four"),
        (lambda frozen, trained, bits: frozen * bits / 8 + 4 * trained, "The trained weights alone"),
        (lambda frozen, trained, bits: (frozen + 4 * trained) * bits / 8, "they are in float32"),
    ],
    "12.2": [
        (lambda steps, batch, speed, gpus: steps * batch / speed / gpus, "These are seconds"),
        (lambda steps, batch, speed, gpus: steps * batch / speed / gpus / 60, "These are minutes"),
        (lambda steps, batch, speed, gpus: steps * batch / speed / 3600, "The GPUs make no difference"),
        (lambda steps, batch, speed, gpus: steps * batch * gpus / speed / 3600, "at the same time"),
        (lambda steps, batch, speed, gpus: steps / speed / gpus / 3600, "A step is not one clip"),
        (lambda steps, batch, speed, gpus: steps * batch * speed / gpus / 3600, "not seconds for a clip"),
    ],
    "12.3": [
        (lambda losses, tokens, processes: losses.mean(), "as much as one with many"),
        (lambda losses, tokens, processes: losses.sum() / tokens, "4 times too small"),
        (lambda losses, tokens, processes: losses.sum(), "it grows with the batch"),
        (lambda losses, tokens, processes: losses.sum() / processes, "undone, not repeated"),
        (lambda losses, tokens, processes: losses.sum() / tokens / processes, "multiply instead"),
        (lambda losses, tokens, processes: losses.sum() * processes, "not divided by the number"),
        (lambda losses, tokens, processes: losses.sum().item() * processes / tokens, "has no gradient"),
    ],
    "12.4": [
        (map_in_order, "in the order of their numbers"),
        (same_in_every_epoch, "Step 5 begins a new epoch"),
        (drawn_each_step, "a clip comes twice"),
        (from_the_global_generator, "It changes the global generator"),
        (without_a_seed, "asked twice, gives two batches"),
        (seeds_the_global_generator, "It changes the global generator"),
        (without_the_seed, "The seed makes no difference"),
        (always_the_first, "the step's own piece"),
        (with_the_rest, "the batch has 2 clips, not 8"),
        (as_array, "with tolist()"),
    ],
}
