"""Two baselines for SALMONN.

    spectrogram only   BEATs without a speech encoder                  as LTU (arXiv 2305.10790)
    cascade            Whisper's transcript and BEATs' tags, as text   as AudioGPT (arXiv 2304.12995)

The first is a configuration, and is trained like any other. The second has nothing to train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    WhisperForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutput

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS, SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.features import Features, length_mask
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained import beats_tags, load_backbones, load_whisper_for_generation
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI

# The toy's tags as text. Those of a voice have none: the LLM would take them for words that were said.
TOY_PHRASES: dict[str, str] = (
    {name: event.phrase for name, event in EVENTS.items()}
    | {style: style for style in MUSIC}
    | {f"tempo {tempo}": tempo for tempo in TEMPI}
    | {f"mode {mode}": mode for mode in MODES}
)
TOY_VOICES = ("male", "female", "child")
THRESHOLD = 0.5  # the least probability of a tag that counts


def spectrogram_only(config: SalmonnConfig) -> SalmonnConfig:
    """The same model without Whisper: any recipe trains it."""
    return config.replace(name=f"{config.name}-spectrogram", whisper=None)


class Cascade(SalmonnModel):
    """A SALMONN without a connector: the words of a transcript and of tags stand in the place of the sound.

    LoRA is as new, so that the LLM is itself at every LoRA scale. Everything else is `SalmonnModel`'s: features are
    encoded once, answers generated and scored.

    Args:
        whisper: a whole Whisper, whose decoder writes with `tokenizer`.
        beats: fine-tuned; `tags` name its classes.
        phrases: each tag as text; tags without a phrase are left out.
        voices: tags of a voice; a transcript is used only where one of them is found. Empty: always.
    """

    def __init__(
        self,
        config: SalmonnConfig,
        whisper: WhisperForConditionalGeneration,
        beats: Beats,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tags: Sequence[str],
        phrases: Mapping[str, str],
        voices: Sequence[str] = (),
    ) -> None:
        encoder = WhisperEncoder(whisper.config)
        encoder.encoder = whisper.model.encoder
        super().__init__(config, encoder, beats, llm, tokenizer)
        self.ln_speech = self.ln_audio = self.connector = None
        self.writer = whisper.requires_grad_(False).eval()
        self.tags, self.phrases, self.voices = tuple(tags), phrases, voices
        if len(self.tags) != beats.config.predictor_class or not beats.config.finetuned_model:
            raise SalmonnError(
                f"BEATs has {beats.config.predictor_class} classes, but there are {len(self.tags)} names of "
                "tags: give a fine-tuned BEATs and a name for each of its classes, in order"
            )

    def get_audio_features(self, features: Features) -> tuple[Tensor, Tensor]:
        """The words of clips, embedded: (B, M, d_llm), and how many tokens they are (B,)."""
        ids = [torch.tensor(self.prompt.ids(text), dtype=torch.long) for text in self.words(features)]
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        return self.llm.get_input_embeddings()(pad_sequence(ids, batch_first=True).to(self.device)), lengths

    def words(self, features: Features) -> list[str]:
        """Each clip as text: what is said, then its sounds, the likeliest tag first."""
        texts = []
        for clip, probabilities in zip(features.clips(), self.probabilities(features), strict=True):
            order = probabilities.argsort(descending=True).tolist()
            tags = [self.tags[i] for i in order if probabilities[i] >= THRESHOLD]
            voice = not self.voices or any(tag in self.voices for tag in tags)
            said = self.transcribe(clip) if voice else []
            texts.append(" ".join([*said, *(self.phrases[tag] for tag in tags if tag in self.phrases)]))
        return texts

    @torch.no_grad()
    def probabilities(self, features: Features) -> Tensor:
        """Of each of BEATs' tags in each clip, (B, C)."""
        padding = ~length_mask(features.beats_lengths, features.beats.shape[1])
        return self.beats.class_logits(features.beats, padding).sigmoid()

    def transcribe(self, clip: Features) -> list[str]:
        """What Whisper's decoder writes, greedily, of each window of one clip."""
        config, texts = self.writer.config, []
        for states in clip.whisper.split(config.max_source_positions, dim=1):
            # Whisper's own `generate` cuts long audio itself, and wants the windows whole.
            ids = GenerationMixin.generate(
                self.writer,
                encoder_outputs=BaseModelOutput(states),
                max_length=config.max_target_positions,
            )
            texts.append(self.prompt.text(ids[0].tolist()))
        return [text for text in texts if text]

    def audio_token_count(self, features: Features) -> list[int]:
        """How many tokens each clip's words have."""
        return [len(self.prompt.ids(text)) for text in self.words(features)]


def load_cascade() -> Cascade:
    """The toy's cascade; raises SalmonnError where the toy's parts are not there."""
    config = PRESETS["toy"].replace(name="toy-cascade")
    whisper, parts = load_whisper_for_generation(), load_backbones(config)
    tags = {"tags": beats_tags(), "phrases": TOY_PHRASES, "voices": TOY_VOICES}
    return Cascade(config, whisper, parts.beats, parts.llm, parts.tokenizer, **tags)
