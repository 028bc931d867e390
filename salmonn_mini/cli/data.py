"""Make the toy's samples; import, audit and pack your own data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.data.importers import ImportResult

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
  salmonn-mini data import audiocaps AudioCaps --out audiocaps.jsonl
  salmonn-mini data import clotho Clotho --out clotho.jsonl
  salmonn-mini data import wavcaps WavCaps --out wavcaps.jsonl
  salmonn-mini data import covost2 CommonVoice4 --out en_zh.jsonl
  salmonn-mini data import covost2 CommonVoice4 --split en_de.train --out en_de.jsonl
  salmonn-mini data import musiccaps MusicCaps --out musiccaps.jsonl
  salmonn-mini data import gigaspeech GigaSpeech --split M --out gigaspeech.jsonl
  salmonn-mini data import librimix Libri2Mix --out overlap.jsonl
  salmonn-mini data import voxceleb1 VoxCeleb1 --out speakers.jsonl
  salmonn-mini data import iemocap IEMOCAP --out emotion.jsonl
  salmonn-mini data import table qa.parquet --columns path=audio,text=answer,Q=question \\
    --set-column task=audio_qa --out qa.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(make=lambda _: parser.print_help())
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND")
    samples = kinds.add_parser("samples", help="the clips of data_samples/, the same every time")
    samples.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("data_samples"), help="(data_samples)"
    )
    samples.set_defaults(make=make_samples)
    _add_import(kinds)
    _add_audit(kinds)
    _add_pack(kinds)


def run(arguments: argparse.Namespace) -> int:
    return arguments.make(arguments)


def make_samples(arguments: argparse.Namespace) -> int:
    from salmonn_mini.toy.samples import build_samples

    files = build_samples(arguments.out)
    print(f"{len(files)} files in {arguments.out}")
    return 0


def _add_import(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "import",
        help="a manifest of a public data set that lies in a folder",
        epilog=LAYOUTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", help="one of the data sets below, or table")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="where the data set lies, as it comes")
    command.add_argument(
        "--out", metavar="MANIFEST", type=Path, required=True, help="what is written: JSON lines"
    )
    command.add_argument(
        "--split",
        metavar="SPLIT",
        action="append",
        default=[],
        help="a part by the data set's own name, such as dev-clean or en_de.test; again for more (training)",
    )
    table = command.add_argument_group("table", "keys: path, text, task, Q, begin, end (seconds), expand_wav")
    table.add_argument(
        "--columns",
        metavar="KEY=COLUMN,…",
        action="append",
        default=[],
        help="by default those of equal names",
    )
    table.add_argument(
        "--set-column", metavar="KEY=VALUE", action="append", default=[], help="the same for all rows"
    )
    table.add_argument("--text-template", metavar="TEXT", help='such as "{title}: {description}"')
    command.set_defaults(make=import_manifest)


def import_manifest(arguments: argparse.Namespace) -> int:
    from salmonn_mini.data import write_manifest
    from salmonn_mini.data.importers import import_data_set

    found = (
        _import_table(arguments)
        if arguments.name == "table"
        else import_data_set(arguments.name, arguments.folder, arguments.split)
    )
    written = write_manifest(arguments.out, found.samples)
    print(f"{written:,} samples in {arguments.out}")
    for reason, rows in found.left_out.items():
        print(f"{rows:,} rows left out: {reason}")
    return 0


def _import_table(arguments: argparse.Namespace) -> ImportResult:
    from salmonn_mini.data.columns import import_table

    columns = [pair for text in arguments.columns for pair in text.split(",")]
    return import_table(
        arguments.folder,
        _pairs(columns, "--columns"),
        _pairs(arguments.set_column, "--set-column"),
        arguments.text_template,
        arguments.out.with_suffix(""),
        "".join(arguments.split[:1]),
    )


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise SalmonnError(f"{option} {text!r} must be KEY=VALUE, such as text=caption")
        pairs[key.strip()] = value
    return pairs


def _add_audit(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser("audit", help="hours, rates, and what is wrong: before a run")
    command.add_argument("manifest", metavar="MANIFEST")
    command.add_argument(
        "--max-seconds", metavar="S", type=options.positive, default=30.0, help="longer is over-long (30)"
    )
    _add_jobs(command)
    command.add_argument("--json", action="store_true", help="everything, with every clip that has a fault")
    command.set_defaults(make=look_through)


def look_through(arguments: argparse.Namespace) -> int:
    from salmonn_mini.data import read_manifest
    from salmonn_mini.data.audit import audit

    found = audit(read_manifest(arguments.manifest), arguments.max_seconds, arguments.jobs)
    print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False) if arguments.json else found.table())
    return 0


def _add_pack(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser("pack", help="a manifest's files as tar files; a recipe takes the folder")
    command.add_argument("manifest", metavar="MANIFEST")
    command.add_argument("folder", metavar="FOLDER", type=Path)
    command.add_argument(
        "--per-shard", metavar="N", type=options.whole(1), default=250, help="samples in a tar file (250)"
    )
    command.add_argument(
        "--max-bad-share",
        metavar="S",
        type=options.number("of at least 0 and below 1", lambda value: 0 <= value < 1),
        default=0.05,
        help="of samples that cannot be read and are left out (0.05)",
    )
    _add_jobs(command)
    command.set_defaults(make=pack_manifest)


def pack_manifest(arguments: argparse.Namespace) -> int:
    from salmonn_mini.data import pack, read_manifest

    samples = read_manifest(arguments.manifest)
    shards = pack(
        samples, arguments.folder, arguments.per_shard, arguments.max_bad_share, jobs=arguments.jobs
    )
    packed = sum(len(shard.samples) for shard in shards)
    print(f"{packed:,} of {len(samples):,} samples in {len(shards):,} tar files: {arguments.folder}")
    if packed < len(samples):
        print(f"the others cannot be read: see {arguments.folder / 'quarantine.jsonl'}")
    return 0


def _add_jobs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--jobs", metavar="N", type=options.whole(1), default=1, help="files that are read at a time (1)"
    )
