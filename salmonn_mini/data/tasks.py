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
            f"What does the speech mean in {language}?",
            f"Please give the {language} translation.",
        ),
        (f"Put the speech into {language}.", f"Give the speech in {language}."),
    )  # fmt: skip


_ROWS = (
    Task(
        "asr", 1, 1, "wer", "the words that were said",
        (
            "Transcribe the speech.",
            "Write down what the speaker says.",
            "What are the words of the speech?",
            "Please recognise the speech.",
            "Give the transcript of the recording.",
        ),
        ("Turn the speech into text.", "Write out the words of the speaker."),
    ),
    Task(
        "audio_caption", 1, 1, "caption", "a clause for each sound, in order",
        (
            "Describe the audio.",
            "What can be heard in the recording?",
            "Please describe the sounds.",
            "Write a caption for the audio.",
            "Tell me which sounds you hear.",
        ),
        ("Give a caption for the sounds.", "Describe what can be heard."),
    ),
    _translation("zh", "Chinese", 1, 2),
    Task(
        "phone_recognition", 1, 2, "per", "the phones, with spaces between them",
        (
            "Write the phones of the speech.",
            "Which phones are spoken?",
            "Please recognise the phones.",
            "Give the sequence of phones.",
        ),
        ("Write down the phones that are spoken.", "Give the phones of the speech."),
    ),
    Task(
        "emotion", 1, 2, "accuracy", "neutral, happy, sad or angry",
        (
            "Which emotion has the speaker?",
            "How does the speaker feel?",
            "Recognise the emotion of the speaker.",
            "Describe the mood of the voice.",
        ),
        ("What is the emotion of the voice?", "Tell me how the speaker feels."),
    ),
    Task(
        "music_caption", 1, 2, "bleu", "a sentence on instrument, tempo and mood",
        (
            "Describe the music.",
            "Write a caption for the music.",
            "What kind of music is it?",
            "Please describe this piece of music.",
        ),
        ("Give a caption for the music.", "Tell me what kind of music it is."),
    ),
    Task(
        "overlapped_speech", 1, 2, "wer", "the words of the first speaker, then those of the second",
        (
            "Transcribe both speakers.",
            "Write down what each of the two speakers says.",
            "Two people talk at once: give the words of both.",
            "Please recognise the speech of the two speakers.",
        ),
        ("Give the transcript of both speakers.", "What are the words of the two speakers?"),
    ),
    Task(
        "speaker_verification", 1, 2, "accuracy", "one or two",
        (
            "Is it the same speaker twice?",
            "Do both parts have the same speaker?",
            "Are the two voices the same?",
            "Is only one person speaking?",
        ),
        ("Is the same person speaking twice?", "Do both parts have the same voice?"),
    ),
    Task(
        "gender", 1, 2, "accuracy", "man or woman",
        (
            "Is the speaker a man or a woman?",
            "Recognise the gender of the speaker.",
            "Which gender has the speaker?",
            "Is it the voice of a man or of a woman?",
        ),
        ("Tell me the gender of the speaker.", "What is the gender of the voice?"),
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
            "Which keywords has the speech?",
            "List the keywords of the speech.",
            "Please find the keywords.",
        ),
        ("Give the keywords of the speech.", "Tell me the keywords."),
    ),
    Task(
        "spoken_query_qa", 2, None, "accuracy", "the answer is …",
        (
            "Answer the question.",
            "Please answer the question of the speaker.",
            "What is the answer to the question?",
            "Give the answer to what is asked.",
        ),
        ("Answer what the speaker asks.", "Tell me the answer to the question."),
    ),
    Task(
        "slot_filling", 2, None, "accuracy", "the {slot} is …",
        (
            "Which {} is named?",
            "Find the {} in the speech.",
            "Give the value of the slot {}.",
            "Please extract the {}.",
        ),
        ("Tell me the {} that is named.", "Extract the value of the slot {}."),
    ),
    Task(
        "story", 3, None, "diversity", "a story of some forty words",
        (
            "Write a story based on the audio.",
            "Tell me a story about what you hear.",
            "Make up a story from the recording.",
            "Please invent a long story about the audio.",
        ),
        ("Write a long story about what you hear.", "Invent a story based on the recording."),
    ),
    Task(
        "co_reasoning", 3, None, "accuracy", "the answer is …",
        (
            "Answer the question about the background sound.",
            "Use the sound behind the voice to answer the question.",
            "Listen to the background and answer the speaker.",
            "What is the answer, given the sound in the background?",
        ),
        ("Answer the speaker, given the background sound.", "Use the background to answer the question."),
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
