"""The feature cache: what is found again, what never is, and what a damaged store does."""
import multiprocessing
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import warnings

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer.common.cache import (CacheWarning, FeatureCache, content_hash, default_folder,
                                        feature_key, open_cache)
from gear_transfer.features.extractor import FeatureExtractor
from gear_transfer.importers.convert import convert
from gear_transfer.importers.weights import packaged_path

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
    {"layer": "mixed3"}, {"input_size": 100}, {"pooling": "max"}, {"resize": "stretch"}])
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
