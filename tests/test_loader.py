"""data/loader.py: the results of jobs come in the jobs' order, whoever does them, and nobody stays behind."""

from __future__ import annotations

import multiprocessing
import os
import time
from itertools import count

import psutil
import pytest
import torch
from accelerate import Accelerator
from jobs import begin, who, work
from tiny import tiny_config, tiny_salmonn
from together import server

from salmonn_mini.audio import save_wav
from salmonn_mini.data import BadClip, ManifestDataset, Sample, map_in_order, prefetch
from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import feature_cache


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_jobs(workers):
    before = torch.random.get_rng_state()
    results = list(map_in_order(work, range(12), workers, ahead=2))
    assert [number for number, _ in results] == list(range(12))
    assert all(torch.equal(tensor, torch.full((4,), float(number))) for number, tensor in results)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(SalmonnError, match="13 is too many"):
        list(map_in_order(work, range(10, 20), workers))
    assert list(map_in_order(work, [], workers)) == []


def test_each_worker_has_its_share_and_all_end_with_the_iterator():
    results = prefetch(map_in_order(who, count(), workers=2))
    workers = {next(results) for _ in range(8)}
    assert len(workers) == 2 and os.getpid() not in workers
    results.close()
    ended(workers)


def test_workers_end_with_a_process_that_is_killed():
    here, there = multiprocessing.Pipe()
    process = server().Process(target=begin, args=(there,))
    process.start()
    workers = set(here.recv())
    assert all(map(psutil.pid_exists, workers))
    process.kill()
    ended(workers)


def ended(workers: set[int]) -> None:
    patience = time.monotonic() + 120
    while any(psutil.pid_exists(worker) for worker in workers):
        assert time.monotonic() < patience, "workers are still there"
        time.sleep(0.05)


def test_what_is_heard_is_the_same_with_workers(tmp_path):
    for i in range(3):
        save_wav(tmp_path / f"{i}.wav", torch.sin(torch.arange(6000.0 + 500 * i) * 0.1 * (i + 1)))
    samples = [Sample(tmp_path / f"{name}.wav", "a tone") for name in (0, 1, "none", 2)]
    clips, model = ManifestDataset(samples, tiny_config(), seed=0), tiny_salmonn()
    encoded = [
        feature_cache.encode_dataset(model, clips, tmp_path / f"{workers}", Accelerator(cpu=True), workers)
        for workers in (0, 2)
    ]
    assert [isinstance(clip, BadClip) for clip in encoded[1]] == [False, False, True, False]
    assert encoded[0].pop(2) == encoded[1].pop(2)
    for one, other in zip(*encoded, strict=True):
        assert torch.equal(one.whisper, other.whisper) and torch.equal(one.beats, other.beats)
