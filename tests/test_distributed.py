"""Features computed by the workers of an executor."""
import concurrent.futures
import multiprocessing
import os
import pathlib
import pickle
import signal
import sys
import threading
import types

import numpy as np
import pytest
import sklearn
from joblib.externals import loky
from sklearn.base import clone

from gear_transfer import (Backbone, EngineError, FeatureExtractor, ImageError, TransferClassifier,
                           WeightsError, load_folder, make_shapes)
from gear_transfer.common.threads import check_threads
from gear_transfer.features import distributed
from gear_transfer.features.precision import Choice
from gear_transfer.photographs.images import read_image

pytestmark = pytest.mark.every_python

QUICK = dict(layer="mixed1", input_size=64, batch_size=4, threads=1, cache=False)


class AtOnce(object):
    """An executor that does everything in `submit` and remembers what it was given."""

    def __init__(self, fail_after=None, error=None):
        self.tasks, self.chunks = [], []
        self.fail_after, self.error = fail_after, error

    def submit(self, function, task, images):
        future = concurrent.futures.Future()
        if len(self.chunks) == self.fail_after:
            future.set_exception(self.error)
            return future
        self.tasks.append(task)
        self.chunks.append(images)
        future.set_result(function(task, images))
        return future


class Killing(object):
    """An executor around another one, which kills a worker when its first chunk comes back."""

    def __init__(self, executor, pids):
        self.executor, self.pids = executor, pids
        self.killed = threading.Event()

    def submit(self, *arguments):
        future = self.executor.submit(*arguments)
        future.add_done_callback(self.kill)
        return future

    def kill(self, future):
        if not self.killed.is_set():
            self.killed.set()
            os.kill(next(iter(self.pids())), signal.SIGKILL)


def extractor(executor=None, **settings):
    return FeatureExtractor(executor=executor, **dict(QUICK, **settings)).fit()


def process_pool(workers):
    """A pool of fresh processes; where Python is too old for that, of forked ones."""
    if sys.version_info >= (3, 7):
        return concurrent.futures.ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"))
    return concurrent.futures.ProcessPoolExecutor(workers)


@pytest.fixture(autouse=True)
def no_backbones():
    """Workers within this process begin with nothing loaded."""
    distributed._backbones.clear()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    found = load_folder(make_shapes(folder / "shapes", per_class=9, size=64, random_state=1)).paths
    (folder / "text.jpg").write_text("I am text")
    return found[:6] + [str(folder / "text.jpg")] + found[6:] + [str(folder / "nowhere.jpg")]


@pytest.fixture(scope="module")
def serial(paths):
    return extractor().extract(paths)


def check_same(found, expected):
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.positions, expected.positions)
    assert [(i, str(error)) for i, error in found.failures] == [
        (i, str(error)) for i, error in expected.failures]


# The same features

def test_by_threads(paths, serial):
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        check_same(extractor(executor).extract(paths), serial)
    assert [i for i, _ in serial.failures] == [6, 28] and len(serial.features) == 27


@pytest.mark.slow
def test_by_processes(paths, serial):
    with process_pool(2) as executor:
        check_same(extractor(executor).extract(paths), serial)
        several = dict(layer=["mixed0", "mixed1"], pooling=None, resize="stretch")
        check_same(extractor(executor, **several).extract(paths),
                   extractor(**several).extract(paths))


@pytest.mark.slow
def test_by_loky(paths, serial):
    with loky.ProcessPoolExecutor(2) as executor:
        check_same(extractor(executor).extract(paths), serial)


def test_by_threads_in_precision_auto(paths):
    expected = extractor(precision="auto")
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        found = extractor(executor, precision="auto")
        check_same(found.extract(paths), expected.extract(paths))
    assert found.backbone_.precision == expected.backbone_.precision != "auto"


@pytest.mark.parametrize("kind", ["Path", "arrays", "one array"])
def test_images_that_travel(paths, serial, kind):
    good = [path for i, path in enumerate(paths) if i in serial.positions]
    arrays = [read_image(path, 64) for path in good]
    given = {"Path": [pathlib.Path(path) for path in good], "arrays": arrays,
             "one array": np.array(arrays)}[kind]
    executor = AtOnce()
    np.testing.assert_array_equal(extractor(executor).transform(given),
                                  extractor().transform(given))
    assert len(executor.chunks) == 7


def test_nothing_to_do():
    assert extractor(AtOnce()).extract([]).features.shape == (0, 288)


def test_classifier(paths):
    labels = ["a", "b"] * (len(paths) // 2) + ["a"]
    settings = dict(QUICK, epochs=2)
    with pytest.warns(UserWarning, match="2 of the images"):
        expected = TransferClassifier(**settings).fit(paths, labels)
    executor = AtOnce()
    with pytest.warns(UserWarning, match="2 of the images"):
        found = TransferClassifier(executor=executor, **settings).fit(paths, labels)
    assert len(executor.chunks) == 1
    np.testing.assert_array_equal(found.head_.coefs_[0], expected.head_.coefs_[0])
    assert found.predict(paths[:1]) == expected.predict(paths[:1]) and len(executor.chunks) == 2


# How it is cut and sent

def test_chunks_are_whole_batches(paths):
    executor = AtOnce()
    extractor(executor, batch_size=5).extract(paths)
    assert [len(chunk) for chunk in executor.chunks] == [5, 5, 5, 5, 5, 4]
    assert sum(executor.chunks, []) == paths
    for n, batch_size, size in [(1, 32, 32), (1694, 32, 32), (320000, 32, 320), (10**9, 32, 256)]:
        assert distributed._chunk_size(n, batch_size) == min(size, 256)


def test_relative_paths(paths, serial, monkeypatch):
    monkeypatch.chdir(os.path.dirname(paths[-1]))
    relative = [os.path.relpath(path) for path in paths]
    executor = AtOnce()
    found = extractor(executor).extract(relative)
    assert sum(executor.chunks, []) == paths and found.failures[1][1].path == "nowhere.jpg"
    np.testing.assert_array_equal(found.features, serial.features)


def test_precision_is_decided_once(paths, monkeypatch):
    monkeypatch.setattr("gear_transfer.features.backbone.choose_precision",
                        lambda images, make_engine: (Choice("float32", "told so", None), None))
    monkeypatch.setattr("gear_transfer.features.backbone._CHOICES", {})
    executor = AtOnce()
    extractor(executor, precision="auto").extract(paths)
    assert set(task.precision for task in executor.tasks) == {"float32"}


def test_nothing_readable_to_decide_by(paths):
    executor = AtOnce()
    found = extractor(executor, precision="auto").extract([paths[6], paths[-1]])
    assert len(found.failures) == 2 and executor.chunks == []


@pytest.mark.slow
def test_the_backbone_is_loaded_once_a_process(paths, monkeypatch):
    loaded = []
    original = Backbone.load

    def load(*args, **settings):
        loaded.append(settings["layer"])
        return original(*args, **settings)

    monkeypatch.setattr(Backbone, "load", load)
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        one = extractor(executor)
        for _ in range(2):
            one.extract(paths)
        assert loaded == ["mixed1", "mixed1"]  # the caller's and the workers'
        for layer in ("mixed0", "mixed2", "mixed1"):
            extractor(executor, layer=layer).extract(paths[:2])
    assert loaded[2:] == ["mixed0", "mixed0", "mixed2", "mixed2", "mixed1", "mixed1"]
    assert len(distributed._backbones) == 2


def test_other_weights_under_the_same_name(paths):
    backbone = extractor().backbone_
    task = distributed.make_task(backbone, "pad", 4, 1, AtOnce())
    with pytest.raises(WeightsError, match="inception_v3.*others than the caller's"):
        distributed.extract_chunk(task._replace(fingerprint="0" * 64), paths[:1])


def test_a_saved_classifier_as_backbone(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    model = TransferClassifier(**dict(QUICK, epochs=2)).fit(paths[:6], ["a", "b"] * 3)
    model.save("model.gtm")
    executor = AtOnce()
    found = extractor(executor, backbone="model.gtm").extract(paths[:6])
    assert executor.tasks[0].backbone == str(tmp_path / "model.gtm")
    np.testing.assert_array_equal(found.features, model.extractor_.transform(paths[:6]))


# Threads

def test_threads_of_a_worker(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    available = check_threads(None)
    assert distributed.share_of_processors(1) == available
    assert distributed.share_of_processors(2) == max(1, available // 2)
    assert distributed.share_of_processors(10**6) == 1
    backbone = extractor().backbone_
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert distributed.make_task(backbone, "pad", 4, None, executor).sharing == 1
    with concurrent.futures.ProcessPoolExecutor(4) as executor:
        assert distributed.make_task(backbone, "pad", 4, None, executor).sharing == 4
    assert distributed.make_task(backbone, "pad", 4, None, AtOnce()).sharing == 1


def test_threads_of_a_dask_worker(monkeypatch):
    """Where the process is a worker of Dask's, what Dask gives it; the client is none."""
    def no_worker():
        raise ValueError("No worker found")

    dask = types.SimpleNamespace(get_worker=lambda: types.SimpleNamespace(
        state=types.SimpleNamespace(nthreads=7)))
    monkeypatch.setitem(sys.modules, "distributed", dask)
    assert distributed.share_of_processors(3) == 7
    dask.get_worker = no_worker
    assert distributed.share_of_processors(10**6) == 1


@pytest.mark.parametrize("value, threads", [
    ("1", 1), ("1,1", 1), ("0", 1), ("1000000", None), ("", None), ("many", None)])
def test_omp_num_threads_is_a_limit(monkeypatch, value, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    available = check_threads(None)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert check_threads(None) == (threads or available)
    assert check_threads(3) == 3


# What goes wrong

def test_strict(paths):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        with pytest.raises(ImageError, match="text.jpg"):
            extractor(executor).transform(paths)


def test_an_error_of_a_worker_cancels_the_rest(paths):
    class Waiting(object):
        """An executor that fails at once and begins nothing else."""

        futures = []

        def submit(self, *arguments):
            self.futures.append(concurrent.futures.Future())
            if len(self.futures) == 1:
                self.futures[0].set_exception(WeightsError("no weights here"))
            return self.futures[-1]

    with pytest.raises(WeightsError, match="no weights here"):
        extractor(Waiting()).extract(paths)
    assert [future.cancelled() for future in Waiting.futures] == [False] + 7 * [True]


def test_a_pool_that_breaks_loses_nothing(paths, serial, tmp_path):
    """What came back before a worker died is kept, and only the rest is computed again."""
    good = [paths[i] for i in serial.positions]
    expected = extractor().transform(good)
    with process_pool(1) as pool:
        executor = Killing(pool, lambda: pool._processes)
        with pytest.raises(EngineError, match="has died.*__name__ == .__main__"):
            extractor(executor, cache=tmp_path).extract(good)
    assert executor.killed.is_set()
    again = AtOnce()
    np.testing.assert_array_equal(extractor(again, cache=tmp_path).transform(good), expected)
    assert 0 < sum(len(chunk) for chunk in again.chunks) < len(good)


def test_no_executor(paths):
    for wrong in (4, "dask", object()):
        with pytest.raises(TypeError, match="executor must have the method submit"):
            FeatureExtractor(executor=wrong).fit()
        with pytest.raises(TypeError, match="executor"):
            TransferClassifier(executor=wrong, **QUICK).fit(paths[:2], ["a", "b"])


# The parameter

@pytest.mark.parametrize("kind", [FeatureExtractor, TransferClassifier])
def test_copies(kind):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        estimator = kind(executor=executor, input_size=64)
        assert estimator.get_params()["executor"] is executor
        again = pickle.loads(pickle.dumps(estimator))
        assert again.executor is None and again.input_size == 64
        assert estimator.executor is executor
        if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 3):
            assert clone(estimator).executor is executor
        else:
            with pytest.raises(TypeError):
                clone(estimator)
        assert clone(estimator.set_params(executor=None)).input_size == 64


def test_a_worker_that_rounds_otherwise(paths):
    backbone = extractor().backbone_
    task = distributed.make_task(backbone, "pad", 4, 1, AtOnce())
    with pytest.raises(EngineError, match="rounds int8 otherwise.*precision='float32'"):
        distributed.extract_chunk(task._replace(rounding="int8 other"), paths[:1])
