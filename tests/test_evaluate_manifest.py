"""A manifest scored: any task, any script, resumed after every kind of stop, with and without the clips' own sound."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jiwer
import pytest
import torch
from tiny import tiny_salmonn, tiny_toy

from salmonn_mini import Salmonn, pretrained
from salmonn_mini.audio import save_wav
from salmonn_mini.cli import main
from salmonn_mini.cli.evaluate import select_tasks
from salmonn_mini.data.clips import Example, ManifestDataset
from salmonn_mini.data.manifest import Sample, read_manifest, try_clip
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import sources
from salmonn_mini.evaluation.evaluate import answer_clips, evaluate
from salmonn_mini.evaluation.metrics.words import basic, character_errors, wer
from salmonn_mini.evaluation.report import Report, load_report
from salmonn_mini.evaluation.rows import RowLog, with_scores

DATA = Path(__file__).parents[1] / "data_samples"
GOLDEN = Path(__file__).parent / "golden"
PUBLISHED = {
    "whisper": GOLDEN / "salmonn" / "whisper",
    "beats": GOLDEN / "beats" / "beats_tiny.pt",
    "llm": GOLDEN / "salmonn" / "llama",
    "checkpoint": GOLDEN / "salmonn" / "salmonn_tiny.pth",
}
QUICK = {"max_new_tokens": 4}


@pytest.fixture(scope="module")
def model():
    return tiny_salmonn()


def clips(folder: Path, *samples: tuple[str, str], same: bool = False) -> list[Sample]:
    """A noise of its own for each (task, text)."""
    made = []
    for i, (task, text) in enumerate(samples):
        path = folder / ("0.wav" if same else f"{i}.wav")
        wave = 0.1 * torch.randn(8_000 + 800 * i, generator=torch.Generator().manual_seed(i))
        save_wav(path, wave)
        made.append(Sample(path, text, task))
    return made


def evaluate_manifest(model, samples, scales=None, *, prompts=None, seed=0, **settings) -> Report:
    """The first scale's report."""
    clips = ManifestDataset(samples, model.config, seed, prompts)
    return answer_clips(model, clips, scales, seed, **settings).reports[0]


def stop_after(adds: int, monkeypatch) -> None:
    add, calls = RowLog.add, Counter()

    def stopping(log, rows):
        calls["add"] += 1
        if calls["add"] > adds:
            raise KeyboardInterrupt
        add(log, rows)

    monkeypatch.setattr(RowLog, "add", stopping)


def test_the_wer_of_the_samples_is_jiwers_on_the_written_rows(model, tmp_path) -> None:
    samples = select_tasks(read_manifest(DATA / "manifest.json"), ["asr"])
    file = tmp_path / "rows.jsonl"
    report = evaluate_manifest(model, samples, rows_file=file, **QUICK)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(rows) == len(samples) == report.tasks["asr"]["n"]
    assert sorted(row["reference"] for row in rows) == sorted(sample.text for sample in samples)
    theirs = jiwer.wer([basic(row["reference"]) for row in rows], [basic(row["answer"]) for row in rows])
    assert report.tasks["asr"]["value"] == theirs == load_report(file).tasks["asr"]["value"]


def test_published_weights_get_jiwers_wer_on_the_samples(tmp_path, capsys, monkeypatch) -> None:
    """The command with the tiny checkpoint in the published formats: its WER is jiwer's on the rows it wrote."""
    published = Salmonn.from_published(**PUBLISHED, heads=4)
    monkeypatch.setattr(pretrained, "load", lambda *args, **settings: published)
    rows, scores = tmp_path / "rows.jsonl", tmp_path / "scores.json"
    line = ["evaluate", "--manifest", str(DATA / "manifest.json"), "--tasks", "asr", "--max-new-tokens", "6"]
    assert main([*line, "--per-sample", str(rows), "--json", str(scores)]) == 0
    written = [json.loads(row) for row in rows.read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(written) == len(select_tasks(read_manifest(DATA / "manifest.json"), ["asr"]))
    assert any(row["answer"] for row in written)
    theirs = jiwer.wer(
        [basic(row["reference"]) for row in written], [basic(row["answer"]) for row in written]
    )
    assert json.loads(scores.read_text())["tasks"]["asr"]["value"] == theirs


def test_a_clip_beyond_the_context_is_skipped_named_and_counted(model, tmp_path, monkeypatch) -> None:
    samples = clips(tmp_path, *[("asr", f"word {i}") for i in range(3)])
    save_wav(samples[1].path, 0.1 * torch.randn(200_000, generator=torch.Generator().manual_seed(9)))
    settings = {"prompts": {"asr": ["Write it down."]}, **QUICK}
    without = evaluate_manifest(model, [samples[0], samples[2]], **settings)
    sounds = model.encode([try_clip(sample, model.config) for sample in samples])
    first, longest, third = model.audio_token_count(sounds)
    text = len(model.prompt.before) + len(model.prompt.after("Write it down."))
    context = text + max(first, third) + QUICK["max_new_tokens"]  # the others just fit
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", context)
    file = tmp_path / "rows.jsonl"
    report = evaluate_manifest(model, samples, rows_file=file, **settings)
    assert report.tasks == without.tasks and report.tasks["asr"]["n"] == 2 and longest > max(first, third)
    (skipped,) = report.to_dict()["skipped"]
    tokens = f"prompt {text} + audio {longest} + answer 4 tokens"
    assert f"1.wav ({tokens} exceed the language model's context of" in skipped
    assert f"- 1 clips were skipped: {skipped}" in report.table()
    assert load_report(file).tasks == report.tasks


def test_every_task_has_a_metric_and_unknown_ones_have_two(model, tmp_path) -> None:
    samples = clips(
        tmp_path,
        ("asr", "那个老师看见一个球"),
        ("asr", "a dog barks"),
        ("asr", "先生は赤いボールを見る"),
        ("translation_ec", "那个老师"),
        ("gender_recognition", "woman"),
        ("audiocaption", "a dog barks"),
        ("beat_counting", "four"),
    )
    prompts = {sample.task: ["Please tell."] for sample in samples}
    tasks = evaluate_manifest(model, samples, prompts=prompts, **QUICK).tasks
    assert {task: row["metric"] for task, row in tasks.items()} == {
        "asr": "cer", "translation_ec": "bleu", "gender_recognition": "accuracy", "audiocaption": "rouge_l",
        "beat_counting": "wer",
    }  # fmt: skip
    assert "wer" in tasks["asr"]["others"] and "accuracy" in tasks["beat_counting"]["others"]
    assert "cider_d" in tasks["audiocaption"]["others"]


def test_characters_are_jiwers_too() -> None:
    errors, count = character_errors("那个老师 看见一个球。", "那个老 看一个红球")
    assert errors / count == jiwer.cer("那个老师看见一个球", "那个老看一个红球")


def test_a_stopped_run_resumes_and_answers_nothing_twice(model, tmp_path, monkeypatch) -> None:
    samples = clips(tmp_path, *[("asr", f"word {i}") for i in range(7)])
    settings = {"rows_file": tmp_path / "rows.jsonl", "control": "silence", "batch_size": 2, **QUICK}
    whole = evaluate_manifest(model, samples, **settings | {"rows_file": None})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(4, patch)  # two batches, each with and without its sound
        evaluate_manifest(model, samples, **settings)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"index": 6, "cli')  # as a killed process leaves it
    heard = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda waves: heard.append(len(waves)) or encode(waves))
    assert evaluate_manifest(model, samples, **settings).to_dict() == whole.to_dict()
    assert sum(heard) == 2 * (7 - 4)
    assert evaluate_manifest(model, samples, **settings).to_dict() == whole.to_dict()
    assert sum(heard) == 2 * (7 - 4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scales": [2.0]}, "scales"),
        ({"max_new_tokens": 5}, "decoding"),
        ({"name": "another"}, "model"),
        ({"control": "silence"}, "controls"),
        ({"prompts": {"asr": ["Please."]}}, "clips"),
    ],
)
def test_rows_of_another_run_are_refused_and_kept(model, tmp_path, change, named) -> None:
    samples, file = clips(tmp_path, ("asr", "a"), ("asr", "b")), tmp_path / "rows.jsonl"
    evaluate_manifest(model, samples, rows_file=file, **QUICK)
    before = file.read_bytes()
    with pytest.raises(SalmonnError, match=f"rows of another run: {named} is"):
        evaluate_manifest(model, samples, rows_file=file, **QUICK | change)
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["my diary", "my diary\n", '{"a": 1}\n', "[1]\n", '{"index": [1]}\n'])
def test_a_file_of_something_else_is_not_touched(model, tmp_path, text) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    with pytest.raises(SalmonnError, match="no rows of an evaluation"):
        evaluate_manifest(model, clips(tmp_path, ("asr", "a")), rows_file=file)
    assert file.read_text() == text


def test_unreadable_clips_are_counted_and_named(model, tmp_path, monkeypatch) -> None:
    samples = clips(tmp_path, *[("asr", "a dog")] * 4)
    samples[2].path.write_bytes(b"no sound")
    with pytest.raises(SalmonnError, match=r"1 of 4 clips cannot be read, more than 5%, such as .*2\.wav"):
        evaluate_manifest(model, samples, **QUICK)
    monkeypatch.setattr(sources, "MAX_UNREADABLE", 0.5)
    report = evaluate_manifest(model, samples, control="other", **QUICK)
    assert report.tasks["asr"]["n"] == 3 and "1 clips were skipped" in report.table()
    assert len(report.to_dict()["skipped"]) == 1


def test_a_task_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(SalmonnError, match="no task 'poem': choose among asr, keywords"):
        select_tasks(clips(tmp_path, ("asr", "a"), ("keywords", "b")), ["poem"])


def test_a_sweep_has_a_report_for_each_scale(model, tmp_path) -> None:
    samples, file = clips(tmp_path, ("asr", "a dog"), ("asr", "rain")), tmp_path / "rows.jsonl"
    dataset = ManifestDataset(samples, model.config, 0)
    swept = answer_clips(model, dataset, [0, 4], 0, rows_file=file, **QUICK)
    assert swept.scales == [0, 4] and len(file.read_text().splitlines()) == 4
    alone = evaluate_manifest(model, samples, [0], **QUICK)
    assert swept.reports[0].tasks == alone.tasks


# --- without the clips' own sound ------------------------------------------------------------------------------------


def test_what_each_control_gives_the_encoders(model, tmp_path, monkeypatch) -> None:
    samples = clips(tmp_path, *[("asr", "a")] * 4)
    own = [try_clip(sample, model.config) for sample in samples]
    given: list = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda waves: given.append(waves) or encode(waves))
    for kind in ("silence", "reversed", "other"):
        given.clear()
        evaluate_manifest(model, samples, control=kind, **QUICK)
        as_they_are, changed = given
        assert all(torch.equal(one, two) for one, two in zip(as_they_are, own, strict=True))
        if kind == "silence":
            assert [len(wave) for wave in changed] == [len(wave) for wave in own] and not any(
                map(torch.any, changed)
            )
        elif kind == "reversed":
            assert all(torch.equal(one.flip(0), two) for one, two in zip(changed, own, strict=True))
        else:
            assert sorted(map(len, changed)) == sorted(map(len, own))
            assert not any(torch.equal(one, two) for one, two in zip(changed, own, strict=True))


def test_no_audio_gives_no_tokens_and_the_model_keeps_its_own(model, tmp_path, monkeypatch) -> None:
    samples, lengths = clips(tmp_path, ("asr", "a"), ("asr", "b")), []
    splice = model.splice
    monkeypatch.setattr(model, "splice", lambda H, *rest: lengths.append(H.shape[1]) or splice(H, *rest))
    report = evaluate_manifest(model, samples, control="no_audio", **QUICK)
    assert lengths[0] > 0 and lengths[1] == 0
    assert "get_audio_features" not in vars(model)
    assert Counter(row.get("control", "") for row in report.rows) == {"": 2, "no_audio": 2}
    silent = [row["answer"] for row in report.rows if "control" in row]
    assert silent[0] != "" or silent[0] == silent[1]


def test_the_table_has_a_column_and_what_is_kept(model) -> None:
    report = evaluate(model, ["story", "asr"], 3, 0, control="silence", **QUICK)
    head, story, _ = report.table().split("\n")[2:5]
    assert head.split()[:5] == ["task", "metric", "value", "silence", "kept"]
    before, after = report.tasks["story"]["value"], report.control_tasks["story"]["value"]
    assert report.share_kept("story") == after / before
    assert f"{after:.1f}" in story and f"{100 * after / before:.1f} %" in story
    assert report.to_dict()["control"] == "silence"
    assert "control" not in evaluate(model, ["asr"], 1, 0, **QUICK).to_dict()


def test_a_wer_keeps_what_is_right() -> None:
    row = {"task": "asr", "prompt": "", "reference": "a b c d", "words": "", "sounds": "", "ended": True}
    given = {"": "a b c d", "silence": "a b", "other": "x y z a b c"}
    for name, kept in (("silence", 0.5), ("other", 0.0)):
        rows = with_scores([row | {"answer": given[kind], "control": kind} for kind in ("", name)])
        assert Report("m", None, 0, 4.0, tuple(rows)).share_kept("asr") == kept
    rows = with_scores(
        [
            row | {"answer": given[kind], "control": control}
            for kind, control in (("other", ""), ("", "silence"))
        ]
    )
    assert Report("m", None, 0, 4.0, tuple(rows)).share_kept("asr") is None  # there was nothing to keep


def test_another_clip_is_never_its_own(model, tmp_path) -> None:
    class Numbered:
        """Clips whose sound tells their number."""

        def __init__(self, names: str) -> None:
            self.examples = [Example(name, "asr", "", "") for name in names]

        def waves(self, numbers):
            return [torch.tensor([float(i)]) for i in numbers]

    def others(names: str, seed: int) -> list[int]:
        source = sources.ClipSource(model, Numbered(names), "other", seed, 4)
        return [int(source._other(i)) for i in range(len(names))]

    for seed in range(20):
        assert all("abaca"[i] != "abaca"[j] for i, j in enumerate(others("abaca", seed)))
    assert sorted(others("abcd", 1)) == [0, 1, 2, 3]
    for samples in (clips(tmp_path, ("asr", "a")), clips(tmp_path, ("asr", "a"), ("asr", "b"), same=True)):
        with pytest.raises(SalmonnError, match="control 'other' has one clip alone"):
            evaluate_manifest(model, samples, control="other")
    with pytest.raises(SalmonnError, match="one clip alone"):
        evaluate(model, ["asr"], 1, 0, control="other")
    with pytest.raises(SalmonnError, match="unknown control 'deaf': choose one of silence, other"):
        evaluate(model, ["asr"], 1, 0, control="deaf")


def test_a_normalizer_is_used_named_and_changed_afterwards(model, tmp_path) -> None:
    samples, file = clips(tmp_path, ("asr", "It's Mr. Brown.")), tmp_path / "rows.jsonl"
    report = evaluate_manifest(model, samples, rows_file=file, normalizer="none", **QUICK)
    answers = [row["answer"] for row in report.rows]
    assert report.tasks["asr"]["value"] == wer(["It's Mr. Brown."], answers, "none")
    assert "normalizer none" in report.table()
    again = load_report(file, "whisper")
    assert again.tasks["asr"]["value"] == wer(["It's Mr. Brown."], answers, "whisper")
    assert "normalizer whisper" in again.table()
    with pytest.raises(SalmonnError, match="unknown normalizer 'english'"):
        evaluate_manifest(model, samples, normalizer="english")


# --- from the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))


def test_the_command_scores_a_manifest_resumes_and_rescores(toy, tmp_path, capsys) -> None:
    rows, scores = tmp_path / "rows.jsonl", tmp_path / "scores.json"
    line = [
        "evaluate",
        "--manifest",
        str(DATA / "manifest.json"),
        "--tasks",
        "gender,emotion",
        "--stage",
        "0",
    ]
    line += [
        "--max-new-tokens",
        "3",
        "--control",
        "reversed",
        "--per-sample",
        str(rows),
        "--json",
        str(scores),
    ]
    assert main(line) == 0
    first, written = capsys.readouterr().out, rows.read_bytes()
    assert list(json.loads(scores.read_text())["control_tasks"]) == list(
        json.loads(scores.read_text())["tasks"]
    )
    assert main(line) == 0
    again = capsys.readouterr()
    assert again.out == first and rows.read_bytes() == written
    assert f"resuming from the answers in {rows}; delete it to ask anew" in again.err
    assert main(["evaluate", "--score", str(rows)]) == 0
    assert capsys.readouterr().out == first
    assert main([*line, "--lora-scale", "1"]) == 2
    assert "rows of another run: scales is [4.0] there and [1.0] here" in capsys.readouterr().err
    assert rows.read_bytes() == written
    assert main(["evaluate", "--score", str(rows), "--manifest", "x.json"]) == 2
    assert main(["evaluate", "--prompts", "x.json"]) == 2
    assert main([*line[:3], "--tasks", "poem"]) == 2
    assert "the manifest has no task 'poem'" in capsys.readouterr().err


def test_toy_clips_resume_as_a_manifests_do(model, tmp_path, monkeypatch) -> None:
    file = tmp_path / "rows.jsonl"
    whole = evaluate(model, ["asr", "gender"], 3, 0, batch_size=1, **QUICK)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(4, patch)
        evaluate(model, ["asr", "gender"], 3, 0, batch_size=1, rows_file=file, **QUICK)
    assert len(file.read_text().splitlines()) == 4
    resumed = evaluate(model, ["asr", "gender"], 3, 0, batch_size=1, rows_file=file, **QUICK)
    assert resumed.to_dict() == whole.to_dict()
    with pytest.raises(SalmonnError, match="rows of another run: seed is 0 there and 1 here"):
        evaluate(model, ["asr", "gender"], 3, 1, rows_file=file, **QUICK)


def test_the_command_sweeps_a_manifest(toy, tmp_path, capsys) -> None:
    rows = tmp_path / "rows.jsonl"
    line = ["sweep", "--manifest", str(DATA / "manifest.json"), "--tasks", "gender", "--stage", "0"]
    assert main([*line, "--scales", "0", "4", "--per-sample", str(rows)]) == 0
    assert "s = 0" in capsys.readouterr().out
    assert {json.loads(row)["lora_scale"] for row in rows.read_text().splitlines()} == {0, 4}
    assert main(["sweep", "--prompts", str(rows)]) == 2
