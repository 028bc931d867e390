"""The frozen ears hear each clip once; their features are kept in memory for the run, and on disk for the next.

A shard of clips is one file, named after all that its features depend on: the sound, the ears' weights, and the
code between them. Equal names hold equal features, so runs can share the folder. A clip that cannot be read leaves
its reason in the file instead of features.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

import salmonn_mini
from salmonn_mini.data import (
    BadClip,
    ClipDataset,
    Example,
    check_bad_share,
    map_in_order,
    prefetch,
    usable,
    write_quarantine,
)
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train.recipe import Recipe

IN_USE_SECONDS = 3600  # seconds
ENCODE_BATCH = 25  # clips of like length in one forward pass
STREAMS = ("whisper", "beats")
CACHE_DTYPE = torch.float16  # half the memory; harmless: LayerNorm follows
CODE = ("audio.py", "models/encoders/**/*.py")  # between sound and features


def encode_usable(
    model: Salmonn, clips: ClipDataset, accelerator: Accelerator, folder: Path, recipe: Recipe
) -> tuple[list[Example], list[Features]]:
    """The questions and features of all clips that can be used; `quarantine.jsonl` in `folder` lists the others.

    Raises:
        SalmonnError: more than `max_bad_share` of the clips are bad, or as `encode_dataset`.
    """
    encoded = encode_dataset(model, clips, Path(recipe.cache_dir), accelerator, recipe.workers)
    if accelerator.is_main_process:
        write_quarantine(clips.examples, encoded, folder)
    said = check_bad_share(clips.examples, encoded, recipe.max_bad_share, folder)
    if said and accelerator.is_main_process:
        tqdm.write(said, file=sys.stderr)
    good = usable(encoded)
    return [clips.examples[i] for i in good], [encoded[i] for i in good]


def encode_dataset(
    model: Salmonn, clips: ClipDataset, cache: Path, accelerator: Accelerator, workers: int = 0
) -> list[Features | BadClip]:
    """The features of each clip in float16, from `cache` or computed and put there; processes share the work.

    `workers` of each process make or read the sound, a shard at a time.

    Raises:
        SalmonnError: features that float16 cannot hold.
    """
    cache.mkdir(parents=True, exist_ok=True)
    ears = _encoder_digest(model)
    shards = clips.shards()
    names = [hashlib.sha256(ears + clips.key(shard)).hexdigest()[:32] for shard in shards]
    files = [cache / f"{name}.safetensors" for name in names]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    if missing:
        total = sum(len(shards[i]) for i in missing)
        with progress(accelerator, desc="encoding clips", unit="clip", total=total) as bar:
            own = [i for i in missing if i % accelerator.num_processes == accelerator.process_index]
            sounds = prefetch(map_in_order(clips.waves, [shards[i] for i in own], workers, ahead=1))
            for i, waves in zip(own, sounds, strict=True):
                _store(files[i], _encode(model, waves))
                bar.update(len(waves) * accelerator.num_processes)
    accelerator.wait_for_everyone()
    for file in files:
        os.utime(file)  # used now: the last to make room
    return [clip for file in files for clip in _load(file)]


def evict(cache: Path, limit: float) -> None:
    """Delete what was used longest ago until `cache` holds at most `limit` bytes.

    What was used within the last hour stays, for a run beside this one may be about to read it.
    """
    files = sorted(cache.glob("*.safetensors"), key=os.path.getmtime)
    total = sum(map(os.path.getsize, files))
    for file in files:
        if total <= limit or file.stat().st_mtime > time.time() - IN_USE_SECONDS:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)


def progress(accelerator: Accelerator, **options: Any) -> tqdm:
    """A progress bar of the main process; TQDM_DISABLE=1 turns it off."""
    return tqdm(**options) if accelerator.is_main_process else tqdm(**options, disable=True)


def digest(tensors: dict[str, Tensor]) -> bytes:
    """A digest of tensors' names and bytes."""
    total = hashlib.sha256()
    for name, tensor in tensors.items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.digest()


def fingerprint(model: Salmonn) -> str:
    """A digest of some numbers of every weight: enough to tell a model from another."""
    few = {name: p.detach().flatten()[:: max(1, p.numel() // 256)] for name, p in model.named_parameters()}
    return digest(few).hex()


def _encoder_digest(model: Salmonn) -> bytes:
    package = Path(salmonn_mini.__file__).parent
    total = hashlib.sha256(f"{CACHE_DTYPE} {model.config.pad_to_30s}".encode())
    for file in sorted(file for pattern in CODE for file in package.glob(pattern)):
        total.update(file.read_bytes())
    for ear in (model.whisper, model.beats):
        total.update(digest(ear.state_dict()) if isinstance(ear, nn.Module) else b"none")
    return total.digest()


def _encode(model: Salmonn, waves: Sequence[Tensor | BadClip]) -> list[Features | BadClip]:
    order = sorted(usable(waves), key=lambda i: len(waves[i]))
    encoded: dict[int, Features | BadClip] = {
        i: wave for i, wave in enumerate(waves) if isinstance(wave, BadClip)
    }
    for start in range(0, len(order), ENCODE_BATCH):
        together = order[start : start + ENCODE_BATCH]
        features = model.encode([waves[i] for i in together])
        encoded |= zip(together, features.to(CACHE_DTYPE).to(torch.device("cpu")).clips(), strict=True)
    return [encoded[i] for i in range(len(waves))]


def _store(file: Path, clips: list[Features | BadClip]) -> None:
    tensors = {}
    reasons = {str(i): clip.reason for i, clip in enumerate(clips) if isinstance(clip, BadClip)}
    good = [clips[i] for i in usable(clips)]
    for name in STREAMS:
        if good and getattr(good[0], name) is not None:
            tensors[name] = torch.cat([getattr(clip, name)[0] for clip in good])
            tensors[f"{name}_lengths"] = torch.cat([getattr(clip, f"{name}_lengths") for clip in good])
            if not tensors[name].isfinite().all():
                raise SalmonnError(
                    f"{name}'s features reach beyond {CACHE_DTYPE}; use ears that were trained to the end"
                )
    beside = file.with_suffix(f".{os.getpid()}")
    safetensors.torch.save_file(tensors, beside, metadata={"bad": json.dumps(reasons)} if reasons else None)
    os.replace(beside, file)


def _load(file: Path) -> list[Features | BadClip]:
    with safetensors.safe_open(file, framework="pt") as whole:
        reasons = json.loads((whole.metadata() or {}).get("bad", "{}"))
    clips = _good(file)
    for i in sorted(map(int, reasons)):
        clips.insert(i, BadClip(reasons[str(i)]))
    return clips


def _good(file: Path) -> list[Features]:
    tensors = safetensors.torch.load_file(file)
    n = max((len(tensor) for name, tensor in tensors.items() if name.endswith("_lengths")), default=0)

    def stream(name: str) -> list[tuple[Tensor | None, Tensor | None]]:
        if name not in tensors:
            return [(None, None)] * n
        lengths = tensors[f"{name}_lengths"]
        pieces = tensors[name].split(lengths.tolist())
        return [(piece[None], length) for piece, length in zip(pieces, lengths.split(1), strict=True)]

    return [Features(*speech, *audio) for speech, audio in zip(*map(stream, STREAMS), strict=True)]
