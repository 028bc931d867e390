"""Runs that are killed at random moments: a few times here, fifty times by `make kill`."""

from __future__ import annotations

import pytest
from kill import trial


@pytest.mark.parametrize(("processes", "kills"), [(1, 5), (2, 2)])
def test_a_run_that_is_killed_at_random_moments_loses_nothing(tmp_path, processes, kills):
    counts = trial(tmp_path, kills, processes, seed=processes)
    assert counts["kills"] == kills and counts["runs"] >= 1
