"""The layout of audio tokens, instruction and answer in the LLM's input, as published.

    <s> USER: <Speech>  H  </Speech> instruction ⏎ ASSISTANT:  answer </s>

`<Speech>` is plain text, not a special token. Each part is tokenized by itself, so that the tokens of the text do
not depend on the sound between them.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from salmonn_mini.errors import SalmonnError


class Prompt:
    """Turns instructions and answers into token ids, by a `template` with one `{}` and the answer's `end` symbol.

    Raises:
        SalmonnError: the tokenizer does not know `end`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, end: str) -> None:
        self.tokenizer = tokenizer
        before, self._after = template.split("{}")
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self.before: list[int] = [*start, *self.ids(f"{before}<Speech>")]
        self.end: Any = tokenizer.convert_tokens_to_ids(end)
        if self.end in (None, tokenizer.unk_token_id):
            raise SalmonnError(
                f"the LLM's tokenizer has no symbol {end!r}: set end to the one that closes its answers, "
                f"{tokenizer.eos_token!r} perhaps"
            )

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def after(self, instruction: str) -> list[int]:
        """What follows the audio tokens, up to where the answer begins."""
        return self.ids(f"</Speech> {instruction}{self._after}")

    def answer(self, text: str) -> list[int]:
        """The answer with its end symbol."""
        return [*self.ids(text), self.end]

    def text(self, token_ids: list[int]) -> str:
        """The words of generated token ids."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True)).strip()
