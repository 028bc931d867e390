"""State dicts in files, taken only where every name and every shape fits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import replacing


def check_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str | os.PathLike[str], remedy: str
) -> None:
    """Raises SalmonnError naming each key of `found` that is missing, unexpected or of another shape."""
    ours = {key: tuple(tensor.shape) for key, tensor in expected.items()}
    theirs = {key: tuple(tensor.shape) for key, tensor in found.items()}
    both = [key for key in ours if key in theirs]
    faults = [f"missing {key} {ours[key]}" for key in ours if key not in theirs]
    faults += [f"unexpected {key} {theirs[key]}" for key in theirs if key not in ours]
    faults += [f"{k} has shape {theirs[k]}, expected {ours[k]}" for k in both if theirs[k] != ours[k]]
    if faults:
        raise SalmonnError(f"{source} does not fit the model: {'; '.join(faults)}; {remedy}")


def load_tensors(file: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name; raises SalmonnError where it is missing or incomplete."""
    try:
        return load_file(file)
    except (OSError, SafetensorError) as problem:
        remedy = "give a folder that holds the complete file"
        raise SalmonnError(f"{file}: no weights can be read here ({problem}); {remedy}") from problem


def load_pickle(file: str | os.PathLike[str], rule: str) -> dict[str, Any]:
    """The dictionary in a file that torch.save wrote; no code of the file runs.

    Raises SalmonnError for a missing or damaged file, or no dictionary; it ends in `rule`: what the file should hold.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # a damaged file makes the unpickler raise whatever it stumbles over
        reason = getattr(problem, "strerror", None) or str(problem).split("\n", 1)[0]
        raise SalmonnError(f"cannot read {file} ({reason}); {rule}") from problem
    if not isinstance(content, dict):
        raise SalmonnError(f"{file} holds a {type(content).__name__}; {rule}")
    return content


def save_folder(
    folder: str | os.PathLike[str], tensors: Mapping[str, Tensor], file: str, config: Any
) -> None:
    """`tensors` as the safetensors `file` and `config` as config.json, in `folder`."""
    with replacing(folder) as temporary:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, temporary / file, metadata={"format": "pt"})
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (temporary / "config.json").write_text(text, encoding="utf-8")
