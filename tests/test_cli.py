"""The command line: what it prints, what it refuses and how, and the JSON that other programs read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_config, tiny_salmonn, tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import RENAMED, SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.models.lora import get_lora_scale

KEYS = ["clip", "prompt", "answer", "token_ids", "lora_scale", "model"]


LOADING = "loading {} …\nrunning on cpu in float32\n"


@pytest.fixture(scope="module")
def tiny():
    model = tiny_salmonn(kind=pretrained.Salmonn)
    model.info = {"stage": 3}
    return model


@pytest.fixture
def model(tiny, monkeypatch):
    """The tiny model instead of the toy."""
    monkeypatch.setattr(pretrained, "load", lambda *_, **__: tiny)
    return tiny


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.sin(np.arange(SAMPLE_RATE) / 9) / 2, SAMPLE_RATE)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], line: str, *more: str) -> tuple[int, str, str]:
    """Status, stdout and stderr after a model's loading; `line` is cut at spaces, `more` is not."""
    capsys.readouterr()
    status = main([*line.split(), *more])
    said = capsys.readouterr()
    loading = re.compile(LOADING.format(r"toy, stage \d"))
    return status, said.out, loading.sub("", said.err, count=1)


# --- answer ----------------------------------------------------------------------------------------------------------


def test_one_clip_gives_its_answer_alone_and_several_their_names(capsys, model, clip):
    status, out, err = run(capsys, "answer", clip, "--max-new-tokens", "5")
    assert (status, err, out.count("\n")) == (0, "", 1) and clip not in out
    status, again, err = run(capsys, "answer", clip, clip, "--max-new-tokens", "5")
    assert (status, err) == (0, "") and again == f"{clip}: {out}" * 2


def test_a_streamed_answer_is_the_same(capsys, model, clip):
    said = run(capsys, "answer", clip, clip, "--max-new-tokens", "9")
    assert run(capsys, "answer", clip, clip, "--max-new-tokens", "9", "--stream") == said


def test_json_has_a_line_a_clip_and_the_scale_of_the_run(capsys, model, clip):
    status, out, err = run(
        capsys, "answer", clip, clip, "--json", "--prompt", "Describe the audio.", "--lora-scale", "0.5"
    )
    first, second = map(json.loads, out.splitlines())
    assert (status, err) == (0, "") and first == second and list(first) == KEYS
    assert (first["prompt"], first["lora_scale"], first["model"]) == ("Describe the audio.", 0.5, "toy")
    assert first["answer"] == model.prompt.text(first["token_ids"])
    assert get_lora_scale(model.llm) == 4.0  # restored
    (plain,) = map(json.loads, run(capsys, "answer", clip, "--json")[1].splitlines())
    assert (plain["prompt"], plain["lora_scale"]) == ("Transcribe the speech.", 4.0)


def test_decoding_options_reach_the_model(capsys, model, clip, monkeypatch):
    seen = {}
    real = model.generate

    def spy(*args, **settings):
        seen.update(settings)
        return real(*args, **settings)

    monkeypatch.setattr(model, "generate", spy)
    line = "answer --num-beams 2 --max-new-tokens 3 --repetition-penalty 1.5"
    assert run(capsys, line, clip)[0] == 0
    assert seen == {"num_beams": 2, "max_new_tokens": 3, "repetition_penalty": 1.5, "do_sample": False}
    line = "answer --do-sample --temperature 2 --top-p 0.5 --seed 7 --max-new-tokens 12 --json"
    one, other = (run(capsys, line, clip)[1] for _ in range(2))
    assert one == other and len(json.loads(one)["token_ids"]) <= 12
    assert (seen["do_sample"], seen["temperature"], seen["top_p"], seen["seed"]) == (True, 2.0, 0.5, 7)


def test_what_was_mended_is_said_on_one_line(capsys, model, tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (44_100, 2)), 44_100)
    status, out, err = run(capsys, "answer", str(path), "--max-new-tokens", "2")
    assert status == 0 and out.count("\n") == 1
    assert err == f"note: {path}: 2 channels, mixed to one, resampled from 44,100 Hz to 16,000 Hz\n"


def test_a_bad_clip_does_not_keep_the_others_from_being_answered(capsys, model, clip, tmp_path):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    status, out, err = run(capsys, "answer", clip, str(empty), "gone.wav", clip, "--max-new-tokens", "3")
    assert status == 2 and out.count(f"{clip}: ") == 2
    assert err.splitlines() == [
        f"error: {empty}: empty (0 bytes); an audio file has samples: record or copy it again",
        "error: gone.wav: no such file; check the path",
    ]


def test_a_prompt_or_clip_that_leaves_no_room_is_refused(capsys, model, clip, tmp_path):
    status, out, err = run(capsys, "answer", clip, "--prompt", "what is it " * 300)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "exceed the language model's context of 256: cut the clip, shorten the prompt, or lower" in err
    long = tmp_path / "long.wav"
    soundfile.write(long, np.random.default_rng(0).normal(0, 0.1, 40 * SAMPLE_RATE), SAMPLE_RATE)
    status, out, err = run(capsys, "answer", str(long), clip)
    assert (status, out.count("\n"), err.count("\n")) == (2, 1, 1)
    assert err.startswith(f"error: {long}: prompt ") and " + audio 200 + " in err and "cut the clip" in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("poem", "unknown command 'poem': choose one of answer, serve, train, plan"),
        ("answr {clip}", "unknown command 'answr': did you mean 'answer'?; see `salmonn-mini --help`"),
        ("answer", "arguments are required: CLIP; see `salmonn-mini answer --help`"),
        ("answer {clip} --num-beem 2", "unknown option '--num-beem': did you mean '--num-beams'?"),
        ("answer {clip} --max-new 2", "unknown option '--max-new': "),
        ("bench toy", "unexpected argument 'toy'; see `salmonn-mini bench --help`"),
        ("doctor 13b-stage9", "unknown recipe '13b-stage9'"),
        ("activate --data storys", "unknown --data 'storys': did you mean 'story'?"),
        ("answer gone.wav", "gone.wav: no such file; check the path"),
        ("answer a.wav --prompt", "argument --prompt: expected one argument"),
        ("answer a.wav --num-beams 0", "argument --num-beams: '0' must be a whole number of at least 1"),
        ("answer a.wav --num-beams two", "'two' must be a whole number"),
        ("answer a.wav --max-new-tokens -1", "'-1' must be a whole number of at least 1"),
        ("answer a.wav --repetition-penalty 0", "'0' must be a number above 0"),
        ("answer a.wav --lora-scale nan", "'nan' must be a number such as 4.0"),
        ("answer a.wav --do-sample --top-p 1.5", "'1.5' must be a number above 0 and at most 1"),
        ("answer a.wav --stage one", "argument --stage: 'one' must be a whole number of at least 0"),
        ("answer {clip} --seed 1", "--seed changes nothing without --do-sample: add it"),
        ("answer {clip} --top-p 0.5", "--top-p changes nothing without --do-sample: add it"),
        ("answer {clip} --llm x", "--whisper, --checkpoint is missing: add it"),
        ("answer {clip} --whisper w --llm l --checkpoint c --model toy", "name two models: leave one"),
        ("answer {clip} --heads 4", "--heads belongs to --checkpoint: leave it out"),
        ("answer {clip} --stream --num-beams 2", "--stream shows one answer as it grows"),
        ("answer {clip} --stream --json", "argument --json: not allowed with argument --stream"),
        ("answer {clip} --model 13b --stage 1", "stage 1 of 13b: only toy has stages; leave the stage out"),
        ("sweep --model toy --revision v1", "revision v1 of toy: only Hub ids have revisions; leave it out"),
        ("evaluate --device tpu", "unknown --device 'tpu': did you mean 'cpu'?"),
        ("activate --out x --dtype float8", "unknown --dtype 'float8': did you mean 'float"),
        ("claims --device tpu", "unknown --device 'tpu': did you mean 'cpu'?"),
        ("claims --dtype bfloat16", "unknown option '--dtype': "),
        (
            "bench --config long-audio --device cpu",
            "--device needs --config ablations, but --config is long-audio",
        ),
        ("sweep --bits 3", "unknown --bits 3: choose one of 8, 4"),
        ("answer {clip} --model nobody", "there is no model 'nobody': give toy, small, 7b, 13b, a folder"),
        ("train toy-stage9", "unknown recipe 'toy-stage9'"),
        ("train toy-stage1 --set stepz=3", "unknown recipe key 'stepz': did you mean 'steps'?"),
        ("train toy-stage1 --set steps", "'steps' does not change a recipe: write key=value"),
        ("evaluate --tasks asr,poem", "unknown task 'poem': choose one of asr, "),
        ("evaluate --tasks ,", "--tasks names no task: give at least one"),
        ("evaluate --samples 0", "'0' must be a whole number of at least 1"),
        ("backbones --dtype float8", "unknown --dtype 'float8': did you mean 'float32'?"),
        ("data songs", "unknown command 'songs': choose one of samples, import, audit, pack"),
        ("doctor --preset 14b", "unknown preset '14b': did you mean '13b'?"),
        ("bench --config huge", "unknown --config 'huge': choose one of published-small, long-audio"),
    ],
)
def test_a_mistake_costs_one_line_with_value_rule_and_remedy(capsys, clip, argv, said):
    status, out, err = run(capsys, argv.format(clip=clip))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and said in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("ledger --verify", "command 'ledger' was renamed to 'claims'"),
        ("bench --config levers", "--config 'levers' was renamed to 'ablations'"),
        ("plan 7b-stage1 --at-once 8", "option '--at-once' was renamed to '--per-device-batch-size'"),
        ("backbones --precision=bfloat16", "option '--precision' was renamed to '--dtype'"),
        ("answer a.wav --beams 4", "option '--beams' was renamed to '--num-beams'"),
        ("answer a.wav --sample", "option '--sample' was renamed to '--do-sample'"),
        *(
            (f"train toy-stage1 --set {old}=1", f"recipe key '{old}' was renamed to '{new}'")
            for old, new in RENAMED["recipe key"].items()
        ),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(capsys, argv, said):
    status, out, err = run(capsys, argv)
    assert (status, out, err.count("\n")) == (2, "", 1) and err.startswith(f"error: {said}")


def test_without_a_command_there_is_help_and_an_example(capsys):
    status, out, err = run(capsys, "")
    assert (status, err) == (0, "") and "commands:" in out and "salmonn-mini answer data_samples/*.wav" in out
    assert max(map(len, out.splitlines())) <= 90
    status, out, err = run(capsys, "data")
    assert (status, err) == (0, "") and "commands:" in out and "import" in out


@pytest.mark.parametrize(
    "line",
    [
        "answer",
        "evaluate",
        "sweep",
        "activate --out x",
        "claims --verify",
        "claims",
        "doctor",
        "plan",
        "bench",
        "backbones",
    ],
)
def test_the_first_sign_of_life_comes_before_torch(line, clip):
    """In a process that cannot import torch, what is said is said before."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from salmonn_mini.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [*line.split(), *([clip] if line == "answer" else [])]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=600)
    first, *_ = done.stderr.splitlines()
    assert first.endswith(" …") and not first.startswith("error"), done.stderr


@pytest.mark.parametrize("prompt", ["", " \n "])
def test_an_empty_prompt_is_refused(capsys, clip, prompt):
    status, _, err = run(capsys, "answer", clip, "--prompt", prompt)
    assert status == 2 and err.startswith(f"error: the prompt is {prompt!r}: ask something, such as --prompt")


# --- when something goes wrong ---------------------------------------------------------------------------------------


def test_what_nobody_expected_is_one_line_too_and_debug_shows_where(capsys, model, clip, monkeypatch):
    def fail(waves):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(model, "encode", fail)
    status, _, err = run(capsys, "answer", clip)
    assert (status, err) == (1, "error: unexpected ZeroDivisionError: by zero; --debug shows where\n")
    status, _, err = run(capsys, "--debug", "answer", clip)
    assert status == 1 and "Traceback" in err and "in fail" in err
    assert "Traceback" in run(capsys, "answer", "gone.wav", "--debug")[2]


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_the_first_tells_an_error(capsys, monkeypatch, rank):
    """What all of them meet; of what one alone meets (`on_one_rank`) it tells itself."""
    monkeypatch.setenv("RANK", str(rank))
    status, out, err = run(capsys, "train", "nobody")
    assert (status, out, err.count("error: unknown recipe")) == (2, "", 1 - rank)


def test_ctrl_c_ends_quietly(capsys, model, clip, monkeypatch):
    def interrupt(waves):
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "encode", interrupt)
    assert run(capsys, "answer", clip) == (130, "", "stopped\n")


def test_the_libraries_warnings_stay_unsaid(capsys, model, clip, monkeypatch):
    real = model.encode

    def grumble(waves):
        warnings.warn("something is old", FutureWarning, stacklevel=1)
        return real(waves)

    monkeypatch.setattr(model, "encode", grumble)
    assert run(capsys, "answer", clip, "--max-new-tokens", "2")[2] == ""


@pytest.mark.parametrize(
    "command", [[], *([name] for name in ("answer", "train", "evaluate", "bench", "doctor"))]
)
def test_help_is_there_and_needs_no_torch(command):
    code = (
        "import sys; from salmonn_mini.cli import main\n"
        f"try: main({[*command, '--help']})\n"
        "except SystemExit as end: sys.exit(end.code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout.startswith("usage: salmonn-mini") and not done.stderr


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "salmonn_mini", "answer"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


NOT_FOR_AN_ANSWER = {
    *("matplotlib", "pandas", "IPython", "ipywidgets", "hypothesis", "tensorboard", "webdataset"),
    *(
        "jiwer",
        "sacrebleu",
        "hibari",
        "onnxruntime",
        "salmonn_mini.evaluation.metrics.words",
        "salmonn_mini.course.plots",
    ),
    *(
        f"salmonn_mini.{room}"
        for room in (
            "data.manifest",
            "toy.world",
            "train",
            "evaluation.evaluate",
            "evaluation.claims",
            "course.figures",
        )
    ),
}


def test_an_answer_imports_no_more_than_it_needs_and_is_done_with_it(clip, tmp_path, monkeypatch):
    """By the state of a fresh process: what it has loaded."""
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    code = (
        "import json, sys\n"
        "from salmonn_mini.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "print(json.dumps([status, list(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "answer", clip, "--json", "--stage", "0", "--max-new-tokens", "4"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    answer, state = done.stdout.splitlines()
    status, modules = json.loads(state)
    assert json.loads(answer)["clip"] == clip and status == 0
    assert done.stderr == LOADING.format("toy, stage 0")
    assert NOT_FOR_AN_ANSWER.isdisjoint(modules), NOT_FOR_AN_ANSWER & set(modules)


# --- the other commands ----------------------------------------------------------------------------------------------


def test_evaluate_writes_the_contract(capsys, model, tmp_path):
    scores, rows = tmp_path / "scores.json", tmp_path / "rows.jsonl"
    line = "evaluate --model toy --stage 1 --samples 2 --seed 3 --tasks asr,audio_caption --lora-scale 2"
    status, out, _ = run(
        capsys, line, "--max-new-tokens", "4", "--json", str(scores), "--per-sample", str(rows)
    )
    report = json.loads(scores.read_text(encoding="utf-8"))
    assert status == 0 and "asr" in out
    assert list(report) == ["model", "stage", "seed", "lora_scale", "tasks"]
    assert [report[key] for key in list(report)[:4]] == ["toy", 3, 3, 2.0]  # as the model says
    assert list(report["tasks"]) == ["asr", "audio_caption"]
    for row in report["tasks"].values():
        assert set(row) == {"metric", "value", "interval", "following_rate", "n", "others"} and row["n"] == 2
    assert len(rows.read_text(encoding="utf-8").splitlines()) == 4


def test_evaluate_takes_the_tasks_of_the_stage(capsys, model, monkeypatch):
    from salmonn_mini.evaluation import evaluate

    asked = {}

    def spy(model, clips, scales, seed, **settings):
        asked.update(tasks=[*dict.fromkeys(one.task for one in clips.examples)], scales=scales, **settings)
        raise SalmonnError("enough")

    monkeypatch.setattr(evaluate, "answer_clips", spy)
    for stage, tasks in (
        (2, [name for name, task in TASKS.items() if task.stage]),
        (1, ["asr", "audio_caption"]),
    ):
        monkeypatch.setattr(model, "info", {"stage": stage})
        assert run(capsys, "evaluate")[0] == 2
        assert (asked["tasks"], asked["stage"], asked["scales"]) == (tasks, stage, None)


@pytest.mark.parametrize("command", ["answer {clip}", "evaluate", "sweep", "activate --out x"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--device cuda", "error: device cuda: torch sees no CUDA GPU here; use cpu or auto"),
        ("--device mps", "error: device mps: torch sees no Apple GPU (MPS) here; use cpu or auto"),
        (
            "--bits 4",
            "error: an LLM in 4 bits needs a CUDA GPU and bitsandbytes, not available on cpu: leave",
        ),
    ],
)
def test_a_device_that_is_not_there_is_refused(capsys, clip, tmp_path, monkeypatch, command, options, said):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tmp_path))
    (tmp_path / "stage2").mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("salmonn_mini.pretrained.devices.find_spec", lambda name: None)
    status, out, err = run(capsys, f"{command.format(clip=clip)} {options}")
    loading, error = err.splitlines()
    assert (status, out, loading) == (2, "", "loading toy, stage 2 …") and error.startswith(said)


def test_what_was_chosen_is_told(capsys, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    line = f"answer {clip} --stage 0 --max-new-tokens 2 --device cpu --dtype bfloat16"
    status, _, err = run(capsys, line)
    assert status == 0 and err == "loading toy, stage 0 …\nrunning on cpu in bfloat16\n"


def test_a_run_from_recipe_to_answer_and_scores(capsys, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    folder = str(tmp_path / "run")
    changes = ("steps=2", "clips=4", "batch_size=2", "warmup=1", "alignment=null")
    line = f"train toy-stage1 {' '.join(f'--set {change}' for change in changes)} --set config="
    config = json.dumps({name: part for name, part in tiny_config().to_dict().items() if name == "connector"})
    places = ["--set", f"output_dir={folder}", "--set", f"cache_dir={tmp_path / 'encoded'}"]
    status, out, _ = run(capsys, line + config.replace(" ", ""), *places)
    assert status == 0 and re.fullmatch(
        r"Trained 2 steps, loss [\d.]+ → [\d.]+\. Next: .* --model \S+/run\n", out
    )
    status, out, _ = run(capsys, line + config.replace(" ", ""), *places)
    assert (status, out) == (0, "Already complete (2 of 2 steps); --fresh starts over.\n")
    log = [json.loads(row) for row in (tmp_path / "run" / "train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2] and all("loss" in row for row in log)

    status, out, err = run(capsys, f"answer {clip} --json --max-new-tokens 3 --model", folder)
    assert status == 0 and json.loads(out)["model"] == folder
    assert err == LOADING.format(folder)
    scores = tmp_path / "scores.json"
    line = f"evaluate --samples 1 --max-new-tokens 3 --json {scores} --model {folder}"
    assert run(capsys, line)[0] == 0
    report = json.loads(scores.read_text(encoding="utf-8"))
    assert (report["model"], report["stage"], list(report["tasks"])) == (folder, 1, ["asr", "audio_caption"])
    status, _, err = run(capsys, f"{line} --stage 2")
    assert status == 2 and err == f"error: stage 2 of {folder}: only toy has stages; leave the stage out\n"


def test_backbones_and_samples_get_their_folders(capsys, tmp_path, monkeypatch):
    from salmonn_mini.toy import samples
    from salmonn_mini.toy.backbones import build

    called = []
    monkeypatch.setattr(build, "build_all", lambda *args, **settings: called.append((args, settings)))
    monkeypatch.setattr(samples, "build_samples", lambda folder: called.append(folder) or [1, 2])
    line = "backbones --runs r --samples 9 --dtype bfloat16 --out"
    status, out, err = run(capsys, line, str(tmp_path))
    assert status == 0 and out.startswith(f"Wrote the weights to {tmp_path}. Next: ") and err.endswith(" …\n")
    assert called.pop() == ((tmp_path, Path("r")), {"dtype": "bfloat16", "samples": 9})
    assert run(capsys, "data", "samples", "--out", str(tmp_path))[:2] == (0, f"2 files in {tmp_path}\n")
    assert called == [tmp_path]


def test_the_tiny_model_answers_as_it_does_without_the_command_line(capsys, model, clip):
    (row,) = map(json.loads, run(capsys, "answer", clip, "--json", "--max-new-tokens", "6")[1].splitlines())
    wave = torch.from_numpy(soundfile.read(clip, dtype="float32")[0])
    (answer,) = model.generate(model.encode([wave]), ["Transcribe the speech."], max_new_tokens=6)
    assert (row["answer"], tuple(row["token_ids"])) == (answer.text, answer.token_ids)
