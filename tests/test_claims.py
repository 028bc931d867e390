"""The claims: rules that are read, figures that follow from rows, verdicts that can come out either way."""

import json
from pathlib import Path

import pytest

from salmonn_mini import pretrained, train
from salmonn_mini.cli import main
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import claims
from salmonn_mini.evaluation.claims import models
from salmonn_mini.evaluation.claims.conditions import CONDITIONS
from salmonn_mini.evaluation.claims.models import MODELS
from salmonn_mini.evaluation.claims.rules import Claim, Rules, Term, Test
from salmonn_mini.evaluation.claims.verdicts import IN_PART, NOT, OPEN, REPRODUCED, Evidence, decide, figure
from salmonn_mini.evaluation.metrics.measures import MEASURES
from salmonn_mini.files import write_json
from salmonn_mini.train import Recipe

STORY = "once upon a time there was " + " ".join("abcdefghijklmnopqrst")


def row(answer: str, task: str = "story") -> dict:
    return {
        "task": task, "prompt": "Write a story.", "words": "the king sees a dog", "sounds": "",
        "reference": STORY, "answer": answer, "ended": True, "scores": {"stale": [9, 9]},
    }  # fmt: skip


@pytest.fixture
def evidence(tmp_path) -> Evidence:
    """After stage 2 one story in four, after stage 3 three in four; the seeds agree."""
    evidence = Evidence(tmp_path / "rows")
    for seed in (0, 1):
        evidence.save("stage2", seed, [row(STORY), *[row("the king sees a dog")] * 3])
        evidence.save("stage3", seed, [*[row(STORY)] * 3, row("the king sees a dog")])
        evidence.save("numbers", seed, [{"task": "story", "measured": {"gap": [seed + 1.0, 1]}}])
    return evidence


def rule(name: str, plus: str, minus: str = "", **limits: float) -> Test:
    terms = [tuple(Term(*text.split("/")) for text in side.split()) for side in (plus, minus)]
    return Test(name, *terms, limits.get("above"), limits.get("below"))


RESTORED = rule("a", "stage3/story/following_rate", "stage2/story/following_rate", above=0.4)
TOO_MUCH = rule("b", "stage3/story/following_rate", "stage2/story/following_rate", above=0.6)


def test_the_shipped_rules_name_what_is_there() -> None:
    rules = claims.read_claims()
    assert [claim.id for claim in rules.claims] == list(range(1, 15)) and len(rules.seeds) >= 3
    for claim in rules.claims:
        for one in claim.tests:
            assert one.plus and (one.above is None) != (one.below is None), one.rule
            for term in (*one.plus, *one.minus):
                assert term.task in TASKS, one.rule
                if term.measure in MEASURES and term.condition in CONDITIONS:
                    assert term.task in CONDITIONS[term.condition].tasks, one.rule


def test_a_condition_has_its_model_and_a_claim_that_needs_it() -> None:
    assert CONDITIONS.keys() == {name for claim in claims.read_claims().claims for name in claim.conditions}
    assert {condition.model for condition in CONDITIONS.values()} <= MODELS.keys()


def test_a_model_begins_with_the_one_that_its_recipe_names_and_is_trained_once(monkeypatch, tmp_path) -> None:
    trained = {}

    def train_recipe(recipe: Recipe) -> Path:
        write_json(Path(recipe.output_dir) / "config.json", {})
        trained[Path(recipe.output_dir).name] = recipe
        return Path(recipe.output_dir)

    monkeypatch.setattr(train, "train_recipe", train_recipe)
    monkeypatch.setattr(pretrained, "load", lambda folder, device=None: folder.name)
    monkeypatch.setattr(models, "self_generated", lambda model, kind, seed: [(model, kind, seed)])
    monkeypatch.setattr(
        models, "save_examples", lambda examples, folder: made.update({folder.name: examples})
    )
    made: dict = {}
    own, names = models.Models(7, tmp_path), ["lora_only", "long_qa", "moved_0.003_200"]
    assert [own[name] for name in (*names, "stage2")] == [*names, "stage2"]
    assert [Path(one.init).name for one in trained.values()] == [
        "scratch", "stage1", "stage2", "stage2", "stage1",
    ]  # fmt: skip
    assert list(trained) == ["stage1", "stage2", "lora_only", "long_qa", "moved_0.003_200"]
    assert made == {"data_story_12": [("stage2", "story", 7)], "data_long_qa_12": [("stage2", "long_qa", 7)]}
    assert {one.seed for one in trained.values()} == {8}
    assert trained["lora_only"].trainable == ("lora",)
    assert trained["lora_only"].manifest == str(tmp_path / "seed7" / "data_story_12" / "manifest.json")


def test_figures_follow_from_the_texts_and_the_measured_numbers(evidence) -> None:
    value, (low, high) = figure(evidence, RESTORED, (0, 1))
    assert value == pytest.approx(0.5) and low < 0.5 < high
    value, _ = figure(evidence, rule("c", "numbers/story/gap", above=0), (0, 1))
    assert value == pytest.approx(1.5)
    assert "scores" not in evidence.rows("stage2", 0)[0]


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [((RESTORED,), REPRODUCED), ((RESTORED, TOO_MUCH), IN_PART), ((TOO_MUCH,), NOT)],
)
def test_verdicts(evidence, tests, verdict) -> None:
    decided = decide(evidence, Claim(1, "it is restored", "1.00", tests), (0, 1, 2))
    assert decided["verdict"] == verdict and decided["seeds"] == [0, 1]
    assert [one["holds"] for one in decided["rule"]] == [test is RESTORED for test in tests]


def test_what_was_not_measured_has_no_verdict(evidence) -> None:
    claim = Claim(1, "x", "y", (rule("d", "stage4/story/following_rate", above=0),))
    assert decide(evidence, claim, (0, 1))["verdict"] == OPEN
    with pytest.raises(SalmonnError, match="stage4-0"):
        evidence.rows("stage4", 0)


def test_a_table_that_was_tampered_with_is_found(evidence, capsys, monkeypatch, tmp_path) -> None:
    rules = Rules((0, 1), (Claim(1, "it is restored", "1.00", (RESTORED,)),))
    monkeypatch.setattr(claims, "read_claims", lambda: rules)
    arguments = ["claims", "--rows", str(evidence.folder), "--seed", "0", "--claim", "1"]
    assert main(arguments) == 0
    assert "1  reproduced  1 of 1  it is restored" in capsys.readouterr().out
    assert main([*arguments, "--verify", "--markdown", str(tmp_path / "table.md")]) == 0
    assert "All 1 verdicts agree with claims.json" in capsys.readouterr().out
    assert "| 1 | it is restored | 1.00 | a 0.50 [" in (tmp_path / "table.md").read_text()
    written = tmp_path / "claims.json"
    table = json.loads(written.read_text())
    table["claims"][0]["ours"] = [0.99]
    written.write_text(json.dumps(table))
    assert main([*arguments, "--verify"]) == 2
    assert "claims 1 do not follow" in capsys.readouterr().err


def test_the_terminals_table_is_narrow() -> None:
    assert max(map(len, claims.terminal_table(claims.shipped_claims()).splitlines())) <= 80


def test_a_claim_that_is_not_there_is_refused() -> None:
    with pytest.raises(SalmonnError, match="no claim 40"):
        claims.read_claims()[40]


def test_the_shipped_table_is_the_written_one_or_what_the_rows_tell(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tmp_path))
    assert {row["verdict"] for row in claims.shipped_claims()["claims"]} == {OPEN}
    write_json(tmp_path / "claims.json", {"claims": [{"id": 1, "verdict": NOT}]})
    assert claims.shipped_claims() == {"claims": [{"id": 1, "verdict": NOT}]}
    (tmp_path / "claims.json").write_text("{")
    with pytest.raises(SalmonnError, match=r"claims\.json: this is not JSON"):
        claims.shipped_claims()


def test_every_row_of_the_table_has_five_cells() -> None:
    """P(Y|X) has a bar of its own, which must not end a cell."""
    lines = claims.markdown(claims.shipped_claims()).splitlines()
    assert any(r"P(Y\|X)" in line for line in lines)
    assert {line.replace(r"\|", "").count("|") for line in lines} == {6}


def test_what_is_shipped_follows_from_its_rows_and_stands_in_the_readme() -> None:
    table = claims.claims_table(claims.shipped(), claims.read_claims())
    assert table == claims.shipped_claims()
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- claims:begin -->\n")[1].split("<!-- claims:end -->")[0]
    assert shown == claims.markdown(table)
