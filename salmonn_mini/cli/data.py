"""Make the toy's samples; import, audit and pack your own data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from salmonn_mini.cli import options
from salmonn_mini.errors import SalmonnError, counted

LAYOUTS = """\
what FOLDER holds, as the data sets come (nothing is fetched; rows without a sound file are counted and left out):

  librispeech  train-clean-100/SPEAKER/CHAPTER/*.trans.txt and *.flac, and so on     (asr)
  audiocaps    train.csv; anywhere below, sounds named YOUTUBEID_START or YOUTUBEID  (audio_caption)
  clotho       clotho_captions_development.csv and development/*.wav                 (audio_caption)
  wavcaps      json_files/FreeSound/fsd_final.json and FreeSound*/…/*.flac, and the
               other sources; what json_files/blacklist/ gives to AudioCaps is left out  (audio_caption)
  covost2      covost_v2.en_zh-CN.train.tsv and Common Voice's clips/*.mp3           (translation_zh)
  musiccaps    musiccaps-public.csv; anywhere below, sounds named YOUTUBEID          (music_caption)
  gigaspeech   GigaSpeech.json and audio/; --split XS, S, M, L, XL, DEV or TEST      (asr)
  librimix     metadata/mixture_train-360_mix_*.csv and LibriSpeech's *.trans.txt
               below it                                                              (overlapped_speech)
  voxceleb1    veri_test2.txt and wav/                                               (speaker_verification)
  iemocap      Session1/dialog/EmoEvaluation and Session1/sentences/wav, to Session5 (emotion)
  table        instead of FOLDER a .csv, .tsv, .json, .jsonl or .parquet file, or a folder that `datasets` saved

  salmonn-mini data import librispeech LibriSpeech --out librispeech.jsonl
  salmonn-mini data import librispeech LibriSpeech --split dev-clean --out dev.jsonl
  salmonn-mini data import covost2 CommonVoice4 --split en_de.train --out en_de.jsonl
  salmonn-mini data import table qa.parquet --columns path=audio,text=answer,Q=question \\
    --set-column task=audio_qa --out qa.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(make=lambda _: parser.print_help())
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, make: Callable, about: str, **settings: Any) -> argparse.ArgumentParser:
        made = kinds.add_parser(name, help=about, **settings)
        made.set_defaults(make=make)
        return made

    add = command("samples", make_samples, "the clips of data_samples/, the same every time").add_argument
    add("--out", metavar="DIR", type=Path, default=Path("data_samples"), help="(data_samples)")

    form = {"epilog": LAYOUTS, "formatter_class": argparse.RawDescriptionHelpFormatter}
    about = "a manifest of a public data set that lies in a folder"
    importing = command("import", import_manifest, about, **form)
    add, again = importing.add_argument, {"action": "append", "default": []}
    add("name", metavar="NAME", help="one of the data sets below, or table")
    add("folder", metavar="FOLDER", type=Path, help="where the data set lies, as it comes")
    add("--out", metavar="MANIFEST", type=Path, required=True, help="what is written: JSON lines")
    about = "a part by the data set's own name, such as dev-clean or en_de.test; again for more (training)"
    add("--split", metavar="SPLIT", help=about, **again)
    keys = "keys: path, text, task, Q, begin, end (seconds), expand_wav"
    add = importing.add_argument_group("table", keys).add_argument
    add("--columns", metavar="KEY=COLUMN,…", help="by default those of equal names", **again)
    add("--set-column", metavar="KEY=VALUE", help="the same for all rows", **again)
    add("--text-template", metavar="TEXT", help='such as "{title}: {description}"')

    auditing = command("audit", audit_manifest, "hours, rates, and what is wrong: before a run")
    packing = command("pack", pack_manifest, "a manifest's files as tar files; a recipe takes the folder")
    for reading in (auditing, packing):
        about = "a .jsonl, .json, .csv, .tsv or .parquet file with path and text"
        reading.add_argument("manifest", metavar="MANIFEST", help=about)
        about = "files that are read at a time (1)"
        reading.add_argument("--jobs", metavar="N", type=options.whole(1), default=1, help=about)
    add = auditing.add_argument
    add("--max-seconds", metavar="S", type=options.positive, default=30.0, help="longer is over-long (30)")
    add("--json", action="store_true", help="everything, with every clip that has a fault")
    add, share = packing.add_argument, options.number("of at least 0 and below 1", lambda x: 0 <= x < 1)
    add("folder", metavar="FOLDER", type=Path)
    add("--per-shard", metavar="N", type=options.whole(1), default=250, help="samples in a tar file (250)")
    about = "of samples that cannot be read and are left out (0.05)"
    add("--max-bad-share", metavar="S", type=share, default=0.05, help=about)


def run(arguments: argparse.Namespace) -> None:
    arguments.make(arguments)


def make_samples(arguments: argparse.Namespace) -> None:
    from salmonn_mini.toy.samples import build_samples

    print(f"{counted(len(build_samples(arguments.out)), 'file')} in {arguments.out}")


def import_manifest(arguments: argparse.Namespace) -> None:
    from salmonn_mini.data import write_manifest
    from salmonn_mini.data.importers import import_data_set, import_table

    if arguments.name == "table":
        found = import_table(
            arguments.folder,
            _pairs([pair for text in arguments.columns for pair in text.split(",")], "--columns"),
            _pairs(arguments.set_column, "--set-column"),
            arguments.text_template,
            arguments.out.with_suffix(""),
            "".join(arguments.split[:1]),
        )
    else:
        found = import_data_set(arguments.name, arguments.folder, arguments.split)
    written = write_manifest(arguments.out, found.samples)
    print(f"{counted(written, 'sample')} in {arguments.out}")
    for reason, rows in found.left_out.items():
        print(f"{counted(rows, 'row')} left out: {reason}")


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise SalmonnError(f"{option} {text!r} must be KEY=VALUE, such as text=caption")
        pairs[key.strip()] = value
    return pairs


def audit_manifest(arguments: argparse.Namespace) -> None:
    from salmonn_mini.data import read_manifest
    from salmonn_mini.data.audit import audit

    found = audit(read_manifest(arguments.manifest), arguments.max_seconds, arguments.jobs)
    print(json.dumps(asdict(found), indent=1, ensure_ascii=False) if arguments.json else found.table())


def pack_manifest(arguments: argparse.Namespace) -> None:
    from salmonn_mini.data import pack, read_manifest

    samples, folder = read_manifest(arguments.manifest), arguments.folder
    shards = pack(samples, folder, arguments.per_shard, arguments.max_bad_share, jobs=arguments.jobs)
    packed = sum(len(shard.samples) for shard in shards)
    tars = counted(len(shards), "tar file")
    print(f"{packed:,} of {counted(len(samples), 'sample')} in {tars}: {folder}")
    if packed < len(samples):
        print(f"the others cannot be read: see {folder / 'quarantine.jsonl'}")
