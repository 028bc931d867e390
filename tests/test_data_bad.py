"""Files that cannot be used: put aside with their reason, listed, counted; the run goes on with the others."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_config, tiny_salmonn

from salmonn_mini import train
from salmonn_mini.audio import save_wav
from salmonn_mini.data import (
    BadClip,
    MixtureDataset,
    Sample,
    load_clip,
    open_dataset,
    try_clip,
    write_manifest,
)
from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import Recipe

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="one of the files is a named pipe")

TINY = tiny_config(dropout=0)
KINDS = {  # of files that cannot be used, and words of the reason
    "missing": "no such file",
    "empty": r"empty \(0 bytes\)",
    "truncated": r"damaged: 0\.2. s of 0\.50 s could be read",
    "text": "an HTML page, not audio",
    "no_samples": "no samples",
    "nan": "1 of 3200 samples are NaN",
    "folder": "a folder, not an audio file",
    "pipe": "neither a file nor a link to one",
    "rate": "sample rate 4,000,000 Hz",
    "loud": "peak 30000; full scale is 1",
}


def tone(seconds: float, pitch: float = 0.1) -> torch.Tensor:
    return 0.3 * torch.sin(torch.arange(round(16_000 * seconds)) * pitch)


def wav_head(size: int, rate: int = 16_000) -> bytes:
    """What stands before the samples of a 16-bit WAV."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def bad_files(folder: Path) -> dict[str, Path]:
    """One file of each kind."""
    places = {kind: folder / f"{kind}.wav" for kind in KINDS}
    places["empty"].touch()
    save_wav(places["truncated"], tone(0.5))
    places["truncated"].write_bytes(places["truncated"].read_bytes()[:8_000])
    places["text"].write_text("<html>404 Not Found</html>" * 20)
    places["no_samples"].write_bytes(wav_head(0))
    wave = np.zeros(3_200, dtype=np.float32)
    wave[100] = np.nan
    soundfile.write(places["nan"], wave, 16_000, subtype="FLOAT")
    places["folder"].mkdir()
    os.mkfifo(places["pipe"])
    places["rate"].write_bytes(wav_head(6_400, rate=4_000_000) + bytes(6_400))
    soundfile.write(places["loud"], np.full(3_200, 30_000, dtype=np.float32), 16_000, subtype="FLOAT")
    return places


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """A manifest of 500 samples, 2 % of them bad, one of each kind; the good ones share 10 files."""
    folder = tmp_path_factory.mktemp("broken")
    for i in range(10):
        save_wav(folder / f"good{i}.wav", tone(0.2 + 0.03 * i, 0.05 * i))
    samples = [Sample(folder / f"good{i % 10}.wav", f"dog {i}") for i in range(490)]
    for place, path in zip(range(25, 500, 50), bad_files(folder).values(), strict=True):
        samples.insert(place, Sample(path, "never heard"))
    write_manifest(folder / "m.jsonl", samples)
    return folder / "m.jsonl"


def recipe_for(manifest: Path | None, folder: Path, **changes) -> Recipe:
    values = {"stage": 1, "steps": 7, "batch_size": 70, "warmup": 2, "connector_lr": 1e-3, "lora_lr": 1e-3}
    values |= {
        "manifest": manifest and str(manifest),
        "output_dir": str(folder / "run"),
        "cache_dir": str(folder / "c"),
    }
    return Recipe(**values | {"trackers": [], "save_every": 50} | changes)


def answers_of(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All answers that a model is trained on from now on."""
    seen, forward = [], model.forward

    def spy(features, prompts, answers):
        seen.extend(answers)
        return forward(features, prompts, answers)

    monkeypatch.setattr(model, "forward", spy)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bad_file_is_told_by_its_reason(tmp_path, kind):
    path = bad_files(tmp_path)[kind]
    found = try_clip(Sample(path, "x"), TINY)
    assert isinstance(found, BadClip) and re.match(KINDS[kind], found.reason), found
    save_wav(tmp_path / "good.wav", tone(0.3))
    second = try_clip(Sample(tmp_path / "good.wav", "x", expand_wav=(path,)), TINY)
    assert kind == "truncated" or second.reason == f"{path.name}: {found.reason}"


def test_what_is_good_or_can_be_mended_is_no_bad_file(tmp_path):
    rng = np.random.default_rng(0)
    for name, channels, rate in (("a.flac", 2, 44_100), ("b.ogg", 1, 8_000), ("c.mp3", 1, 16_000)):
        soundfile.write(tmp_path / name, rng.normal(0, 0.1, (rate // 2, channels)), rate)
        sample = Sample(tmp_path / name, "x")
        assert torch.equal(try_clip(sample, TINY), load_clip(sample, TINY))
    save_wav(tmp_path / "short.wav", tone(0.001))
    assert len(try_clip(Sample(tmp_path / "short.wav", "x"), TINY)) == 3_200  # filled


def test_an_mp3_that_only_guesses_its_length_is_no_bad_file(tmp_path):
    wave = np.concatenate([np.zeros(24_000), np.random.default_rng(0).normal(0, 0.2, 24_000)])
    soundfile.write(tmp_path / "a.mp3", wave, 16_000, bitrate_mode="VARIABLE", compression_level=0.5)
    content = (tmp_path / "a.mp3").read_bytes()
    frames = [match.start() for match in re.finditer(b"\xff[\xf2\xf3]", content)]
    assert b"Xing" in content[: frames[1]]  # the table of frames, and the only one
    (tmp_path / "a.mp3").write_bytes(content[frames[1] :])
    notes: list[str] = []
    load_clip(Sample(tmp_path / "a.mp3", "x"), TINY, notes)
    assert not notes and len(try_clip(Sample(tmp_path / "a.mp3", "x"), TINY)) >= 48_000


def test_a_run_sees_all_good_samples_and_lists_every_bad_one(broken, tmp_path, monkeypatch, capsys):
    model, recipe = tiny_salmonn(config=TINY), recipe_for(broken, tmp_path)
    clips = open_dataset(recipe.manifest, TINY, recipe.seed)
    seen = answers_of(model, monkeypatch)
    assert train.fit(model, clips, recipe)["steps"] == 7  # an epoch: 490 good clips, 70 a step
    assert sorted(seen) == sorted(f"dog {i}" for i in range(490))
    file = tmp_path / "run" / "quarantine.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [Path(row["clip"]).stem for row in rows] == list(KINDS) and {row["task"] for row in rows} == {
        "asr"
    }
    for row, words in zip(rows, KINDS.values(), strict=True):
        assert re.match(words, row["reason"])
    assert f"10 of 500 clips cannot be used and are put aside: see {file}" in capsys.readouterr().err

    again = tiny_salmonn(config=TINY)  # out of the cache: the same clips, the same order, the same reasons
    train.fit(again, clips, recipe_for(broken, tmp_path, output_dir=str(tmp_path / "again")))
    assert (tmp_path / "again" / "quarantine.jsonl").read_text() == file.read_text()
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_more_bad_clips_than_the_share_end_the_run(broken, tmp_path):
    recipe = recipe_for(broken, tmp_path, max_bad_share=0.019)
    words = (
        r"10 of 500 clips.*quarantine\.jsonl; .*max_bad_share = 0.019; the first is .*missing\.wav \(no such"
    )
    with pytest.raises(SalmonnError, match=words):
        train.fit(tiny_salmonn(config=TINY), open_dataset(recipe.manifest, TINY, 0), recipe)
    assert len((tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()) == 10
    nothing = write_manifest(tmp_path / "none.jsonl", [Sample(tmp_path / "none.wav", "x")] * 80)
    recipe = recipe_for(
        tmp_path / "none.jsonl", tmp_path, max_bad_share=0.5, output_dir=str(tmp_path / "other")
    )
    with pytest.raises(SalmonnError, match=f"{nothing} of 80 clips cannot be used"):
        train.fit(tiny_salmonn(config=TINY), open_dataset(recipe.manifest, TINY, 0), recipe)


def test_a_file_that_is_mended_is_heard_anew(tmp_path):
    samples = [Sample(tmp_path / f"{i}.wav", f"dog {i}") for i in range(4)]
    for sample in samples[1:]:
        save_wav(sample.path, tone(0.4))
    samples[0].path.touch()
    write_manifest(tmp_path / "m.jsonl", samples)
    recipe = recipe_for(tmp_path / "m.jsonl", tmp_path, steps=1, batch_size=3, max_bad_share=0.5)
    train.fit(tiny_salmonn(config=TINY), open_dataset(recipe.manifest, TINY, 0), recipe)
    assert (tmp_path / "run" / "quarantine.jsonl").exists()
    save_wav(samples[0].path, tone(0.4))
    recipe = recipe.replace(batch_size=4)
    train.fit(tiny_salmonn(config=TINY), open_dataset(recipe.manifest, TINY, 0), recipe, fresh=True)
    assert not (tmp_path / "run" / "quarantine.jsonl").exists()


def test_a_group_without_a_good_clip_is_refused(tmp_path):
    save_wav(tmp_path / "a.wav", tone(0.4))
    write_manifest(tmp_path / "good.jsonl", [Sample(tmp_path / "a.wav", "a dog")] * 8)
    write_manifest(tmp_path / "bad.jsonl", [Sample(tmp_path / "none.wav", "a dog")])
    names = {str(tmp_path / f"{name}.jsonl"): 1.0 for name in ("good", "bad")}
    recipe = recipe_for(None, tmp_path, manifests=names, batch_size=2, max_bad_share=0.5)
    clips = MixtureDataset({name: open_dataset(name, TINY, 0) for name in names}, names)
    with pytest.raises(SalmonnError, match=r"no clip of .*bad\.jsonl can be used"):
        train.fit(tiny_salmonn(config=TINY), clips, recipe)
