"""Where a model runs and in what: the device, the floating-point type, and an LLM in 8 or 4 bits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from salmonn_mini.errors import SalmonnError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FULL_PRECISION = ["lm_head"]  # not quantized: the loss is taken from it


def pick_device(device: str | torch.device | None = None, bits: int | None = None) -> torch.device:
    """The device of that name; "auto": CUDA, else MPS, else the CPU; None: the CPU, or with `bits` this process's GPU.

    Raises SalmonnError for an unknown device, or one that is not here.
    """
    if device is None:  # launchers set LOCAL_RANK
        return torch.device("cpu" if bits is None else f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    kind, colon, index = str(device).partition(":")
    if kind not in there or (colon and not index.isdigit()):
        raise SalmonnError(f"unknown device {str(device)!r}: choose auto, {', '.join(there)}")
    gpus = torch.cuda.device_count() if kind == "cuda" else 1
    if not there[kind] or int(index or 0) >= gpus:
        lacking = {"cuda": "CUDA GPU", "mps": "Apple GPU (MPS)", "cpu": "CPU"}[kind] + f" {index}" * bool(
            index
        )
        raise SalmonnError(f"device {device}: torch sees no {lacking} here; use cpu or auto")
    return torch.device(device)


def pick_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Whisper's and the LLM's type; "auto": bfloat16 on a CUDA GPU that computes in it, else float32.

    Raises SalmonnError for an unknown type.
    """
    if dtype == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise SalmonnError(f"unknown dtype {dtype!r}: choose auto, {', '.join(DTYPES)}")
    return DTYPES[name]


@dataclass(frozen=True)
class Runtime:
    """Where a model runs and in what."""

    device: torch.device
    dtype: torch.dtype  # of Whisper and the LLM
    bits: int | None = None  # of the LLM's quantized matrices

    def __str__(self) -> str:
        bits = f", language model in {self.bits} bits" if self.bits else ""
        return f"on {self.device} in {str(self.dtype).removeprefix('torch.')}{bits}"


def pick_runtime(
    device: str | torch.device | None = None, dtype: str | torch.dtype = "float32", bits: int | None = None
) -> Runtime:
    """What `load` makes of its arguments; raises as `pick_device`, `pick_dtype` and `check_bits`."""
    picked = pick_device(device, bits)
    check_bits(bits, picked)
    return Runtime(picked, pick_dtype(dtype, picked), bits)


def missing_for_quantization(device: torch.device) -> str:
    """What 8 and 4 bits lack on a device; "" if nothing."""
    lacks = ["a CUDA GPU"] * (device.type != "cuda") + ["bitsandbytes"] * (find_spec("bitsandbytes") is None)
    return " and ".join(lacks)


def check_bits(bits: int | None, device: torch.device) -> None:
    """Raises SalmonnError for neither 8 nor 4 bits, a device that is no GPU, or no bitsandbytes."""
    if bits not in (None, 8, 4):
        raise SalmonnError(f"bits is {bits!r}: choose 8 or 4, or leave it out")
    if bits is not None and (lacks := missing_for_quantization(device)):
        remedy = "leave bits out, or use a CUDA GPU with `pip install bitsandbytes`"
        raise SalmonnError(f"an LLM in {bits} bits needs {lacks}, not available on {device.type}: {remedy}")


def quantization_kwargs(bits: int | None, dtype: torch.dtype) -> dict[str, Any]:
    """`from_pretrained`'s arguments for an LLM in 8 bits (LLM.int8) or 4 (NF4, as in QLoRA); None: no arguments.

    The weights go straight to this process's GPU and are computed with in `dtype`. Raises as `check_bits`.
    """
    if bits is None:
        return {}
    check_bits(bits, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    kwargs: dict[str, Any] = {"load_in_8bit": True}
    if bits == 4:
        kwargs = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    config = BitsAndBytesConfig(**kwargs, llm_int8_skip_modules=FULL_PRECISION)
    return {"quantization_config": config, "device_map": {"": pick_device(None, bits).index}}
