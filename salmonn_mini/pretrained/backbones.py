"""The frozen parts of a SALMONN, from files: Whisper, BEATs, and the LLM with its tokenizer.

Each part is a folder, a file, or a repository on the Hub. The toy's parts are shipped:

    pretrained/toy/whisper/   transformers' folder of a whole Whisper, float16
                   beats/     config.json {"cfg", "tags"} and model.safetensors, float16
                   llm/       transformers' folder with the tokenizer, float16
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.utils import logging

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import load_json, replacing
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig, load_beats_checkpoint
from salmonn_mini.models.encoders.beats.model import SHARED_TABLE
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.models.state import load_tensors, save_folder
from salmonn_mini.pretrained.devices import quantization_kwargs
from salmonn_mini.pretrained.source import HUB_ID, toy_folder

TORCH_FILES = (".pt", ".pth")
PathLike = str | os.PathLike[str]


class Backbones(NamedTuple):
    """What `SalmonnModel` is put together from; an encoder is None where the configuration has none."""

    whisper: WhisperEncoder | None
    beats: Beats | None
    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_backbones(
    config: SalmonnConfig, dtype: torch.dtype = torch.float32, bits: int | None = None
) -> Backbones:
    """The parts that a configuration names by `name_or_path`; "" stands for the toy's own.

    `dtype` is Whisper's and the LLM's; BEATs stays in float32, for float16 overflows it. `bits` is the LLM's alone.
    Raises SalmonnError for a part that is missing, or whose weights do not fit; or as `quantization_kwargs`.
    """
    toy, llm = toy_folder(), config.llm
    whisper = load_whisper(config.whisper.name_or_path or toy / "whisper", dtype) if config.whisper else None
    beats = load_beats(config.beats.name_or_path or toy / "beats") if config.beats else None
    settings: dict[str, Any] = {name: getattr(llm, name) for name in ("add_pad_row", "attn_implementation")}
    return Backbones(whisper, beats, *load_llm(llm.name_or_path or toy / "llm", dtype, bits=bits, **settings))


def find_torch_file(source: PathLike) -> Path:
    """A file of torch.save: itself, the only one in a folder, or on the Hub as `owner/name` or `owner/name/file`.

    Raises SalmonnError if there is none, or more than one.
    """
    path = Path(source)
    if not path.exists():
        on_hub = re.fullmatch(f"({HUB_ID})(?:/(.+))?", str(source))
        if not on_hub:
            remedy = "check the path, or give a Hub id, owner/name or owner/name/file"
            raise SalmonnError(f"{source}: no such file; {remedy}")
        path = download(on_hub[1], on_hub[2] or [f"*{ending}" for ending in TORCH_FILES])
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in TORCH_FILES)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or f"no file in {' or '.join(TORCH_FILES)}"
        raise SalmonnError(f"{source} holds {found}; name one file")
    return files[0]


def download(repository: str, files: str | list[str], revision: str | None = None) -> Path:
    """A file of a repository on the Hub, or a folder of those that match patterns; from the cache without a network.

    Raises SalmonnError if it is not there, or the Hub cannot be reached.
    """
    remedy = "check the path, the Hub id (owner/name) and the network"
    with _explained(repository, "not found locally or on the Hub", remedy):
        if isinstance(files, str):
            return Path(hf_hub_download(repository, files, revision=revision))
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files))


def load_whisper(source: PathLike, dtype: torch.dtype = torch.float32) -> WhisperEncoder:
    """Whisper's encoder out of a whole Whisper; the decoder is not read."""
    with torch.device("meta"):
        whisper = WhisperEncoder(_from_pretrained(WhisperConfig, source))
    model = _load_model(WhisperModel, source, only="encoder.", decoder_layers=0, dtype=dtype)
    whisper.encoder = model.encoder
    return whisper.eval()


def load_whisper_for_generation() -> WhisperForConditionalGeneration:
    """The toy's whole Whisper, which transcribes by itself."""
    source = toy_folder() / "whisper"
    return _load_model(WhisperForConditionalGeneration, source, dtype=torch.float32)


def load_beats(source: PathLike) -> Beats:
    """BEATs in float32, from a folder as `save_backbones` writes it, or from what `find_torch_file` finds."""
    config, weights = Path(source) / "config.json", Path(source) / "model.safetensors"
    if not config.is_file():
        return load_beats_checkpoint(find_torch_file(source))
    beats = Beats(BeatsConfig.from_dict(load_json(config)["cfg"]))
    beats.load_weights(load_tensors(weights), str(weights))
    return beats.eval()


def beats_tags() -> tuple[str, ...]:
    """The names of the classes of the toy's BEATs, in order."""
    return tuple(load_json(toy_folder() / "beats" / "config.json")["tags"])


def load_llm(
    source: PathLike,
    dtype: torch.dtype = torch.float32,
    *,
    add_pad_row: bool = False,
    attn_implementation: str = "sdpa",
    bits: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A language model and its tokenizer.

    Args:
        add_pad_row: append [PAD] to the vocabulary, with a random row, as published.
        attn_implementation: transformers' name of an implementation.
        bits: 8 or 4 to quantize the matrices, on a GPU; None: in `dtype`.

    Raises SalmonnError for weights that are missing or do not fit; or as `quantization_kwargs`.
    """
    quantized = quantization_kwargs(bits, dtype)
    tokenizer = _from_pretrained(AutoTokenizer, source)
    llm = _load_model(
        AutoModelForCausalLM, source, dtype=dtype, attn_implementation=attn_implementation, **quantized
    )
    if add_pad_row:
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # The folder's own decoding defaults would affect every answer.
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    llm.generation_config = GenerationConfig(**ends)
    return llm, tokenizer


def save_backbones(
    folder: PathLike,
    whisper: WhisperForConditionalGeneration,
    beats: Beats,
    tags: Sequence[str],
    llm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write the toy's parts in float16, each file whole or not at all, else SalmonnError; `tags`: BEATs' classes."""
    folder = Path(folder)
    with _quiet(), replacing(folder / "whisper") as temporary:
        _half(whisper).save_pretrained(temporary)
    with _quiet(), replacing(folder / "llm") as temporary:
        _half(llm).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    state = beats.state_dict().items()
    once = {key: x.half() for key, x in state if not key.endswith(SHARED_TABLE) or ".0." in key}
    config = {"cfg": beats.config.sizes(), "tags": list(tags)}
    save_folder(folder / "beats", once, "model.safetensors", config)


def _half(model: Any) -> Any:
    return copy.deepcopy(model).cpu().half()


def _from_pretrained(kind: type[Any], source: PathLike, **settings: Any) -> Any:
    remedy = "give a folder as save_pretrained writes it, or a Hub id"
    with _quiet(), _explained(source, "transformers cannot load this", remedy):
        return kind.from_pretrained(source, **settings)


def _load_model(kind: type[Any], source: PathLike, *, only: str = "", **settings: Any) -> Any:
    """A model of transformers in which every weight that begins with `only` came from the file."""
    settings |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, info = _from_pretrained(kind, source, **settings)
    faults = {key: f"missing {key}" for key in info["missing_keys"]}
    faults |= {key: f"unexpected {key}" for key in info["unexpected_keys"]}
    for key, found, expected in info["mismatched_keys"]:
        faults[key] = f"{key} has shape {tuple(found)}, expected {tuple(expected)}"
    prefix = f"{model.base_model_prefix}."
    listed = [faults[key] for key in sorted(faults) if key.removeprefix(prefix).startswith(only)]
    if listed:
        remedy = "download or write the folder again"
        raise SalmonnError(f"{source} does not fit its config.json: {'; '.join(listed)}; {remedy}")
    return model.eval()


@contextmanager
def _explained(source: PathLike, fault: str, remedy: str) -> Iterator[None]:
    """What a library raises, in one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
        reason = str(problem).split("\n", 1)[0].rstrip(".")
        raise SalmonnError(f"{source}: {fault} ({reason}); {remedy}") from problem


@contextmanager
def _quiet() -> Iterator[None]:
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
