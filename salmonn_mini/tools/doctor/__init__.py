"""Is everything there that a preset needs? Environment, accelerator, memory, weights; nothing is downloaded.

Versions are checked before torch or transformers is imported: where torch and torchaudio do not match, importing them
fails with a message that names neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from salmonn_mini.models.config import preset
from salmonn_mini.tools.doctor.environment import FAIL, OK, WARN, Finding, check_environment

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine"]


def examine(
    name: str, sources: Mapping[str, str] | None = None, **runtime: Any
) -> Iterator[tuple[str, Iterable[Finding]]]:
    """The sections and their findings, as they come.

    Args:
        name: a preset's.
        sources: files, folders or Hub ids of whisper, beats, llm, checkpoint instead of the preset's own.
        runtime: device, dtype and bits, as for `pretrained.load`.

    Raises:
        SalmonnError: no such preset or device.
    """
    config, environment = preset(name), list(check_environment())
    yield "environment", environment
    if any(finding.level == FAIL for finding in environment):
        yield "accelerator, memory, weights", [Finding(WARN, "skipped", "fix the environment first")]
        return
    from salmonn_mini.pretrained.devices import pick_runtime
    from salmonn_mini.tools.doctor import memory, weights  # only now: they import torch

    picked = pick_runtime(**{"device": "auto", "dtype": "auto"} | runtime)
    yield "accelerator", [memory.check_accelerator(config, picked)]
    yield "memory", memory.check_memory(config, picked)
    yield "weights", weights.check_weights(config, sources or {})
