"""Full disks, missing homes, killed and interrupted work: what was there stays, what was done counts."""
import contextlib
import os
import resource
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer.common.atomic import write_whole
from gear_transfer.common.cache import CacheWarning, FeatureCache, default_folder, open_cache
from gear_transfer.features import extractor
from gear_transfer.importers.download import download_official_weights

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "faults"))

import interrupts  # noqa: E402
import kills  # noqa: E402


@contextlib.contextmanager
def file_size_limit(size):
    """No file may grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(path):
    with open(str(path), "rb") as stream:
        return stream.read()


@pytest.fixture(scope="module")
def model():
    return kills.small_model(1)


# Full disk

def test_full_disk_leaves_the_old_model(model, tmp_path):
    path = tmp_path / "model.gtm"
    model.save(path)
    old = content(path)
    for size in (0, 1, 1000, len(old) - 1):
        with file_size_limit(size), pytest.raises(gt.ModelFileError) as caught:
            kills.small_model(2).save(path)
        assert str(path) in str(caught.value) and "File too large" in str(caught.value)
        assert content(path) == old and os.listdir(str(tmp_path)) == ["model.gtm"]


def test_full_disk_costs_the_cache_a_warning(tmp_path):
    cache = FeatureCache(tmp_path)
    vectors = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    cache.put([b"a"], vectors[:1])
    with file_size_limit(os.path.getsize(cache.path)), pytest.warns(CacheWarning) as caught:
        cache.put([b"b", b"c"], vectors[1:])
    assert len(caught) == 1 and cache.path in str(caught[0].message)
    found = FeatureCache(tmp_path).get([b"a", b"b", b"c"], 1000)
    assert list(found) == [b"a"] and np.array_equal(found[b"a"], vectors[0])


# Homes

@pytest.fixture
def no_home(monkeypatch, tmp_path):
    """A user without home folder, in an empty working folder."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for an unknown user
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_home(no_home):
    with pytest.raises(OSError):
        default_folder()
    with pytest.warns(CacheWarning, match="no home folder.*cache=folder"):
        assert open_cache(True) is None
    image = no_home / "a.png"
    image.write_bytes(kills.picture())
    with pytest.warns(CacheWarning) as caught:
        gt.FeatureExtractor(input_size=96, layer="mixed0").transform([str(image)])
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.raises(gt.WeightsError, match="home"):
        download_official_weights(opener=None)
    assert os.listdir(str(no_home)) == ["a.png"], "something was written to the working folder"


@pytest.mark.skipif(sys.platform == "darwin", reason="XDG folders are not used there")
def test_relative_cache_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == str(tmp_path / ".cache" / "gear_transfer")


def test_read_only_home_is_a_warning(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.warns(CacheWarning, match="Read-only file system"):
        FeatureCache().put([b"k"], np.ones((1, 3), np.float32))


# Writing

def test_folder_is_flushed_after_the_file_has_its_name(monkeypatch, tmp_path):
    """The order that survives a power cut: file, name, folder."""
    done = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        done.append(os.path.realpath("/proc/self/fd/{}".format(descriptor)))
        return fsync(descriptor)

    def watched_replace(source, target):
        done.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_whole(tmp_path / "a", lambda stream: stream.write(b"new"))
    assert len(done) == 3 and done[0].startswith(str(tmp_path / ".")) and done[0].endswith(".tmp")
    assert done[1:] == ["replace", str(tmp_path)]
    assert content(tmp_path / "a") == b"new"


def test_a_folder_that_cannot_be_flushed_does_not_matter(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "open", refuse)
    write_whole(tmp_path / "a", lambda stream: stream.write(b"new"))
    assert content(tmp_path / "a") == b"new"


@pytest.mark.parametrize("options, part", [
    (["--saves", "8"], "8 kills while saving"), (["--cache", "5"], "5 kills while writing"),
    (["--writers", "4", "--rounds", "4"], "4 writers on one cache"),
    (["--steps"], "killed before each of the ")])
@pytest.mark.slow
def test_kills(options, part):
    """A few of the moments of faults/kills.py, in a process that may fork."""
    script = os.path.join(HERE, "faults", "kills.py")
    home = os.path.dirname(os.path.dirname(os.path.abspath(gt.__file__)))
    output = subprocess.check_output([sys.executable, script] + options,
                                     env=dict(os.environ, PYTHONPATH=home))
    assert output.decode().startswith(part)


# Interrupts

# Ctrl-C between the opening of a file and its with leaves the closing to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in")
@pytest.mark.parametrize("work", sorted(interrupts.WORKS))
@pytest.mark.slow
def test_interrupted(work, tmp_path):
    """A few of the five hundred moments of faults/interrupts.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "numpy.ufunc size changed")  # as pyproject.toml has it
        figures = interrupts.interrupt(work, str(tmp_path), 8)
    assert figures["interrupted"] == 8
    assert figures["slowest"] < 1.0 and figures["waited"] < 20.0


def test_interrupted_before_the_last_features_are_kept(monkeypatch, tmp_path):
    deferred, calls = extractor.deferred_interrupts, []

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return deferred()

    monkeypatch.setattr(extractor, "deferred_interrupts", interrupted)
    cache = FeatureCache(tmp_path)
    work = extractor._Work([None], 3, cache, [b"k"])
    with pytest.raises(KeyboardInterrupt), work:
        work.add([0], np.ones((1, 3), np.float32))
    assert list(cache.get([b"k"], 3)) == [b"k"] and len(calls) == 2


def test_interrupt_key(tmp_path):
    """The real signal, from another process."""
    script = ("import gear_transfer as gt, numpy as np\nX = np.random.randn(3000, 200)\n"
              "print('go', flush=True)\n"
              "gt.HeadClassifier(epochs=10**6).fit(X, np.arange(3000) % 2)")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"go\n"
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=100)[1]
