"""How a task is asked for: many wordings, grown from patterns; every eighth is held out.

In a pattern `(a|b|)` stands for any one of its options, and `{}` for what a sample fills in.
"""

from __future__ import annotations

import re
import zlib
from functools import cache

from salmonn_mini.data.tasks import TASKS

HELD_OUT = 8  # one wording in so many

_TRANSLATION = (
    "(|please )(translate|put) (it|this|the speech|the sentence|what was said) into LANGUAGE.",
    "(|please )say (it|this|that|the same) in LANGUAGE.",
    "What does (it|this|the sentence|the speech) mean in LANGUAGE?",
    "How do you say (it|this|that) in LANGUAGE?",
    "(|please )give me (a|the) LANGUAGE translation.",
    "What is the LANGUAGE translation(| of the sentence| of this)?",
)

PATTERNS: dict[str, tuple[str, ...]] = {
    "asr": (
        "(|please )(transcribe|write down) (the speech|what is said|what was said|what the speaker says"
        "|the speaker's words)(| exactly| word for word).",
        "(|please )repeat (it|the sentence|what was said|the speaker's words)(| exactly| word for word).",
        "What (does the speaker say|did the speaker say|is being said|was said)(| exactly|, word for word)?",
        "Which words (are spoken|were said|do you hear|does the speaker use)?",
        "Give me (a transcript|the transcript|the exact words)(| of the speech| of the recording).",
    ),
    "audio_caption": (
        "(|please )(describe|name|list) (the sounds|all the sounds|the sounds that you hear"
        "|the sounds in the recording).",
        "What (can you hear|do you hear|can be heard|sounds are there)(| in the recording| in the audio)?",
        "Write (a|a short) (caption for|description of|sentence about) the (audio|sounds|recording).",
        "(|please )tell me (what you hear|which sounds you hear|what can be heard)(| in one sentence).",
        "Describe (what you hear|the recording|the audio)(| in one sentence| briefly).",
    ),
    "keywords": (
        "(|please )(list|extract|find|name|give me) (the|all the) (keywords|important words).",
        "What are the (keywords|most important words)(| of the speech| of the sentence)?",
        "Which words (matter most|are the keywords)?",
    ),
    "spoken_query_qa": (
        "(|please )answer (this question|the speaker|the speaker's question|what is asked).",
        "What is the (answer|right answer|correct answer)(| to this question| to the speaker's question)?",
        "(|please )(give|tell) me the (answer|right answer)(| to the question).",
        "Can you answer (the question|this question|the speaker)?",
    ),
    "slot_filling": (
        "(what|which) {} (is mentioned|does the speaker mention|do you hear)?",
        "(|please )(find|give me|tell me|write down) the {}(| that is mentioned| that the speaker mentions).",
        "What is the {}(| in the speech| in the command| in the request)?",
    ),
    "story": (
        "(|please )(write|tell me|make up|invent) (a|a long) story (based on|about) (the audio|the recording"
        "|what you hear|this).",
    ),
    "co_reasoning": (
        "(|please )use the (background sound|sound in the background) to answer (the question|the speaker).",
        "(|please )listen to the (background sound|sound behind the voice) and answer (the question|the speaker).",
        "Given the (background sound|sound in the background), (answer the question.|what is the answer?)",
    ),
    "first_word": (
        "What is the first word(| that you hear| of all)?",
        "(|please )(give me|tell me|write down|repeat) the first word(| that you hear| only).",
        "Which word comes first?",
        "What word does it (begin|start) with?",
    ),
    "last_word": (
        "What is the last word(| that you hear| of all)?",
        "(|please )(give me|tell me|write down|repeat) the last word(| that you hear| only).",
        "Which word comes last?",
        "What word does it end with?",
    ),
    "spelling": (
        "(|please )spell the last word(| for me| letter by letter).",
        "How (do you spell the last word|is the last word spelled)?",
        "(|please )give me the letters of the last word.",
    ),
    "capital_letters": (
        "(|please )(write|put) the last word in (capital letters|capitals|all caps).",
        "What is the last word in (capital letters|capitals|all caps)?",
    ),
    "count_words": (
        "How many words (are there|do you hear|are on the list|were said)?",
        "(|please )count the words(| for me| on the list).",
        "(|please )tell me how many words there are(| on the list).",
    ),
    "reverse": (
        "(|please )(say|repeat|give me|write) the words (backwards|in reverse order|from last to first).",
    ),
    "which_word": (
        "Which (word|one|of these words) is {}?",
        "(|please )(find|pick|give me|tell me) the word that is {}.",
    ),
    "category": (
        "Is it about a person or an animal?",
        "Is a person or an animal (mentioned|described)?",
        "(|please )(tell me|say) (whether|if) it is about a person or an animal.",
        "Does (it|this|the sentence) talk about a person or an animal?",
    ),
    "opposite": (
        "(What|Which word) is the opposite of the adjective(| in the sentence)?",
        "(|please )(give me|tell me|name|find) the opposite of the adjective(| in the sentence).",
    ),
    "detail": (
        "(|please )(explain|describe|tell me) in detail what (is|was) said.",
        "(|please )give me a (detailed|long|full) (account|report) of what (is|was) said.",
    ),
    "ask_back": (
        "(|please )ask (a|one) question about (it|this|the sentence).",
        "What question (would you ask|could you ask|comes to mind)?",
        "(|please )ask why.",
    ),
    "reply": (
        "(|please )reply(| to the speaker| politely| in a friendly way).",
        "(|please )(give|write) a (polite|friendly|short) (reply|response)(| to the speaker).",
        "(What|How) would you (reply|respond)?",
    ),
    "title": (
        "(|please )(give me|find|write|suggest) a (title|short title|good title)(| for it| for this).",
        "What (would be|could be|is) a good title(| for it| for this)?",
    ),
    "headline": (
        "(|please )(write|give me|suggest) a (headline|short headline)(| for it| for this).",
        "(|please )(summarize|sum up) (the sentence|what was said) in three words.",
    ),
    "colors": (
        "(What|Which) color (is mentioned|is named|do you hear)?",
        "(|please )(name|give me|tell me) the color(| that is mentioned| in the sentence).",
    ),
    "past_tense": (
        "(|please )(put|say|write) (it|this|the sentence) in the past tense.",
        "(|please )change (it|this|the sentence) to the past tense.",
    ),
    "substitution": ("(|please )replace {}(| in the sentence).", "What if you replace {}?"),
    "true_or_false": (
        "(|is (it|this|that|the statement) )true or false?",
        "(|please )(tell me|say|decide) (whether|if) (it|this|that|the statement) is true or false.",
    ),
    "polite": (
        "(|please )(say|put) (it|this|that) (politely|more politely|in a polite way).",
        "(|please )make (it|this|the command) (polite|more polite).",
    ),
    "confirm": (
        "(|please )confirm (the command|the request|that you will do it).",
        "(|please )(agree|promise) to do it.",
        "(|please )say that you will do it.",
    ),
    "sentence_kind": (
        "Is (it|this|that) a statement, a question, or a command?",
        "What kind of sentence is (it|this|that)?",
        "(|please )(tell me|say) whether (it|this) is a statement, a question, or a command.",
    ),
    "phone_copy": (
        "(|please )(copy|repeat|write down) the (symbols|phonetic symbols)(| exactly| as they are).",
    ),
} | {
    f"translation_{code}": tuple(pattern.replace("LANGUAGE", language) for pattern in _TRANSLATION)
    for code, language in (("zh", "Chinese"), ("de", "German"), ("ja", "Japanese"))
}

PREFIXES = (
    "",
    "Please listen. ",
    "Now: ",
    "Here is some audio. ",
    "I have a question. ",
    "Try this. ",
    "Listen carefully. ",
)
SUFFIXES = ("", " Thank you.", " Take your time.", " Be careful.", " That is all.")


def expand(pattern: str) -> list[str]:
    """All wordings of a pattern, in order.

    >>> expand("(|please )say (it|this).")
    ['Say it.', 'Say this.', 'Please say it.', 'Please say this.']
    """
    choice = re.search(r"\(([^()]*)\)", pattern)
    if choice is None:
        return [pattern[0].upper() + pattern[1:]]
    before, after = pattern[: choice.start()], pattern[choice.end() :]
    return [text for option in choice[1].split("|") for text in expand(f"{before}{option}{after}")]


@cache
def wordings(task: str, held_out: bool = False) -> tuple[str, ...]:
    """The instructions of a text task: the task table's and the patterns'; or those that are in no training.

    A task without either is asked by what its samples fill in.
    """
    grown = dict.fromkeys(text for pattern in PATTERNS.get(task, ()) for text in expand(pattern))
    trained, kept = (TASKS[task].prompts, TASKS[task].held_out) if task in TASKS else ((), ())
    own = [text for text in grown if (zlib.crc32(text.encode()) % HELD_OUT == 0) == held_out]
    listed = kept if held_out else trained
    return (*listed, *(text for text in own if text not in (*trained, *kept))) or ("{}",)


def add_affixes(rng, prompt: str) -> str:
    """The prompt between an opening and an ending, either of which may be empty."""
    return f"{PREFIXES[rng.integers(len(PREFIXES))]}{prompt}{SUFFIXES[rng.integers(len(SUFFIXES))]}"
