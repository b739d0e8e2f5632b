"""The feature cache: what is found again, what never is, and what a damaged store does."""
import concurrent.futures
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer.common import store
from gear_transfer.common.cache import (CacheWarning, FeatureCache, content_hash, default_folder,
                                        feature_key, open_cache)
from gear_transfer.features import extractor as extractor_module
from gear_transfer.features.extractor import FeatureExtractor
from gear_transfer.importers.convert import convert
from gear_transfer.importers.weights import packaged_path
from gear_transfer.photographs import augmentation, images, prefetch
from gear_transfer.photographs import hashes as hashes_module

pytestmark = pytest.mark.every_python

SIZE = 96


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data") / "shapes")
    gt.make_shapes(folder, per_class=6)
    return gt.load_folder(folder).paths


def extractor(folder, **parameters):
    settings = dict(input_size=SIZE, cache=str(folder), precision="float32")
    settings.update(parameters)
    return FeatureExtractor(**settings).fit()


def count_computed(extractor, monkeypatch):
    """A list that receives the number of images of each run of the backbone."""
    seen = []
    run = extractor.backbone_.features

    def counted(images):
        seen.append(len(images))
        return run(images)

    monkeypatch.setattr(extractor.backbone_, "features", counted)
    return seen


def test_second_run_computes_nothing_and_gives_the_same(shapes, tmp_path, monkeypatch):
    first = extractor(tmp_path).transform(shapes)
    again = extractor(tmp_path)
    seen = count_computed(again, monkeypatch)
    assert np.array_equal(again.transform(shapes), first)
    assert seen == []


def test_moved_photographs_cost_nothing_and_new_ones_cost_themselves(shapes, tmp_path, monkeypatch):
    extractor(tmp_path / "cache").transform(shapes[:10])
    moved = []
    for i, path in enumerate(shapes):
        moved.append(str(tmp_path / "{}.jpg".format(i)))
        shutil.copy(path, moved[-1])
    again = extractor(tmp_path / "cache")
    seen = count_computed(again, monkeypatch)
    features = again.transform(moved)
    assert sum(seen) == len(shapes) - 10
    assert np.array_equal(features, extractor(tmp_path, cache=False).transform(shapes))


@pytest.mark.parametrize("change", [
    {"layer": "mixed3"}, {"input_size": 100}, {"pooling": "max"}, {"resize": "pad"}])
def test_other_settings_find_nothing(shapes, tmp_path, monkeypatch, change):
    extractor(tmp_path).transform(shapes)
    other = extractor(tmp_path, **change)
    seen = count_computed(other, monkeypatch)
    other.transform(shapes)
    assert sum(seen) == len(shapes)


def test_changed_weights_or_photographs_find_nothing(shapes, tmp_path, monkeypatch):
    network = convert(packaged_path("inception_v3"), str(tmp_path / "a.gtw"), layer="mixed0")
    extractor(tmp_path, backbone=str(tmp_path / "a.gtw"), layer="mixed0").transform(shapes)
    name = sorted(network.arrays)[0]
    network.arrays[name].scale *= 1.5
    from gear_transfer.importers.native import write_network
    write_network(str(tmp_path / "b.gtw"), network)
    other = extractor(tmp_path, backbone=str(tmp_path / "b.gtw"), layer="mixed0")
    seen = count_computed(other, monkeypatch)
    other.transform(shapes)
    assert sum(seen) == len(shapes)
    path = str(tmp_path / "edited.jpg")
    shutil.copy(shapes[0], path)
    with open(path, "ab") as stream:
        stream.write(b"\0")
    assert content_hash(path) != content_hash(shapes[0])
    assert feature_key(content_hash(path), "s") != feature_key(content_hash(shapes[0]), "s")


def test_what_was_computed_before_an_interrupt_is_kept(shapes, tmp_path, monkeypatch):
    broken = extractor(tmp_path, batch_size=6)
    run = broken.backbone_.features
    calls = []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(images)

    monkeypatch.setattr(broken.backbone_, "features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broken.transform(shapes)
    again = extractor(tmp_path)
    seen = count_computed(again, monkeypatch)
    again.transform(shapes)
    assert sum(seen) == len(shapes) - 12


def test_arrays_are_not_cached(tmp_path):
    extractor(tmp_path / "cache").transform(np.zeros((2, 50, 50, 3), np.uint8))
    assert not os.path.exists(str(tmp_path / "cache"))


@pytest.mark.slow
def test_an_unreadable_file_is_reported_each_time(shapes, tmp_path):
    bad = str(tmp_path / "bad.jpg")
    with open(bad, "w") as stream:
        stream.write("text")
    for _ in range(2):
        extraction = extractor(tmp_path).extract([shapes[0], bad, str(tmp_path / "none.jpg")])
        assert extraction.positions.tolist() == [0]
        assert [position for position, _ in extraction.failures] == [1, 2]


def test_folder_is_private_and_named_by_the_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform != "darwin":
        assert default_folder() == str(tmp_path / "gear_transfer")
    cache = FeatureCache(tmp_path / "own")
    cache.put([b"k"], np.ones((1, 3), np.float32))
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700


def test_limit_drops_what_was_used_longest_ago(tmp_path):
    cache = FeatureCache(tmp_path, limit=50)
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    for i in range(4):
        cache.put([bytes([i])], vectors[i:i + 1])
    cache.get([b"\0"], 3)
    cache.trim()
    kept = cache.get([bytes([i]) for i in range(4)], 3)
    assert sorted(kept) == [b"\0", b"\2", b"\3"]
    assert kept[b"\3"].tolist() == [9, 10, 11]
    cache.clear()
    assert cache.get([b"\0"], 3) == {}


def test_more_keys_than_sqlite_takes_variables(tmp_path):
    cache = FeatureCache(tmp_path)
    keys = [str(i).encode() for i in range(2500)]
    cache.put(keys, np.arange(2500, dtype=np.float32).reshape(-1, 1))
    found = cache.get(keys, 1)
    assert all(found[key][0] == int(key) for key in keys) and len(found) == 2500


def test_vector_of_another_length_counts_as_missing(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put([b"k"], np.ones((1, 3), np.float32))
    assert cache.get([b"k"], 4) == {} and len(cache.get([b"k"], 3)) == 1


@pytest.mark.parametrize("damage", ["text", "cut", "folder"])
def test_a_damaged_store_is_one_warning_and_no_cache(shapes, tmp_path, damage):
    cache = FeatureCache(tmp_path / "cache")
    if damage == "folder":
        os.makedirs(cache.path)
    else:
        cache.put([b"k" * 32], np.ones((1, 4000), np.float32))
        with open(cache.path, "r+b") as stream:
            if damage == "cut":
                stream.truncate(3000)
            else:
                stream.write(b"this is no database" * 100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = extractor(tmp_path, cache=cache).transform(shapes[:2])
    assert [warning.category for warning in caught] == [CacheWarning]
    assert cache.path in str(caught[0].message)
    assert np.array_equal(features, extractor(tmp_path, cache=False).transform(shapes[:2]))


def test_a_folder_that_cannot_be_made_is_one_warning(shapes, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(CacheWarning, match="going on without"):
        assert len(extractor(tmp_path / "file" / "cache").transform(shapes[:2])) == 2


@pytest.mark.parametrize("setting", [False, None])
def test_off(setting):
    assert open_cache(setting) is None


@pytest.mark.parametrize("setting", [3, 1.5, b"folder"])
def test_bad_setting(setting):
    with pytest.raises(ValueError, match="cache must be"):
        open_cache(setting)


def write_some(folder, first):
    cache = FeatureCache(folder)
    for i in range(first, first + 20):
        cache.put([str(i).encode()], np.full((1, 50), i, np.float32))


@pytest.mark.slow
def test_several_writers(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_some, args=(str(tmp_path), 20 * i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = FeatureCache(tmp_path).get([str(i).encode() for i in range(80)], 50)
    assert len(found) == 80
    assert all((found[str(i).encode()] == i).all() for i in range(80))


def test_killed_writer_leaves_whole_vectors(tmp_path):
    script = ("import sys, numpy as np\nfrom gear_transfer.common.cache import FeatureCache\n"
              "cache = FeatureCache(sys.argv[1])\ni = 0\nwhile True:\n"
              "    cache.put([str(i).encode()], np.full((1, 2000), i, np.float32))\n"
              "    i += 1\n    print(i, flush=True)\n")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)],
                               stdout=subprocess.PIPE)
    for _ in range(20):
        written = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    cache = FeatureCache(tmp_path)
    found = cache.get([str(i).encode() for i in range(written + 100)], 2000)
    assert len(found) >= written
    assert all((vector == int(key)).all() for key, vector in found.items())
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_hashed(tmp_path):
    """A pipe would be waited for, and a device read, for ever."""
    os.mkfifo(str(tmp_path / "pipe"))
    for path in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path), "a\0", "\ud800"):
        assert content_hash(path) is None


def hold(cache):
    """Another connection that holds the file, as another process would."""
    cache.put([b"k"], np.ones((1, 3), np.float32))
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_cache_that_another_process_holds_is_waited_for_once(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "WAIT", 0.3)
    cache = FeatureCache(tmp_path)
    other = hold(cache)
    with pytest.warns(CacheWarning, match="another process holds it"):
        extractor(tmp_path).transform(shapes[:1])
    start = time.time()
    extractor(tmp_path).transform(shapes[:1])  # without a warning: those are errors here
    assert FeatureCache(tmp_path).get([b"k"], 3) == {} and time.time() - start < 5
    assert cache._store.is_resting()
    other.close()
    monkeypatch.setattr(store, "REST", -1)
    cache._store.rest(OSError())
    assert len(cache.get([b"k"], 3)) == 1  # looked at again when it has rested


@pytest.mark.slow
def test_another_writer_is_waited_for(tmp_path):
    script = ("import sqlite3, sys, time\nother = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "other.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\ntime.sleep(1)\n")
    cache = FeatureCache(tmp_path)
    cache.put([b"k"], np.ones((1, 3), np.float32))
    with subprocess.Popen([sys.executable, "-c", script, cache.path], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert cache.put([b"l"], np.ones((1, 3), np.float32))
    assert len(cache.get([b"k", b"l"], 3)) == 2


@pytest.mark.slow
def test_an_interrupt_is_heard_while_another_process_holds_the_cache(tmp_path):
    other = hold(FeatureCache(tmp_path))
    script = ("import sys\nfrom gear_transfer.common.cache import FeatureCache\n"
              "cache = FeatureCache(sys.argv[1])\nprint('go', flush=True)\ncache.get([b'k'], 3)\n")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HOME)
    process.stdout.readline()
    time.sleep(0.5)
    start = time.time()
    process.send_signal(signal.SIGINT)
    process.wait()
    process.stdout.close()
    other.close()
    assert time.time() - start < 2 and process.returncode != 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
def test_a_pipe_in_the_place_of_a_file_is_no_hang(tmp_path, suffix):
    cache = FeatureCache(tmp_path)
    if suffix:
        cache.put([b"k"], np.ones((1, 3), np.float32))
    os.mkfifo(cache.path + suffix)
    with pytest.warns(CacheWarning, match="named pipe"):
        assert cache.get([b"k"], 3) == {}
    assert not cache.put([b"k"], np.ones((1, 3), np.float32))
    with pytest.raises(gt.GearTransferError, match="named pipe"):
        cache.clear()


@pytest.mark.slow
def test_a_hundred_thousand_keys_in_a_new_cache(tmp_path):
    """The bound on the work of damaged files is one of each statement."""
    cache = FeatureCache(tmp_path)
    keys = [struct.pack("<qq", i * 0x9e3779b97f4a7c % 2**61, i) for i in range(60000)]
    assert cache.get(keys, 1) == {}
    assert cache.put(keys, np.zeros((len(keys), 1), np.float32)) and len(cache.get(keys, 1)) == 60000
    cache.limit = 0
    cache.trim()
    assert cache.info()["vectors"] == 0 and not cache._store.is_resting()


def test_what_could_not_be_kept_is_kept_later(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(extractor_module._Work, "KEEP_EVERY", 0.0)
    put, refused = FeatureCache.put, []

    def sometimes(self, keys, vectors):
        if not refused:
            refused.extend(keys)
            return False
        return put(self, keys, vectors)

    monkeypatch.setattr(FeatureCache, "put", sometimes)
    extractor(tmp_path, batch_size=4).transform(shapes)
    assert refused and FeatureCache(tmp_path).info()["vectors"] == len(shapes)


def exchanging(path, other, again):
    """`read_picture` of a sync program: another picture is in the file while it is decoded."""
    real = images.read_picture

    def read(image, *arguments, **watching):
        if image != path:
            return real(image, *arguments, **watching)
        shutil.copy(other, path)
        picture = real(image, *arguments, **watching)
        if again is not None:
            shutil.copy(again, path)
        return picture
    return read


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("how", ["extract", "views", "executor", "hashes", "choice"])
def test_a_photograph_exchanged_while_it_is_read_is_not_kept(shapes, tmp_path, monkeypatch, how, back):
    """Neither features nor hashes of the new picture may be found for the old one, ever."""
    path, old = str(tmp_path / "a.jpg"), str(tmp_path / "old.jpg")
    shutil.copy(shapes[0], path), shutil.copy(shapes[0], old)
    read = exchanging(path, shapes[1], old if back else None)
    for module in (prefetch, hashes_module, augmentation, extractor_module):
        monkeypatch.setattr(module, "read_picture", read)
    given, cache = [path] + shapes[2:4], tmp_path / "cache"
    if how == "hashes":
        gt.find_duplicates(given, cache=str(cache))
    elif how == "choice":
        extractor(cache, precision="int8").transform(given)
    elif how == "executor":
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            extractor(cache, executor=pool).transform(given)
    elif how == "views":
        extractor(cache).extract_views(given, 1)
    else:
        extractor(cache).transform(given)
    facts = FeatureCache(cache).info()
    assert facts["vectors"] == 2 and facts["choices"] == 0


def test_a_child_forked_while_a_thread_uses_the_cache(tmp_path):
    """The fork waits for the end of the transaction; the child then has the cache as well."""
    cache = FeatureCache(tmp_path)
    cache.put([b"k"], np.ones((1, 3), np.float32))
    inside, leave = threading.Event(), threading.Event()

    def slowly(execute):
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=cache._store.transact, args=(slowly,))
    thread.start()
    inside.wait(10)
    threading.Timer(0.2, leave.set).start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if len(FeatureCache(tmp_path).get([b"k"], 3)) == 1 else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_of_a_fork_that_could_not_wait_goes_without(tmp_path, monkeypatch):
    """As before Python 3.7, where nothing makes a fork wait."""
    guard = store._NotAcrossForks()
    monkeypatch.setattr(store, "_forks", guard)
    guard._is_open, guard._owner = True, os.getpid() + 1
    with pytest.warns(CacheWarning, match="forked while another thread"):
        assert FeatureCache(tmp_path).get([b"k"], 3) == {}


def test_clearing_gives_the_room_back_and_removes_a_damaged_file(tmp_path):
    cache = FeatureCache(tmp_path)
    assert cache.info()["vectors"] == 0 and not os.path.exists(cache.path)
    cache.clear()
    cache.put([b"k"], np.ones((1, 100000), np.float32))
    cache.put_choice(b"c", "text")
    facts = cache.info()
    assert (facts["vectors"], facts["choices"]) == (1, 1) and facts["bytes"] > 400000
    cache.clear()
    assert cache.info()["bytes"] < 50000 and cache.info()["choices"] == 0
    with open(cache.path, "wb") as stream:
        stream.write(b"this is no database" * 100)
    with pytest.raises(gt.GearTransferError, match="cannot be used"):
        cache.info()
    cache.clear()
    assert not os.path.exists(cache.path)
    assert cache.put([b"k"], np.ones((1, 3), np.float32))


def test_clearing_what_another_process_holds_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "WAIT", 0.1)
    cache = FeatureCache(tmp_path)
    other = hold(cache)
    with pytest.raises(gt.GearTransferError, match="another process holds it"):
        cache.clear()
    other.close()
    assert len(cache.get([b"k"], 3)) == 1
