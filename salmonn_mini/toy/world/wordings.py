"""How a task is asked for: many wordings, grown from patterns; every eighth is held out, and one at least.

In a pattern `(a|b|)` stands for any one of its options, `{}` for what a sample fills in, and `+` for a request that
may begin with *please*.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from functools import cache

from salmonn_mini.data.tasks import TASKS

HELD_OUT = 8  # one wording in so many

_ROWS = """
    asr             + (transcribe|write down) (the speech|what is said|what was said|every word)(| exactly| for me).
    asr             + repeat (it|that|what was said|the speaker's words)(| exactly| word for word).
    asr               What (does the speaker say|did the speaker say|is being said|was said)(| exactly)?
    asr               Which words (are spoken|were said|do you hear|does the speaker use)?
    asr               Give me (a transcript|the transcript|the exact words)(| of the speech| of the recording).
    asr             + tell me (|exactly )what (is said|was said|the speaker says).
    asr             + give me (the words|every word) of the (speech|recording).
    asr               Can you (transcribe|write down) (the speech|the recording)?
    asr               What exactly (is said|was said|is being said|did you hear)?
    asr             + turn (the speech|the recording|what is said|what was said) into (words|a transcript).
    audio_caption   + (describe|name|list) (|all )the sounds(| that you hear| in the recording).
    audio_caption     What (can you hear|do you hear|can be heard|sounds are there)(| in the recording| in the audio)?
    audio_caption     Write (a|a short) (caption for|description of|sentence about) the (audio|sounds|recording).
    audio_caption   + tell me (what you hear|which sounds you hear|what can be heard)(| in one sentence).
    audio_caption     Describe (what you hear|the recording|the audio)(| in one sentence| briefly).
    audio_caption   + say (what you hear|what can be heard|which sounds you hear)(| in one sentence).
    audio_caption   + give me a (caption for|description of|list of) (the|all the) sounds.
    audio_caption     Which sounds (can you hear|do you hear|are there)(| in the recording)?
    keywords        + (list|extract|find|name|give me) (|all )the (keywords|important words).
    keywords          What are the (keywords|most important words)(| in the speech| in the sentence)?
    keywords          Which words (matter most|are the keywords)?
    keywords        + turn (it|this|the speech|the sentence) into (keywords|a list of keywords).
    spoken_query_qa + answer (this question|the speaker|the speaker's question).
    spoken_query_qa   What is the (answer|right answer|correct answer)(| to this question| to the speaker's question)?
    spoken_query_qa + (give|tell) me the (answer|right answer)(| to the question).
    spoken_query_qa + reply to (the question|this question).
    spoken_query_qa   Can you answer (the question|this question|the speaker)?
    slot_filling      (what|which) {} (is mentioned|does the speaker mention)?
    slot_filling    + (find|give me|tell me|write down) the {}(| that is mentioned| that the speaker mentions).
    slot_filling      What is the {}(| in the speech| in the command| in the request)?
    story           + (write|tell me|make up|invent) a story based on (the recording|what you hear).
    story           + (write|tell me|make up|invent) a story about what you hear.
    story           + make a story (of|from|out of) (the recording|what you hear).
    story           + give me a story (about|based on) (the recording|what you hear).
    co_reasoning    + use the (background sound|sound in the background) to (answer|reply to) the speaker.
    co_reasoning    + listen to the (background sound|sound behind the voice) and (answer|reply to) the speaker.
    co_reasoning      Given the (background sound|sound in the background), (what would you say|what is the answer)?
    first_word        What is the first word(| that you hear)?
    first_word      + (give me|tell me|write down|repeat) the first word(| that you hear| only).
    first_word        Which word comes first?
    first_word        (What|Which) word does (it|this|the sentence) (begin|start) with?
    first_word        What does (it|this|the sentence) (begin|start) with?
    last_word         What is the last word(| that you hear)?
    last_word       + (give me|tell me|write down|repeat) the last word(| that you hear| only).
    last_word         Which word comes last?
    last_word         (What|Which) word does (it|this|the sentence) end with?
    last_word         What does (it|this|the sentence) end with?
    next_word         (What|Which word) comes (|right )after the word {}?
    next_word       + (give me|tell me|name) the word (|right )after {}.
    previous_word     (What|Which word) comes (|right )before the word {}?
    previous_word   + (give me|tell me|name) the word (|right )before {}.
    count_words       How many words (are there|do you hear|are on the list|were said)?
    count_words     + count the words(| for me| on the list).
    count_words     + tell me how many words there are(| on the list).
    reverse         + (say|repeat|give me|write) the words (in reverse order|from last to first).
    which_word        Which (word|one|of these words|of them) is {}?
    which_word        (What|Which) word (on the list|that you hear) is {}?
    which_word      + (find|pick|give me|tell me) the word that is {}.
    category          Is it about a person or an animal?
    category        + (tell me|say) (whether|if) it is about a person or an animal.
    category          Does (it|this|the sentence) talk about a person or an animal?
    opposite          (What|Which word) is the opposite of the adjective(| in the sentence)?
    opposite        + (give me|tell me|name|find) the opposite of the adjective(| in the sentence).
    detail          + (explain|describe|tell me) in detail what (is|was) said.
    detail          + give me a (detailed|long|full) (account|report) of what (is|was) said.
    detail          + turn (it|this|what was said) into a (detailed|long|full) (account|report).
    ask_back        + ask (a|one) question about (it|this|the sentence).
    ask_back          What question (would you ask|could you ask|comes to mind)?
    ask_back        + ask why.
    reply           + reply(| to the speaker| politely| in a friendly way).
    reply           + (give|write) a (polite|friendly|short) (reply|response)(| to the speaker).
    reply           + reply to the speaker (politely|in a friendly way).
    reply           + reply in a (polite|friendly) way.
    reply             (What would you reply|How would you respond)?
    title           + (give me|find|write|suggest) a (title|short title|good title)(| for it| for this).
    title             What (would be|could be|is) a good title(| for it| for this)?
    title           + turn (it|this|what was said) into a (title|short title).
    headline        + (write|give me|suggest) a (headline|short headline)(| for it| for this).
    headline        + (summarize|sum up) (the sentence|what was said) in three words.
    headline        + turn (it|this|what was said) into a (headline|short headline).
    colors            (What|Which) color is (mentioned|named)?
    colors          + (name|give me|tell me) the color(| that is mentioned| in the sentence).
    past_tense      + (put|say|write) (it|this|the sentence) in the past tense.
    past_tense      + change (it|this|the sentence) to the past tense.
    past_tense      + turn (it|this|the sentence) into the past tense.
    substitution    + replace the word {}(| in the sentence).
    substitution    + replace the word {} in (it|this|what was said).
    substitution      What (if|would it be if|is the sentence if) you replace the word {}?
    polite          + (say|put) (it|this|that) (politely|more politely|in a polite way).
    polite          + make (it|this|the command) (polite|more polite).
    polite          + turn (it|this|the command) into a polite request.
    confirm         + confirm (the request|that you will do it).
    confirm         + promise to do (it|this|that).
    confirm         + (promise|say|tell the speaker) that you will do (it|this|that).
    sentence_kind     Is (it|this|that) a statement, a question, or a command?
    sentence_kind     What kind of sentence is (it|this|that)?
    sentence_kind   + (tell me|say) whether (it|this) is a statement, a question, or a command.
    phone_copy      + (copy|repeat|write down) the (symbols|phonetic symbols)(| exactly| as they are).
    translation     + (translate|put) (it|this|that|the sentence|what was said) into LANGUAGE.
    translation     + say (it|this|that) in LANGUAGE.
    translation       How would you say (it|this|that|the sentence) in LANGUAGE?
    translation       How do you say (it|this|that) in LANGUAGE?
    translation     + give me (a|the) LANGUAGE translation.
    translation       What is the LANGUAGE translation(| of the sentence| of this)?
    translation     + turn (it|this|that|the sentence) into LANGUAGE.
"""


def _patterns(rows: str) -> dict[str, list[str]]:
    """Each task's patterns; a translation's stand for three languages."""
    patterns = defaultdict(list)
    for row in rows.strip().split("\n"):
        task, pattern = row.split(maxsplit=1)
        pattern = re.sub(r"^\+ ", "(|please )", pattern)
        if task == "translation":
            for code, language in (("zh", "Chinese"), ("de", "German"), ("ja", "Japanese")):
                patterns[f"{task}_{code}"].append(pattern.replace("LANGUAGE", language))
        else:
            patterns[task].append(pattern)
    return patterns


PATTERNS = _patterns(_ROWS)

PREFIXES = ("", "Please listen. ", "Now: ", "Here is some audio. ", "I need your help. ", "Listen closely. ")
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
    apart = {text for text in grown if _hash(text) % HELD_OUT == 0} or {*sorted(grown, key=_hash)[:1]}
    own = [text for text in grown if (text in apart) == held_out]
    listed = kept if held_out else trained
    return (*listed, *(text for text in own if text not in (*trained, *kept))) or ("{}",)


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


def add_affixes(rng, prompt: str) -> str:
    """The prompt between an opening and an ending, either of which may be empty."""
    return f"{PREFIXES[rng.integers(len(PREFIXES))]}{prompt}{SUFFIXES[rng.integers(len(SUFFIXES))]}"
