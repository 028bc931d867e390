"""The frozen parts of a SALMONN, from files: Whisper, BEATs, and the LLM with its tokenizer.

A part's place is a folder, a file, or a name on the hub. The toy's parts are shipped:

    pretrained/toy/whisper/   transformers' folder of a whole Whisper, float16
                   beats/     config.json {"cfg", "tags"} and model.safetensors, float16
                   llm/       transformers' folder with the tokenizer, float16
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from safetensors import SafetensorError
from torch import nn
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
from salmonn_mini.pretrained.quantization import quantization_kwargs

TORCH_FILES = (".pt", ".pth")
TOY_VARIABLE = "SALMONN_MINI_TOY"  # an environment variable: where the toy lies, if not in the package


def toy_folder() -> Path:
    """Where the toy's weights lie: in the package, or in the folder that SALMONN_MINI_TOY names."""
    return Path(os.environ.get(TOY_VARIABLE) or Path(__file__).parents[1] / "pretrained" / "toy")


@dataclasses.dataclass(frozen=True)
class Backbones:
    """What `Salmonn` is put together from; an ear is None where the configuration has none."""

    whisper: WhisperEncoder | None
    beats: Beats | None
    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_backbones(
    config: SalmonnConfig, dtype: torch.dtype = torch.float32, bits: int | None = None
) -> Backbones:
    """The parts that a configuration names by `hub`; "" stands for the toy's own.

    `dtype` is Whisper's and the LLM's; BEATs stays in float32, for float16 overflows it. `bits` is the LLM's alone.

    Raises:
        SalmonnError: a part that is missing, or whose weights do not fit; or as `quantization_kwargs`.
    """
    place = lambda shape, name: shape.hub or str(toy_folder() / name)  # noqa: E731
    whisper = load_whisper(place(config.whisper, "whisper"), dtype) if config.whisper else None
    beats = load_beats(place(config.beats, "beats")) if config.beats else None
    llm, tokenizer = load_llm(
        place(config.llm, "llm"),
        dtype,
        add_pad_row=config.llm.add_pad_row,
        attention=config.llm.attention,
        bits=bits,
    )
    return Backbones(whisper, beats, llm, tokenizer)


def locate(place: str | os.PathLike) -> Path:
    """A file of torch.save: itself, the only one in a folder, or on the hub as `owner/name` or `owner/name/file`.

    Raises:
        SalmonnError: there is no such file, or more than one.
    """
    path = Path(place) if Path(place).exists() else _from_hub(str(place))
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in TORCH_FILES)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or f"no file in {' or '.join(TORCH_FILES)}"
        raise SalmonnError(f"{place} holds {found}; name the one file that is meant")
    return files[0]


def _from_hub(name: str) -> Path:
    remedy = "check the path, or give a name on the hub as owner/name or owner/name/file"
    repository, file = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    if "/" not in name or name[0] in "/.~":
        raise SalmonnError(f"{name}: no such file; {remedy}")
    try:
        if file:
            return Path(hf_hub_download(repository, file))
        return Path(snapshot_download(repository, allow_patterns=[f"*{ending}" for ending in TORCH_FILES]))
    except (OSError, ValueError) as problem:
        reason = str(problem).split("\n", 1)[0].rstrip(".")
        raise SalmonnError(
            f"{name}: neither a file nor to be had from the hub ({reason}); {remedy}"
        ) from problem


# --- Whisper ---------------------------------------------------------------------------------------------------------


def load_whisper(place: str | os.PathLike, dtype: torch.dtype = torch.float32) -> WhisperEncoder:
    """Whisper's encoder out of a whole Whisper; the decoder is not read."""
    config = _pretrained(WhisperConfig, place)
    without_decoder = copy.deepcopy(config)
    without_decoder.decoder_layers = 0
    model = _pretrained_model(WhisperModel, place, only="encoder.", config=without_decoder, dtype=dtype)
    with torch.device("meta"):
        ears = WhisperEncoder(config)
    ears.encoder = model.encoder
    return ears.eval()


def load_whisper_for_generation(place: str | os.PathLike | None = None) -> WhisperForConditionalGeneration:
    """A whole Whisper, which transcribes by itself; None: the toy's."""
    place = place or toy_folder() / "whisper"
    return _pretrained_model(WhisperForConditionalGeneration, place, dtype=torch.float32)


# --- BEATs -----------------------------------------------------------------------------------------------------------


def load_beats(place: str | os.PathLike) -> Beats:
    """BEATs in float32, from a folder as `save_backbones` writes it, or from what `locate` finds."""
    if not (Path(place) / "config.json").is_file():
        return load_beats_checkpoint(locate(place))
    config = load_json(Path(place) / "config.json")
    beats = Beats(BeatsConfig.from_dict(config["cfg"]))
    file = Path(place) / "model.safetensors"
    beats.load_weights(load_tensors(file), str(file))
    return beats.eval()


def beats_tags(folder: str | os.PathLike | None = None) -> tuple[str, ...]:
    """The names of a fine-tuned BEATs' classes, in order; None: the toy's."""
    return tuple(load_json(Path(folder or toy_folder() / "beats") / "config.json")["tags"])


# --- the LLM ---------------------------------------------------------------------------------------------------------


def load_llm(
    place: str | os.PathLike,
    dtype: torch.dtype = torch.float32,
    *,
    add_pad_row: bool = False,
    attention: str = "sdpa",
    bits: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A language model and its tokenizer.

    Args:
        add_pad_row: put the symbol [PAD] behind the vocabulary, with a random row, as published.
        attention: transformers' name of an implementation.
        bits: 8 or 4 for matrices kept in so many, on a GPU; None: in `dtype`.

    Raises:
        SalmonnError: weights that are missing or do not fit; or as `quantization_kwargs`.
    """
    small = quantization_kwargs(bits, dtype)
    tokenizer = _pretrained(AutoTokenizer, place)
    llm = _pretrained_model(AutoModelForCausalLM, place, dtype=dtype, attn_implementation=attention, **small)
    if add_pad_row:
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # The folder's own decoding defaults would creep into every answer.
    llm.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
    )
    return llm, tokenizer


# --- writing ---------------------------------------------------------------------------------------------------------


def save_backbones(
    folder: str | os.PathLike,
    whisper: WhisperForConditionalGeneration,
    beats: Beats,
    tags: Sequence[str],
    llm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write the toy's parts in float16, each file whole or not at all; `tags` name the classes of BEATs.

    Raises:
        SalmonnError: the folder cannot be written to.
    """
    folder = Path(folder)
    with _quiet(), replacing(folder / "whisper") as beside:
        _half(whisper).save_pretrained(beside)
    with _quiet(), replacing(folder / "llm") as beside:
        _half(llm).save_pretrained(beside)
        tokenizer.save_pretrained(beside)
    once = {
        key: tensor
        for key, tensor in _half(beats).state_dict().items()
        if not key.endswith(SHARED_TABLE) or ".0." in key
    }
    config = {"cfg": dataclasses.asdict(beats.config), "tags": list(tags)}
    save_folder(folder / "beats", once, "model.safetensors", config)


def _half(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).cpu().half()


# --- transformers, quietly -------------------------------------------------------------------------------------------


def _pretrained(kind: type, place: str | os.PathLike, **settings):
    with _quiet():
        try:
            return kind.from_pretrained(place, **settings)
        except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
            reason = str(problem).split("\n", 1)[0].rstrip(".")
            raise SalmonnError(
                f"{place}: transformers cannot load this ({reason}); "
                "give a folder as save_pretrained writes it, or a name on the hub"
            ) from problem


def _pretrained_model(
    kind: type[PreTrainedModel], place: str | os.PathLike, *, only: str = "", **settings
) -> PreTrainedModel:
    """A model of transformers in which every weight that begins with `only` came from the file."""
    model, info = _pretrained(kind, place, output_loading_info=True, ignore_mismatched_sizes=True, **settings)
    faults = [(key, f"missing {key}") for key in sorted(info["missing_keys"])]
    faults += [(key, f"unexpected {key}") for key in sorted(info["unexpected_keys"])]
    faults += [
        (key, f"{key} has shape {tuple(found)}, expected {tuple(expected)}")
        for key, found, expected in sorted(info["mismatched_keys"])
    ]
    prefix = f"{model.base_model_prefix}."
    listed = [fault for key, fault in faults if key.removeprefix(prefix).startswith(only)]
    if listed:
        raise SalmonnError(
            f"{place} does not fit its config.json: {'; '.join(listed)}; download or write the folder again"
        )
    return model.eval()


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
