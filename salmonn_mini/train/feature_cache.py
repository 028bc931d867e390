"""The frozen encoders encode each clip once; the features stay in memory for the run, and on disk for the next one.

A shard of clips is one file, named after all that its features depend on: the sound, the encoders' weights, the code
between them, and the libraries. Equal names hold equal features, so runs can share a cache. A clip that cannot be
read leaves its reason in the file instead of features.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from tqdm import tqdm

import salmonn_mini
from salmonn_mini.data import BadClip, ClipDataset, map_in_order, prefetch, usable
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import remove_abandoned, write_bytes
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.state import load_pickle

SUFFIXES = (".pt", ".safetensors")  # the second is that of earlier versions
IN_USE_SECONDS = 3600
ENCODE_BATCH = 25  # clips of like length in one forward pass
CACHE_DTYPE = torch.float16  # half the memory; harmless: LayerNorm follows
# Between files and features: code, and versions of libraries.
CODE = ("audio/*.py", "data/manifest.py", "models/**/*.py", "train/feature_cache.py")
LIBRARIES = (torch.__version__, transformers.__version__)


def encode_dataset(
    model: SalmonnModel, clips: ClipDataset, cache: Path, accelerator: Accelerator, workers: int = 0
) -> list[Features | BadClip]:
    """The features of each clip in float16, from `cache` or computed and stored there; processes share the work.

    `workers` of each process make or read the sound, a shard at a time. Raises SalmonnError for features that float16
    cannot hold, or a cache that cannot be written to.
    """
    shards = clips.shards()
    names: list[str | None] = [None] * len(shards)
    if accelerator.is_main_process:  # which reads the sound for the names, and tells the others
        encoders = _encoder_digest(model)
        names = [hashlib.sha256(encoders + clips.key(shard)).hexdigest()[:32] for shard in shards]
    files = [cache / f"{name}.pt" for name in broadcast_object_list(names)]
    _touch(files)
    missing = [i for i, file in enumerate(files) if not file.exists()]
    if missing:
        total = sum(len(shards[i]) for i in missing)
        with progress(accelerator, desc="encoding clips", unit="clip", total=total) as bar:
            own = missing[accelerator.process_index :: accelerator.num_processes]
            sounds = prefetch(map_in_order(clips.waves, [shards[i] for i in own], workers, ahead=1))
            for i, waves in zip(own, sounds, strict=True):
                try:
                    _store(files[i], _encode(model, waves))
                except SalmonnError as error:
                    error.on_one_rank = True  # the other processes have other shards
                    raise
                _touch(files)
                bar.update(len(waves) * accelerator.num_processes)
    accelerator.wait_for_everyone()
    loaded = (_load(file, model, clips, shard) for file, shard in zip(files, shards, strict=True))
    return list(chain.from_iterable(loaded))


def evict(cache: Path, limit: float) -> None:
    """Delete the least recently used files until `cache` holds at most `limit` bytes.

    Those used within the last hour stay: another run may need them. It would compute a deleted one again.
    """
    with suppress(FileNotFoundError):  # another run is evicting
        remove_abandoned(cache, IN_USE_SECONDS)
        files = sorted((f for f in cache.iterdir() if f.suffix in SUFFIXES), key=os.path.getmtime)
        total = sum(map(os.path.getsize, files))
        for file in files:
            if total <= limit or file.stat().st_mtime > time.time() - IN_USE_SECONDS:
                return
            total -= file.stat().st_size
            file.unlink()


def progress(accelerator: Accelerator, **options: Any) -> tqdm:
    """A progress bar of the main process; TQDM_DISABLE=1 turns it off."""
    return tqdm(**options) if accelerator.is_main_process else tqdm(**options, disable=True)


def tensor_digest(tensors: dict[str, Tensor]) -> bytes:
    """A digest of tensors' names and bytes."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.digest()


def fingerprint(model: SalmonnModel) -> str:
    """A digest of some numbers of every weight: enough to distinguish models."""
    few = {name: p.detach().flatten()[:: max(1, p.numel() // 256)] for name, p in model.named_parameters()}
    return tensor_digest(few).hex()


def _encoder_digest(model: SalmonnModel) -> bytes:
    package = Path(salmonn_mini.__file__).parent
    settings = (CACHE_DTYPE, model.config.pad_to_window, model.device.type, *LIBRARIES)
    digest = hashlib.sha256(repr(settings).encode())
    for file in sorted(file for pattern in CODE for file in package.glob(pattern)):
        digest.update(file.read_bytes())
    for encoder in (model.whisper, model.beats):
        digest.update(b"none" if encoder is None else tensor_digest(encoder.state_dict()))
    return digest.digest()


def _touch(files: Sequence[Path]) -> None:
    """Mark the files that are there as used now."""
    for file in files:
        with suppress(FileNotFoundError):
            os.utime(file)


def _encode(model: SalmonnModel, waves: Sequence[Tensor | BadClip]) -> list[Features | BadClip]:
    order, encoded = sorted(usable(waves), key=lambda i: len(waves[i])), list(waves)
    for start in range(0, len(order), ENCODE_BATCH):
        batch = order[start : start + ENCODE_BATCH]
        features = model.encode([waves[i] for i in batch]).to("cpu", CACHE_DTYPE)
        for i, clip in zip(batch, features.clips(), strict=True):
            encoded[i] = clip
    return encoded


def _store(file: Path, clips: Sequence[Features | BadClip]) -> None:
    """Each clip's tensors by their names in `Features`; of a bad one the reason."""
    for clip in clips:
        for name, (frames, _) in {} if isinstance(clip, BadClip) else clip.streams().items():
            if not frames.isfinite().all():
                raise SalmonnError(
                    f"{name}'s features exceed {CACHE_DTYPE}; use encoders that were trained to the end"
                )
    content = BytesIO()
    stored = [clip.reason if isinstance(clip, BadClip) else vars(clip) for clip in clips]
    torch.save({"clips": stored}, content)
    write_bytes(file, content.getbuffer())


def _load(file: Path, model: SalmonnModel, clips: ClipDataset, shard: range) -> list[Features | BadClip]:
    """A shard; one that another run has deleted meanwhile is computed again."""
    if not file.exists():
        _store(file, _encode(model, clips.waves(shard)))
    _touch([file])
    stored = load_pickle(file, "delete it: its features will be computed again")["clips"]
    return [BadClip(clip) if isinstance(clip, str) else Features(**clip) for clip in stored]
