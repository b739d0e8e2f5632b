"""A short replay of the fuzzing in fuzz/: the kept inputs, and a few hundred mutations of each kind."""
import os
import shutil
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from gear_transfer.cache import CacheWarning

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz"))

import targets  # noqa: E402


@pytest.fixture(params=sorted(targets.TARGETS))
def target(request):
    limit = Image.MAX_IMAGE_PIXELS
    made = targets.new_target(request.param)
    made.name = request.param
    yield made
    shutil.rmtree(made.folder)
    Image.MAX_IMAGE_PIXELS = limit


def test_no_input_does_harm(target):
    """Ours are the only exceptions that come out, in bounded time and memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        for seed in target.seeds():
            target.run(seed)  # what is loaded on first use counts for no input
        count = 0
        for data in targets.random_inputs(target, target.name, 400):
            targets.run_checked(target, data)
            count += 1
    assert count == 400 + len(target.seeds()) + len(targets.corpus(target.name))


@pytest.mark.parametrize("fault, longest, error, part", [
    (lambda data: {}[data], 5, KeyError, "here"),
    (lambda data: time.sleep(0.1), 0.05, AssertionError, "took 0."),
    (lambda data: np.ones(2 * targets.SLACK, np.uint8).sum(), 5, AssertionError, "bytes for")])
def test_the_replay_sees_what_is_wrong(monkeypatch, fault, longest, error, part):
    """A parser that raises anything else, is slow or takes memory fails the replay."""
    monkeypatch.setattr(targets, "LONGEST", longest)
    target = targets.Target("nowhere")
    target.run = fault
    with pytest.raises(error) as caught:
        targets.run_checked(target, b"here")
    assert part in str(caught.value)
