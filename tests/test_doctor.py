"""The doctor: versions before imports, memory by arithmetic, weights by their headers; each fault has its remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save_file

from salmonn_mini.cli import main
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import preset
from salmonn_mini.pretrained import devices
from salmonn_mini.tools import doctor
from salmonn_mini.tools.doctor import FAIL, OK, WARN, environment, memory, weights
from salmonn_mini.tools.estimates import needs

CONFIG = preset("13b")
CPU = devices.Runtime(torch.device("cpu"), torch.float32)
SMALL = devices.Runtime(torch.device("cpu"), torch.bfloat16)


# --- environment -----------------------------------------------------------------------------------------------------


def test_packages_that_fail_are_listed_and_the_others_counted(monkeypatch) -> None:
    there = {"torch": "2.13.0", "torchaudio": "2.11.0+cu128", "peft": "0.21.3"}
    monkeypatch.setattr(environment, "installed", there.get)
    lines = [
        "torch==2.11.0",
        "torchaudio==2.11.0",
        "peft>=0.21,<0.22",
        "jiwer>=4",
        "gone; sys_platform == 'none'",
    ]
    torch_, jiwer, fine = environment.check_packages([Requirement(line) for line in lines])
    assert (torch_.level, jiwer.level, fine.level) == (FAIL, FAIL, OK)
    assert torch_.text == "torch is 2.13.0, torch==2.11.0 is needed" and "make env" in torch_.remedy
    assert jiwer.text == "jiwer is not installed, jiwer>=4 is needed"
    assert fine.text.startswith("2 requirements met, python 3")


def test_this_very_environment_is_sound() -> None:
    assert [finding for finding in environment.check_environment() if finding.level != OK] == []


def test_another_python_is_refused(monkeypatch) -> None:
    for version, level in (("3.9.1", FAIL), ("3.14.0", OK)):
        monkeypatch.setattr(environment.platform, "python_version", lambda version=version: version)
        (finding,) = environment.check_packages([Requirement("python>=3.10,<3.15")])
        assert finding.level == level


def test_an_import_that_fails_is_told_in_one_line(monkeypatch) -> None:
    def fail(name):
        raise RuntimeError("undefined symbol\nand more")

    monkeypatch.setattr(environment.importlib, "import_module", fail)
    (finding,) = environment.check_imports()
    assert str(finding).startswith(
        "[FAIL] `import salmonn_mini.audio` fails (RuntimeError: undefined symbol): run"
    )


def test_versions_are_looked_at_before_torch_is_imported() -> None:
    code = (
        "import sys; from salmonn_mini.tools.doctor import environment\n"
        "environment.installed = lambda name: {'torch': '2.15.0', 'torchaudio': '2.11.0'}.get(name, '99')\n"
        "from salmonn_mini.cli import main; status = main(['doctor'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 1 and done.stderr == "checking packages …\n"
    assert "[FAIL] torch is 2.15.0, torch==2.11.0 is needed" in done.stdout
    assert "[WARN] skipped: fix the environment first" in done.stdout


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "trained", "total"),
    [("13b", 33_332_992, 13_776e6), ("7b", 30_186_240, 7_496e6), ("toy", None, 8.76e6)],
)
def test_parameters_are_the_papers(name, trained, total) -> None:
    need = needs(preset(name))
    assert trained in (None, need.parameters["trained"])
    assert sum(need.parameters.values()) == pytest.approx(total, rel=0.02)


def test_memory_at_full_scale_is_what_was_reported() -> None:
    need = needs(CONFIG)
    assert need.dtype == torch.bfloat16
    assert need.training == pytest.approx(30.7e9, rel=0.05)  # reported: 13B, batch 1, fp16
    assert 26e9 < need.answering < need.training


def test_memory_needed_is_held_against_memory_there(monkeypatch) -> None:
    def levels(free, total):
        monkeypatch.setattr(memory, "memory_there", lambda device: ("RAM", free, total))
        return [finding.level for finding in memory.check_memory(CONFIG, SMALL)]

    assert levels(80e9, 80e9) == [OK, OK, OK]
    assert levels(10e9, 80e9) == [OK, WARN, WARN]
    assert levels(30.3e9, 30.3e9) == [OK, OK, FAIL]
    monkeypatch.setattr(memory, "memory_there", lambda device: ("RAM", 7e9, 16e9))
    *_, training = memory.check_memory(CONFIG, SMALL)
    assert "RAM has 7.0 GB free of 16.0 GB: use a larger machine or a smaller preset" in str(training)


def test_answering_is_reckoned_in_what_the_model_will_run_in() -> None:
    answering = {
        (dtype, bits): needs(CONFIG, dtype, bits).answering
        for dtype in (torch.float32, torch.bfloat16)
        for bits in (None, 4)
    }
    assert answering[torch.float32, None] > 52e9 > 32e9 > answering[torch.bfloat16, None]
    assert answering[torch.bfloat16, 4] == pytest.approx(
        answering[torch.bfloat16, None] - 1.5 * 13.016e9, rel=0.01
    )
    _, *said = memory.check_memory(CONFIG, CPU)
    assert "answering on cpu in float32 needs about 5" in said[0].text
    assert "training with 1 clip a step in bfloat16 needs about 3" in said[1].text


def test_a_containers_limit_counts(monkeypatch, tmp_path) -> None:
    limit, none = tmp_path / "memory.max", tmp_path / "none"
    limit.write_text("1000000\n")
    none.write_text("max\n")
    monkeypatch.setattr(memory, "CGROUPS", (str(none), str(limit), str(tmp_path / "missing")))
    assert memory.memory_there(CPU.device) == ("RAM", 1_000_000, 1_000_000)


def test_an_accelerator_is_missed_by_the_large_alone() -> None:
    finding = memory.check_accelerator(preset("toy"), CPU)
    assert finding.level == OK and finding.text.endswith("CPU cores in use; models run on cpu in float32")
    finding = memory.check_accelerator(preset("7b"), CPU)
    assert finding.level == WARN and "preset 7b is very slow on a CPU: use a CUDA GPU" in str(finding)


def test_a_device_that_is_not_there_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["doctor", "--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert (
        said.endswith("error: device cuda: torch sees no CUDA GPU here; use cpu or auto\n")
        and said.count("\n") == 2
    )


# --- weights ---------------------------------------------------------------------------------------------------------


def llm_folder(folder: Path, layers: int = 32, width: int = 960) -> Path:
    """A folder like that of the small preset's LLM, in two files, with two of its tensors."""
    folder.mkdir()
    up = torch.zeros(2560, width)
    save_file({"model.embed_tokens.weight": torch.zeros(2)}, folder / "one.safetensors")
    save_file({f"model.layers.{layers - 1}.mlp.up_proj.weight": up}, folder / "two.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})
    )
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_weights_are_found_counted_and_measured(tmp_path) -> None:
    finding = weights.check_part(preset("small"), "llm", str(llm_folder(tmp_path / "vicuna")))
    assert finding.level == OK and finding.text.endswith("vicuna, 2 files, 9.8 MB, 2 tensors")


def test_weights_that_do_not_fit_are_named(tmp_path) -> None:
    def said(folder: Path) -> str:
        finding = weights.check_part(preset("small"), "llm", str(folder))
        assert finding.level == FAIL and finding.remedy
        return finding.text

    assert "has no layers.31.mlp.up_proj.weight, preset small needs (2560, 960)" in said(
        llm_folder(tmp_path / "short", layers=16)
    )
    assert "mlp.up_proj.weight of shape (2560, 512), preset small needs" in said(
        llm_folder(tmp_path / "narrow", width=512)
    )
    folder = llm_folder(tmp_path / "torn")
    (folder / "two.safetensors").write_bytes((folder / "two.safetensors").read_bytes()[:5000])
    assert "two.safetensors cannot be read" in said(folder)
    (folder / "two.safetensors").unlink()
    assert "lacks two.safetensors" in said(folder)
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json or tokenizer.model" in said(folder)


def test_a_published_checkpoint_is_read_without_running_its_code(tmp_path) -> None:
    good, bad = tmp_path / "salmonn_v1.pth", tmp_path / "bad.pth"
    torch.save({"model": {"speech_llama_proj.weight": torch.zeros(5120, 768)}, "epoch": 3}, good)
    bad.write_bytes(b"hello")
    assert weights.check_part(CONFIG, "checkpoint", str(good)).level == OK
    finding = weights.check_part(CONFIG, "checkpoint", str(bad))
    assert finding.level == FAIL and "bad.pth cannot be read" in finding.text


def test_what_is_missing_says_where_to_get_it(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "cached", lambda source: None)
    whisper, beats, llm, checkpoint = weights.check_weights(CONFIG, {})
    assert {finding.level for finding in (whisper, beats, llm, checkpoint)} == {FAIL}
    assert str(whisper) == (
        "[FAIL] whisper: openai/whisper-large-v2 is not here: hf download openai/whisper-large-v2"
    )
    assert "linked from https://github.com/microsoft/unilm" in beats.remedy
    assert llm.remedy == "hf download lmsys/vicuna-13b-v1.1"
    assert checkpoint.remedy == "hf download tsinghua-ee/SALMONN"
    *_, trained = weights.check_weights(preset("small"), {})
    assert (trained.level, trained.remedy) == (WARN, "train one")


def test_a_place_that_was_named_counts_instead(tmp_path) -> None:
    gone = str(tmp_path / "gone.pth")
    *_, checkpoint = weights.check_weights(preset("toy"), {"checkpoint": gone})
    assert checkpoint.level == FAIL and gone in checkpoint.text


def test_the_hubs_cache_is_looked_into_without_the_network(monkeypatch, tmp_path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "refs").mkdir()
    (tmp_path / "models--a--b" / "refs" / "main").write_text("0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert weights.cached("a/b") == snapshot
    assert weights.cached("a/c") is None
    assert weights.cached("a/b/c.pt") is None
    (snapshot / "c.pt").touch()
    assert weights.cached("a/b/c.pt") == snapshot / "c.pt"
    assert weights.cached("not a name") is weights.cached("/a/b/c") is None


# --- the whole -------------------------------------------------------------------------------------------------------


def test_the_report_and_its_status(capsys, monkeypatch) -> None:
    sections = {
        "environment": [doctor.Finding(OK, "fine")],
        "memory": [doctor.Finding(WARN, "little", "buy")],
    }
    monkeypatch.setattr(doctor, "examine", lambda name, sources, **runtime: iter(sections.items()))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "environment\n  [OK]   fine\nmemory\n  [WARN] little: buy\nPreset toy can run here.\n"
    )
    sections["weights"] = [doctor.Finding(FAIL, "gone", "fetch")]
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith(
        "weights\n  [FAIL] gone: fetch\nPreset toy cannot run here: 1 check failed. Next: fetch\n"
    )


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(SalmonnError, match="unknown preset '14b'"):
        list(doctor.examine("14b"))
