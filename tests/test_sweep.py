"""The sweep: one report a scale, on the same clips, equal to what `evaluate` gives there."""

import json

import pytest
import torch
from tiny import tiny_salmonn

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.evaluate import evaluate, sweep
from salmonn_mini.models.lora import get_lora_scale


@pytest.fixture(scope="module")
def model():
    model = tiny_salmonn(kind=pretrained.Salmonn)
    model.info = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    return model


def test_every_scale_is_what_evaluate_gives_there(model) -> None:
    swept = sweep(model, ["asr", "story"], 2, 3, (0, 4.0), split="validation", max_new_tokens=6)
    assert swept.scales == [0.0, 4.0] and swept.tasks == ["asr", "story"]
    for report in swept.reports:
        alone = evaluate(
            model, ["asr", "story"], 2, 3, lora_scale=report.lora_scale, split="validation", max_new_tokens=6
        )
        assert report == alone
    assert swept.reports[0].rows[0]["answer"] != swept.reports[1].rows[0]["answer"]
    assert get_lora_scale(model.llm) == 4.0


def test_tables(model) -> None:
    swept = sweep(model, ["asr", "story"], 1, 0, (0, 2, 2, 4), split="validation", max_new_tokens=4)
    assert swept.scales == [0, 2, 4]
    assert [line.split()[:2] for line in swept.table().splitlines()[1:]] == [
        ["asr", "wer"], ["story", "diversity"], ["story", "follows"],
    ]  # fmt: skip
    assert swept.to_dict()["scales"] == [0, 2, 4]


def test_what_cannot_be_swept_is_refused(model) -> None:
    with pytest.raises(SalmonnError, match="no scales"):
        sweep(model, ["asr"], 1, 0, ())
    with pytest.raises(SalmonnError, match="must be finite"):
        sweep(model, ["asr"], 1, 0, (float("nan"),))


def test_the_command_prints_a_table_or_json_or_writes_it(model, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(pretrained, "load", lambda *args, **settings: model)
    line = [
        "sweep",
        "--model",
        "toy",
        "--stage",
        "1",
        "--samples",
        "1",
        "--tasks",
        "asr",
        "--scales",
        "0",
        "4",
    ]
    assert main([*line, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scales"] == [0, 4]
    assert main([*line, "--json", str(tmp_path / "sweep.json")]) == 0
    assert "s = 4" in capsys.readouterr().out and json.loads((tmp_path / "sweep.json").read_text()) == report


def test_a_wrong_figure_costs_a_line(capsys) -> None:
    assert main(["sweep", "--figure", "curves.xyz"]) == 2
    assert "curves.xyz" in capsys.readouterr().err
