"""A guard of speed: our own paths against each other, never against a clock.

Ratios are medians of interleaved rounds, of the processor time of this process where that tells as
much as the time on the wall. A ratio that falls short is measured again before it is a failure.
"""
import collections
import glob
import time

import numpy as np
import pytest

from gear_transfer import Backbone, TransferClassifier, _core, make_shapes
from gear_transfer.photographs.image_set import load_folder

pytestmark = [pytest.mark.main_python("the speed of the core"), pytest.mark.alone]

ATTEMPTS = 4
ROUNDS = 5


def waiting_times():
    """Nanoseconds that each thread of this process has waited for a processor, by its number."""
    waited = {}
    for path in glob.glob("/proc/self/task/*/schedstat"):
        try:
            with open(path) as stream:
                waited[path] = int(stream.read().split()[1])
        except (OSError, IndexError):  # the thread has ended; a Linux without these numbers
            pass
    return waited


def undisturbed_seconds(call):
    """Wall time of a call without the longest wait of one of our threads for a processor."""
    before = waiting_times()
    started = time.perf_counter()
    call()
    passed = time.perf_counter() - started
    waits = [waited - before.get(path, 0) for path, waited in waiting_times().items()]
    return max(passed - max(waits + [0]) / 1e9, 1e-6)


def processor_seconds(call):
    """Processor time of all threads."""
    started = time.process_time()
    call()
    return max(time.process_time() - started, 1e-6)


def assert_ratio(slow, fast, at_least, seconds=processor_seconds):
    """The one takes so many times longer than the other, the last time it is measured."""
    slow()
    fast()
    found = []
    while len(found) < ATTEMPTS and (not found or found[-1] < at_least):
        found.append(float(np.median([seconds(slow) / seconds(fast) for _ in range(ROUNDS)])))
    assert found[-1] >= at_least, "ratios {}, wanted {}".format(found, at_least)


def images(n, size):
    return np.random.RandomState(0).randint(0, 256, (n, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("precision, at_least", [
    ("bf16", 1.15), ("int8", 1.6 if "VNNI" in _core.int8_rounding() else 1.15)])
@pytest.mark.slow
def test_precisions_against_float32(precision, at_least):
    if not _core.has_fast(precision):
        with pytest.raises(ValueError):
            Backbone.load(precision=precision)
        return
    slow, fast = [Backbone.load(input_size=128, precision=name)
                  for name in ("float32", precision)]
    batch = images(16, 128)
    # An instruction does two or four times as much, in int8 without VNNI two times, though float32
    # has fewer operations where it has Winograd's.
    assert_ratio(lambda: slow.features(batch), lambda: fast.features(batch), at_least)


@pytest.mark.slow
def test_threads():
    count = min(2, _core.available_threads())
    slow, fast = [Backbone.load(input_size=128, threads=threads) for threads in (1, count)]
    batch = images(16, 128)
    assert_ratio(lambda: slow.features(batch), lambda: fast.features(batch), 0.7 * count,
                 undisturbed_seconds)
    assert_ratio(lambda: slow.features(batch), lambda: fast.features(batch), 0.8)


@pytest.mark.slow
def test_a_batch_against_single_images():
    backbone = Backbone.load(input_size=128)
    batch = images(8, 128)

    def one_by_one():
        for i in range(len(batch)):
            backbone.features(batch[i:i + 1])

    assert_ratio(one_by_one, lambda: backbone.features(batch), 0.9)


@pytest.mark.slow
def test_time_grows_with_the_images():
    """Twice the images take twice the time; whatever is done once must not be done twice."""
    backbone = Backbone.load(input_size=128)
    batch = images(32, 128)
    assert_ratio(lambda: backbone.features(batch[:16]), lambda: backbone.features(batch), 0.42)


@pytest.mark.slow
def test_features_in_the_cache(tmp_path):
    make_shapes(str(tmp_path / "shapes"), per_class=10)
    shapes = load_folder(str(tmp_path / "shapes"))

    def fit(cache):
        TransferClassifier(epochs=1, precision="float32", cache=cache).fit(
            shapes.paths, shapes.labels)

    assert_ratio(lambda: fit(False), lambda: fit(str(tmp_path / "cache")), 3.0)


@pytest.mark.parametrize("precision", ["float32", "auto", "bf16"])
def test_steps(precision):
    """What runs, exactly: one convolution for each of the network, no batch normalisation or ReLU
    of its own, no slow reference code, and no layout changed but once at either end."""
    if precision != "auto" and not _core.has_fast(precision):
        with pytest.raises(ValueError):
            Backbone.load(precision=precision)
        return
    backbone = Backbone.load(layer="mixed7", input_size=299, precision=precision)
    backbone.choose_precision(images(1, 299))
    steps = backbone.primitives()
    counts = collections.Counter(operation for _, operation, _ in steps)
    convolutions = sum(node.op == "conv2d" for node in backbone.network.nodes)
    joins = sum(node.op == "concat" for node in backbone.network.nodes)
    if backbone.precision == "int8" and _core.int8_rounding().endswith("tiles"):
        joins = 2  # mixed3, with a pool among its parts, and the output: others come to be in place
    pools = sum(node.op.endswith("_pool") for node in backbone.network.nodes) + 1  # of the output
    assert not [step for step in steps if step[2].startswith("ref")]
    assert counts.pop("reorder") <= 2
    assert counts == {"convolution": convolutions, "concatenation": joins, "pooling": pools}
