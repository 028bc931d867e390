"""A SALMONN of a few thousand random parameters, whole, for tests that need one and not its answers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from salmonn_mini.models.config import (
    AdapterConfig,
    BeatsEncoderConfig,
    ConnectorConfig,
    LlmConfig,
    SalmonnConfig,
    WhisperEncoderConfig,
)
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained import save_backbones
from salmonn_mini.toy.backbones.text import train_tokenizer
from salmonn_mini.toy.world.text_tasks import TextSample

SENTENCES = ("the farmer buys a red apple", "a dog barks , then a bell rings", "anna sings in the garden")
END = 2  # the token id of </s>
DECODER = {
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_target_positions": 16,
    "vocab_size": 512,
}  # of the tiny Whisper, which SALMONN leaves out


def tiny_config(dropout: float = 0.1, **changes: object) -> SalmonnConfig:
    """The sizes of `tiny_salmonn`, with the toy's front end."""
    whisper = WhisperEncoderConfig(
        name_or_path="", d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32,
        max_source_positions=500,
    )  # fmt: skip
    beats = BeatsEncoderConfig(
        name_or_path="", encoder_layers=1, encoder_embed_dim=16, encoder_ffn_embed_dim=32, encoder_attention_heads=2,
        embed_dim=16, conv_pos=8, conv_pos_groups=4,
    )  # fmt: skip
    llm = LlmConfig(
        name_or_path="", hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=512, max_position_embeddings=256,
    )  # fmt: skip
    connector = ConnectorConfig(
        hidden_size=32, num_attention_heads=2, intermediate_size=64, window_seconds=0.2, segment_query_tokens=4,
        stack_frames=10, dropout=dropout,
    )  # fmt: skip
    parts = {
        "whisper": whisper,
        "beats": beats,
        "llm": llm,
        "connector": connector,
        "lora": AdapterConfig(lora_dropout=dropout),
    }
    return SalmonnConfig(name="tiny", pad_to_window=False, **parts).replace(**changes)


def tiny_salmonn(
    seed: int = 0, config: SalmonnConfig | None = None, kind: type = SalmonnModel
) -> SalmonnModel:
    """Random weights; equal seeds give equal models."""
    config = config or tiny_config()
    whisper, beats, llm, tokenizer = _parts(seed, config)
    ears = WhisperEncoder(whisper.config)
    ears.encoder = whisper.model.encoder
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(config, config.whisper and ears.eval(), config.beats and beats, llm, tokenizer)


def tiny_toy(folder: Path, seed: int = 0) -> Path:
    """Tiny parts in the toy's place: with SALMONN_MINI_TOY = `folder`, "toy" is made of them."""
    whisper, beats, llm, tokenizer = _parts(seed, tiny_config())
    save_backbones(folder, whisper, beats, (), llm, tokenizer)
    return folder


def _parts(seed: int, config: SalmonnConfig) -> tuple:
    tokenizer = train_tokenizer([TextSample("asr", text, "Write it down.", text) for text in SENTENCES])
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
    sizes = config.llm.sizes() | {"vocab_size": len(tokenizer)}
    # With Llama's own 0.02 so small an LLM is nearly constant, and no LoRA could change its answers.
    settings = {"initializer_range": 0.2, "attn_implementation": "eager"}
    ears = tiny_config() if config.whisper is None or config.beats is None else config
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whisper = WhisperForConditionalGeneration(
            WhisperConfig(**ears.whisper.sizes(), **DECODER, **ids, decoder_start_token_id=1)
        )
        beats = Beats(BeatsConfig.from_dict(ears.beats.sizes()))
        llm = LlamaForCausalLM(LlamaConfig(**sizes, **ids, **settings))
    return whisper.eval(), beats.eval(), llm, tokenizer
