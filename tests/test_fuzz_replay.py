"""A short replay of the fuzzing in fuzz/: the kept inputs, and a few hundred mutations of each kind."""
import hashlib
import os
import shutil
import sys
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from gear_transfer.common.cache import CacheWarning

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz"))

import minimise  # noqa: E402
import targets  # noqa: E402


@pytest.fixture(params=sorted(targets.TARGETS))
def target(request):
    limit = Image.MAX_IMAGE_PIXELS
    made = targets.new_target(request.param)
    made.name = request.param
    yield made
    shutil.rmtree(made.folder)
    Image.MAX_IMAGE_PIXELS = limit


@pytest.mark.slow
def test_no_input_does_harm(target):
    """Ours are the only exceptions that come out, in bounded time and memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        for seed in target.seeds():  # what is loaded on first use counts for no input
            assert target.run(seed)
        count = 0
        for data in targets.random_inputs(target, target.name, 400):
            targets.run_checked(target, data)
            count += 1
    assert count == 400 + len(target.seeds()) + len(targets.corpus(target.name))


def test_kept_inputs_are_few_and_small():
    """What every clone carries; each is named by its content, so that none is there twice."""
    total = 0
    for name in targets.TARGETS:
        folder = targets.corpus_folder(name)
        entries = [entry for entry in os.listdir(folder) if entry.endswith(".z")]
        assert 0 < len(entries) <= minimise.MOST
        for entry in entries:
            with open(os.path.join(folder, entry), "rb") as stream:
                data = stream.read()
            assert entry == hashlib.sha256(zlib.decompress(data)).hexdigest()[:12] + ".z"
            assert len(data) <= minimise.LARGEST
            total += len(data)
    assert total < 300000


def sign(number):
    """Something with branches."""
    if number < 0:
        return "-"
    if number > 0:
        return "+"
    return ""


def test_minimising_keeps_the_inputs_that_take_more_branches():
    """Of many inputs, those that add branches to what the seeds take; the smallest of equals."""
    here = (os.path.dirname(os.path.abspath(__file__)),)
    found = {data: minimise.branches(lambda data: sign(float(data)), data, here)
             for data in (b"-1", b"-22", b"0", b"1", b"2.5")}
    assert not minimise.branches(lambda data: sign(float(data)), b"1", ("/nowhere",))
    assert sorted(minimise.cover(found, set())) == [b"-1", b"0", b"1"]
    assert sorted(minimise.cover(found, found[b"0"])) == [b"-1", b"1"]
    assert minimise.cover(found, set(), most=1) in ([b"0"], [b"1"])


def work(seconds):
    """Keep a processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("fault, longest, error, part", [
    (lambda data: {}[data], 5, KeyError, "here"),
    (lambda data: work(0.1), 0.05, AssertionError, "took 0."),
    (lambda data: np.ones(2 * targets.SLACK, np.uint8).sum(), 5, AssertionError, "bytes for")])
def test_the_replay_sees_what_is_wrong(monkeypatch, fault, longest, error, part):
    """A parser that raises anything else, is slow or takes memory fails the replay."""
    monkeypatch.setattr(targets, "LONGEST", longest)
    target = targets.Target("nowhere")
    target.run = fault
    with pytest.raises(error) as caught:
        targets.run_checked(target, b"here")
    assert part in str(caught.value)
