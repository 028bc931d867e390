"""Is everything there that a preset needs? Environment, accelerator, memory, weights; nothing is fetched.

Each check yields findings. The versions are looked at before torch or transformers is imported: where torch and
torchaudio do not match, importing them fails with a message that names neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from salmonn_mini.models.config import preset
from salmonn_mini.tools.doctor.environment import check_environment
from salmonn_mini.tools.doctor.finding import FAIL, OK, WARN, Finding

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine"]


def examine(name: str, sources: Mapping[str, str] | None = None) -> Iterator[tuple[str, list[Finding]]]:
    """The findings of each section, section by section, as they come.

    Args:
        name: a preset's.
        sources: files, folders or hub names of whisper, beats, llm, checkpoint instead of the preset's own.

    Raises:
        SalmonnError: no such preset.
    """
    config = preset(name)
    environment = list(check_environment())
    yield "environment", environment
    if any(finding.level == FAIL for finding in environment):
        yield "accelerator, memory, weights", [Finding(WARN, "skipped: fix the environment first")]
        return
    from salmonn_mini.tools.doctor import memory, weights  # only now: they import torch

    yield "accelerator", list(memory.check_accelerator(config))
    yield "memory", list(memory.check_memory(config))
    yield "weights", list(weights.check_weights(config, sources or {}))
