"""Which weights are on this machine, whether they are whole and of the preset's sizes, and where to get the others."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.pretrained import toy_folder
from salmonn_mini.tools.doctor.finding import FAIL, OK, WARN, Finding, size
from salmonn_mini.tools.doctor.memory import needs

BEATS_HOME = "https://github.com/microsoft/unilm/tree/master/beats"
TORCH_FILES = (".bin", ".pt", ".pth")
TOKENIZERS = ("tokenizer.json", "tokenizer.model")

Shapes = dict[str, tuple[int, ...]]


def check_weights(config: SalmonnConfig, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Each part's files: found or missing, how large, how many tensors, of the right sizes or not."""
    for part, source in (homes(config) | dict(sources)).items():
        if source:
            yield check_part(config, part, source)
        else:
            yield Finding(WARN, f"{part}: none is published for preset {config.name}", "train one")


def homes(config: SalmonnConfig) -> dict[str, str]:
    """Where the preset's parts are to be had: hub names, a file name for BEATs, the toy's own folders."""
    shapes = {"whisper": config.whisper, "beats": config.beats, "llm": config.llm}
    places = {part: shape.hub or str(toy_folder() / part) for part, shape in shapes.items() if shape}
    if config.name != "toy":
        return places | {"checkpoint": config.checkpoint}
    stages = sorted(toy_folder().glob("stage*")) or [toy_folder() / "stage1"]
    return places | {stage.name: str(stage) for stage in stages}


def check_part(config: SalmonnConfig, part: str, source: str) -> Finding:
    """One part's weights."""
    place = find(source)
    if place is None:
        return Finding(
            FAIL, f"{part}: {source} is not here (about {size(_expected(config, part))})", remedy(source)
        )
    if part == "llm" and place.is_dir() and not any((place / name).is_file() for name in TOKENIZERS):
        return Finding(
            FAIL, f"{part}: {place} has no {' or '.join(TOKENIZERS)}", f"copy it there; {remedy(source)}"
        )
    try:
        files = weight_files(place)
        shapes = {key: shape for file in files for key, shape in read_shapes(file).items()}
    except ValueError as problem:
        return Finding(FAIL, f"{part}: {problem}", f"fetch it anew; {remedy(source)}")
    tail, shape = landmark(config, part)
    found = next((own for key, own in shapes.items() if key.endswith(tail)), None)
    if found != shape:
        what = f"{tail} of shape {found}" if found else f"no {tail}"
        return Finding(
            FAIL, f"{part}: {place} has {what}, preset {config.name} needs {shape}", remedy(source)
        )
    total = sum(file.stat().st_size for file in files)
    plural = "s" * (len(files) > 1)
    return Finding(OK, f"{part}: {place}, {len(files)} file{plural}, {size(total)}, {len(shapes)} tensors")


def find(source: str) -> Path | None:
    """A file or folder of that name, or what the hub's cache on this machine has of it; None if there is neither."""
    return Path(source) if Path(source).exists() else cached(source)


def cached(source: str) -> Path | None:
    """The cache's copy of `owner/name` or `owner/name/file`, without asking the hub."""
    owner, name, *file = source.split("/", 2) if "/" in source else (source, "")
    try:
        folder = Path(snapshot_download(f"{owner}/{name}", local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    place = folder.joinpath(*file)
    return place if place.exists() else None


def remedy(source: str) -> str:
    """How to get what is missing."""
    if source.startswith(str(toy_folder())):
        return "git checkout -- salmonn_mini/pretrained, or train it: salmonn-mini backbones, then train toy-stage1"
    if source.endswith(".pt"):
        return f"put the file here; it is linked from {BEATS_HOME}"
    return f"hf download {source}" if source.count("/") == 1 else "put it there, or name another place"


def weight_files(place: Path) -> list[Path]:
    """The files with weights: one given by name, or a folder's, safetensors before torch's.

    Raises:
        ValueError: there are none, or not all that the folder's index names.
    """
    if place.is_file():
        return [place]
    for index in (*place.glob("*.safetensors.index.json"), *place.glob("*.bin.index.json")):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (place / name).is_file()]
        if missing:
            raise ValueError(f"{place} lacks {', '.join(missing)}")
        return [place / name for name in names]
    files = sorted(place.glob("*.safetensors"))
    files = files or sorted(file for file in place.iterdir() if file.suffix in TORCH_FILES)
    if not files:
        raise ValueError(f"{place} has no weights (.safetensors, {', '.join(TORCH_FILES)})")
    return files


def read_shapes(file: Path) -> Shapes:
    """Key and shape of every tensor in a file; the tensors themselves are not read.

    Raises:
        ValueError: the file is damaged or of another kind.
    """
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        state = torch.load(file, map_location="meta", mmap=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError) as problem:
        raise ValueError(f"{file} cannot be read ({str(problem).splitlines()[0]})") from problem
    state = state.get("model", state) if isinstance(state, dict) else {}
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}


def landmark(config: SalmonnConfig, part: str) -> tuple[str, tuple[int, int]]:
    """The end of a key that only weights of these sizes have, and its shape."""
    llm, connector = config.llm, config.connector
    if part == "llm":
        return f"layers.{llm.num_hidden_layers - 1}.mlp.up_proj.weight", (
            llm.intermediate_size,
            llm.hidden_size,
        )
    if part == "beats":
        inner = config.beats.encoder_ffn_embed_dim
        return f"encoder.layers.{config.beats.encoder_layers - 1}.fc1.weight", (
            inner,
            config.beats.encoder_embed_dim,
        )
    if part == "whisper":
        inner = config.whisper.encoder_ffn_dim
        return f"encoder.layers.{config.whisper.encoder_layers - 1}.fc1.weight", (
            inner,
            config.whisper.d_model,
        )
    projection = "speech_llama_proj.weight" if part == "checkpoint" else "connector.projection.weight"
    return projection, (llm.hidden_size, connector.hidden_size)


def _expected(config: SalmonnConfig, part: str) -> float:
    """Bytes to fetch: the LLM is published in 16 bits, the others in 32, Whisper with its decoder."""
    parameters = needs(config).parameters
    if part == "llm":
        return 2 * parameters["llm"]
    if part == "whisper":
        d, inner, layers = (
            config.whisper.d_model,
            config.whisper.decoder_ffn_dim,
            config.whisper.decoder_layers,
        )
        decoder = layers * (8 * d * d + 2 * d * inner) + d * config.whisper.vocab_size
        return 4 * (parameters["whisper"] + decoder)
    return 4 * parameters.get(part, parameters["trained"])
