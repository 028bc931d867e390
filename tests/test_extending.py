"""EXTENDING.md is true: every block of its recipes runs, in order, on a model of a few thousand parameters."""

import re
from pathlib import Path

import pytest
import record
import yaml
from tiny import tiny_config, tiny_toy

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.claims import read_claims
from salmonn_mini.models import config, connectors
from salmonn_mini.pretrained import build, save
from salmonn_mini.toy.world.audio_tasks import MAKERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "EXTENDING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"(?ms)^## (Add .+?)\n(.+?)(?=^## |\Z)", PAGE))


def blocks(recipe: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", RECIPES[recipe])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """An empty folder, where "toy" is tiny and has a stage 2; gives the names of a session, none as yet."""
    toy = tmp_path / "toy"
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(toy)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(config.PRESETS, "toy", tiny_config(name="toy"))
    monkeypatch.setattr(config, "CONNECTORS", config.CONNECTORS)
    save(build(config.PRESETS["toy"]), toy / "stage2")
    return {}


def follow(recipe: str, session: dict) -> None:
    for block in blocks(recipe, "python"):
        exec(compile(block, f"EXTENDING.md: {recipe}", "exec"), session)


def test_the_page_has_a_recipe_for_each() -> None:
    kinds = ("task", "connector", "language model", "claim", "chapter")
    assert list(RECIPES) == [f"Add a {kind}" for kind in kinds]


def test_a_task(bench: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(TASKS, "sound_count", None)
    monkeypatch.setitem(MAKERS, "sound_count", None)  # both are gone afterwards
    follow("Add a task", bench)
    assert bench["report"].tasks["sound_count"]["n"] == 8
    assert {one.answer for one in bench["clips"].examples} <= {"one", "two", "three"}
    asked = {row["prompt"] for row in bench["report"].rows}
    assert asked <= set(TASKS["sound_count"].held_out)
    assert capsys.readouterr().out.count("(right: ") == 2


def test_a_connector(bench: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connectors.KINDS, "mean_pooling", None)
    follow("Add a connector", bench)
    assert Path("runs/mean_pooling/config.json").is_file()


def test_a_language_model(bench: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.PRESETS, "mine", None)
    follow("Add a language model", bench)
    assert bench["model"].base_llm.config.hidden_size == config.PRESETS["mine"].llm.hidden_size


def test_a_claim(bench: dict, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks("Add a claim", "yaml")
    (bench["row"],) = yaml.safe_load(text)
    follow("Add a claim", bench)
    assert bench["claim"].tests[0].rule == "whisper_only/asr/wer - (both/asr/wer) < 0.02"
    assert bench["claim"].id not in {claim.id for claim in read_claims().claims}
    assert capsys.readouterr().out == "not yet measured\n"  # the tiny toy has no rows


def test_a_chapter(bench: dict) -> None:
    follow("Add a chapter", bench)
    (notebook,) = Path("notebooks").glob("*.ipynb")
    assert f"make notebooks NOTEBOOKS={notebook.as_posix()}\n" in RECIPES["Add a chapter"]
    assert record.record(notebook.resolve()) == []
    assert "µs" in notebook.read_text(encoding="utf-8").split('"outputs"')[-1]


def test_every_file_and_name_on_the_page_is_there() -> None:
    for path in set(re.findall(r"`((?:salmonn_mini|tests|notebooks)/[\w./-]+)`", PAGE)):
        assert (ROOT / path).exists(), path
    for names, path in re.findall(r"`([A-Z]+)`(?:, | of | in )+`(salmonn_mini/[\w/]+\.py)`", PAGE):
        assert re.search(rf"(?m)^{names}\b", (ROOT / path).read_text(encoding="utf-8")), f"{names} in {path}"
