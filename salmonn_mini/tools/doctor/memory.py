"""Memory needed and memory available, and the accelerator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from salmonn_mini.errors import counted
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.pretrained.devices import Runtime, pick_device
from salmonn_mini.tools import size
from salmonn_mini.tools.doctor.environment import FAIL, OK, WARN, Finding
from salmonn_mini.tools.estimates import SMALL, needs

CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_accelerator(config: SalmonnConfig, runtime: Runtime) -> Finding:
    """Which device `pretrained.load` would take, and whether the preset can be used on it."""
    kind = runtime.device.type
    if kind == "cpu":
        text = f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores in use"
        if sum(needs(config).parameters.values()) >= SMALL:
            return Finding(WARN, f"{text}: preset {config.name} is very slow on a CPU", "use a CUDA GPU")
    elif kind == "cuda":
        text = f"{torch.cuda.get_device_name(runtime.device)}, CUDA {torch.version.cuda}"
    else:
        text = "Apple GPU (MPS)"
    return Finding(OK, f"{text}; models run {runtime}")


def check_memory(config: SalmonnConfig, runtime: Runtime) -> Iterator[Finding]:
    """What answering and training need against what is available where the model runs."""
    need, (memory, free, total) = needs(config), memory_there(runtime.device)
    parts = ", ".join(f"{name} {n / 1e6:,.1f} M" for name, n in need.parameters.items())
    yield Finding(OK, f"{sum(need.parameters.values()) / 1e6:,.1f} M parameters: {parts}")
    dtype = str(need.dtype).removeprefix("torch.")
    for what, wanted in (
        (f"answering {runtime}", needs(config, runtime.dtype, runtime.bits).answering),
        (f"training with {counted(need.batch, 'clip')} a step in {dtype}", need.training),
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
    limits = [Path(name).read_text(encoding="ascii").strip() for name in CGROUPS if Path(name).is_file()]
    limit = min([memory.total, *(int(text) for text in limits if text.isdigit())])
    own = psutil.Process().memory_info().rss  # of LIBRARIES, which are counted as needed
    return "RAM", min(limit, memory.available + own), limit
