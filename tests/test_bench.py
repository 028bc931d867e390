"""The benchmark's report, on a tiny model: every row, every ratio; no time is tested."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_config

from salmonn_mini import bench
from salmonn_mini.doctor.memory import needs
from salmonn_mini.errors import SalmonnError


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Tiny sizes, short clips, few tokens."""
    config = tiny_config(pad_to_30s=True)
    monkeypatch.setattr(bench, "SMALL", config.replace(llm=config.llm.replace(max_position_embeddings=512)))
    monkeypatch.setattr(bench, "SECONDS", 1)
    monkeypatch.setattr(bench, "NEW_TOKENS", 8)
    monkeypatch.setattr(bench, "MINUTES", (0.01, 0.02, 0.04))
    monkeypatch.setattr(bench, "calibrate", lambda: 0.25)


def test_published_small_reports_every_row_against_the_published_code(tiny) -> None:
    threads = torch.get_num_threads()
    report = bench.bench("published-small", runs=1)
    assert torch.get_num_threads() == threads
    work = report["work"]
    assert set(work) >= set(bench.PUBLISHED_MM)
    for name, row in work.items():
        assert row["seconds"] >= 0 and row["mm"] == pytest.approx(row["seconds"] / 0.25, abs=0.06)
        assert row.get("published_mm") == bench.PUBLISHED_MM.get(name)
    parts = work["step: forward"]["seconds"] + work["step: backward"]["seconds"]
    assert 0 < parts <= work["step"]["seconds"] + 0.002
    assert set(report["times_as_fast"]) == {
        "step, against the published step",
        "step, trimmed, against the published step",
        "step, cached, against the published step",
        "8 clips in a batch, against one by one",
        "likewise, after the first token",
    }
    assert report["calibration"] == {"seconds": 0.25, "gflops": 68.7} and report["peak_bytes"] > 1e8


def test_long_audio_reports_the_growth_of_each_doubling(tiny) -> None:
    report = bench.bench("long-audio", runs=1)
    assert list(report["work"]) == ["0.01 min", "0.02 min", "0.04 min"]
    assert list(report["growth"]) == ["0.01 min to 0.02 min", "0.02 min to 0.04 min"]


def test_the_sizes_are_those_at_which_the_published_code_was_timed() -> None:
    parameters = needs(bench.SMALL).parameters
    assert sum(parameters.values()) == pytest.approx(190.4e6, rel=0.003)  # without BEATs' classifier
    assert parameters["trained"] == pytest.approx(21.0e6, rel=0.005)


def test_an_answer_has_some_twenty_tokens_and_ends() -> None:
    model = bench.random_model(tiny_config())
    ids = model.prompt.answer(bench.ANSWER)
    assert len(ids) == 20 and ids[-1] == model.prompt.end and model.tokenizer.unk_token_id not in ids


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(
        SalmonnError, match="there is no benchmark 'huge': choose one of published-small, long-audio"
    ):
        bench.bench("huge")
