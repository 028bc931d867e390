"""SALMONN: two encoders, a connector, and a language model that reads their tokens (paper, section 3).

    X ─ Whisper ─ LayerNorm ─┐
                             ├─ Z (B, T, D) ─ connector ─ H (B, M, d_llm) ─ splice with I ─ LLM + LoRA ─ Y
    X ─ BEATs ── LayerNorm ──┘

The encoders and the LLM's own weights are frozen; the LayerNorms, the connector and LoRA are trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, pad
from torch.utils.checkpoint import checkpoint
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_layers import GradientCheckpointingLayer

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.models.connectors import build_connector
from salmonn_mini.models.encoders.beats import Beats
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.features import Features, LayerNorm, length_mask
from salmonn_mini.models.generation import check_logits, compute_logits, seeded, stream_text
from salmonn_mini.models.lora import attach_lora
from salmonn_mini.models.splice import (
    IGNORE_INDEX,
    Answer,
    AnswerLoss,
    Prompt,
    Spliced,
    answer_labels,
    splice_batch,
)
from salmonn_mini.models.state import check_fit

GREEDY: dict[str, Any] = {"max_new_tokens": 80, "num_beams": 1, "do_sample": False, "repetition_penalty": 1.0}
SAMPLING = {"temperature": 1.0, "top_p": 0.9}


class SalmonnModel(nn.Module):
    """SALMONN from its parts, one encoder of which may be None; `llm` gets its LoRA here.

    Raises:
        SalmonnError: an LLM whose loss would be wrong (see `check_logits`), or without the prompt's end symbol.
    """

    max_logits = 2**26  # at once, 256 MB in float32: 2,000 tokens of answers with Vicuna's vocabulary
    embedding_norm: Tensor  # (), the mean over the LLM's input embeddings

    def __init__(
        self,
        config: SalmonnConfig,
        whisper: WhisperEncoder | None,
        beats: Beats | None,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.whisper, self.beats = whisper, beats
        for encoder in filter(None, (whisper, beats)):
            encoder.requires_grad_(False)
        d_whisper = whisper.config.d_model if whisper else 0
        d_beats = beats.config.encoder_embed_dim if beats else 0
        self.ln_speech = LayerNorm(d_whisper) if whisper else None
        self.ln_audio = LayerNorm(d_beats) if beats else None
        self.connector = build_connector(config.connector, d_whisper + d_beats, llm.config.hidden_size)
        check_logits(llm)
        embed: Any = llm.get_input_embeddings()
        norms = embed.weight.detach().norm(dim=-1, dtype=torch.float32)
        # Follows from the frozen LLM, so that no checkpoint has to hold it.
        self.register_buffer("embedding_norm", norms.mean(), persistent=False)
        self.llm = attach_lora(llm, config.lora)
        self.prompt = Prompt(tokenizer, config.prompt_template, config.eos_token)
        self.train(False)

    @property
    def device(self) -> torch.device:
        return self.base_llm.device

    @property
    def base_llm(self) -> Any:
        """The LLM of transformers, its adapted layers included, without peft's wrapper."""
        return self.llm.get_base_model()

    def train(self, mode: bool = True) -> SalmonnModel:
        """Training mode for what is trained; what is frozen stays in evaluation mode, without dropout."""
        super().train(mode)
        for part in filter(None, (self.whisper, self.beats, self.llm)):
            part.eval()
        for layer in self.llm.modules():
            if isinstance(layer, LoraLayer):
                layer.lora_dropout.train(mode)
            elif isinstance(layer, GradientCheckpointingLayer):
                # in evaluation mode a layer would keep everything
                layer.training = mode and layer.gradient_checkpointing
        return self

    def gradient_checkpointing_enable(self) -> None:
        """In training the LLM's layers keep their inputs alone, and recompute the rest in the backward pass."""
        self._checkpointing("enable", {"use_reentrant": False})

    def gradient_checkpointing_disable(self) -> None:
        """The LLM's layers keep what the backward pass needs."""
        self._checkpointing("disable")

    def _checkpointing(self, switch: str, *settings: dict[str, bool]) -> None:
        # Until 5.22, all that Python 3.10 can have, transformers calls the activations' checkpoints the gradient's.
        kind = "activation" if hasattr(self.base_llm, "activation_checkpointing_enable") else "gradient"
        getattr(self.base_llm, f"{kind}_checkpointing_{switch}")(*settings)
        self.train(self.training)

    # --- from sound to tokens ----------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, waves: Sequence[Tensor]) -> Features:
        """Features of clips X, each (S,) samples at 16 kHz, by the two frozen encoders.

        Raises:
            SalmonnError: no clips, a clip without samples, or features that are not finite.
        """
        waves = [wave.to(self.device) for wave in waves]
        pad = self.config.pad_to_window
        speech = self.whisper(waves, pad_to_window=pad) if self.whisper else (None, None)
        if self.beats is None:
            return Features(*speech)
        # Faint bands need more digits than float32 has; the published loader has them too. MPS has none.
        precise = waves if self.device.type == "mps" else [wave.double() for wave in waves]
        seconds = self.whisper.window_seconds if self.whisper else 30.0
        return Features(*speech, *self.beats(precise, window_seconds=seconds))

    def fuse(self, features: Features) -> tuple[Tensor, Tensor]:
        """Z (B, T, D) and its lengths (B,): both streams normalized, zero-padded to the longer one, side by side.

        The streams may be of any floating-point type; Z has the trained parts'.
        Source: paper, equation 1; the published code normalizes first and pads afterwards.
        """
        norms, streams = {"whisper": self.ln_speech, "beats": self.ln_audio}, []
        for name, (stream, own) in features.streams().items():
            if norm := norms[name]:
                normed, is_own = norm(stream), length_mask(own, stream.shape[1])
                streams.append(normed if is_own.all() else normed * is_own[..., None])
        T = max(stream.shape[1] for stream in streams)
        padded = [pad(x, (0, 0, 0, T - x.shape[1])) for x in streams]
        return torch.cat(padded, dim=-1), features.lengths

    def get_audio_features(self, features: Features) -> tuple[Tensor, Tensor]:
        """The audio tokens H (B, M, d_llm) of encoded clips and their lengths (B,)."""
        H, lengths = self.connector(*self.fuse(features))
        scale = self.config.connector.token_scale
        return (normalize(H, dim=-1) * self.embedding_norm if scale is None else H * scale), lengths

    def audio_token_count(self, features: Features) -> list[int]:
        """How many audio tokens each clip has; with CTC compression the most that it can have."""
        return list(self.connector.n_tokens(features.lengths).tolist())

    def context_fault(self, audio: int, instruction: str, answer: int) -> str | None:
        """Why so many tokens of audio and answer exceed, with an instruction, the LLM's context; None if they fit."""
        text = len(self.prompt.before) + len(self.prompt.after(instruction))
        context = self.llm.config.max_position_embeddings
        if text + audio + answer <= context:
            return None
        tokens = f"prompt {text:,} + audio {audio:,} + answer {answer:,} tokens"
        return f"{tokens} exceed the language model's context of {context:,}"

    # --- from tokens to answers --------------------------------------------------------------------------------------

    def splice(
        self,
        H: Tensor,
        lengths: Tensor,
        instructions: Sequence[str],
        answers: Sequence[str] | None = None,
        *,
        max_answer_tokens: int | None = None,
    ) -> Spliced:
        """Lay out `<s> USER: <Speech> H </Speech> I ⏎ ASSISTANT: Y </s>` for every clip.

        With answers the rows are padded on the right, for the loss; without on the left, for generation.

        Raises:
            SalmonnError: not one instruction, and one answer if any, for each clip.
        """
        given = {"instructions": instructions} | ({} if answers is None else {"answers": answers})
        for name, texts in given.items():
            if isinstance(texts, str) or len(texts) != len(H):
                what = "a single text" if isinstance(texts, str) else f"{len(texts)}"
                raise SalmonnError(f"{name}: {what} for {len(H)} clips; give a list with one for each clip")
        after = [self.prompt.after(text) for text in instructions]
        ids = None if answers is None else [self.prompt.answer(Y)[:max_answer_tokens] for Y in answers]
        embed = self.base_llm.get_input_embeddings()
        embeds, mask = splice_batch(embed, H, lengths, self.prompt.before, after, ids)
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)
        return Spliced(embeds, mask, positions, answer_labels(mask, ids or [[]] * len(H)))

    def answer_hidden_states(self, spliced: Spliced) -> tuple[Tensor, Tensor, Tensor]:
        """The LLM's states (A, d_llm) where an answer's token is predicted, those tokens (A,), their rows (A,)."""
        output = self.base_llm.model(
            inputs_embeds=spliced.inputs_embeds,
            attention_mask=spliced.attention_mask,
            position_ids=spliced.position_ids,
            use_cache=False,
        )
        targets = spliced.labels[:, 1:]
        asked = targets != IGNORE_INDEX
        return output.last_hidden_state[:, :-1][asked], targets[asked], asked.nonzero()[:, 0]

    def answer_logits(self, spliced: Spliced) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (A, V) where an answer's token is predicted, those tokens (A,), and their rows in the batch (A,)."""
        states, targets, rows = self.answer_hidden_states(spliced)
        return compute_logits(self.base_llm, states), targets, rows

    def forward(self, features: Features, instructions: Sequence[str], answers: Sequence[str]) -> AnswerLoss:
        """The cross-entropy of the answers alone, summed over their tokens (paper, section 3.2)."""
        spliced = self.splice(*self.get_audio_features(features), instructions, answers)
        states, targets, rows = self.answer_hidden_states(spliced)
        each = self._cross_entropy(states, targets)
        by_row = each.new_zeros(len(answers)).index_add(0, rows, each.detach())
        return AnswerLoss(each.sum(), len(targets), by_row)

    @torch.no_grad()
    def log_prob(self, features: Features, instructions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """log P(Y | X, I) of each answer with its end symbol, (B,), in nats."""
        return -self.forward(features, instructions, answers).per_sample

    def _cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        """Of each target (A,), in nats.

        With V words A targets have A·V logits, and the loss holds three copies of them. Beyond `max_logits` they
        come piece by piece, and each piece's are computed again in the backward pass instead of being kept.
        """

        def score(states: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(compute_logits(self.base_llm, states), targets, reduction="none")

        at_once = max(1, self.max_logits // self.base_llm.config.vocab_size)
        if len(states) <= at_once:
            return score(states, targets)
        pieces = zip(states.split(at_once), targets.split(at_once), strict=True)
        return torch.cat([checkpoint(score, *piece, use_reentrant=False) for piece in pieces])

    @torch.no_grad()
    def generate(
        self,
        features: Features,
        instructions: Sequence[str],
        *,
        seed: int | None = None,
        streamer: BaseStreamer | None = None,
        **decoding: Any,
    ) -> list[Answer]:
        """Answers to one instruction a clip: greedy, by beam search, or sampled (with `seed`, repeatably).

        `decoding` holds fields of transformers' `GenerationConfig`; the published code has 4 beams and 200 tokens.
        `streamer`, transformers', takes one clip's tokens as they come.

        Raises:
            SalmonnError: not one instruction or one answer a clip, or a streamer with several clips or beams.
            TypeError: a field that `GenerationConfig` does not have.
        """
        if streamer is not None and (decoding.get("num_beams", 1) > 1 or len(features) > 1):
            given = f"{len(features)} clips and {decoding.get('num_beams', 1)} beams"
            raise SalmonnError(f"a streamer follows one clip without beam search, not {given}: leave it out")
        pad_id, end = self.tokenizer.pad_token_id, self.prompt.eos_token_id
        settings = GenerationConfig(eos_token_id=end, pad_token_id=end if pad_id is None else pad_id)
        drawn = SAMPLING if decoding.get("do_sample") else {}
        if unknown := settings.update(**GREEDY | drawn | decoding):
            raise TypeError(f"GenerationConfig has no field {', '.join(unknown)}")
        if decoding.get("num_return_sequences", 1) != 1 or decoding.get("return_dict_in_generate"):
            raise SalmonnError(
                "a clip has one answer: leave out num_return_sequences and return_dict_in_generate"
            )
        spliced = self.splice(*self.get_audio_features(features), instructions)
        with seeded(seed, self.device), warnings.catch_warnings():
            # That repetitions of the prompt are not penalized is meant: the sound has no token ids.
            warnings.filterwarnings("ignore", "Passing `repetition_penalty` with `inputs_embeds`")
            generated = self.base_llm.generate(
                inputs_embeds=spliced.inputs_embeds,
                attention_mask=spliced.attention_mask.long(),
                generation_config=settings,
                streamer=streamer,
                tokenizer=self.tokenizer if settings.stop_strings else None,
            )
        return [self._answer(row.tolist()) for row in generated]

    def stream_generate(self, features: Features, instruction: str, **decoding: Any) -> Iterator[str]:
        """The answer about one clip in pieces of text, as they come; `decoding` as for `generate`."""
        yield from stream_text(partial(self.generate, features, [instruction], **decoding), self.tokenizer)

    def _answer(self, ids: list[int]) -> Answer:
        ended = self.prompt.eos_token_id in ids
        own = ids[: ids.index(self.prompt.eos_token_id) + 1] if ended else ids
        return Answer(self.prompt.text(own), tuple(own), ended)

    # --- what training changes ---------------------------------------------------------------------------------------

    def trainable_state(self) -> dict[str, Tensor]:
        """Everything that a stage may train, by name, whatever is frozen at the moment; the tensors are live."""
        parts = ("ln_speech.", "ln_audio.", "connector.")
        named = self.named_parameters()
        return {name: p.detach() for name, p in named if name.startswith(parts) or ".lora_" in name}

    @torch.no_grad()
    def load_trainable(self, state: Mapping[str, Tensor], source: str | PathLike[str] = "the state") -> None:
        """Take over what `trainable_state` gave, in this model or in one like it.

        Raises:
            SalmonnError: naming every missing, unexpected and wrongly shaped key.
        """
        own = self.trainable_state()
        check_fit(own, state, source, "its configuration and its weights must belong together")
        for name, tensor in own.items():
            tensor.copy_(state[name])
