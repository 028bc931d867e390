"""Models of any size with random weights, built on their device, with prompts and clips for them."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, WhisperConfig

from salmonn_mini.models.config import SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.salmonn import SalmonnModel

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
    llm_config = LlamaConfig(**config.llm.sizes(), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    with device:
        whisper = (
            WhisperEncoder(WhisperConfig(**config.whisper.sizes())).to(dtype) if config.whisper else None
        )
        beats = Beats(BeatsConfig.from_dict(config.beats.sizes())) if config.beats else None
        attention = config.llm.attention
        llm = AutoModelForCausalLM.from_config(llm_config, dtype=dtype, attn_implementation=attention)
        if bits is not None:
            quantize(llm, bits, device)
        tokenizer = numbered_words(config.llm.vocab_size)
        return SalmonnModel(config.replace(end="</s>"), whisper, beats, llm, tokenizer).to(device)


def quantize(llm: nn.Module, bits: int, device: torch.device) -> None:
    """Keep the matrices of an LLM's layers in 8 bits (LLM.int8) or 4 (NF4); the embeddings stay as they are."""
    import bitsandbytes as bnb  # not among this project's requirements: it is of use on a GPU alone

    kind, kept, settings = bnb.nn.Linear8bitLt, bnb.nn.Int8Params, {"has_fp16_weights": False}
    if bits == 4:
        kind, kept, settings = bnb.nn.Linear4bit, bnb.nn.Params4bit, {"quant_type": "nf4"}
    for module in list(llm.model.layers.modules()):
        for name, linear in list(module.named_children()):
            if isinstance(linear, nn.Linear):
                compute = {"compute_dtype": linear.weight.dtype} if bits == 4 else {}
                small = kind(linear.in_features, linear.out_features, bias=False, **settings, **compute)
                small.weight = kept(linear.weight.data, requires_grad=False, **settings)
                setattr(module, name, small.to(device))
    setattr(llm, f"is_loaded_in_{bits}bit", True)  # peft asks


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
