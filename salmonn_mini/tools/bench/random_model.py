"""Models of any size with random weights, built on their device, with prompts and clips for them."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, WhisperConfig

from salmonn_mini.models.config import SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained.devices import quantization_kwargs

SPECIAL = {"pad_token": "[PAD]", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
PROMPT = "Transcribe the speech ."
CPU = torch.device("cpu")


def random_model(
    config: SalmonnConfig,
    *,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    bits: int | None = None,
) -> SalmonnModel:
    """A SALMONN of a configuration's sizes with random weights and a vocabulary of numbered words.

    Args:
        device: "meta" gives a model that takes no memory.
        dtype: Whisper's and the LLM's; BEATs and what is trained have float32.
        bits: 8 or 4 for an LLM quantized by bitsandbytes.
    """
    torch.manual_seed(0)
    sizes = LlamaConfig(**config.llm.sizes(), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    settings = {"dtype": dtype, "attn_implementation": config.llm.attn_implementation}
    with device:
        whisper = (
            WhisperEncoder(WhisperConfig(**config.whisper.sizes())).to(dtype) if config.whisper else None
        )
        beats = Beats(BeatsConfig.from_dict(config.beats.sizes())) if config.beats else None
        llm = AutoModelForCausalLM.from_config(sizes, **settings)
        if bits is not None:  # as weights that come from a file
            settings |= {"config": sizes, "state_dict": llm.state_dict(), **quantization_kwargs(bits, dtype)}
            llm = type(llm).from_pretrained(None, **settings)
        tokenizer = numbered_words(config.llm.vocab_size)
        return SalmonnModel(config.replace(eos_token="</s>"), whisper, beats, llm, tokenizer).to(device)


def numbered_words(count: int) -> PreTrainedTokenizerFast:
    """A tokenizer for w4 w5 w6 …: `count` words, the special ones among them."""
    words = [*SPECIAL.values(), *(f"w{i}" for i in range(len(SPECIAL), count))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, SPECIAL["unk_token"]))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, **SPECIAL)


def answer_of(tokens: int) -> str:
    """An answer of so many tokens, the end symbol included."""
    return " ".join(f"w{100 + i % 300}" for i in range(tokens - 1))


def noise(seconds: float, seed: int) -> torch.Tensor:
    """White noise (S,) at 16 kHz."""
    return 0.1 * torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(seed))
