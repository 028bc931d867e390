"""Mixtures in their shares, tar files that are packed and read, and streams whose order only the seed decides."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
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
    BatchOrder,
    Example,
    ManifestDataset,
    MixtureDataset,
    Sample,
    TarStream,
    open_dataset,
    pack,
    read_manifest,
    write_manifest,
)
from salmonn_mini.data.stream import unpack
from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.run import make_dataset

TINY = tiny_config(dropout=0)


def read(
    stream: TarStream, epoch: int, position: int = 0
) -> Iterator[tuple[Example, torch.Tensor | BadClip]]:
    return map(partial(unpack, TINY), stream.packed(epoch, position))


def tone(seconds: float, pitch: float = 0.1) -> torch.Tensor:
    return 0.3 * torch.sin(torch.arange(round(16_000 * seconds)) * pitch)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Sample]:
    """20 samples of two tasks: wav, flac and one of two files."""
    folder = tmp_path_factory.mktemp("clips")
    samples = []
    for i in range(20):
        path = folder / f"{i}.{'flac' if i % 3 else 'wav'}"
        soundfile.write(path, tone(0.3 + 0.02 * i, 0.02 * (i + 1)).numpy(), 16_000)
        samples.append(Sample(path, f"dog {i}", "asr" if i % 4 else "audio_caption"))
    samples[5] = Sample(samples[5].path, "dog 5", "audio_qa", "How many?", (samples[6].path,))
    return samples


# --- manifests written -----------------------------------------------------------------------------------------------


def test_a_manifest_is_read_as_it_was_written_and_can_move_with_its_folder(tmp_path, clips):
    inside = [Sample(tmp_path / "a b" / "ü.wav", "x, y", "audio_qa", "Is it?", (tmp_path / "c.wav",))]
    assert write_manifest(tmp_path / "m.jsonl", inside + clips) == 21
    assert read_manifest(tmp_path / "m.jsonl") == inside + clips
    first = json.loads((tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["path"] == "a b/ü.wav" and first["expand_wav"] == ["c.wav"]
    for name, samples, words in (
        ("m.csv", clips, r"ends in \.jsonl"),
        ("n.jsonl", [], "no samples to write"),
    ):
        with pytest.raises(SalmonnError, match=words):
            write_manifest(tmp_path / name, samples)


# --- mixtures --------------------------------------------------------------------------------------------------------


def mixed_order(shares: dict[str, float], sizes: dict[str, int], batch_size: int = 10) -> BatchOrder:
    groups = [name for name, size in sizes.items() for _ in range(size)]
    lengths = np.random.default_rng(0).uniform(1, 9, len(groups)).tolist()
    return BatchOrder(lengths, ["asr"] * len(groups), batch_size, 3, groups, shares)


def test_an_epoch_takes_its_shares_and_every_clip_gets_its_turn():
    order = mixed_order({"a": 3, "b": 1, "c": 0}, {"a": 60, "b": 100, "c": 40})
    epochs = [[i for b in range(20) for i in order[20 * epoch + b]] for epoch in range(6)]
    for seen in epochs:
        assert Counter(order.groups[i] for i in seen) == {"a": 150, "b": 50}
    times = Counter(i for seen in epochs for i in seen)
    assert {times[i] for i in range(60)} == {15} and {times[i] for i in range(60, 160)} == {3}
    assert not any(times[i] for i in range(160, 200))
    assert set(epochs[0]) & set(range(60, 160)) != set(epochs[1]) & set(range(60, 160))


def test_the_order_of_a_mixture_is_a_function_of_seed_and_position():
    order, again = (mixed_order({"a": 1, "b": 2}, {"a": 35, "b": 35}) for _ in range(2))
    straight = [order[position] for position in range(30)]
    assert [again[position] for position in reversed(range(30))] == straight[::-1]


def test_equal_lengths_meet_in_a_batch_so_that_little_is_padding():
    """Lengths as of LibriSpeech's: most near 14 s, some short. Random batches of 16 are a quarter padding."""
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(8_000) < 0.7, rng.normal(14.5, 1.2, 8_000), rng.uniform(1.5, 14, 8_000))
    order = BatchOrder(lengths.tolist(), ["asr"] * len(lengths), 16, 0)

    def padding(batches) -> float:
        longest = sum(len(batch) * lengths[batch].max() for batch in batches)
        return 1 - sum(lengths[batch].sum() for batch in batches) / longest

    assert padding(rng.permutation(8_000).reshape(-1, 16)) > 0.2
    assert padding([order[position] for position in range(order.batches)]) < 0.04


def test_a_mixture_keeps_the_parts_shards_and_sounds(clips):
    one, two = (ManifestDataset(part, TINY, seed=1) for part in (clips[:7], clips[7:]))
    both = MixtureDataset({"one": one, "two": two}, {"one": 1, "two": 2})
    assert both.shards() == [range(7), range(7, 20)] and both.shares == {"one": 1, "two": 2}
    assert [q.group for q in both.examples] == ["one"] * 7 + ["two"] * 13
    assert both.key(range(7, 20)) == two.key(range(13)) != both.key(range(7))
    for sound, same in zip(both.waves(range(7, 20)), two.waves(range(13)), strict=True):
        assert torch.equal(sound, same)
    by_task = MixtureDataset({"one": one}, task_shares={"asr": 1, "audio_caption": 3, "audio_qa": 0})
    assert [q.group for q in by_task.examples] == [q.task for q in one.examples]


def test_shares_that_do_not_fit_the_clips_are_refused(clips):
    part = {"one": ManifestDataset(clips, TINY, seed=1)}
    with pytest.raises(SalmonnError, match="have audio_caption, audio_qa too: give each a share; 0 leaves"):
        MixtureDataset(part, task_shares={"asr": 1})
    with pytest.raises(SalmonnError, match="no clip of gender is there"):
        MixtureDataset(part, task_shares={"asr": 1, "audio_caption": 1, "audio_qa": 1, "gender": 1})


def recipe_of(folder: Path, **changes) -> train.Recipe:
    values = {"stage": 1, "steps": 4, "batch_size": 4, "connector_lr": 1e-3, "lora_lr": 1e-3, "trackers": []}
    places = {"output_dir": str(folder / "run"), "cache_dir": str(folder / "cache")}
    return train.Recipe(**values | places | changes)


def test_a_recipe_mixes_manifests_packed_folders_and_tasks(tmp_path, clips, monkeypatch):
    write_manifest(tmp_path / "m.jsonl", clips[6:])
    pack(clips[:6], tmp_path / "packed")
    names = {str(tmp_path / "m.jsonl"): 1.0, str(tmp_path / "packed"): 3.0}
    recipe = recipe_of(tmp_path, manifests=names)
    mixture, model, seen = make_dataset(recipe, TINY), tiny_salmonn(config=TINY), []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *args: seen.extend(args[2]) or forward(*args))
    train.fit(model, mixture, recipe)
    first = {f"dog {i}" for i in range(6)}
    assert len(seen) == 16 and sum(answer in first for answer in seen) in (11, 12, 13)  # of 20 in an epoch 15

    shares = {"asr": 1.0, "audio_caption": 1.0}
    recipe = recipe_of(tmp_path, manifest=str(tmp_path / "m.jsonl"), tasks=shares)
    assert make_dataset(recipe, TINY).shares == shares
    plain = make_dataset(recipe.replace(tasks={}), TINY)
    assert isinstance(plain, ManifestDataset) and not plain.shares
    with pytest.raises(SalmonnError, match=r"tasks.*omitted with manifests"):
        recipe_of(tmp_path, manifests=names, tasks=shares)


# --- tar files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path, clips) -> Path:
    pack(clips, tmp_path / "packed", per_shard=3)
    return tmp_path / "packed"


def test_packed_clips_are_those_of_the_manifest(packed, clips):
    plain, tars = ManifestDataset(clips, TINY, seed=4), open_dataset(str(packed), TINY, seed=4)
    assert tars.examples == plain.examples
    assert [len(shard) for shard in tars.shards()] == [3] * 6 + [2]
    for shard in tars.shards():
        for sound, same in zip(tars.waves(shard), plain.waves(shard), strict=True):
            assert torch.equal(sound, same)


def test_packing_again_gives_the_same_bytes_and_never_over_what_is_there(packed, tmp_path, clips):
    pack(clips, tmp_path / "again", per_shard=3)
    files = sorted(file.name for file in packed.iterdir())
    assert files == ["index.json", "samples.jsonl", *(f"shard-{i:06d}.tar" for i in range(7))]
    for name in files:
        assert (packed / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    with tarfile.open(packed / "shard-000001.tar") as tar:
        names = ["000000003.0.wav", "000000003.json", "000000004.0.flac", "000000004.json"]
        assert tar.getnames() == [*names, "000000005.0.flac", "000000005.1.wav", "000000005.json"]
    with pytest.raises(SalmonnError, match="packed already; choose another folder"):
        pack(clips, packed)


def test_a_segment_is_packed_alone(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, (88_200, 2))
    soundfile.write(tmp_path / "a.flac", noise, 44_100)
    samples = [
        Sample(tmp_path / "a.flac", "x", begin=0.25, end=1.0),
        Sample(tmp_path / "a.flac", "y", end=0.5),
    ]
    pack(samples, tmp_path / "packed")
    plain, tars = ManifestDataset(samples, TINY, 0), open_dataset(str(tmp_path / "packed"), TINY, 0)
    assert tars.examples == plain.examples and tars.examples[0].clip.endswith("a.flac [0.25-1 s]")
    for sound, same in zip(tars.waves(range(2)), plain.waves(range(2)), strict=True):
        assert torch.equal(sound, same)
    assert (tmp_path / "packed" / "shard-000000.tar").stat().st_size < 1.25 * (
        tmp_path / "a.flac"
    ).stat().st_size


def test_what_cannot_be_read_is_not_packed(tmp_path, clips):
    (tmp_path / "empty.wav").touch()
    mixed = [*clips[:9], Sample(tmp_path / "empty.wav", "x"), *clips[9:]]
    assert sum(len(shard.samples) for shard in pack(mixed, tmp_path / "packed")) == 20
    (row,) = (tmp_path / "packed" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(row)["reason"].startswith("empty (0 bytes)")
    with pytest.raises(SalmonnError, match=r"1 of 21 clips.*max_bad_share = 0"):
        pack(mixed, tmp_path / "other", max_bad_share=0)


def test_a_damaged_tar_file_costs_only_what_is_lost(packed, clips):
    tars = open_dataset(str(packed), TINY, seed=4)
    shard = tars.shards()[1]
    key, whole = tars.key(shard), tars.waves(shard)
    file = packed / "shard-000001.tar"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    found = tars.waves(shard)
    assert torch.equal(found[0], whole[0]) and isinstance(found[2], BadClip) and tars.key(shard) != key
    assert found[2].reason.startswith("shard-000001.tar is damaged here")
    lost = [sound for _, sound in read(TarStream(packed, TINY, seed=1), 0) if isinstance(sound, BadClip)]
    assert len(lost) == sum(isinstance(sound, BadClip) for sound in found)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("{", "not JSON"),
        ("[]", "has 20 lines, not those of the shards"),
        ('{"shards": [7]}', "index.json, row 1: 7 is no tar file there; pack it anew"),
        ('{"shards": [{"file": "gone.tar", "samples": 1, "sha256": ""}]}', "gone.tar.*no tar file there"),
        ('{"shards": [{"file": "pipe:date", "samples": 1, "sha256": ""}]}', "pipe:date.*no tar file"),
        ('{"shards": []}', "has 20 lines, not those of the shards"),
    ],
)
def test_an_index_that_is_none_is_refused(packed, index, words):
    (packed / "index.json").write_text(index)
    with pytest.raises(SalmonnError, match=words):
        open_dataset(str(packed), TINY, seed=1)


# --- streams ---------------------------------------------------------------------------------------------------------


def encoded(stream: TarStream, epoch: int, position: int = 0) -> list[tuple]:
    return [(q.clip, q.prompt, float(sound.sum())) for q, sound in read(stream, epoch, position)]


def test_the_order_of_a_stream_is_a_function_of_seed_epoch_and_position(packed, clips):
    stream = TarStream(packed, TINY, seed=1)
    whole = encoded(stream, 0)
    assert sorted(row[0] for row in whole) == sorted(str(sample.path) for sample in clips)
    for position in (1, 2, 11, 12, 19, 20):
        assert encoded(TarStream(packed, TINY, seed=1), 0, position) == whole[position:]
    others = encoded(stream, 1), encoded(TarStream(packed, TINY, seed=2), 0)
    assert whole != others[0] != others[1] != whole
    assert sorted(row[2] for row in whole) == sorted(row[2] for row in others[0])


def test_processes_share_the_tar_files_and_stop_together(packed):
    streams = [TarStream(packed, TINY, seed=1, rank=rank, world=3) for rank in range(3)]
    for epoch in range(3):
        parts = [[row[0] for row in encoded(stream, epoch)] for stream in streams]
        assert (
            {len(part) for part in parts}
            == {streams[0].length(epoch)}
            == {stream.length(epoch) for stream in streams}
        )
        assert len(set().union(*parts)) == sum(map(len, parts)) >= 15
        assert encoded(streams[2], epoch, 4) == encoded(streams[2], epoch)[4:]
    with pytest.raises(SalmonnError, match="7 tar files, too few for 8 processes: pack it with fewer"):
        TarStream(packed, TINY, seed=1, rank=0, world=8)


def test_a_streams_sound_and_question_are_those_of_the_manifest(packed, clips, tmp_path):
    by_path = {str(sample.path): sample for sample in clips}
    prompts = {"asr": ["A"], "audio_caption": ["B"], "audio_qa": ["Say: {}"]}
    for example, sound in read(TarStream(packed, TINY, seed=1, prompts=prompts), 0):
        sample = by_path[example.clip]
        assert (example.task, example.answer) == (sample.task, sample.text)
        assert example.prompt == prompts[sample.task][0].replace("{}", sample.Q)
        assert torch.equal(sound, ManifestDataset([sample], TINY, 0, prompts).waves(range(1))[0])
    save_wav(tmp_path / "a.wav", tone(0.3))
    pack([Sample(tmp_path / "a.wav", "x", "sing")], tmp_path / "sung")
    with pytest.raises(SalmonnError, match="'sing' has no prompts"):
        list(TarStream(tmp_path / "sung", TINY, seed=1).packed(0))
