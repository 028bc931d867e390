"""Wrong answers to the exercises of chapter 0, each with a piece of the hint that is meant for it."""

from salmonn_mini.evaluation.metrics.words import word_errors


def rate(reference, answer):
    errors, words = word_errors(reference, answer)
    return errors / max(1, words)


MISTAKES = {
    "0.1": [
        (lambda I: f"USER: <Speech>H</Speech> {I} ASSISTANT:", "a new line"),
        (lambda I: f"USER: <Speech>H {I}\nASSISTANT:", "close it with </Speech>"),
        (lambda I: f"USER: {I} <Speech>H</Speech>\nASSISTANT:", "The sound comes first"),
        (lambda I: f"USER: <Speech>H</Speech> {I}\nASSISTANT: ", "white space at the end"),
    ],
    "0.2": [
        (lambda seconds: round(50 * seconds), "These are frames"),
        (lambda seconds: int(seconds / 0.2), "The last 0.1 s is a window too"),
        (lambda seconds: seconds / 0.2, "no half token"),
        (lambda seconds: int(seconds / 0.2) + 1, "No 11th is begun"),
    ],
    "0.3": [
        (lambda answer, words: rate(words, answer) >= 0.30, "swapped"),
        (lambda answer, words: answer == words, "One wrong word in five"),
        (lambda answer, words: words.startswith(answer[:12]), "Missing words are errors too"),
        (
            lambda answer, words: rate(answer, words) < 0.51 and len(answer) > 15,
            "Words too many are errors too",
        ),
    ],
}
