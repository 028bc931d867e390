"""A frozen LLM whose matrices are kept in 8 or 4 bits, by bitsandbytes, which this project does not require."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from salmonn_mini.errors import SalmonnError

FULL = ("lm_head",)  # stays in `dtype`: the loss is taken from it


def missing_for_quantization(device: torch.device) -> str:
    """What 8 and 4 bits lack on a device; "" if nothing."""
    lacks = ["a CUDA GPU"] * (device.type != "cuda") + ["bitsandbytes"] * (find_spec("bitsandbytes") is None)
    return " and ".join(lacks)


def quantization_kwargs(bits: int | None, dtype: torch.dtype) -> dict[str, Any]:
    """What `from_pretrained` must be told to keep an LLM's matrices in 8 bits (LLM.int8) or 4 (NF4, QLoRA).

    The weights go straight to this process's GPU; what is computed with them is computed in `dtype`. None: nothing.

    Raises:
        SalmonnError: no GPU, or no bitsandbytes.
    """
    if bits is None:
        return {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if lacks := missing_for_quantization(device):
        raise SalmonnError(
            f"an LLM in {bits} bits needs {lacks}, which is not here: install it (pip install bitsandbytes), take "
            f"another machine, or leave bits out"
        )
    if bits == 8:
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(FULL))
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=list(FULL),
        )
    gpu = int(os.environ.get("LOCAL_RANK", "0"))  # as launchers tell each process
    return {"quantization_config": config, "device_map": {"": gpu}}
