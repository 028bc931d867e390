"""Practice for the toy LLM with freer material: nobody ever says it.

The world has few commands and questions. From them alone a model learns whole sentences by heart; these make it look
at the words.
"""

from __future__ import annotations

import numpy as np

from salmonn_mini.toy.world import grammar
from salmonn_mini.toy.world.text_tasks import Fill, Maker, pick, slot_answer

FREE_COMMANDS = (
    "{number} at {hour}",
    "for {number} in {city} at {hour}",
    "a room for {number} on {day} at {hour}",
    "at {hour} come with {number} friends",
    "book a place for {number} at {hour} on {day}",
    "reserve {number} seats for {name} at {hour}",
    "wake {name} at {hour} in {city}",
    "take {number} from the {place} to {name} at {hour}",
    "order {number} of them for {hour} on {day}",
    "a ticket for {number} to {city} at {hour}",
    "show {name} the {thing} in the {place}",
    "on {day} find a {thing} for {name} in {city}",
)


def _free_command(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    command = grammar.fill_command(pick(rng, FREE_COMMANDS), rng)
    slot, value = pick(rng, command.slots)
    return command.text, (slot, slot_answer(slot, value))


def _free_phones(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    return pick(rng, (grammar.draw_word_list, grammar.draw_garbled))(rng), ("", "")


def _free_repeat(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    """Up to three lines one after the other: rows as long as a minute of speech gives."""
    kinds = (grammar.draw_word_list, grammar.draw_garbled, _statement)
    text = " ".join(pick(rng, kinds)(rng) for _ in range(rng.integers(1, 4)))
    return text, ("", text)


def _statement(rng: np.random.Generator) -> str:
    return grammar.draw(grammar.draw_statement, rng, "train").text


PRACTICE: dict[str, Maker] = {
    "slot_filling": _free_command,
    "phone_recognition": _free_phones,
    "repeat": _free_repeat,
}
