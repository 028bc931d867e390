"""Files as libsndfile decodes them (wav, flac, mp3, ogg, opus and more), and what is wrong with the others."""

from __future__ import annotations

import io
import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import CHANNELS

RATES = range(1_000, 384_001)  # Hz
MAX_CHANNELS = 64
BLOCK = 4_096  # frames decoded at a time: a damaged file is lost from its damaged block on
TOLERANCE = 0.1  # seconds by which headers, decoders and annotations disagree about lengths
CONVERT = "re-encode it, for instance with: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"
NOT_AUDIO = (  # how files begin that are no audio, what they are, and the remedy
    (b"version https://git-lfs", "a git-lfs pointer, not the audio itself; fetch it with: git lfs pull"),
    (b"<!doctype html", "an HTML page, not audio (a failed download?); download the file again"),
    (b"<html", "an HTML page, not audio (a failed download?); download the file again"),
    (b"<?xml", "an XML text, not audio (a failed download?); download the file again"),
    (b"{", "a JSON text, not audio; name the audio file itself"),
    (b"pk\3\4", "a zip archive, not audio; unpack it and name a file in it"),
    (b"\x1f\x8b", "a gzip archive, not audio; unpack it and name a file in it"),
)


@dataclass
class Sound:
    samples: Tensor  # (S,) float32, mono
    rate: int  # Hz
    seconds: float  # of the file or segment, also where only its beginning was decoded
    notes: list[str]


def decode(
    path: str | os.PathLike, begin: float | None, end: float | None, channels: str, max_seconds: float | None
) -> Sound:
    """Decode a file as mono from `begin` until `end`, the first damage, or a little beyond `max_seconds`.

    Raises:
        SalmonnError: as `load_audio`, but for the samples' values.
    """
    head = _read_head(path)
    # libmpg123 prints to the process's stderr; the formats known by these heads never reach it.
    quiet = nullcontext() if head[:4] in (b"RIFF", b"fLaC", b"OggS") else _quiet_stderr
    try:
        with quiet:
            return _decode(path, begin or 0.0, math.inf if end is None else end, channels, max_seconds)
    except SalmonnError:
        raise
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as problem:
        raise SalmonnError(f"{path}: {_what_it_is(head, problem)}") from problem


class _File(soundfile.SoundFile):
    """Reads without seeking after each block, which fails where a FLAC file does not tell its length."""

    def seekable(self) -> bool:
        return False


def _read_head(path: str | os.PathLike) -> bytes:
    """The first bytes of a file that is there, is a file, may be read and is not empty."""
    head, fault = b"", "empty (0 bytes); an audio file has samples: record or copy it again"
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                head = file.read(512)
        elif os.path.isdir(path):
            fault = "a folder, not an audio file; name a file in it"
        elif os.path.exists(path):
            fault = "neither a file nor a link to one; copy the audio into a file first"
        else:
            fault = "no such file; check the path"
    except OSError as problem:
        fault = f"cannot be opened ({problem.strerror}); check the path and its permissions"
    if not head:
        raise SalmonnError(f"{path}: {fault}")
    return head


def _what_it_is(head: bytes, problem: Exception) -> str:
    """What a file is that cannot be decoded, and the remedy."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, what in NOT_AUDIO:
        if start.startswith(beginning):
            return what
    text = head.decode("utf-8", "ignore")  # the last character may be cut
    if len(text.encode()) > len(head) - 4 and not re.search(r"[\0-\x08\x0e-\x1f]", text):
        return "a text file, not audio; name the audio file itself"
    reason = getattr(problem, "error_string", "") or str(problem) or type(problem).__name__
    if "File does not exist" in reason:  # what libsndfile says of an MP3 without one good frame
        reason = "malformed MP3"
    return f"not audio that can be read ({reason.strip(' .')}); {CONVERT}"


def _decode(
    path: str | os.PathLike, begin: float, end: float, channels: str, max_seconds: float | None
) -> Sound:
    with open_audio(path) as file:
        rate, total = file.samplerate, _total_frames(path, file)
        first, last = _frames(path, begin, end, rate, total)
        wanted = last - first
        limit = wanted if max_seconds is None else min(wanted, round((max_seconds + TOLERANCE) * rate))
        blocks, broken = [], False
        try:
            for block in _blocks(file, first, limit, "float32"):
                blocks.append(mix(torch.from_numpy(block), channels))
        except soundfile.SoundFileError:
            broken = True
        kept = "mixed to one" if channels == "mix" else "the first kept"
        notes = [f"{file.channels} channels, {kept}"] if file.channels > 1 else []
    samples = torch.cat(blocks) if blocks else torch.zeros(0)
    decoded, seconds, known = len(samples), len(samples) / rate, wanted < math.inf
    short = known and decoded < limit - TOLERANCE * rate  # decoders round lengths up to their blocks
    if total == math.inf and (short or (first and not decoded)):
        raise _outside(path, begin, end, first / rate + seconds)
    damage = ""
    if (broken and known) or short:
        damage = f"{seconds:.2f} s of {wanted / rate:.2f} s could be read and are used"
    elif broken or (end == math.inf and limit == wanted and _is_cut_ogg(path)):
        damage = f"the end is missing; the {seconds:.2f} s before it are used"
    if damage and seconds < TOLERANCE:
        raise SalmonnError(f"{path}: damaged: {seconds:.2f} s can be read, too little to use; copy it again")
    notes += [f"damaged: {damage}"] if damage else []
    return Sound(samples, rate, wanted / rate if decoded >= limit < wanted else seconds, notes)


def cut(path: str | os.PathLike, begin: float | None, end: float | None) -> bytes:
    """A segment of a file as 16-bit FLAC, at the file's own rate and with its channels."""
    content = io.BytesIO()
    with _quiet_stderr, open_audio(path) as file:
        end, total = math.inf if end is None else end, _total_frames(path, file)
        first, last = _frames(path, begin or 0.0, end, file.samplerate, total)
        samples = np.concatenate(list(_blocks(file, first, last - first, "float64")))
        soundfile.write(content, samples, file.samplerate, format="FLAC")
    return content.getvalue()


def open_audio(path: str | os.PathLike) -> _File:
    """Open a file, also a WAV whose header says 0 samples because its length was not known yet.

    Raises:
        SalmonnError: an absurd rate or number of channels.
    """
    file = _File(os.fsencode(path) if os.name == "posix" else path)  # a name need not be Unicode
    if file.format.startswith("WAV") and not file.frames:
        file.close()
        content = bytearray(Path(path).read_bytes())
        size, data = int.from_bytes(content[4:8], "little"), content.find(b"data")
        if size + 8 != len(content) and data > 0:
            content[data + 4 : data + 8] = b"\xff" * 4
        file = _File(io.BytesIO(content))
    found = f"{file.channels} channels; at most {MAX_CHANNELS}" if file.channels > MAX_CHANNELS else ""
    if file.samplerate not in RATES:
        found = f"sample rate {file.samplerate:,} Hz; {RATES[0]:,} to {RATES[-1]:,} Hz"
    if found:
        file.close()
        raise SalmonnError(f"{path}: {found} can be read; {CONVERT}")
    return file


def mix(samples: Tensor, channels: str) -> Tensor:
    """(S, channels) → (S,), their average or the first."""
    if channels not in CHANNELS:
        raise SalmonnError(f'channels = {channels!r}; choose "mix" (their average) or "first"')
    return samples[:, 0] if channels == "first" else samples.mean(1)


def _blocks(file: soundfile.SoundFile, first: int, count: float, dtype: str) -> Iterator[np.ndarray]:
    """At most `count` frames from `first` on, (frames, channels)."""
    if first:
        file.seek(first)
    while len(block := file.read(int(min(BLOCK, count)), dtype=dtype, always_2d=True)):
        yield block
        count -= len(block)


def _frames(path: str | os.PathLike, begin: float, end: float, rate: int, total: float) -> tuple[int, float]:
    """The first frame of a segment, and the one after its last, in a file with `total` frames."""
    if not 0 <= begin < end or begin == math.inf:
        raise SalmonnError(f"{path}: begin = {begin}, end = {end}; in seconds, 0 <= begin < end")
    if (begin and begin * rate >= total) or total + TOLERANCE * rate < end * rate < math.inf:
        raise _outside(path, begin, end, total / rate)
    return round(begin * rate), min(total, end if end == math.inf else round(end * rate))


def _outside(path: str | os.PathLike, begin: float, end: float, seconds: float) -> SalmonnError:
    until = "its end" if end == math.inf else f"{end:g} s"
    return SalmonnError(
        f"{path}: the segment from {begin:g} s to {until} is outside its {seconds:.2f} s; correct begin and end"
    )


def _total_frames(path: str | os.PathLike, file: soundfile.SoundFile) -> float:
    """The frames that the header tells of; infinite where it does not, or where libsndfile only guesses.

    Of a cut WAV libsndfile counts what is there, and logs why.
    """
    if file.frames > 2**60 or (file.format == "MP3" and not _mp3_tells_length(path)):
        return math.inf
    size = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if size is None:
        return file.frames
    claimed, found = int(size[1]), int(size[2])
    streamed = claimed >= 2**31 - 2**16  # written to a pipe: the size was not known yet
    return file.frames if streamed or not found else file.frames * claimed // found


def _mp3_tells_length(path: str | os.PathLike) -> bool:
    """Whether an MP3 begins with a Xing or Info header that counts its frames (flag 1)."""
    with open(path, "rb") as file:
        tag = file.read(10)
        size = sum((byte & 127) << 7 * place for place, byte in enumerate(tag[:5:-1]))  # 4 bytes of 7 bits
        file.seek(10 + size if tag.startswith(b"ID3") else 0)
        found = re.search(rb"(?:Xing|Info)\0\0\0(.)", file.read(2_048), re.DOTALL)
    return found is not None and bool(found[1][0] & 1)


def _is_cut_ogg(path: str | os.PathLike) -> bool:
    """Whether an Ogg file lacks the page that says "end of stream" (flag 4 in a page's sixth byte)."""
    with open(path, "rb") as file:
        is_ogg = file.read(4) == b"OggS"
        file.seek(max(0, os.path.getsize(path) - 2**17))  # a page has at most 65,307 bytes
        last = file.read().rpartition(b"OggS")[2]
    return is_ogg and not (len(last) > 1 and last[1] & 4)


class _QuietStderr:
    """Sends what C libraries print to stderr nowhere, as long as any thread is inside."""

    def __init__(self) -> None:
        self.lock, self.inside, self.saved = threading.Lock(), 0, -1

    def __enter__(self) -> None:
        with self.lock, suppress(OSError):  # stderr is closed: nothing to silence
            self.inside += 1
            if self.inside == 1:
                self.saved = os.dup(2)
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside and self.saved >= 0:
                os.dup2(self.saved, 2)
                os.close(self.saved)
                self.saved = -1


_quiet_stderr = _QuietStderr()
