"""Which weights are here, whether they are complete and of the preset's sizes, and where to get the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import safe_open

from salmonn_mini.errors import counted
from salmonn_mini.files import load_json
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.pretrained import toy_folder
from salmonn_mini.pretrained.source import toy_stages
from salmonn_mini.tools import size
from salmonn_mini.tools.doctor.environment import FAIL, OK, WARN, Finding

BEATS_HOME = "https://github.com/microsoft/unilm/tree/master/beats"
ENDINGS = (".safetensors", ".bin", ".pt", ".pth")
TOKENIZERS = ("tokenizer.json", "tokenizer.model")


def check_weights(config: SalmonnConfig, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Each part's files: found or missing, how large, how many tensors, of the right sizes or not.

    `sources` name places instead of the preset's own: Hub ids, a file's name for BEATs, the toy's folders.
    """
    shapes = {"whisper": config.whisper, "beats": config.beats, "llm": config.llm}
    own = {part: shape.name_or_path or str(toy_folder() / part) for part, shape in shapes.items() if shape}
    if config.name == "toy":
        own |= {f"stage{n}": str(toy_folder() / f"stage{n}") for n in toy_stages() or [1]}
    else:
        own["checkpoint"] = config.checkpoint
    for part, source in (own | dict(sources)).items():
        none = Finding(WARN, f"{part}: none is published for preset {config.name}", "train one")
        yield check_part(config, part, source) if source else none


def check_part(config: SalmonnConfig, part: str, source: str) -> Finding:
    """One part's weights."""
    path, get = Path(source) if Path(source).exists() else cached(source), remedy(source)
    if path is None:
        return Finding(FAIL, f"{part}: {source} is not here", get)
    if part == "llm" and path.is_dir() and not any((path / name).is_file() for name in TOKENIZERS):
        return Finding(FAIL, f"{part}: {path} has no {' or '.join(TOKENIZERS)}", f"copy it there; {get}")
    try:
        files = weight_files(path)
        shapes = {key: shape for file in files for key, shape in read_shapes(file).items()}
    except ValueError as problem:
        return Finding(FAIL, f"{part}: {problem}", f"download it again; {get}")
    tail, shape = landmark(config, part)
    found = next((own for key, own in shapes.items() if key.endswith(tail)), None)
    if found != shape:
        what = f"{tail} of shape {found}" if found else f"no {tail}"
        return Finding(FAIL, f"{part}: {path} has {what}, preset {config.name} needs {shape}", get)
    total = size(sum(file.stat().st_size for file in files))
    return Finding(OK, f"{part}: {path}, {counted(len(files), 'file')}, {total}, {len(shapes)} tensors")


def cached(source: str) -> Path | None:
    """The cache's copy of `owner/name` or `owner/name/file`, without asking the hub."""
    owner, name, *file = source.split("/", 2) if "/" in source else (source, "")
    try:
        path = Path(snapshot_download(f"{owner}/{name}", local_files_only=True)).joinpath(*file)
    except (LocalEntryNotFoundError, HFValidationError):
        return None
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
    for ending in ENDINGS:
        files = set(path.glob(f"*{ending}"))
        for index in path.glob(f"*{ending}.index.json"):
            files = {path / name for name in load_json(index)["weight_map"].values()}
        if missing := sorted(file.name for file in files if not file.is_file()):
            raise ValueError(f"{path} lacks {', '.join(missing)}")
        if files:
            return sorted(files)
    raise ValueError(f"{path} has no weights ({', '.join(ENDINGS)})")


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor in a file; the tensors themselves are not read.

    Raises:
        ValueError: the file is damaged or of another kind.
    """
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        state = torch.load(file, map_location="meta", mmap=True, weights_only=True)
    except Exception as problem:  # a damaged file makes its reader raise whatever it stumbles over
        reason = str(problem).split("\n")[0]
        raise ValueError(f"{file} cannot be read ({reason})") from problem
    state = state.get("model", state) if isinstance(state, dict) else {}
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}


def landmark(config: SalmonnConfig, part: str) -> tuple[str, tuple[int, int]]:
    """The end of a key that only weights of these sizes have, and its shape."""
    whisper, beats, llm = config.whisper, config.beats, config.llm
    if part == "whisper":
        shape = (whisper.encoder_ffn_dim, whisper.d_model)
        return f"encoder.layers.{whisper.encoder_layers - 1}.fc1.weight", shape
    if part == "beats":
        shape = (beats.encoder_ffn_embed_dim, beats.encoder_embed_dim)
        return f"encoder.layers.{beats.encoder_layers - 1}.fc1.weight", shape
    if part == "llm":
        shape = (llm.intermediate_size, llm.hidden_size)
        return f"layers.{llm.num_hidden_layers - 1}.mlp.up_proj.weight", shape
    projection = "speech_llama_proj" if part == "checkpoint" else "connector.projection"
    return f"{projection}.weight", (llm.hidden_size, config.connector.hidden_size)
