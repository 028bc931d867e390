"""What libsndfile cannot decode but ffmpeg can, where it is installed: the recorders of telephones and browsers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salmonn_mini.audio.decoding import CONVERT
from salmonn_mini.errors import SalmonnError

FORMATS = (  # where a file says what it is, what it says, ffmpeg's name of that, and the usual one
    (4, b"ftyp", "mov", "MPEG-4 (M4A)"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "Matroska (WebM)"),
    (0, b"\x30\x26\xb2\x75", "asf", "Windows Media (WMA)"),
    (0, b"#!AMR", "amr", "AMR"),
    (0, (b"\xff\xf1", b"\xff\xf9"), "aac", "AAC"),
)
INSTALL = (
    "install ffmpeg (Debian: apt-get install ffmpeg; macOS: brew install ffmpeg), or save it as WAV or MP3"
)


@contextmanager
def readable(path: str | os.PathLike, max_seconds: float, notes: list[str]) -> Iterator[Path]:
    """The file itself, or for the time of the block a WAV that ffmpeg makes of it; then `notes` gains a line.

    The format is forced and nothing but the file may be opened: a playlist in its place could name any other file.

    Raises:
        SalmonnError: ffmpeg is needed and is not installed, or it cannot decode the file either.
    """
    path = Path(path)
    head = path.read_bytes()[:16] if path.is_file() else b""
    kinds = [(demuxer, name) for at, magic, demuxer, name in FORMATS if head[at:].startswith(magic)]
    if not kinds:
        yield path
        return
    (demuxer, name), program = kinds[0], shutil.which("ffmpeg")
    if program is None:
        raise SalmonnError(f"{path}: {name}, which only ffmpeg can read here: {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "decoded.wav"
        line = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", demuxer]
        line += ["-t", f"{max_seconds:g}", "-i", f"file:{path.absolute()}", "-map", "0:a:0", f"file:{wav}"]
        try:
            subprocess.run(line, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as problem:
            raise SalmonnError(f"{path}: {name} without sound that ffmpeg can decode; {CONVERT}") from problem
        notes.append(f"{name}, decoded by ffmpeg, {max_seconds:g} s at most")
        yield wav
