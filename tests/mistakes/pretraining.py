"""Wrong answers to the exercises of chapter 7, each with a piece of the hint that is meant for it."""

import math
import random

import torch


def lowered(progress, final=0.0):
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def warmed(after, before=lambda step, warmup: (step + 1) / warmup):
    """A schedule with a right warm-up, unless told otherwise, and `after` it."""

    def factor(step, steps, warmup, final):
        if step < warmup:
            return before(step, warmup)
        return after((step - warmup) / (steps - warmup), step / steps, final)

    return factor


def right(progress, _, final):
    return lowered(progress, final)


def norm(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def summed(loss_of, parts):
    totals, tokens = zip(*map(loss_of, parts), strict=True)
    sum(totals).backward()
    return sum(totals).item() / sum(tokens)


def by_parts(loss_of, parts):
    for part in parts:
        (loss_of(part)[0] / len(parts)).backward()
    return 0.0


def mean_of_means(loss_of, parts):
    means = []
    for part in parts:
        total, tokens = loss_of(part)
        means.append(total / tokens)
        (means[-1] / len(parts)).backward()
    return sum(means).item() / len(parts)


def sum_of_means(loss_of, parts):
    for part in parts:
        total, tokens = loss_of(part)
        (total / tokens).backward()
    return 0.0


def last_alone(loss_of, parts):
    tokens = sum(loss_of(part)[1] for part in parts)
    total, _ = loss_of(parts[-1])
    (total / tokens).backward()
    return total.item() / tokens


def without_backward(loss_of, parts):
    totals, tokens = zip(*map(loss_of, parts), strict=True)
    return sum(totals).item() / sum(tokens)


def sum_returned(loss_of, parts):
    totals, tokens = zip(*map(loss_of, parts), strict=True)
    (sum(totals) / sum(tokens)).backward()
    return sum(totals).item()


def drawn_by_chance(step, n, batch_size, seed):
    return random.sample(range(n), batch_size)


def of_torch(step, n, batch_size, seed):
    return torch.randperm(n)[:batch_size].tolist()


def each_step_anew(step, n, batch_size, seed):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed + step))[:batch_size].tolist()


def in_their_order(step, n, batch_size, seed):
    place = step % (n // batch_size)
    return list(range(place * batch_size, (place + 1) * batch_size))


def one_order(step, n, batch_size, seed):
    place = step % (n // batch_size)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[place * batch_size : (place + 1) * batch_size].tolist()


def without_seed(step, n, batch_size, seed):
    epoch, place = divmod(step, n // batch_size)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(epoch))
    return order[place * batch_size : (place + 1) * batch_size].tolist()


def one_batch_too_far(step, n, batch_size, seed):
    return [clip + batch_size for clip in in_their_order(step, n, batch_size, seed)]


MISTAKES = {
    "7.1": [
        (lambda gradients, most: [g * most / norm(gradients) for g in gradients], "stretched to 10"),
        (lambda gradients, most: gradients, "Nothing was clipped"),
        (lambda gradients, most: [g * min(1, most / g.norm()) for g in gradients], "clipped by itself"),
        (lambda gradients, most: [g.clamp(-most, most) for g in gradients], "cut off at ±1"),
        (
            lambda gradients, most: [g * min(1, most / norm(gradients) ** 2) for g in gradients],
            "Divided by 25",
        ),
        (
            lambda gradients, most: [g * min(1, most / sum(h.norm() for h in gradients)) for g in gradients],
            "norms do not",
        ),
        (lambda gradients, most: gradients[0], "Two tensors went in"),
    ],
    "7.2": [
        (warmed(right, lambda step, warmup: step / warmup), "the first step would change nothing"),
        (lambda step, steps, warmup, final: lowered(step / steps, final), "There is no warm-up"),
        (warmed(lambda progress, whole, final: 1.0), "the factor stays at 1"),
        (warmed(lambda progress, whole, final: lowered(whole, final)), "jumps where the warm-up ends"),
        (warmed(lambda progress, whole, final: lowered(progress)), "The cosine falls to 0"),
        (
            warmed(lambda progress, whole, final: final + (1 - final) * math.cos(math.pi * progress)),
            "Lift it",
        ),
        (warmed(lambda progress, whole, final: 1 - (1 - final) * progress), "A straight line"),
        (warmed(right, lambda step, warmup: 0.2 + 0.8 * (step + 1) / warmup), "begins above `final`"),
    ],
    "7.3": [
        (summed, "in the published code"),
        (by_parts, "the number of parts"),
        (mean_of_means, "A mean of means"),
        (sum_of_means, "Each part was divided by its own tokens"),
        (last_alone, "Only one part's gradient"),
        (without_backward, "No gradient is there"),
        (sum_returned, "the loss returned is the sum"),
    ],
    "7.4": [
        (drawn_by_chance, "gave another batch"),
        (of_torch, "gave another batch"),
        (each_step_anew, "comes twice in one epoch"),
        (in_their_order, "Not shuffled"),
        (one_order, "The second epoch is the first again"),
        (without_seed, "`seed` is not used"),
        (one_batch_too_far, "is none of them"),
    ],
}
