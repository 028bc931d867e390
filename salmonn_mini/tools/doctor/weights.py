"""Which weights are here, whether they are complete and of the preset's sizes, and where to get the others."""

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
from salmonn_mini.pretrained.source import toy_stages
from salmonn_mini.tools.doctor.finding import FAIL, OK, WARN, Finding, size
from salmonn_mini.tools.doctor.memory import needs

BEATS_HOME = "https://github.com/microsoft/unilm/tree/master/beats"
TORCH_FILES = (".bin", ".pt", ".pth")
TOKENIZERS = ("tokenizer.json", "tokenizer.model")

Shapes = dict[str, tuple[int, ...]]


def check_weights(config: SalmonnConfig, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Each part's files: found or missing, how large, how many tensors, of the right sizes or not."""
    for part, source in (default_sources(config) | dict(sources)).items():
        if source:
            yield check_part(config, part, source)
        else:
            yield Finding(WARN, f"{part}: none is published for preset {config.name}", "train one")


def default_sources(config: SalmonnConfig) -> dict[str, str]:
    """Where the preset's parts come from: Hub ids, a file name for BEATs, the toy's own folders."""
    shapes = {"whisper": config.whisper, "beats": config.beats, "llm": config.llm}
    sources = {part: shape.hub or str(toy_folder() / part) for part, shape in shapes.items() if shape}
    if config.name != "toy":
        return sources | {"checkpoint": config.checkpoint}
    return sources | {f"stage{n}": str(toy_folder() / f"stage{n}") for n in toy_stages() or [1]}


def check_part(config: SalmonnConfig, part: str, source: str) -> Finding:
    """One part's weights."""
    path = Path(source) if Path(source).exists() else cached(source)
    if path is None:
        return Finding(
            FAIL, f"{part}: {source} is not here (about {size(_expected(config, part))})", remedy(source)
        )
    if part == "llm" and path.is_dir() and not any((path / name).is_file() for name in TOKENIZERS):
        return Finding(
            FAIL, f"{part}: {path} has no {' or '.join(TOKENIZERS)}", f"copy it there; {remedy(source)}"
        )
    try:
        files = weight_files(path)
        shapes = {key: shape for file in files for key, shape in read_shapes(file).items()}
    except ValueError as problem:
        return Finding(FAIL, f"{part}: {problem}", f"download it again; {remedy(source)}")
    tail, shape = landmark(config, part)
    found = next((own for key, own in shapes.items() if key.endswith(tail)), None)
    if found != shape:
        what = f"{tail} of shape {found}" if found else f"no {tail}"
        return Finding(FAIL, f"{part}: {path} has {what}, preset {config.name} needs {shape}", remedy(source))
    total = sum(file.stat().st_size for file in files)
    plural = "s" * (len(files) > 1)
    return Finding(OK, f"{part}: {path}, {len(files)} file{plural}, {size(total)}, {len(shapes)} tensors")


def cached(source: str) -> Path | None:
    """The cache's copy of `owner/name` or `owner/name/file`, without asking the hub."""
    owner, name, *file = source.split("/", 2) if "/" in source else (source, "")
    try:
        folder = Path(snapshot_download(f"{owner}/{name}", local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    path = folder.joinpath(*file)
    return path if path.exists() else None


def remedy(source: str) -> str:
    """How to get what is missing."""
    if source.startswith(str(toy_folder())):
        return "git checkout -- salmonn_mini/pretrained, or train it: salmonn-mini backbones, then train toy-stage1"
    if source.endswith(".pt"):
        return f"put the file into this folder; it is linked from {BEATS_HOME}"
    return f"hf download {source}" if source.count("/") == 1 else "put it there, or name another path"


def weight_files(path: Path) -> list[Path]:
    """The files with weights: one given by name, or a folder's, safetensors before torch's.

    Raises:
        ValueError: there are none, or not all that the folder's index names.
    """
    if path.is_file():
        return [path]
    for index in (*path.glob("*.safetensors.index.json"), *path.glob("*.bin.index.json")):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}")
        return [path / name for name in names]
    files = sorted(path.glob("*.safetensors"))
    files = files or sorted(file for file in path.iterdir() if file.suffix in TORCH_FILES)
    if not files:
        raise ValueError(f"{path} has no weights (.safetensors, {', '.join(TORCH_FILES)})")
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
        reason = str(problem).split("\n")[0]
        raise ValueError(f"{file} cannot be read ({reason})") from problem
    state = state.get("model", state) if isinstance(state, dict) else {}
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}


def landmark(config: SalmonnConfig, part: str) -> tuple[str, tuple[int, int]]:
    """The end of a key that only weights of these sizes have, and its shape."""
    llm, beats, whisper = config.llm, config.beats, config.whisper
    if part == "llm":
        key, shape = (
            f"layers.{llm.num_hidden_layers - 1}.mlp.up_proj",
            (llm.intermediate_size, llm.hidden_size),
        )
    elif part == "beats":
        shape = beats.encoder_ffn_embed_dim, beats.encoder_embed_dim
        key = f"encoder.layers.{beats.encoder_layers - 1}.fc1"
    elif part == "whisper":
        key, shape = (
            f"encoder.layers.{whisper.encoder_layers - 1}.fc1",
            (whisper.encoder_ffn_dim, whisper.d_model),
        )
    else:
        key = "speech_llama_proj" if part == "checkpoint" else "connector.projection"
        shape = llm.hidden_size, config.connector.hidden_size
    return f"{key}.weight", shape


def _expected(config: SalmonnConfig, part: str) -> float:
    """Bytes to download: the LLM is published in 16 bits, the others in 32, Whisper with its decoder."""
    parameters = needs(config).parameters
    if part == "llm":
        return 2 * parameters["llm"]
    if part == "whisper":
        shape, d = config.whisper, config.whisper.d_model
        decoder = shape.decoder_layers * (8 * d * d + 2 * d * shape.decoder_ffn_dim) + d * shape.vocab_size
        return 4 * (parameters["whisper"] + decoder)
    return 4 * parameters.get(part, parameters["trained"])
