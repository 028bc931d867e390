"""What passes between a judge and a student's process: pickles go in; out comes JSON alone, which cannot run."""

from __future__ import annotations

import base64
import io
import json
import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST = 16 * 2**20  # bytes of a message from a student's process


class _Pickler(pickle.Pickler):
    """Functions that live in the judge alone stay there, and so does what a tensor was computed from."""

    def __init__(self, file: io.BytesIO, callbacks: list[Callable], graphs: list[Tensor]) -> None:
        super().__init__(file)
        self.callbacks, self.graphs = callbacks, graphs

    def persistent_id(self, value: Any) -> tuple | None:
        if isinstance(value, Tensor) and value.grad_fn is not None:
            self.graphs.append(value)
            return "graph", len(self.graphs) - 1, value.detach()
        if _stays(value):
            self.callbacks.append(value)
            return "callback", len(self.callbacks) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, resolve: Callable) -> None:
        super().__init__(file)
        self.persistent_load = resolve


def pack(value: Any, callbacks: list[Callable], graphs: list[Tensor]) -> bytes:
    """Pickle a judge's value; functions and tensors with a history go into the two lists, and their places travel."""
    file = io.BytesIO()
    _Pickler(file, callbacks, graphs).dump(value)
    return file.getvalue()


def unpack(data: bytes, resolve: Callable) -> Any:
    return _Unpickler(io.BytesIO(data), resolve).load()


def _stays(value: Any) -> bool:
    """Whether it is a function written within a rule, or a callable object of an exercise's own class."""
    if isinstance(value, types.FunctionType):
        return "<locals>" in value.__qualname__ or "<lambda>" in value.__qualname__
    rules = type(value).__module__.startswith("salmonn_mini.course.exercises.")
    return rules and callable(value) and not isinstance(value, type)


def encode(value: Any, keep: Callable[[Any], list]) -> Any:
    """A value as JSON: plain data as it is, numbers in arrays by their bytes; `keep` describes anything else."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if value is Ellipsis:
        return ["ellipsis"]
    if type(value) is complex:
        return ["complex", value.real, value.imag]
    if isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta:
        flat = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        dtype = str(flat.dtype).removeprefix("torch.")
        return ["tensor", dtype, [*value.shape], _text(flat.view(torch.uint8).numpy()), value.requires_grad]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcU":
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return [kind, value.dtype.str, [*value.shape], _text(value)]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [encode(part, keep) for part in value]]
    if isinstance(value, dict):
        return ["dict", [[encode(key, keep), encode(part, keep)] for key, part in value.items()]]
    return ["object", *keep(value)]


def decode(data: Any, remote: Callable[..., Any]) -> Any:
    """The value; `remote` stands for what was kept. Raises an Exception of any kind if this is no such JSON."""
    if not isinstance(data, list):
        return data
    kind, *rest = data
    if kind == "tensor":
        dtype, shape, text, requires_grad = rest
        raw = torch.frombuffer(bytearray(base64.b64decode(text)) or bytearray(1), dtype=torch.uint8)
        given = raw[: len(base64.b64decode(text))].view(getattr(torch, dtype)).reshape(shape)
        return given.requires_grad_(requires_grad)
    if kind in ("array", "number"):
        dtype, shape, text = rest
        given = np.frombuffer(base64.b64decode(text), np.dtype(dtype)).reshape(shape).copy()
        return given if kind == "array" else given[()]
    if kind in ("list", "tuple"):
        parts = [decode(part, remote) for part in rest[0]]
        return parts if kind == "list" else tuple(parts)
    if kind == "dict":
        return {decode(key, remote): decode(part, remote) for key, part in rest[0]}
    if kind in ("ellipsis", "complex"):
        return complex(*rest) if rest else ...
    if kind != "object":
        raise ValueError(kind)
    return remote(*rest)


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _text(numbers: np.ndarray | np.generic) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
