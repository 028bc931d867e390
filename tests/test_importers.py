"""Public data sets, each made small in its own layout, become manifests that can be trained on."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from salmonn_mini.audio import save_wav
from salmonn_mini.cli import main
from salmonn_mini.data import ManifestDataset, Sample, read_manifest
from salmonn_mini.data.importers import IMPORTERS, import_data_set
from salmonn_mini.errors import SalmonnError, counted
from salmonn_mini.models.config import preset


def sound(path: Path) -> Path:
    """A file with sound in it; its name alone says what it should be, as libsndfile looks at the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_wav(path, 0.1 * torch.sin(torch.arange(4_000.0) / 9))
    return path


def table(path: Path, header: str, *rows: tuple, **form) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **form).writerows([header.split(), *rows])


def librispeech(folder: Path) -> list[Sample]:
    chapter = folder / "LibriSpeech" / "train-clean-100" / "103" / "1240"
    files = [sound(chapter / f"103-1240-{i:04d}.flac") for i in range(2)]
    lines = ["103-1240-0000 CHAPTER ONE", "103-1240-0001 IT'S MISSUS RACHEL", "103-1240-0002 GONE"]
    (chapter / "103-1240.trans.txt").write_text("\n".join(lines) + "\n")
    sound(folder / "LibriSpeech" / "test-clean" / "1" / "2" / "1-2-0000.flac")
    (folder / "LibriSpeech" / "test-clean" / "1" / "2" / "1-2.trans.txt").write_text("1-2-0000 NOT TRAINED\n")
    return [Sample(files[0], "chapter one"), Sample(files[1], "it's missus rachel")]


def audiocaps(folder: Path) -> list[Sample]:
    names = "audiocap_id youtube_id start_time caption"
    rows = [
        (91139, "r1nicOVtvkQ", 130, "A woman talks, nearby"),
        (58146, "-bU", 30, "Rain"),
        (1, "gone", 0, "x"),
    ]
    table(folder / "train.csv", names, *rows)
    table(folder / "val.csv", names, (2, "val", 0, "not trained"))
    sound(folder / "audio" / "val" / "val_0.wav")
    one = sound(folder / "audio" / "train" / "r1nicOVtvkQ_130.flac")
    two = sound(folder / "audio" / "train" / "Y-bU.wav")
    return [Sample(one, "A woman talks, nearby", "audio_caption"), Sample(two, "Rain", "audio_caption")]


def clotho(folder: Path) -> list[Sample]:
    captions = [f"caption {i}, of five" for i in range(5)]
    names = "file_name " + " ".join(f"caption_{i}" for i in range(1, 6))
    rows = [("Distorted AM Radio noise.wav", *captions), ("gone.wav", *captions)]
    table(folder / "clotho_captions_development.csv", names, *rows)
    path = sound(folder / "development" / "Distorted AM Radio noise.wav")
    return [Sample(path, caption, "audio_caption") for caption in captions]


def wavcaps(folder: Path) -> list[Sample]:
    rows = {
        "AudioSet_SL/as_final.json": [("Yb0RFKhbpFJA.wav", "Wind"), ("Ytest.wav", "in AudioCaps")],
        "FreeSound/fsd_final.json": [("17", "A bell"), ("18", "gone")],
        "SoundBible/sb_final.json": [("17", "A horn")],
    }
    for name, data in rows.items():
        file = folder / "json_files" / name
        file.parent.mkdir(parents=True)
        data = [{"id": i, "caption": caption, "duration": 1.0} for i, caption in data]
        file.write_text(json.dumps({"num_captions_per_audio": 1, "data": data}))
    blacklist = folder / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json"
    blacklist.parent.mkdir()
    blacklist.write_text(json.dumps({"AudioSet": ["Ytest.wav"], "FreeSound": []}))
    deep = "AudioSet_SL/mnt/data/AudioSet_SL_flac"
    paths = [sound(folder / deep / "Yb0RFKhbpFJA.flac"), sound(folder / "FreeSound_flac" / "17.flac")]
    paths.append(sound(folder / "SoundBible_flac" / "17.flac"))
    sound(folder / deep / "Ytest.flac")
    return [
        Sample(p, text, "audio_caption") for p, text in zip(paths, ("Wind", "A bell", "A horn"), strict=True)
    ]


def covost2(folder: Path) -> list[Sample]:
    form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}
    names = "path sentence translation client_id"
    rows = [("common_voice_en_1.mp3", 'He said "yes', "他说“是”", "a"), ("gone.mp3", "x", "y", "a")]
    table(folder / "covost_v2.en_zh-CN.train.tsv", names, *rows, **form)
    whole = [
        ("common_voice_en_1.mp3", "Ja.", "train_covost"),
        ("common_voice_en_2.mp3", "Nein.", "test"),
    ]
    table(folder / "covost_v2.en_de.tsv", "path translation split", *whole, **form)
    sound(folder / "en" / "clips" / "common_voice_en_2.mp3")
    path = sound(folder / "en" / "clips" / "common_voice_en_1.mp3")
    return [Sample(path, "他说“是”", "translation_zh")]


def musiccaps(folder: Path) -> list[Sample]:
    names = "ytid start_s end_s audioset_positive_labels aspect_list caption author_id is_balanced_subset "
    names += "is_audioset_eval"
    rows = [
        ("-0Gj8-vB1q4", 30, 40, "/m/0", "['slow']", "A slow song, sung.", 4, False, False),
        ("-0SdAVK79lg", 30, 40, "/m/0", "[]", "A guitar.", 0, False, False),
        ("eval", 0, 10, "/m/0", "[]", "held out", 0, False, True),
        ("gone", 0, 10, "/m/0", "[]", "x", 0, False, False),
    ]
    table(folder / "musiccaps-public.csv", names, *rows)
    one = sound(folder / "wav" / "-0Gj8-vB1q4.wav")
    two = sound(folder / "wav" / "[-0SdAVK79lg]-[30-40].wav")
    sound(folder / "wav" / "eval.wav")
    return [Sample(one, "A slow song, sung.", "music_caption"), Sample(two, "A guitar.", "music_caption")]


def gigaspeech(folder: Path) -> list[Sample]:
    def segment(begin, end, text, *subsets):
        return {"sid": "x", "begin_time": begin, "end_time": end, "text_tn": text, "subsets": subsets}

    path = sound(folder / "audio" / "podcast" / "P0001" / "POD0000000001.opus")
    segments = [
        segment(0.0, 0.1, "WELL <COMMA> IT'S HERE <PERIOD>", "{M}", "{XL}"),
        segment(0.1, 0.2, "IS IT <QUESTIONMARK> YES <EXCLAMATIONPOINT>", "{M}", "{XL}"),
        segment(0.1, 0.2, "NOT IN M", "{XL}"),
        segment(0.2, 0.25, "<MUSIC>", "{M}"),
        segment(0.2, 0.25, "THE <NOISE> X", "{M}"),
    ]
    audios = [{"aid": "1", "path": "audio/podcast/P0001/POD0000000001.opus", "segments": segments}]
    audios.append({"aid": "2", "path": "audio/gone.opus", "segments": [segment(0, 1, "GONE", "{M}")]})
    (folder / "GigaSpeech.json").write_text(json.dumps({"dataset": "GigaSpeech", "audios": audios}))
    return [
        Sample(path, "well, it's here.", begin=0.0, end=0.1),
        Sample(path, "is it? yes!", begin=0.1, end=0.2),
    ]


def librimix(folder: Path) -> list[Sample]:
    place = folder / "Libri2Mix" / "wav16k" / "max"
    names = ("1-2-0000_3-4-0001", "1-2-0000_3-4-0002")
    rows = [(name, f"/elsewhere/{name}.wav", 4_000) for name in names]
    table(place / "metadata" / "mixture_train-360_mix_both.csv", "mixture_ID mixture_path length", *rows)
    for text in ("1-2-0000 ONE TWO", "3-4-0001 THREE\n3-4-0002 FOUR"):
        chapter = folder / "LibriSpeech" / "train-clean-360" / text[0] / text[2]
        chapter.mkdir(parents=True)
        (chapter / f"{text[:3]}.trans.txt").write_text(text + "\n")
    path = sound(place / "train-360" / "mix_both" / f"{names[0]}.wav")
    return [Sample(path, "one two three", "overlapped_speech")]


def voxceleb1(folder: Path) -> list[Sample]:
    one, two = (sound(folder / "wav" / "id1" / f"{i}.wav") for i in range(2))
    pairs = "1 id1/0.wav id1/1.wav\n0 id1/1.wav id1/0.wav\n1 id1/0.wav id2/0.wav\n"
    (folder / "veri_test2.txt").write_text(pairs)
    return [
        Sample(one, "Yes", "speaker_verification", expand_wav=(two,)),
        Sample(two, "No", "speaker_verification", expand_wav=(one,)),
    ]


def iemocap(folder: Path) -> list[Sample]:
    place = folder / "Session1" / "dialog" / "EmoEvaluation"
    place.mkdir(parents=True)
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for i, emotion in enumerate(("exc", "xxx", "neu")):
        lines.append(f"[{i}.29 - {i + 1}.23]\tSes01F_impro01_F00{i}\t{emotion}\t[2.5, 2.5, 2.5]")
        lines.append("C-E2:\tNeutral;\t()")
    (place / "Ses01F_impro01.txt").write_text("\n".join(lines))
    clips = folder / "Session1" / "sentences" / "wav" / "Ses01F_impro01"
    return [Sample(sound(clips / "Ses01F_impro01_F000.wav"), "happy", "emotion")]


LAYOUTS = {f.__name__: f for f in (librispeech, audiocaps, clotho, wavcaps, covost2, musiccaps)}
LAYOUTS |= {f.__name__: f for f in (gigaspeech, librimix, voxceleb1, iemocap)}
LEFT_OUT = {
    "clotho": "5 rows",
    "wavcaps": "1 row left out: in AudioCaps or Clotho too\n1 row",
    "gigaspeech": "2 rows left out: no speech (<MUSIC>, <NOISE>, <OTHER>, <SIL>)\n1 row",
    "iemocap": "1 row left out: another emotion than neutral, happy, sad, angry\n1 row",
}
LENGTHS = {"gigaspeech": {3_200}, "voxceleb1": {4_000 + 1_600 + 4_000}}  # the toy pads to 0.2 s


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_data_set_becomes_a_manifest_with_a_command(tmp_path, capsys, name):
    expected = LAYOUTS[name](tmp_path / "data")
    manifest = tmp_path / "m.jsonl"
    assert main(["data", "import", name, str(tmp_path / "data"), "--out", str(manifest)]) == 0
    samples = read_manifest(manifest)
    assert samples == expected
    rows = LEFT_OUT.get(name, "1 row")
    said = f"{counted(len(expected), 'sample')} in {manifest}\n{rows} left out: no sound file\n"
    assert capsys.readouterr().out == said
    assert '"path": "data/' in manifest.read_text(encoding="utf-8")  # it can move with the folder
    clips = ManifestDataset(samples, preset("toy"), seed=0)
    assert {len(wave) for wave in clips.waves(range(len(samples)))} == LENGTHS.get(name, {4_000})


@pytest.mark.parametrize(
    ("name", "split", "texts"),
    [
        ("librispeech", "test-clean", ["not trained"]),
        ("audiocaps", "val", ["not trained"]),
        ("covost2", "en_de.train", ["Ja."]),
        ("covost2", "en_de.test", ["Nein."]),
        ("musiccaps", "eval", ["held out"]),
        ("wavcaps", "SoundBible", ["A horn"]),
    ],
)
def test_another_part_is_read_where_it_is_named(tmp_path, name, split, texts):
    LAYOUTS[name](tmp_path)
    assert [sample.text for sample in import_data_set(name, tmp_path, [split]).samples] == texts


def test_the_data_sets_folder_may_be_named_too(tmp_path):
    expected = librispeech(tmp_path)
    assert import_data_set("librispeech", tmp_path / "LibriSpeech").samples == expected


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        (
            "librispeech",
            "train-clean-360",
            "no train-clean-360 or LibriSpeech/train-clean-360 in it; name the data set's own folder",
        ),
        ("audiocaps", "test", "no test.csv or dataset/test.csv in it"),
        ("clotho", "evaluation", "no clotho_captions_evaluation.csv"),
        ("wavcaps", "BBC_Sound_Effects", "no json_files/BBC_Sound_Effects/bbc_final.json"),
        ("wavcaps", "FreeSounds", "unknown part of WavCaps 'FreeSounds': did you mean 'FreeSound'"),
        ("covost2", "en_ja.train", "no covost_v2.en_ja.train.tsv or covost_v2.en_ja.tsv"),
        (
            "covost2",
            "en_fr.train",
            r"'en_fr.train': write it as en_zh-CN.train; into zh, de, ja there are tasks",
        ),
        ("covost2", "train", "write it as en_zh-CN.train"),
        ("musiccaps", "test", "unknown split of MusicCaps 'test': choose one of train, eval"),
        ("gigaspeech", "S", "no segments of subset S; it has M, XL"),
        ("librimix", "dev", "no metadata/mixture_dev_mix"),
        ("voxceleb1", "veri_test", r"no veri_test\.txt"),
        ("iemocap", "Session2", "no Session2/dialog/EmoEvaluation"),
    ],
)
def test_a_part_that_is_not_there_is_refused(tmp_path, name, split, words):
    LAYOUTS[name](tmp_path)
    with pytest.raises(SalmonnError, match=words):
        import_data_set(name, tmp_path, [split])


def test_tables_that_are_none_are_refused(tmp_path):
    with pytest.raises(SalmonnError, match="unknown data set 'gigaspeach': did you mean 'gigaspeech'"):
        import_data_set("gigaspeach", tmp_path)
    with pytest.raises(SalmonnError, match="no such folder; name the one in which audiocaps lies"):
        import_data_set("audiocaps", tmp_path / "nowhere")
    (tmp_path / "train.csv").write_text("id,caption\n1,x\n")
    with pytest.raises(SalmonnError, match=r"train\.csv, line 2: no youtube_id, start_time in it; copy"):
        import_data_set("audiocaps", tmp_path)
    (tmp_path / "train.csv").write_bytes(b"youtube_id,start_time,caption\nx,0,\xff\n")
    with pytest.raises(SalmonnError, match=r"train\.csv: byte 34 is not UTF-8"):
        import_data_set("audiocaps", tmp_path)
    table(tmp_path / "train.csv", "youtube_id start_time caption", ("a", 0, "x"), ("b", 0, "y"))
    with pytest.raises(
        SalmonnError, match=r"nothing to import .2 rows: no sound file.; put the audio files where"
    ):
        import_data_set("audiocaps", tmp_path)
    wavcaps(tmp_path)
    for content, words in (
        ("{", "not JSON"),
        ("{}", "a list of objects is expected"),
        ('{"data": [1]}', "row 1: no id, caption"),
        (
            '{"data": [{"id": "17", "caption": null}]}',
            "row 1: no caption in it; copy the data set's own table again",
        ),
    ):
        (tmp_path / "json_files" / "SoundBible" / "sb_final.json").write_text(content)
        with pytest.raises(SalmonnError, match=words):
            import_data_set("wavcaps", tmp_path, ["SoundBible"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,a,0,muffled\nspeech\n\n", "line 3: 1 cell for the header's 4 columns; put.*quotes"),
        ("1,a,0,a dog, barking\n", "line 2: 5 cells"),
        ('1,a,0,x\n2,b,1,"A man says\n3,a,1,Wind\n', "line 3: not CSV .unexpected end of data"),
        ('1,a,0,"x" y\n', "line 2: not CSV"),
    ],
)
def test_a_malformed_row_is_refused_by_its_line(tmp_path, rows, words):
    sound(tmp_path / "a.wav")
    (tmp_path / "train.csv").write_text(f"audiocap_id,youtube_id,start_time,caption\n{rows}")
    with pytest.raises(SalmonnError, match=words):
        import_data_set("audiocaps", tmp_path)


def test_a_text_keeps_its_line_breaks_and_a_name_its_space(tmp_path):
    text = "one,\ntwo\u2028three\x85"
    table(
        tmp_path / "clotho_captions_development.csv", "file_name caption_1", (" a.wav", text), ("b.wav ", "y")
    )
    one, two = sound(tmp_path / "development" / " a.wav"), sound(tmp_path / "development" / "b.wav")
    expected = [Sample(one, text, "audio_caption"), Sample(two, "y", "audio_caption")]
    assert import_data_set("clotho", tmp_path).samples == expected


def test_wavcaps_keeps_what_only_another_source_holds_out(tmp_path):
    wavcaps(tmp_path)
    blacklist = {"AudioSet": ["17"], "FreeSound": ["17.wav"]}
    (tmp_path / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json").write_text(
        json.dumps(blacklist)
    )
    assert [s.text for s in import_data_set("wavcaps", tmp_path, ["SoundBible"]).samples] == ["A horn"]
    with pytest.raises(SalmonnError, match="in AudioCaps or Clotho too"):
        import_data_set("wavcaps", tmp_path, ["FreeSound"])
    odd = {"data": [{"id": "17", "caption": "one\u2028two"}]}
    file = tmp_path / "json_files" / "SoundBible" / "sb_final.json"
    file.write_text(json.dumps(odd, ensure_ascii=False), encoding="utf-8")
    assert import_data_set("wavcaps", tmp_path, ["SoundBible"]).samples[0].text == "one\u2028two"


@pytest.mark.parametrize("begin", ["soon", None, []])
def test_a_malformed_segment_is_refused_by_its_number(tmp_path, begin):
    segment = {"begin_time": begin, "end_time": 1, "text_tn": "X", "subsets": ["{M}"]}
    audios = [{"path": "a.opus", "segments": []}, {"path": "b.opus", "segments": [segment]}]
    (tmp_path / "GigaSpeech.json").write_text(json.dumps({"audios": audios}))
    with pytest.raises(SalmonnError, match=r"GigaSpeech\.json, audio 2: .* is missing or malformed; copy"):
        import_data_set("gigaspeech", tmp_path)


def test_a_training_part_whose_table_is_missing_is_left_out(tmp_path):
    expected = wavcaps(tmp_path)
    sound(tmp_path / "BBC_Sound_Effects" / "1.flac")
    (tmp_path / "json_files" / "SoundBible" / "sb_final.json").unlink()
    (tmp_path / "json_files" / "SoundBible").rmdir()
    assert import_data_set("wavcaps", tmp_path).samples == expected[:2]


def test_a_split_without_rows_is_refused(tmp_path):
    covost2(tmp_path)
    with pytest.raises(SalmonnError, match="no rows of split valid; it has test, train_covost"):
        import_data_set("covost2", tmp_path, ["en_de.valid"])


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode there")
def test_a_file_name_that_is_not_unicode_is_refused(tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        sound(folder / "a.wav")
    except SalmonnError:
        pytest.skip("this file system takes Unicode names alone")
    table(tmp_path / "train.csv", "youtube_id start_time caption", ("a", 0, "x"))
    out = tmp_path / "m.jsonl"
    assert main(["data", "import", "audiocaps", str(tmp_path), "--out", str(out)]) == 2 and not out.exists()
    assert "a.wav: its name is not UTF-8; rename it" in capsys.readouterr().err


def test_help_names_every_data_set(capsys):
    with pytest.raises(SystemExit):
        main(["data", "import", "--help"])
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in (*IMPORTERS, "table"))
