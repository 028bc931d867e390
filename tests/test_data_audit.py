"""`data audit` and `data pack`: what is counted, what is found wrong, and what the commands print."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from salmonn_mini.cli import main
from salmonn_mini.data import Sample, read_manifest, write_manifest
from salmonn_mini.data.audit import FAULTS, audit


def noise(
    seconds: float, rate: int = 16_000, channels: int = 1, level: float = 0.1, seed: int = 0
) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, (round(rate * seconds), channels))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Good files in several forms, and one with each fault."""
    folder = tmp_path_factory.mktemp("audit")
    files = {
        "good.wav": (noise(2.0), 16_000),
        "stereo.flac": (noise(1.5, 44_100, 2, seed=1), 44_100),
        "low.ogg": (noise(1.0, 8_000, seed=2), 8_000),
        "quiet.wav": (noise(1.0, level=2e-5, seed=3), 16_000),
        "clipped.wav": (np.clip(noise(1.0, level=1.0, seed=4), -1, 1), 16_000),
        "long.flac": (noise(31.0, seed=5), 16_000),
        "copy.wav": (noise(2.0), 16_000),
    }
    for name, (wave, rate) in files.items():
        soundfile.write(folder / name, wave, rate)
    (folder / "empty.wav").touch()
    (folder / "cut.wav").write_bytes((folder / "good.wav").read_bytes()[:30_000])
    rows = [(name, f"words of {name}", "asr") for name in files if name != "copy.wav"]
    rows += [("good.wav", "a hiss", "audio_caption"), ("copy.wav", "words of good.wav", "asr")]
    rows += [("good.wav", "words of good.wav", "asr"), ("low.ogg", " ", "asr"), ("low.ogg", "x", "sing")]
    rows += [("empty.wav", "x", "asr"), ("cut.wav", "x", "asr"), ("gone.wav", "x", "asr")]
    write_manifest(folder / "m.jsonl", [Sample(folder / name, text, task) for name, text, task in rows])
    return folder / "m.jsonl"


def test_an_audit_counts_and_finds_every_fault(manifest):
    found = audit(read_manifest(manifest), jobs=2)
    assert found.samples == 14 and list(found.faults) == list(FAULTS)
    names = {fault: [Path(row["clip"]).name for row in rows] for fault, rows in found.faults.items()}
    assert names == {
        "corrupt": ["empty.wav", "cut.wav", "gone.wav"],
        "silent": ["quiet.wav"],
        "clipped": ["clipped.wav"],
        "over_long": ["long.flac"],
        "duplicate": ["copy.wav", "good.wav"],
        "missing_text": ["low.ogg"],
        "missing_Q": [],
        "not_unicode": [],
        "unknown_task": ["low.ogg"],
    }
    assert found.faults["over_long"][0]["what"] == "31.0 s"
    assert [row["what"].split(";")[0] for row in found.faults["corrupt"]] == [
        "empty (0 bytes)", "damaged: 0.94 s of 2.00 s could be read and are used", "no such file",
    ]  # fmt: skip
    assert found.rates == {16_000: 7, 8_000: 3, 44_100: 1} and found.channels == {1: 10, 2: 1}
    assert found.tasks == {"asr": 12, "audio_caption": 1, "sing": 1}
    seconds = 2.0 * 4 + 1.5 + 1.0 * 5 + 31.0
    assert found.hours == pytest.approx(seconds / 3600, abs=1e-4)
    assert found.hours_of_tasks["sing"] == pytest.approx(1 / 3600, abs=1e-4)
    assert (found.shortest, found.longest) == (1.0, 31.0)
    assert audit(read_manifest(manifest), max_seconds=1.2).faults["over_long"][0]["what"] == "2.0 s"


def test_the_command_prints_a_table_or_json(manifest, capsys):
    assert main(["data", "audit", str(manifest)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("samples   14\nhours     0.01, clips of 1.00 to 31.00 s\n")
    assert "rates     16,000 Hz: 7, 8,000 Hz: 3, 44,100 Hz: 1\n" in out
    assert "corrupt             3   cannot be read" in out and "gone.wav: no such file; check the path" in out
    assert main(["data", "audit", str(manifest), "--json", "--max-seconds", "40", "--jobs", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] == 14 and report["faults"]["over_long"] == []
    assert report["rates"]["44100"] == 1 and len(report["faults"]["corrupt"]) == 3


def test_nothing_that_can_be_read_is_an_audit_too(tmp_path):
    found = audit([Sample(tmp_path / "gone.wav", "x")])
    assert (found.hours, found.longest, found.rates) == (0, 0, {}) and len(found.faults["corrupt"]) == 1
    assert "corrupt             1" in found.table()


def test_an_audit_names_what_a_run_refuses(manifest):
    good = manifest.parent / "good.wav"
    samples = [
        Sample(good, "x", "audio_qa"),
        Sample(good, "x", "audio_qa", "Which?"),
        Sample(good, "bad \ud83d emoji"),
        Sample(good, "x", begin=1.5, end=2.5),
        Sample(good, "x", begin=0.5, end=1.5),
    ]
    faults = audit(samples).faults
    assert [row["what"] for row in faults["missing_Q"]] == [
        "the prompt '{}' of its task 'audio_qa' has a gap; give the sample a Q to fill it"
    ]
    (row,) = faults["not_unicode"]
    assert row["what"].startswith("its text 'bad \\ud83d emoji' is not Unicode")
    (row,) = faults["corrupt"]
    assert row["clip"] == f"{good} [1.5-2.5 s]" and "is outside its 2.00 s" in row["what"]
    assert not faults["duplicate"]


def test_pack_says_what_it_packed(manifest, tmp_path, capsys):
    folder = tmp_path / "packed"
    line = ["data", "pack", str(manifest), str(folder), "--per-shard", "4", "--max-bad-share", "0.3"]
    assert main(line) == 0
    assert capsys.readouterr().out == (
        f"11 of 14 samples in 3 tar files: {folder}\n"
        f"the others cannot be read: see {folder / 'quarantine.jsonl'}\n"
    )
    assert main(line) == 2 and "is packed already" in capsys.readouterr().err
    assert main(["data", "pack", str(manifest), str(tmp_path / "other")]) == 2
    assert "3 of 14 clips cannot be used" in capsys.readouterr().err
    assert main([*line[:-1], "1"]) == 2
    assert "'1' must be a number of at least 0 and below 1" in capsys.readouterr().err
