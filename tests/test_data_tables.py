"""`data import table`: any table becomes a manifest, or is refused in one line."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from salmonn_mini.audio import save_wav
from salmonn_mini.cli import main, parser
from salmonn_mini.data import ManifestDataset, Sample, read_manifest
from salmonn_mini.data.importers import IMPORTERS
from salmonn_mini.data.sources import sources_of
from salmonn_mini.models.config import preset
from salmonn_mini.train import load_recipe

ROWS = [
    {"file": "a.wav", "answer": "a dog,\nbarking", "ask": "What?", "from": 0.1, "to": 0.3},
    {"file": "a.wav", "answer": "rain\u2028", "ask": "Why?", "from": 0.0, "to": 0.2},
    {"file": "gone.wav", "answer": "x", "ask": "y", "from": 0.0, "to": 1.0},
]
COLUMNS = "path=file,text=answer,Q=ask,begin=from,end=to"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_wav(tmp_path / "a.wav", 0.1 * torch.sin(torch.arange(8_000.0) / 9))
    return tmp_path


def written(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind in ("csv", "tsv"):
        form = {} if kind == "csv" else {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ROWS[0], **form)
            table.writeheader()
            table.writerows(ROWS)
    elif kind == "json":
        path.write_text(json.dumps({"version": 1, "data": ROWS}, ensure_ascii=False), encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in ROWS), encoding="utf-8")
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        table = pa.Table.from_pylist(ROWS)
        if kind == "parquet":
            parquet.write_table(table, path)
            return path
        path = folder / "saved"  # as datasets' save_to_disk writes a DatasetDict
        for split, part in (("train", table), ("test", table.slice(1))):
            (path / split).mkdir(parents=True)
            with pa.ipc.new_stream(path / split / "data-00000-of-00001.arrow", part.schema) as stream:
                stream.write_table(part)
            state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
            (path / split / "state.json").write_text(json.dumps(state))
        (path / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    return path


def run(source: Path, *options: str) -> int:
    return main(["data", "import", "table", str(source), "--out", str(source.parent / "m.jsonl"), *options])


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet", "datasets"])
def test_every_kind_of_table_gives_the_same_samples(folder, capsys, kind):
    source = written(folder, kind)
    options = ["--columns", COLUMNS, "--set-column", "task=audio_qa"]
    assert run(source, *options, *(["--split", "train"] if kind == "datasets" else [])) == 0
    assert capsys.readouterr().out == f"2 samples in {folder / 'm.jsonl'}\n1 row left out: no sound file\n"
    path = (source if source.is_dir() else folder) / "a.wav"
    samples = read_manifest(folder / "m.jsonl")
    assert samples == [
        Sample(path, row["answer"], "audio_qa", row["ask"], (), row["from"], row["to"]) for row in ROWS[:2]
    ]
    waves = ManifestDataset(samples, preset("toy"), seed=0).waves(range(2))
    assert [len(wave) for wave in waves] == [3_200, 3_200]


def test_audio_in_the_table_itself_becomes_files(folder):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = (folder / "a.wav").read_bytes()
    rows = [{"audio": {"bytes": content, "path": "x.wav"}, "text": str(i), "label": i} for i in range(3)]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    assert run(folder / "t.parquet", "--columns", "path=audio,text=text") == 0
    samples = read_manifest(folder / "m.jsonl")
    assert [s.path.read_bytes() == content for s in samples] == [True] * 3
    assert [s.path.name for s in samples] == ["00000000.wav", "00000001.wav", "00000002.wav"]
    assert run(folder / "t.parquet", "--columns", "path=audio.path,text=text") == 2  # no such file
    assert run(folder / "t.parquet", "--columns", "path=audio,text=label") == 0
    assert [s.text for s in read_manifest(folder / "m.jsonl")] == ["0", "1", "2"]


def test_a_parquet_file_is_a_manifest_too(folder):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"path": "a.wav", "text": "x", "begin": 0.1, "end": None, "expand_wav": ["b.wav"]}]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "m.parquet")
    expected = Sample(folder / "a.wav", "x", begin=0.1, expand_wav=(folder / "b.wav",))
    assert read_manifest(folder / "m.parquet") == [expected]


def test_columns_of_equal_names_and_a_template(folder):
    rows = [{"path": "a.wav", "title": "Rain", "mood": "{sad}", "task": "music_caption"}]
    (folder / "t.json").write_text(json.dumps(rows))
    assert run(folder / "t.json", "--text-template", "{title}: {mood}") == 0
    assert read_manifest(folder / "m.jsonl") == [Sample(folder / "a.wav", "Rain: {sad}", "music_caption")]


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("t.csv", "f,x\na.wav,1\n", ["--columns", "path=f,text=y"], "line 2: no column 'y'; it has f, x"),
        ("t.csv", "path,text\na.wav,1\n", ["--text-template", "{y}"], "no column 'y'; it has path, text"),
        ("t.csv", "path,text\na.wav,1\n", ["--columns", "pth=path"], "did you mean 'path'"),
        ("t.csv", "path,text\na.wav,1\n", ["--columns", "path"], "--columns 'path' must be KEY=VALUE"),
        ("t.csv", "path,text\na.wav,1,2\n", [], "line 2: 3 cells for the header's 2 columns"),
        (
            "t.csv",
            "path,text\ngone.wav,1\n",
            [],
            "nothing to import .1 row: no sound file.; paths start from ",
        ),
        ("t.csv", "path\na.wav\n", [], "line 2: 'text' is missing"),
        ("t.jsonl", '{"path": "a.wav", "text": null}', [], "line 1: 'text' is missing"),
        ("t.jsonl", "[1]", [], "line 1: .1. has no columns"),
        ("t.json", '{"a": [], "b": []}', [], "a list of objects is expected"),
        ("t.parquet", "no parquet", [], "t.parquet: (cannot be read|needs pyarrow)"),
        ("t.xlsx", "", [], "a table ends in .csv, .tsv"),
    ],
)
def test_a_table_that_makes_no_samples_is_refused_in_one_line(folder, capsys, name, content, options, words):
    (folder / name).write_text(content)
    assert run(folder / name, *options) == 2
    err = capsys.readouterr().err.strip()
    assert re.search(words, err) and "\n" not in err and not (folder / "m.jsonl").exists()


def test_splits_of_a_saved_data_set_are_named(folder, capsys):
    source = written(folder, "datasets")
    assert run(source, "--columns", COLUMNS) == 2
    assert "has the splits test, train; choose one with --split" in capsys.readouterr().err


def test_without_pyarrow_one_line_says_how_to_get_it(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (folder / "t.parquet").touch()
    assert run(folder / "t.parquet") == 2
    assert "needs pyarrow; run: pip install 'salmonn-mini[parquet]'" in capsys.readouterr().err


def test_each_source_of_a_published_recipe_has_a_command_that_parses():
    for recipe in ("13b-stage1", "13b-stage2", "7b-stage1", "7b-stage2"):
        manifests = load_recipe(recipe).manifests
        found = sources_of(manifests)
        assert [source.clips for source in found] == [round(clips) for clips in manifests.values()]
        for source in found:
            arguments = parser().parse_args(shlex.split(source.command)[1:])
            assert arguments.name == "table" or arguments.name in IMPORTERS
            assert str(arguments.out) == f"{Path(source.manifest).name}.jsonl"
    (own,) = sources_of({"my/clips.jsonl": 2.0})
    assert (own.name, own.clips, own.command) == ("clips", 2, "")


def test_the_doctor_lists_a_recipes_data(capsys, monkeypatch):
    monkeypatch.setattr("salmonn_mini.tools.doctor.examine", lambda name, parts, **runtime: iter(()))
    assert main(["doctor", "13b-stage1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "data",
        "  packed/librispeech-asr (not there yet): LibriSpeech, 281,241 clips, 960 h; from openslr.org/12",
        "    salmonn-mini data import librispeech LibriSpeech --out librispeech-asr.jsonl",
    ]
    assert len(lines) == 1 + 2 * 5 + 2 and lines[-1] == "Preset 13b can run here."
    assert (
        sum(int(line.split(" clips")[0].split()[-1].replace(",", "")) for line in lines[1:-2:2]) == 1_626_555
    )
    assert main(["doctor", "13b-stage3"]) == 0
    assert (
        "  manifests/stories/manifest.json (not there yet): manifest; from your own files\nPreset 13b"
        in capsys.readouterr().out
    )
    assert main(["doctor", "toy-stage1", "--preset", "small"]) == 0
    assert capsys.readouterr().out == (
        "data\n  the toy's own world; nothing to import\nPreset small can run here.\n"
    )
