"""Chapter 8, instruction tuning: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/08_instruction_tuning.py
"""

from torch import Tensor

from salmonn_mini.course.exercises import check
from salmonn_mini.evaluation.metrics.words import word_errors


# Exercise 8.1: from an annotation to a question (●○○, 8 minutes)
def question(row: dict, prompts: dict[str, list[str]], place: int) -> tuple[str, str]:
    wordings = prompts[row.get("task", "asr")]
    instruction = wordings[place % len(wordings)].replace("{}", row.get("Q", ""))
    return instruction, row["text"]


check("8.1", question)


# Exercise 8.2: whole clips out of shares (●●○, 10 minutes)
def counts(shares: dict[str, float], n: int) -> dict[str, int]:
    exact = {task: n * share / sum(shares.values()) for task, share in shares.items()}
    whole = {task: int(part) for task, part in exact.items()}
    left = n - sum(whole.values())
    for task in sorted(exact, key=lambda task: whole[task] - exact[task])[:left]:  # largest remainders first
        whole[task] += 1
    return whole


check("8.2", counts)


# Exercise 8.3: shares of what? (●●○, 8 minutes)
def clip_shares(token_shares: dict[str, float], tokens: dict[str, float]) -> dict[str, float]:
    clips = {task: share / tokens[task] for task, share in token_shares.items()}  # clips for so many tokens
    return {task: number / sum(clips.values()) for task, number in clips.items()}


check("8.3", clip_shares)


# Exercise 8.4: a loss for each task (●●○, 8 minutes)
def loss_of_tasks(losses: Tensor, tokens: list[int], tasks: list[str]) -> dict[str, float]:
    sums, numbers = {}, {}
    for loss, n, task in zip(losses.tolist(), tokens, tasks, strict=True):
        sums[task] = sums.get(task, 0.0) + loss
        numbers[task] = numbers.get(task, 0) + n
    return {task: sums[task] / numbers[task] for task in sums}


check("8.4", loss_of_tasks)


# Exercise 8.5: what did it do? (●●○, 10 minutes)
def did(answer: str, words: str, sounds: str) -> str:
    for text, name in ((words, "transcript"), (sounds, "caption")):
        errors, length = word_errors(text, answer)
        if length and errors / length < 0.3:
            return name
    return "something else"


check("8.5", did)
