"""Wrong answers to the exercises of chapter 8, each with a piece of the hint that is meant for it."""

from salmonn_mini.data.order import apportion
from salmonn_mini.evaluation.metrics.words import word_errors


def wording(row, prompts, place):
    listed = prompts[row.get("task", "asr")]
    return listed[place % len(listed)]


def filled(row, prompts, place):
    return wording(row, prompts, place).replace("{}", row.get("Q", ""))


def without_default(row, prompts, place):
    return prompts[row["task"]][place % 2 if len(prompts[row["task"]]) > 1 else 0].replace(
        "{}", row["Q"]
    ), row["text"]


def not_round(row, prompts, place):
    return prompts[row.get("task", "asr")][place].replace("{}", row.get("Q", "")), row["text"]


def floored(shares, n):
    total = sum(shares.values())
    return {task: int(n * share / total) for task, share in shares.items()}


def rounded(shares, n):
    total = sum(shares.values())
    return {task: round(n * share / total) for task, share in shares.items()}


def rest_to_largest(shares, n):
    whole = floored(shares, n)
    whole[max(shares, key=shares.get)] += n - sum(whole.values())
    return whole


def rest_to_first(shares, n):
    whole = floored(shares, n)
    for task in list(whole)[: n - sum(whole.values())]:
        whole[task] += 1
    return whole


def normal(weights):
    return {task: weight / sum(weights.values()) for task, weight in weights.items()}


def of_tasks(value):
    """A table of tasks, each with value(its losses, its tokens, all tokens)."""

    def table(losses, tokens, tasks):
        own = {
            task: [(x, n) for x, n, name in zip(losses.tolist(), tokens, tasks, strict=True) if name == task]
            for task in tasks
        }
        return {task: value(*zip(*rows, strict=True), sum(tokens)) for task, rows in own.items()}

    return table


def mean_of_means(losses, tokens, whole):
    return sum(loss / n for loss, n in zip(losses, tokens, strict=True)) / len(tokens)


def judged(repeats):
    """`did` with another test of whether an answer repeats a text."""

    def did(answer, words, sounds):
        if words and repeats(words, answer):
            return "transcript"
        return "caption" if sounds and repeats(sounds, answer) else "something else"

    return did


def rate(text, answer):
    errors, words = word_errors(text, answer)
    return errors / words


def exchanged(answer, words, sounds):
    return judged(lambda text, answer: rate(text, answer) < 0.3)(answer, sounds, words)


MISTAKES = {
    "8.1": [
        (lambda row, prompts, place: (row["text"], filled(row, prompts, place)), "exchanged"),
        (lambda row, prompts, place: (filled(row, prompts, 0), row["text"]), "Always the first wording"),
        (lambda row, prompts, place: (wording(row, prompts, place), row["text"]), "The gap is still there"),
        (
            lambda row, prompts, place: (
                f"{wording(row, prompts, place)} {row.get('Q', '')}".strip(),
                row["text"],
            ),
            "The gap is still there",
        ),
        (lambda row, prompts, place: filled(row, prompts, place), "two texts"),
        (without_default, "raises KeyError"),
        (not_round, "raises IndexError"),
    ],
    "8.2": [
        (lambda shares, n: {task: int(n * share) for task, share in shares.items()}, "divide by their sum"),
        (rounded, "rounded by itself"),
        (floored, "belong to nobody"),
        (rest_to_largest, "went to the largest share"),
        (rest_to_first, "went to the first tasks"),
        (lambda shares, n: list(apportion(shares, n).values()), "That a dict"),
    ],
    "8.3": [
        (lambda wanted, tokens: wanted, "shares of tokens themselves"),
        (lambda wanted, tokens: normal({task: wanted[task] * tokens[task] for task in wanted}), "Multiplied"),
        (
            lambda wanted, tokens: normal({task: 1 / tokens[task] for task in wanted}),
            "wanted shares are not used",
        ),
        (lambda wanted, tokens: {task: wanted[task] / tokens[task] for task in wanted}, "add up to 1"),
    ],
    "8.4": [
        (of_tasks(lambda losses, tokens, whole: sum(losses)), "These are the sums"),
        (of_tasks(lambda losses, tokens, whole: sum(losses) / len(losses)), "Divided by the task's clips"),
        (of_tasks(mean_of_means), "mean of the clips' own means"),
        (of_tasks(lambda losses, tokens, whole: sum(losses) / whole), "tokens of the whole batch"),
        (of_tasks(lambda losses, tokens, whole: losses[-1] / tokens[-1]), "Only the last clip"),
        (lambda losses, tokens, tasks: losses.sum() / sum(tokens), "That a dict"),
    ],
    "8.5": [
        (judged(lambda text, answer: bool(set(text.split()) & set(answer.split()))), "no transcript"),
        (judged(lambda text, answer: text == answer), "Two words of ten are wrong"),
        (judged(lambda text, answer: rate(text, answer) <= 0.3), "Three words of ten are wrong"),
        (judged(lambda text, answer: rate(text, answer) < 0.5), "Three words of ten are wrong"),
        (
            judged(lambda text, answer: bool(answer) and rate(answer, text) < 0.3),
            "not by those of the answer",
        ),
        (exchanged, "make a transcript"),
        (
            lambda answer, words, sounds: (
                "transcript"
                if rate(words, answer) < 0.3
                else "caption"
                if rate(sounds, answer) < 0.3
                else "something else"
            ),
            "raises ZeroDivisionError",
        ),
    ],
}
