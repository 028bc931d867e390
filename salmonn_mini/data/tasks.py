"""The task table: what SALMONN is asked, at which of the paper's three levels, and how the answer is scored.

Level 1 is trained, level 2 rests on speech but is not trained, level 3 needs speech and sounds together and is not
trained either (paper, section 4). The prompts are this project's own words. `{}` in a prompt is filled
with the sample's own question, as in the published annotation files (`Q`).
"""

from __future__ import annotations

from dataclasses import dataclass

from salmonn_mini.errors import unknown


@dataclass(frozen=True)
class Task:
    """A row of the table.

    Attributes:
        level: 1, 2 or 3, as in the paper; 1 is trained.
        stage: the first training stage that has the task (1 or 2), None if it is never trained.
        metric: wer, per, bleu, accuracy, caption or diversity.
        answer: the form that an answer takes, in words.
        prompts: wordings used in training.
        held_out: wordings never used in training, for tests.
    """

    name: str
    level: int
    stage: int | None
    metric: str
    answer: str
    prompts: tuple[str, ...]
    held_out: tuple[str, ...]


def _translation(code: str, language: str, level: int, stage: int | None) -> Task:
    return Task(
        f"translation_{code}", level, stage, "bleu", f"the statement in {language}",
        (
            f"Translate the speech into {language}.",
            f"Say it in {language}.",
            f"How do you say this in {language}?",
            f"Please give me the {language} translation.",
        ),
        (f"Translate what you hear into {language}.", f"Can you say that in {language}?"),
    )  # fmt: skip


_ROWS = (
    Task(
        "asr", 1, 1, "wer", "the words that were said",
        (
            "Transcribe the speech.",
            "Write down what the speaker says.",
            "What is the speaker saying?",
            "Please transcribe the recording.",
            "Give me the transcript of the recording.",
        ),
        ("Turn the speech into text.", "What exactly does the speaker say?"),
    ),
    Task(
        "audio_caption", 1, 1, "caption", "a sentence with a clause for each sound, in order",
        (
            "Describe the audio.",
            "What can be heard in the recording?",
            "Please describe the sounds.",
            "Write a caption for the audio.",
            "What sounds do you hear?",
        ),
        ("Give the audio a caption.", "Tell me what can be heard."),
    ),
    _translation("zh", "Chinese", 1, 2),
    Task(
        "phone_recognition", 1, 2, "per", "the phones, with spaces between them",
        (
            "Write down the phones of the speech.",
            "Which phones are spoken?",
            "Please transcribe the speech into phones.",
            "Give me the sequence of phones.",
        ),
        ("What are the phones of the speech?", "List the phones that are spoken."),
    ),
    Task(
        "emotion", 1, 2, "accuracy", "neutral, happy, sad or angry",
        (
            "What emotion does the speaker show?",
            "How does the speaker feel?",
            "Identify the speaker's emotion.",
            "What is the mood of the speaker?",
        ),
        ("How does the speaker sound?", "Tell me how the speaker feels."),
    ),
    Task(
        "music_caption", 1, 2, "bleu", "a sentence on instrument, tempo and mood",
        (
            "Describe the music.",
            "Write a caption for the music.",
            "What kind of music is this?",
            "Please describe this piece of music.",
        ),
        ("Give the music a caption.", "Tell me what kind of music this is."),
    ),
    Task(
        "overlapped_speech", 1, 2, "wer", "the words of the first speaker, then those of the second",
        (
            "Transcribe both speakers.",
            "Write down what each of the two speakers says.",
            "Two people are talking at once. What does each of them say?",
            "Please transcribe the speech of the two speakers.",
        ),
        ("What do the two speakers say?", "Give me a transcript of both speakers."),
    ),
    Task(
        "speaker_verification", 1, 2, "accuracy", "yes or no",
        (
            "Is it the same speaker both times?",
            "Do both parts have the same speaker?",
            "Are the two voices the same?",
            "Does the same person speak twice?",
        ),
        ("Is the same person speaking in both parts?", "Did one person say both sentences?"),
    ),
    Task(
        "gender", 1, 2, "accuracy", "a man or a woman",
        (
            "Is the speaker a man or a woman?",
            "What is the gender of the speaker?",
            "Who is speaking, a man or a woman?",
            "Identify the speaker's gender.",
        ),
        ("Tell me the gender of the speaker.", "Do you hear a man or a woman?"),
    ),
    Task("audio_qa", 1, 2, "accuracy", "a short sentence", ("{}",), ("{}",)),
    Task("music_qa", 1, 2, "accuracy", "a short sentence", ("{}",), ("{}",)),
    Task("speech_qa", 1, 2, "accuracy", "a short sentence", ("{}",), ("{}",)),
    _translation("de", "German", 2, None),
    _translation("ja", "Japanese", 2, None),
    Task(
        "keywords", 2, None, "accuracy", "the nouns of the statement, with commas",
        (
            "Extract the keywords.",
            "What are the keywords in the speech?",
            "List the keywords of what was said.",
            "Please find the keywords.",
        ),
        ("Which keywords does the speech contain?", "Tell me the keywords."),
    ),
    Task(
        "spoken_query_qa", 2, None, "accuracy", "a short sentence",
        (
            "Answer the question.",
            "Please answer the speaker's question.",
            "What is the answer to the question?",
            "Give me the answer.",
        ),
        ("Reply to the speaker's question.", "How would you answer this question?"),
    ),
    Task(
        "slot_filling", 2, None, "accuracy", "the value of the slot",
        (
            "What {} is mentioned?",
            "Find the {} in the speech.",
            "What is the {}?",
            "Please extract the {}.",
        ),
        ("Tell me which {} is mentioned.", "Extract the {} from the speech."),
    ),
    Task(
        "story", 3, None, "diversity", "a story of some forty words",
        (
            "Write a story based on the audio.",
            "Tell me a story about what you hear.",
            "Make up a story based on the recording.",
            "Please make up a story that fits the audio.",
        ),
        ("Tell a story about what you just heard.", "Turn the recording into a story."),
    ),
    Task(
        "co_reasoning", 3, None, "accuracy", "a short sentence",
        (
            "Use the background sound to answer the speaker.",
            "Use the sound behind the voice to answer the speaker.",
            "Listen to the background and answer the speaker.",
            "What is the answer, judging by the sound in the background?",
        ),
        ("Answer the speaker, judging by the background sound.", "What answer does the background sound suggest?"),
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ROWS}


def get_task(name: str) -> Task:
    """The row of a task; a SalmonnError where the table has none."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def tasks_of(*, stage: int | None = None, level: int | None = None) -> tuple[Task, ...]:
    """The tasks trained by `stage` at the latest, of `level` where one is given."""
    return tuple(
        task
        for task in TASKS.values()
        if (stage is None or (task.stage is not None and task.stage <= stage)) and level in (None, task.level)
    )
