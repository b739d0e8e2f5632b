"""Decoding ahead: order, failures, bounded memory and a clean end."""
import concurrent.futures
import contextlib
import gc
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image

from gear_transfer.errors import ImageError
from gear_transfer.photographs import prefetch
from gear_transfer.photographs.prefetch import iterate_batches


def numbered(count):
    """Images each of one grey, which is its number."""
    return [np.full((4, 4, 3), i, dtype=np.uint8) for i in range(count)]


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = threading.active_count()
    yield
    gc.collect()
    deadline = time.time() + 5
    while threading.active_count() > before and time.time() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_batches_come_in_order(monkeypatch, workers, ahead):
    read = prefetch.read_picture

    def slow_for_some(image, size, resize):
        time.sleep(0.002 * (image[0, 0, 0] % 3 == 0))
        return read(image, size, resize)
    monkeypatch.setattr(prefetch, "read_picture", slow_for_some)
    seen = []
    for indices, pixels, failures in iterate_batches(numbered(23), 4, "pad", 5, workers, ahead):
        assert pixels.shape == (len(indices), 4, 4, 3) and pixels.dtype == np.uint8
        assert pixels[:, 0, 0, 0].tolist() == indices.tolist() and failures == []
        seen.append(indices)
    assert [len(indices) for indices in seen] == [5, 5, 5, 5, 3]
    assert np.concatenate(seen).tolist() == list(range(23))


def test_failures_have_their_index(tmp_path):
    good = str(tmp_path / "a.png")
    Image.new("RGB", (4, 4), (9, 9, 9)).save(good)
    images = [good, "none1", good, "none3", "none4", "none5", good]
    batches = list(iterate_batches(images, (6, 8), batch_size=3))
    assert [indices.tolist() for indices, _, _ in batches] == [[0, 2], [], [6]]
    assert [pixels.shape for _, pixels, _ in batches] == [(2, 6, 8, 3), (0, 6, 8, 3), (1, 6, 8, 3)]
    assert all(indices.dtype.kind == "i" for indices, _, _ in batches)
    failures = [failure for _, _, some in batches for failure in some]
    assert [index for index, _ in failures] == [1, 3, 4, 5]
    for index, error in failures:
        assert isinstance(error, ImageError) and error.path == "none{}".format(index)
        assert error.__traceback__ is None and error.__context__ is None


def test_array_of_images_and_no_images():
    stack = np.stack(numbered(3))
    (indices, pixels, _), = iterate_batches(stack, 4)
    np.testing.assert_array_equal(pixels, stack)
    assert list(iterate_batches([], 4)) == []
    assert len(list(iterate_batches((image for image in stack), 4, batch_size=1))) == 3


def test_memory_is_bounded(monkeypatch):
    """Never more than `ahead` batches are started beyond the one handed out."""
    started = []
    read = prefetch.read_picture

    def counting(image, size, resize):
        started.append(int(image[0, 0, 0]))
        return read(image, size, resize)
    monkeypatch.setattr(prefetch, "read_picture", counting)
    batches = iterate_batches(numbered(60), 4, batch_size=4, workers=3, ahead=2)
    assert started == []
    for number, (indices, _, _) in enumerate(batches):
        time.sleep(0.01)
        assert max(started) < (number + 3) * 4
    assert sorted(started) == list(range(60))


def test_batches_are_let_go(monkeypatch):
    """While the next batch is waited for, nothing holds on to the last one."""
    last = []
    read = prefetch.read_picture

    def watching(image, size, resize):
        deadline = time.time() + 5  # the one that lets go may be behind
        while (len(last) < image[0, 0, 0] or any(ref() is not None for ref in last)) and (
                time.time() < deadline):
            time.sleep(0.01)
        held.append(sum(ref() is not None for ref in last))
        return read(image, size, resize)
    held = []
    monkeypatch.setattr(prefetch, "read_picture", watching)
    for _, pixels, _ in iterate_batches(numbered(5), 4, batch_size=1, workers=1, ahead=1):
        last.append(weakref.ref(pixels))
        del pixels
    assert sum(ref() is not None for ref in last) == 0 and max(held) == 0


@pytest.mark.slow
def test_stopping_early_drops_the_queue(monkeypatch):
    count = []

    def slow(image, size, resize):
        count.append(1)
        time.sleep(0.01)
        return Image.fromarray(image)
    monkeypatch.setattr(prefetch, "read_picture", slow)
    batches = iterate_batches(numbered(200), 4, batch_size=100, workers=2, ahead=1)
    next(batches)
    start = time.time()
    batches.close()
    assert time.time() - start < 5 and len(count) < 150


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_exception_in_the_loop(error):
    with pytest.raises(error):
        with contextlib.closing(iterate_batches(numbered(50), 4, batch_size=5)) as batches:
            for _ in batches:
                raise error


def test_threads_are_released_although_the_traceback_is_kept(monkeypatch):
    """Whoever releases them later runs callbacks, in which Python loses a Ctrl-C."""
    started = []

    class Remembered(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, **options):
            super().__init__(**options)
            started.append(weakref.ref(self))

    def interrupted(batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Remembered)
    monkeypatch.setattr(prefetch, "_collect", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        list(iterate_batches(numbered(50), 4, batch_size=5))
    assert caught.traceback and len(started) == 1 and started[0]() is None


def test_interrupt_while_the_threads_are_waited_for(monkeypatch):
    running, asked = threading.active_count(), []

    class Interrupted(concurrent.futures.ThreadPoolExecutor):
        def shutdown(self, wait=True):
            os.kill(os.getpid(), signal.SIGINT)
            asked.append(wait)
            super().shutdown(wait)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(iterate_batches(numbered(5), 4))
    assert asked == [True] and threading.active_count() == running


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, TypeError])
def test_exception_while_decoding_ends_the_run(monkeypatch, error):
    def failing(image, size, resize):
        if image[0, 0, 0] == 7:
            raise error("at seven")
        return Image.fromarray(image)
    monkeypatch.setattr(prefetch, "read_picture", failing)
    seen = []
    with pytest.raises(error):
        for indices, _, _ in iterate_batches(numbered(50), 4, batch_size=5):
            seen.extend(indices)
    assert seen == [0, 1, 2, 3, 4]


def test_never_started():
    iterate_batches(numbered(3), 4)


@pytest.mark.parametrize("options, error", [
    ({"input_size": 0}, ValueError), ({"resize": "fit"}, ValueError),
    ({"batch_size": 0}, ValueError), ({"workers": 0}, ValueError), ({"ahead": 0}, ValueError),
    ({"images": "a.jpg"}, TypeError)])
def test_bad_arguments_raise_at_once(options, error):
    arguments = dict({"images": numbered(2), "input_size": 4}, **options)
    with pytest.raises(error):
        iterate_batches(**arguments)
