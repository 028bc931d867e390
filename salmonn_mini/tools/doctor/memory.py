"""Memory needed and memory available, by arithmetic over parts that are built without memory (the meta device).

answering   weights + keys and values of 4 beams + the encoders' attention scores
training    weights + 16 bytes a trained parameter + what the LLM's layers keep for the backward pass
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig

from salmonn_mini.models.config import FRAMES_PER_SECOND, SalmonnConfig
from salmonn_mini.models.connectors import build_connector
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.pretrained.devices import Runtime, pick_device
from salmonn_mini.tools.doctor.finding import FAIL, OK, WARN, Finding, size

SMALL = 100e6  # parameters that a CPU can train; such models train in float32
BEAMS = 4
TEXT_TOKENS = 100  # of instruction and answer together in training
NEW_TOKENS = 200
LIBRARIES = 0.6e9  # bytes that Python with torch and transformers takes
ADAM = 16  # bytes a trained parameter: weight, gradient, two moments, in float32
LAYER = 34  # numbers of 16 bits that a layer keeps for each token and width (Korthikanti et al. 2022)
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Needs:
    """What a configuration takes: parameters of each part, and bytes of its weights, to answer and to train."""

    parameters: dict[str, int]
    dtype: torch.dtype
    weights: float
    answering: float
    training: float
    batch: int


@cache
def needs(config: SalmonnConfig, dtype: torch.dtype | None = None, bits: int | None = None) -> Needs:
    """The arithmetic; accurate to a tenth or so at full scale, generous for the toy.

    `dtype` is Whisper's and the LLM's, None: as the preset is trained; `bits` are the LLM's.
    """
    parts = meta_parts(config)
    trained = count(parts["connector"]) + 2 * config.feature_width + _lora(parts["llm"], config)
    parameters = {name: count(parts.get(name)) for name in ("whisper", "beats", "llm")} | {"trained": trained}
    small = sum(parameters.values()) < SMALL
    dtype = dtype or (torch.float32 if small else torch.bfloat16)
    batch, width = 32 if small else 1, dtype.itemsize

    seconds = 5.0 if small else 30.0  # of a clip
    frames = seconds * FRAMES_PER_SECOND
    tokens = seconds / config.connector.window_seconds * config.connector.num_query_tokens
    llm = parameters["llm"] * (bits / 8 if bits else width)
    frozen = width * parameters["whisper"] + llm + 4 * parameters["beats"]  # BEATs stays in float32
    heads = max(part.encoder_attention_heads for part in (config.whisper, config.beats) if part)
    scores = 3 * 4 * heads * frames**2  # of attention, BEATs' bias, their sum
    shape = config.llm
    pair = 2 * shape.num_key_value_heads * (shape.hidden_size // shape.num_attention_heads)
    cache = BEAMS * (tokens + NEW_TOKENS) * shape.num_hidden_layers * pair * width
    kept = batch * (tokens + TEXT_TOKENS) * shape.num_hidden_layers * shape.hidden_size * LAYER / 2 * width
    return Needs(
        parameters,
        dtype,
        weights=frozen + 4 * trained,
        answering=LIBRARIES + frozen + 4 * trained + scores + cache,
        training=LIBRARIES + frozen + ADAM * trained + batch * scores + kept,
        batch=batch,
    )


def meta_parts(config: SalmonnConfig) -> dict[str, nn.Module]:
    """The parts of a model without memory, LoRA and the two LayerNorms aside; an encoder that is None is left out."""
    with torch.device("meta"):
        parts = {
            "whisper": config.whisper and WhisperEncoder(WhisperConfig(**config.whisper.sizes())),
            "beats": config.beats and Beats(BeatsConfig.from_dict(config.beats.sizes())),
            "llm": LlamaForCausalLM(LlamaConfig(**config.llm.sizes())),
            "connector": build_connector(config.connector, config.feature_width, config.llm.hidden_size),
        }
    return {name: part for name, part in parts.items() if part is not None}


def count(part: nn.Module | None) -> int:
    """Parameters of a part, 0 for one that is not there."""
    return sum(p.numel() for p in part.parameters()) if part is not None else 0


def _lora(llm: nn.Module, config: SalmonnConfig) -> int:
    targets = [m for name, m in llm.named_modules() if name.rpartition(".")[2] in config.lora.target_modules]
    return sum(config.lora.r * (module.in_features + module.out_features) for module in targets)


def check_accelerator(config: SalmonnConfig, runtime: Runtime) -> Iterator[Finding]:
    """Which device `pretrained.load` would take, and whether the preset can be used on it."""
    if runtime.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(runtime.device)
        name = torch.cuda.get_device_name(runtime.device)
        text = f"{name}: {size(free)} of {size(total)} free, CUDA {torch.version.cuda}"
    elif runtime.device.type == "mps":
        text = "Apple GPU (MPS)"
    else:
        text = f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores in use"
        if sum(needs(config).parameters.values()) >= SMALL:
            yield Finding(WARN, f"{text}: preset {config.name} is very slow on a CPU", "use a CUDA GPU")
            return
    yield Finding(OK, f"{text}; models run {runtime}")


def check_memory(config: SalmonnConfig, runtime: Runtime) -> Iterator[Finding]:
    """What answering and training need against what is available where the model runs."""
    need, (memory, free, total) = needs(config), memory_there(runtime.device)
    parts = ", ".join(f"{name} {n / 1e6:,.1f} M" for name, n in need.parameters.items())
    yield Finding(OK, f"{sum(need.parameters.values()) / 1e6:,.1f} M parameters: {parts}")
    dtype = str(need.dtype).removeprefix("torch.")
    for what, wanted in (
        (f"answering {runtime}", needs(config, runtime.dtype, runtime.bits).answering),
        (f"training with {need.batch} clip{'s' * (need.batch > 1)} a step in {dtype}", need.training),
    ):
        text = f"{what} needs about {size(wanted)}, {memory} has {size(free)} free of {size(total)}"
        if wanted <= free:
            yield Finding(OK, text)
        elif wanted <= total:
            yield Finding(WARN, text, "close other programs first")
        else:
            yield Finding(FAIL, text, "use a larger machine or a smaller preset")


def memory_there(device: torch.device | None = None) -> tuple[str, float, float]:
    """Which memory, and bytes free and in all: a GPU's, or RAM within the container's limit; None: as "auto"."""
    device = device or pick_device("auto")
    if device.type == "cuda":
        return ("the GPU", *torch.cuda.mem_get_info(device))
    memory = psutil.virtual_memory()
    limit = min([memory.total, *_limits()])
    own = psutil.Process().memory_info().rss  # of LIBRARIES, which are counted as needed
    return "RAM", min(limit, memory.available + own), limit


def _limits() -> Iterator[int]:
    for name in CGROUPS:
        file = Path(name)
        if file.is_file() and (text := file.read_text().strip()).isdigit():
            yield int(text)
