"""data/: manifests read or refused, clips drawn and heard, batches in an order that only the seed decides."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from salmonn_mini.audio import save_wav
from salmonn_mini.data import (
    BatchOrder,
    ManifestDataset,
    Sample,
    load_clip,
    pack,
    read_manifest,
    read_prompts,
    write_manifest,
)
from salmonn_mini.data import clips as clips_room
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import preset
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.toy.world.wordings import PREFIXES, SUFFIXES

TOY = preset("toy")


def written(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# --- manifests -------------------------------------------------------------------------------------------------------


def test_the_published_annotation_file(tmp_path):
    rows = [
        {"path": "a.wav", "text": "a dog", "task": "audio_caption"},
        {"path": "/b/c.wav", "text": "yes", "task": "qa", "Q": "Is it?", "expand_wav": ["d.wav"]},
        {"path": "e.wav", "text": "words", "duration": 3, "Q": None},
    ]
    path = written(tmp_path, "m.json", {"annotation": rows})
    assert read_manifest(path) == [
        Sample(tmp_path / "a.wav", "a dog", "audio_caption"),
        Sample(Path("/b/c.wav"), "yes", "qa", "Is it?", (tmp_path / "d.wav",)),
        Sample(tmp_path / "e.wav", "words"),
    ]


def test_every_kind_of_table_holds_the_same_samples(tmp_path):
    rows = [
        {"path": "a.wav", "text": "one, two", "task": "asr"},
        {"path": "b ü.wav", "text": "", "task": "gender"},
    ]
    lines = written(tmp_path, "m.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_manifest(written(tmp_path, "m.json", rows)) == read_manifest(lines)
    tabs = written(tmp_path, "m.tsv", "path\ttext\ttask\na.wav\tone, two\tasr\nb ü.wav\t\tgender\n")
    assert read_manifest(tabs) == read_manifest(lines)
    table = written(tmp_path, "m.csv", '\ufeffpath,text,task\na.wav,"one, two",asr\nb ü.wav,,gender\n')
    assert read_manifest(lines) == read_manifest(table)
    assert read_manifest(written(tmp_path, "n.csv", "text,path\nhello,a.wav\n")) == [
        Sample(tmp_path / "a.wav", "hello")
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.txt", "", r"m.txt.*ends in \.csv, \.tsv, \.json, \.jsonl"),
        ("m.json", "{", "not JSON.*line 1 column 2.*correct"),
        ("m.json", [], "no samples"),
        ("m.json", {"a": [], "b": []}, 'as in {"annotation".* it has 2 lists; convert'),
        ("m.json", 7, "it has 0 lists"),
        ("m.json", {"annotation": []}, "no samples.*at least one"),
        ("m.json", {"annotation": [{"path": "a.wav", "text": "x"}, 7]}, "row 2: 7 must be an object"),
        (
            "m.json",
            {"annotation": [{"path": "a.wav", "txt": "x"}]},
            "row 1: unknown key 'txt': did you mean 'text'",
        ),
        ("m.json", {"annotation": [{"path": 3, "text": "x"}]}, "row 1: path is 3.*a text"),
        ("m.json", {"annotation": [{"path": "", "text": "x"}]}, "row 1: path is ''"),
        (
            "m.json",
            {"annotation": [{"path": "a", "text": "x", "expand_wav": "b"}]},
            "expand_wav is 'b'.*list",
        ),
        ("m.jsonl", '{"path": "a", "text": "x"}\n\n{"path"}', "line 3: not JSON"),
        ("m.csv", "path,text\na.wav\n", r"line 2: 1 cell for the header's 2 columns"),
        ("m.csv", "path,text\na.wav,one, two\n", r"line 2: 3 cells for the header's 2 columns; put.*quotes"),
        ("m.csv", "", "no samples"),
        ("m.csv", "path,text\na.wav," + "x" * 140_000, "not CSV.*field larger"),
        ("m.json", "[" * 100_000, "not JSON.*recursion"),
    ],
)
def test_a_bad_manifest_is_refused_by_line_and_remedy(tmp_path, name, content, words):
    with pytest.raises(SalmonnError, match=words):
        read_manifest(written(tmp_path, name, content))


@pytest.mark.parametrize(
    "text", ["first\nsecond", "a\r\nb", "hello\u2028world", "hello\x85world", 'say "yes", no']
)
def test_a_text_is_read_as_it_was_written(tmp_path, text):
    with (tmp_path / "m.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "text"], ["a.wav", text], ["b.wav", "x"]])
    expected = [Sample(tmp_path / "a.wav", text), Sample(tmp_path / "b.wav", "x")]
    assert read_manifest(tmp_path / "m.csv") == expected
    write_manifest(tmp_path / "m.jsonl", expected)
    assert read_manifest(tmp_path / "m.jsonl") == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "m.jsonl",
            '{"path": "a", "text": "x", "Task": "gender"}',
            "line 1: unknown key 'Task': did you mean 'task'",
        ),
        (
            "m.jsonl",
            '{"path": "a", "text": "x", "question": "?"}',
            "unknown key 'question': did you mean 'Q'",
        ),
        ("m.jsonl", '{"path": "a", "text": "x", "expand_wave": []}', "did you mean 'expand_wav'"),
        ("m.csv", "path,text, task\na,x,gender\n", "line 2: unknown key ' task': did you mean 'task'"),
        ("m.csv", 'path,text\na,"unclosed\nb,y\n', "line 2: not CSV .unexpected end of data"),
        (
            "m.csv",
            "path,text,begin\na,x,soon\n",
            "line 2: begin is 'soon', but it must be a number of seconds",
        ),
        ("m.jsonl", '{"path": "a", "text": "x", "begin": 2, "end": 1}', "end = 1 s is not after begin = 2 s"),
        ("m.jsonl", '{"path": "a", "text": "x", "end": -1}', "end is -1"),
        ("m.jsonl", '{"path": "a", "text": "x", "end": true}', "end is True"),
    ],
)
def test_what_would_silently_count_for_nothing_is_refused(tmp_path, name, content, words):
    with pytest.raises(SalmonnError, match=words):
        read_manifest(written(tmp_path, name, content))


def test_segments_are_read_written_named_and_kept_apart(tones):
    table = written(tones, "m.csv", "path,text,begin,end\na.wav,x,0.1,0.3\na.wav,y,,0.2\na.wav,z,,\n")
    samples = read_manifest(table)
    assert [(s.begin, s.end) for s in samples] == [(0.1, 0.3), (None, 0.2), (None, None)]
    write_manifest(tones / "m.jsonl", samples)
    assert read_manifest(tones / "m.jsonl") == samples
    clips = ManifestDataset(samples, TOY, seed=1)
    names = [e.clip.removeprefix(str(tones / "a.wav")) for e in clips.examples]
    assert names == [" [0.1-0.3 s]", " [0-0.2 s]", ""]
    waves = clips.waves(range(3))
    assert [len(wave) for wave in waves] == [3_200, 3_200, 8_000]
    assert torch.equal(waves[0], waves[2][1_600:4_800]) and torch.equal(waves[1], waves[2][:3_200])
    keys = {clips.key(range(i, i + 1)) for i in range(3)}
    assert len(keys) == 3
    (bad,) = ManifestDataset([Sample(tones / "a.wav", "x", begin=0.4, end=0.9)], TOY, 1).waves(range(1))
    assert bad.reason.startswith("the segment from 0.4 s to 0.9 s is outside its 0.50 s")


def test_what_is_not_unicode_is_refused(tones):
    (sample,) = read_manifest(written(tones, "m.jsonl", '{"path": "a.wav", "text": "bad \\ud83d emoji"}'))
    for refuse in (
        lambda: ManifestDataset([sample], TOY, seed=1),
        lambda: write_manifest(tones / "n.jsonl", [sample]),
        lambda: pack([sample], tones / "packed"),
    ):
        with pytest.raises(SalmonnError, match=r"m\.jsonl, line 1: .*a\.wav: its text 'bad .ud83d emoji' is"):
            refuse()
    assert sorted(path.name for path in tones.iterdir()) == ["a.wav", "b.wav", "m.jsonl"]


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes(b"path,text\na.wav,\xe9\n")
    (tmp_path / "folder.json").mkdir()
    for name, words in (
        ("none.json", "check the path"),
        ("folder.json", "check the path"),
        ("latin.csv", "UTF-8"),
    ):
        with pytest.raises(SalmonnError, match=f"{name}.*{words}"):
            read_manifest(tmp_path / name)


@given(st.binary(max_size=60), st.sampled_from([".json", ".jsonl", ".csv"]))
def test_no_bytes_at_all_end_in_anything_but_samples_or_a_refusal(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    try:
        assert read_manifest(path)
    except SalmonnError as error:
        assert "any" in str(error)


def test_prompt_files(tmp_path):
    table = {"asr": ["<Speech><SpeechHere></Speech> Recognize it.", "Write it."], "qa": "{}"}
    assert read_prompts(written(tmp_path, "p.json", table)) == {
        "asr": ("Recognize it.", "Write it."),
        "qa": ("{}",),
    }
    for content in ([], {}, {"asr": []}, {"asr": [1]}):
        with pytest.raises(SalmonnError, match=r"p\.json.*(prompts|an object is expected)"):
            read_prompts(written(tmp_path, "p.json", content))


# --- clips -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tones(tmp_path):
    for name, seconds in (("a.wav", 0.5), ("b.wav", 0.25)):
        save_wav(tmp_path / name, 0.1 * torch.sin(torch.arange(16_000 * seconds) / 9))
    return tmp_path


def test_a_sample_is_all_its_clips_with_a_gap_then_cut_and_filled(tones):
    both = Sample(tones / "a.wav", "x", expand_wav=(tones / "b.wav",))
    X = load_clip(both, TOY)
    assert X.shape == (8_000 + 1_600 + 4_000,) and not X[8_000:9_600].any() and X[9_600:].any()
    assert load_clip(both, TOY.replace(max_seconds=0.6)).shape == (9_600,)
    filled = load_clip(both, TOY.replace(min_seconds=1.0))
    assert filled.shape == (16_000,) and not filled[13_600:].any()


def test_clips_of_a_manifest_get_a_prompt_of_their_task_filled_from_Q(tones):
    samples = [Sample(tones / "a.wav", "red", "audio_qa", "Which color?"), Sample(tones / "b.wav", "hello")]
    clips = ManifestDataset(samples, TOY, seed=1, prompts={"audio_qa": ["Say: {}"], "asr": ["A", "B", "C"]})
    assert clips.examples[0].prompt == "Say: Which color?" and clips.examples[1].prompt in "ABC"
    assert [len(wave) for wave in clips.waves(range(2))] == [8_000, 4_000]
    key = clips.key(range(2))
    save_wav(tones / "b.wav", torch.zeros(4_000))
    assert clips.key(range(2)) != key

    for sample, words in (
        (Sample(tones / "a.wav", "x", "sing"), "'sing' has no prompts; correct it, or give a prompt file"),
        (Sample(tones / "a.wav", "x", "audio_qa"), "has a gap.*give the sample a Q"),
    ):
        with pytest.raises(SalmonnError, match=words):
            ManifestDataset([sample], TOY, seed=1)
    for seed in range(4):  # whichever prompt is drawn
        with pytest.raises(SalmonnError, match=r"the prompt 'B \{\}' of its task 'asr' has a gap"):
            ManifestDataset([samples[1]], TOY, seed, prompts={"asr": ["A", "B {}"]})


def test_clips_of_the_toy_world_are_decided_by_the_seed(monkeypatch):
    monkeypatch.setattr(clips_room, "SHARD", 4)
    shares = {"asr": 3, "audio_caption": 1, "gender": 0}
    clips, again, other = (ToyDataset(shares, 10, seed) for seed in (1, 1, 2))
    assert sorted(q.task for q in clips.examples) == ["asr"] * 8 + ["audio_caption"] * 2  # 7.5 and 2.5
    assert clips.examples == again.examples != other.examples
    shard = clips.shards()[1]
    assert [len(s) for s in clips.shards()] == [4, 4, 2]
    assert clips.key(shard) == again.key(shard) not in (clips.key(clips.shards()[0]), other.key(shard))
    for one, two in zip(clips.waves(shard), again.waves(shard), strict=True):
        assert one.dtype == torch.float32 and len(one) > 8_000 and torch.equal(one, two)
    with pytest.raises(SalmonnError, match="unknown task 'sing'"):
        ToyDataset({"sing": 1}, 3, 1)


def test_shares_of_the_worlds_clips_are_asked_in_other_words_and_between_an_opening_and_an_ending():
    shares, prompts = {"asr": 1, "gender": 1}, {"asr": ("Write it.", "Say it.")}
    plain = ToyDataset(shares, 80, 1, prompts=prompts)
    other, around = (
        ToyDataset(shares, 80, 1, prompts=prompts, **how)
        for how in ({"paraphrase_prob": 0.5}, {"affix_prob": 0.5})
    )
    assert plain.examples == ToyDataset(shares, 80, 1).examples
    for clips in (other, around):
        assert [e.plan for e in clips.toy_examples] == [e.plan for e in plain.toy_examples]
        pairs = zip(plain.toy_examples, clips.toy_examples, strict=True)
        assert all(a == replace(b, prompt=a.prompt) for a, b in pairs)
    changed = [(a, b) for a, b in zip(plain.toy_examples, other.toy_examples, strict=True) if a != b]
    assert 10 < len(changed) < 30 and {b.prompt for _, b in changed} == set(prompts["asr"])
    assert {a.task for a, _ in changed} == {"asr"}
    changed = [(a, b) for a, b in zip(plain.toy_examples, around.toy_examples, strict=True) if a != b]
    frames = [b.prompt.split(a.prompt) for a, b in changed]
    assert 25 < len(frames) < 55 and len({(before, after) for before, after in frames}) > 10
    assert all(before in PREFIXES and after in SUFFIXES for before, after in frames)
    with pytest.raises(SalmonnError, match="audio_qa has a gap"):
        ToyDataset(shares, 4, 1, prompts={"audio_qa": ("Now: {}",)})


# --- order -----------------------------------------------------------------------------------------------------------


def order_of(n=333, batch_size=8, seed=3):
    rng = np.random.default_rng(0)
    tasks = ["asr" if i % 4 else "audio_caption" for i in range(n)]
    return BatchOrder(
        [float(rng.uniform(1, 4)) * (1 if i % 4 else 3) for i in range(n)], tasks, batch_size, seed
    )


def test_the_order_is_a_function_of_seed_and_position():
    order = order_of()
    straight = [order[position] for position in range(3 * order.batches)]
    jumping = order_of()
    for position in (100, 3, 57, 122, 0):
        assert jumping[position] == straight[position]
    assert order_of(seed=4)[0] != straight[0]
    assert straight[: order.batches] != straight[order.batches : 2 * order.batches]


def test_every_clip_comes_once_an_epoch_and_the_rest_changes():
    order = order_of()
    epochs = [[i for b in range(41) for i in order[41 * epoch + b]] for epoch in range(2)]
    assert all(len(set(seen)) == len(seen) == 328 for seen in epochs)
    assert set(epochs[0]) != set(epochs[1])


def test_a_batch_holds_like_lengths_and_the_mixture_of_tasks():
    order = order_of(n=8 * 16 * 4)
    spread, shares = [], []
    for position in range(order.batches):
        batch = order[position]
        own = [order.lengths[i] for i in batch if order.tasks[i] == "asr"]
        spread.append(max(own) - min(own))
        shares.append(len(own) / len(batch))
    assert np.mean(spread) < 0.3  # of 3 seconds
    assert min(shares) >= 0.5 and max(shares) <= 0.9  # of 0.75


def test_too_few_clips_for_a_batch_are_refused():
    with pytest.raises(SalmonnError, match=r"7 clips cannot fill a batch of 8.*set batch_size to 7"):
        order_of(n=7)


def test_the_order_is_the_one_that_shipped_runs_had():
    """Digests of the batches of two epochs, as they were before 2026-11-30."""

    def digest(n, batch_size, seed, tasks, groups=(), shares=None):
        rng = np.random.default_rng(n)
        lengths = rng.choice([1.0, 1.5, 2.25, 3.125], n) + (rng.random(n) if n % 2 else 0)
        named = [tasks[i] for i in rng.integers(0, len(tasks), n)]
        parts = [groups[i] for i in rng.integers(0, len(groups), n)] if groups else ()
        order = BatchOrder(lengths.tolist(), named, batch_size, seed, parts, shares or {})
        batches = np.array([order[position] for position in range(2 * order.batches + 3)])
        return hashlib.sha256(batches.astype("<i8").tobytes()).hexdigest()[:16]

    assert digest(333, 8, 3, ["asr", "audio_caption"]) == "0abb8492da6b4ea3"
    assert digest(1000, 16, 0, ["a", "b", "c", "d"]) == "b356904f96f1fa43"
    assert digest(5000, 4, 7, ["asr"], "xyz", {"x": 3, "y": 1, "z": 0}) == "d639f58f19c18507"
    assert digest(2001, 10, 1, ["q", "a", "longer_name"], "ab", {"a": 1, "b": 2.5}) == "efebae0f1a842828"


def test_the_order_reads_its_lists_once():
    order, straight = order_of(), order_of()
    order.lengths, order.tasks = range(len(order.lengths)), ()  # whoever reads them again gets another order
    assert [order[i] for i in range(90)] == [straight[i] for i in range(90)]
