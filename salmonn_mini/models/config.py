"""What the model is made of, and the presets toy · small · 7b · 13b, which differ in this file alone.

Field names are those of the libraries that build the parts (transformers' `WhisperConfig` and `LlamaConfig`, the
`cfg` of BEATs checkpoints). No torch here: importing this file is quick.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from salmonn_mini.errors import unknown
from salmonn_mini.models.settings import Settings

SAMPLE_RATE = 16_000  # Hz
HOP = SAMPLE_RATE // 100  # samples between two frames of a spectrogram: 10 ms, in Whisper and in BEATs
CONV_STRIDE = 2  # Whisper's second convolution halves the frame rate
FRAMES_PER_SECOND = SAMPLE_RATE // (HOP * CONV_STRIDE)  # Hz, of Whisper's features and of Z
GAP_SECONDS = 0.1  # of silence between the clips of one sample, as published
BEATS_MELS = 128  # bins of the fbank that BEATs takes

CONNECTORS = ("window_qformer", "segment_qformer", "stacking", "ctc")
TAILS = ("pad", "drop")
CHANNELS = ("mix", "first")


@dataclass(frozen=True)
class Sizes(Settings):
    """Every number is positive, except dropout, which is a proportion."""

    def _check(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("dropout"):
                self._rule(0 <= value < 1, name, "at least 0 and below 1", "0.1 is usual")
            elif type(value) in (int, float):
                self._rule(value > 0, name, "greater than 0", "give a positive number")

    def _divides(self, width: str, parts: str) -> None:
        number = getattr(self, parts)
        fits = getattr(self, width) % number == 0
        self._rule(fits, width, f"divisible by {parts} = {number}", f"change {width} or {parts}")

    def sizes(self) -> dict[str, Any]:
        """Keyword arguments for the configuration of the library that builds the part."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "name_or_path"}


@dataclass(frozen=True)
class WhisperEncoderConfig(Sizes):
    """Whisper's encoder, for speech. The defaults are large-v2's."""

    name_or_path: str = "openai/whisper-large-v2"
    d_model: int = 1280
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    num_mel_bins: int = 80
    max_source_positions: int = 1500

    def _check(self) -> None:
        super()._check()
        self._divides("d_model", "encoder_attention_heads")

    @property
    def window_seconds(self) -> float:
        """Seconds that the encoder takes at once: 30 as published."""
        return self.max_source_positions / FRAMES_PER_SECOND


@dataclass(frozen=True)
class BeatsEncoderConfig(Sizes):
    """BEATs, for all other sounds. The defaults are BEATs_iter3+ AS2M's."""

    name_or_path: str = "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt"
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    embed_dim: int = 512
    input_patch_size: int = 16
    conv_pos: int = 128
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800

    def _check(self) -> None:
        super()._check()
        self._divides("encoder_embed_dim", "encoder_attention_heads")
        self._divides("encoder_embed_dim", "conv_pos_groups")
        rule, remedy = f"a divisor of the {BEATS_MELS} mel bins", "16 is usual"
        self._rule(BEATS_MELS % self.input_patch_size == 0, "input_patch_size", rule, remedy)

    @property
    def bands(self) -> int:
        """Frequency patches at each moment: 8 as published, so 6.25 moments × 8 = 50 tokens a second."""
        return BEATS_MELS // self.input_patch_size


@dataclass(frozen=True)
class LlmConfig(Sizes):
    """The language model, a Llama. The defaults are Vicuna 13B v1.1's."""

    name_or_path: str = "lmsys/vicuna-13b-v1.1"
    hidden_size: int = 5120
    intermediate_size: int = 13_824
    num_hidden_layers: int = 40
    num_attention_heads: int = 40
    num_key_value_heads: int = 40
    vocab_size: int = 32_000
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = False
    add_pad_row: bool = False
    attn_implementation: str = (
        "sdpa"  # transformers' implementation; "eager" is the quickest on a CPU for short rows
    )

    def _check(self) -> None:
        super()._check()
        self._divides("hidden_size", "num_attention_heads")
        self._divides("num_attention_heads", "num_key_value_heads")

    def sizes(self) -> dict[str, Any]:
        """As above; a `[PAD]` row is counted into `vocab_size`."""
        sizes = super().sizes()
        del sizes["attn_implementation"]
        sizes["vocab_size"] += sizes.pop("add_pad_row")
        sizes["rope_parameters"] = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
        return sizes


@dataclass(frozen=True)
class ConnectorConfig(Sizes):
    """From Z (B, T, D) to the LLM's tokens H (B, M, d_llm). The defaults are the paper's.

    "window_qformer" has `num_query_tokens` (N) queries a window, "segment_qformer" `segment_query_tokens` a clip.
    `stride_seconds` None means windows that touch. `stack_frames` belongs to "stacking", `ctc_labels` (blank
    included) to "ctc". `token_scale` is a factor on H, 1 as published: tokens far larger than the LLM's word
    embeddings drown what its layers have to add. None gives every token the mean norm of these embeddings.
    """

    kind: str = "window_qformer"
    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_hidden_layers: int = 2
    num_query_tokens: int = 1
    window_seconds: float = 0.333333
    stride_seconds: float | None = None
    tail: str = "pad"
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1
    segment_query_tokens: int = 88
    stack_frames: int = 17
    ctc_labels: int = 64
    token_scale: float | None = 1.0

    def _check(self) -> None:
        super()._check()
        self._choice("kind", CONNECTORS)
        self._choice("tail", TAILS)
        self._divides("hidden_size", "num_attention_heads")
        self._rule(self.ctc_labels >= 2, "ctc_labels", "at least 2", "the blank and one label")
        frame = 1 / FRAMES_PER_SECOND
        for name in ("window_seconds", "stride_seconds"):
            seconds = getattr(self, name)
            rule = f"at least one frame, {frame} s"
            self._rule(seconds is None or seconds >= frame, name, rule, "0.333333 is usual")


@dataclass(frozen=True)
class AdapterConfig(Sizes):
    """LoRA on the LLM: W + s·BA, with s = lora_alpha / r = 4 as trained."""

    r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def _check(self) -> None:
        super()._check()
        named, remedy = bool(self.target_modules), "q_proj, v_proj are usual"
        self._rule(named, "target_modules", "one name or more", remedy)


@dataclass(frozen=True)
class SalmonnConfig(Settings):
    """All of a model: two encoders (one may be None), a connector, an LLM with LoRA, and the front end's rules.

    `prompt_template` holds one `{}` for sound and instruction; `eos_token` closes an answer. Clips shorter than
    `min_seconds` are filled with zeros, longer than `max_seconds` cut (None: never). `pad_to_window` fills
    Whisper's last window with silence, as published; without it only the clip's own frames are computed.
    """

    name: str
    whisper: WhisperEncoderConfig | None = field(default_factory=WhisperEncoderConfig)
    beats: BeatsEncoderConfig | None = field(default_factory=BeatsEncoderConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    prompt_template: str = "USER: {}\nASSISTANT:"
    eos_token: str = "</s>"
    pad_to_window: bool = True
    channels: str = "mix"
    min_seconds: float = 0.2  # BEATs' first patch spans 175 ms
    max_seconds: float | None = None
    checkpoint: str = ""  # hub name of the published trainable parts

    def _check(self) -> None:
        rule, shortest = self._rule, max(self.min_seconds, 1 / FRAMES_PER_SECOND)
        encodes = self.whisper is not None or self.beats is not None
        rule(encodes, "whisper", "given, unless beats is", "a SALMONN needs at least one encoder")
        gaps, remedy = self.prompt_template.count("{}"), "audio and instruction go there"
        rule(gaps == 1, "prompt_template", "a text with one {}", remedy)
        self._choice("channels", CHANNELS)
        rule(self.min_seconds >= 0, "min_seconds", "at least 0", "0 turns the filling off")
        long_enough = self.max_seconds is None or self.max_seconds >= shortest
        rule(long_enough, "max_seconds", f"at least {shortest} (min_seconds)", "null cuts nothing")

    @property
    def feature_width(self) -> int:
        """D, the width of Z: Whisper's and BEATs' features side by side."""
        whisper = self.whisper.d_model if self.whisper else 0
        return whisper + (self.beats.encoder_embed_dim if self.beats else 0)

    def as_published(self) -> SalmonnConfig:
        """The same sizes behind the published front end: first channel, 1 to 30 s, tail frames dropped."""
        connector = self.connector.replace(tail="drop")
        front_end = {"channels": "first", "min_seconds": 1.0, "max_seconds": 30.0, "pad_to_window": True}
        return self.replace(connector=connector, **front_end)


PRESETS: dict[str, SalmonnConfig] = {
    config.name: config
    for config in (
        SalmonnConfig(
            name="toy",
            whisper=WhisperEncoderConfig(
                name_or_path="",
                d_model=160,
                encoder_layers=4,
                encoder_attention_heads=4,
                encoder_ffn_dim=640,
                max_source_positions=10 * FRAMES_PER_SECOND,
            ),
            beats=BeatsEncoderConfig(
                name_or_path="",
                encoder_layers=4,
                encoder_embed_dim=128,
                encoder_ffn_embed_dim=512,
                encoder_attention_heads=4,
                embed_dim=128,
            ),
            llm=LlmConfig(
                name_or_path="",
                hidden_size=256,
                intermediate_size=640,
                num_hidden_layers=6,
                num_attention_heads=8,
                num_key_value_heads=8,
                vocab_size=1868,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                attn_implementation="eager",
            ),
            connector=ConnectorConfig(
                hidden_size=192,
                num_attention_heads=6,
                intermediate_size=768,
                window_seconds=0.2,
                segment_query_tokens=50,
                stack_frames=10,
                token_scale=0.1,
            ),
            pad_to_window=False,
        ),
        SalmonnConfig(
            name="small",
            whisper=WhisperEncoderConfig(
                name_or_path="openai/whisper-small",
                d_model=768,
                encoder_layers=12,
                encoder_attention_heads=12,
                encoder_ffn_dim=3072,
            ),
            llm=LlmConfig(
                name_or_path="HuggingFaceTB/SmolLM2-360M-Instruct",
                hidden_size=960,
                intermediate_size=2560,
                num_hidden_layers=32,
                num_attention_heads=15,
                num_key_value_heads=5,
                vocab_size=49_152,
                max_position_embeddings=8192,
                rms_norm_eps=1e-5,
                rope_theta=100_000.0,
                tie_word_embeddings=True,
            ),
            eos_token="<|im_end|>",
        ),
        SalmonnConfig(
            name="7b",
            llm=LlmConfig(
                name_or_path="lmsys/vicuna-7b-v1.5",
                hidden_size=4096,
                intermediate_size=11_008,
                num_hidden_layers=32,
                num_attention_heads=32,
                num_key_value_heads=32,
                max_position_embeddings=4096,
                rms_norm_eps=1e-5,
                add_pad_row=True,
            ),
            checkpoint="tsinghua-ee/SALMONN-7B",
        ),
        SalmonnConfig(name="13b", llm=LlmConfig(add_pad_row=True), checkpoint="tsinghua-ee/SALMONN"),
    )
}


def preset(name: str) -> SalmonnConfig:
    """The preset of that name; raises SalmonnError where there is none."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
