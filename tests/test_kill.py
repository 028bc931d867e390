"""Runs that are killed at random moments: a few times here, fifty times by `make kill`."""

from __future__ import annotations

import pytest
from kill import trial


@pytest.mark.parametrize(
    ("kills", "more"),
    [(3, {}), (2, {"processes": 2}), (2, {"stream": True, "workers": 2})],
    ids=["kept", "two processes", "streamed, two workers"],
)
def test_a_run_that_is_killed_at_random_moments_loses_nothing(tmp_path, kills, more):
    counts = trial(tmp_path, kills, seed=1, **more)
    assert counts["kills"] == kills and counts["runs"] >= 1
