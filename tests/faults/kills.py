"""Kills a process while it saves a model or writes the cache, and looks at what is left.

    python tests/faults/kills.py [--saves N] [--cache N] [--writers N [--rounds N]] [--steps]
                                 [--calls] [--disks] [--homes]

`--saves` and `--cache` kill at that many random moments, `--writers` sets that many processes on
one cache, `--steps` kills before each call of one save from Python to C that may touch a file,
`--calls` at each system call of it (needs strace), `--disks` fills a small disk and writes to a
read-only one (needs root, to mount them), `--homes` extracts features where the home folder cannot be
written, and where there is none. Without arguments: 1,000 kills of either kind, 16 writers, and the
others. Prints a line for each and ends with 1 where something was lost.
"""
import argparse
import ast
import contextlib
import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "fuzz"))

import targets  # noqa: E402
from gear_transfer import Backbone, ModelFileError, TransferClassifier, load_model  # noqa: E402
from gear_transfer.common.cache import CacheWarning, FeatureCache  # noqa: E402

LENGTH = 500  # of a vector in the cache


def small_model(seed, hidden=(300, 300)):
    """A fitted classifier whose file has about 400 kB."""
    backbone = Backbone.from_network(targets.small_network().upto("c"), "small", layer="c",
                                     input_size=32, threads=1)
    images = np.random.RandomState(seed).randint(0, 255, (6, 32, 32, 3)).astype(np.uint8)
    model = TransferClassifier(backbone=backbone, epochs=1, cache=False, hidden_layers=hidden,
                               threads=1, validation_fraction=0, random_state=seed)
    return model.fit(images, list("aabbab"))


def picture():
    """The bytes of a small picture."""
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(stream, "PNG")
    return stream.getvalue()


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


@contextlib.contextmanager
def child(work):
    """A forked process that runs `work` and then ends; its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    try:
        yield number
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


def versions(folder):
    """Two models, and the bytes of their files."""
    models = [small_model(seed) for seed in (1, 2)]
    files = []
    for i, model in enumerate(models):
        path = os.path.join(folder, "version{}".format(i))
        model.save(path)
        files.append(content(path))
        os.remove(path)
    assert files[0] != files[1]
    return models, files


def kill_saves(folder, count, rng):
    """Kill while two models replace each other in one file."""
    models, files = versions(folder)
    path = os.path.join(folder, "model.gtm")
    models[0].save(path)
    start = time.time()
    models[0].save(path)
    longest = 4 * (time.time() - start)
    found = [0, 0]
    unfinished = 0

    def save_for_ever():
        while True:
            for model in models:
                model.save(path)

    for i in range(count):
        with child(save_for_ever):
            time.sleep(rng.random() * longest)
        found[files.index(content(path))] += 1  # ValueError: a mixture
        if i % 50 == 0:
            load_model(path, threads=1)
        for name in os.listdir(folder):
            if name != "model.gtm":
                unfinished += 1
                os.remove(os.path.join(folder, name))
    return "{} kills while saving: {} and {} whole files of the two versions, 0 mixtures, {} " \
           "unfinished files beside them".format(count, found[0], found[1], unfinished)


def vector_of(number):
    return np.full(LENGTH, number, np.float32)


def kill_cache_writes(folder, count, rng):
    """Kill while vectors are added; those whose writing had returned must be there, whole."""
    cache = FeatureCache(folder)
    start = time.time()
    for _ in range(20):
        FeatureCache(folder).put([b"a", b"b", b"c", b"d"], np.zeros((4, LENGTH), np.float32))
    longest = time.time() - start
    first = checked = finished = 0
    for i in range(count):
        read_end, write_end = os.pipe()

        def put_for_ever():
            number = first
            while True:
                keys = [str(number + k).encode() for k in range(4)]
                cache.put(keys, np.stack([vector_of(number + k) for k in range(4)]))
                number += 4
                os.write(write_end, b"x")

        with child(put_for_ever):
            os.close(write_end)
            time.sleep(rng.random() * longest)
        written = 0
        while True:
            piece = os.read(read_end, 1 << 16)
            if not piece:
                break
            written += len(piece)
        os.close(read_end)
        keys = [str(number).encode() for number in range(first, first + 4 * written + 40)]
        found = FeatureCache(folder).get(keys, LENGTH)
        for number in range(first, first + 4 * written):
            assert str(number).encode() in found, "vector {} was lost".format(number)
        for key, vector in found.items():
            assert np.array_equal(vector, vector_of(int(key))), "vector {} is wrong".format(key)
        checked, finished = checked + len(found), finished + written
        first += 4 * written + 40
        if i % 20 == 0:
            with contextlib.closing(sqlite3.connect(cache.path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            cache.clear()
    return "{} kills while writing the cache: {} writes had returned, {} vectors read, 0 lost, 0 " \
           "wrong".format(count, finished, checked)


def many_writers(folder, count, rounds):
    """Several processes write and read one cache at once."""
    def work(seed):
        rng = random.Random(seed)
        cache = FeatureCache(folder)
        warnings.simplefilter("error")
        for _ in range(rounds):
            numbers = [rng.randrange(1000) for _ in range(10)]
            cache.put([str(n).encode() for n in numbers], np.stack([vector_of(n) for n in numbers]))
            found = cache.get([str(n).encode() for n in range(0, 1000, 7)] + [
                str(n).encode() for n in numbers], LENGTH)
            assert all(str(n).encode() in found for n in numbers)
            assert all(np.array_equal(vector, vector_of(int(key))) for key, vector in found.items())

    processes = []
    for seed in range(count):
        number = os.fork()
        if number == 0:
            code = 1
            try:
                work(seed)
                code = 0
            finally:
                os._exit(code)
        processes.append(number)
    codes = [os.waitpid(number, 0)[1] for number in processes]
    assert codes == [0] * count, codes
    return "{} writers on one cache, {} rounds each: 0 bad reads, 0 failures".format(count, rounds)


def may_touch_a_file(function):
    """Whether a function in C is one of the system's or a method of a stream."""
    owner = getattr(function, "__self__", None)
    return (getattr(function, "__module__", None) in ("posix", "io", "_io")
            or isinstance(owner, io.IOBase))


def steps_of(work, fatal=-1):
    """Run it and count its calls to the system; the process is killed before the fatal one."""
    count = 0

    def look(frame, event, function):
        nonlocal count
        if event == "c_call" and may_touch_a_file(function):
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def kill_at_each_step(folder):
    """Kill before each call of one save that may touch a file."""
    models, files = versions(folder)
    path = os.path.join(folder, "model.gtm")
    models[0].save(path)
    count = steps_of(lambda: models[1].save(path))
    found = kill_each(models, files, path, range(count), lambda place: child(
        lambda: steps_of(lambda: models[1].save(path), place)), lambda number, place: os.waitid(
            os.P_PID, number, os.WEXITED | os.WNOWAIT))
    return "killed before each of the {} calls of a save that may touch a file: {} times the old " \
           "file, then {} times the new one, 0 mixtures".format(count, found[0], found[1])


def kill_each(models, files, path, places, start, kill):
    """Start a save and kill it, for each place; how often which version was there afterwards."""
    found = [0, 0]
    for place in places:
        models[0].save(path)
        with start(place) as number:
            kill(number, place)
        which = files.index(content(path))  # ValueError: a mixture
        assert which == 1 or found[1] == 0, "the old file came back"
        found[which] += 1
        for other in os.listdir(os.path.dirname(path)):
            if other != "model.gtm":
                os.remove(os.path.join(os.path.dirname(path), other))
    assert found[0] > 0 and found[1] > 0
    return found


def stopped_save(model, path):
    """A child that waits for a tracer, then saves."""
    def work():
        os.kill(os.getpid(), signal.SIGSTOP)
        model.save(path)
    return child(work)


def traced(number, *options):
    """Let a stopped child run under strace; what strace wrote."""
    while True:
        with open("/proc/{}/stat".format(number)) as stream:
            if stream.read().rsplit(")", 1)[1].split()[0] == "T":
                break
        time.sleep(0.001)
    with tempfile.NamedTemporaryFile("r") as log:
        tracer = subprocess.Popen(["strace", "-qq", "-o", log.name, "-p", str(number)] + list(options),
                                  stderr=subprocess.PIPE)
        while b"TracerPid:\t0\n" in content("/proc/{}/status".format(number)):
            if tracer.poll() is not None:
                raise RuntimeError("strace ended: {}".format(tracer.stderr.read().decode()))
            time.sleep(0.001)
        os.kill(number, signal.SIGCONT)
        tracer.wait(60)
        tracer.stderr.close()
        return log.read()


def kill_at_each_call(folder):
    """Kill at each system call of one save, in the order in which they come."""
    models, files = versions(folder)
    path = os.path.join(folder, "model.gtm")
    models[0].save(path)
    with stopped_save(models[1], path) as number:
        lines = traced(number).splitlines()
    names = [line.split("(")[0] for line in lines if "(" in line and not line.startswith("-")]
    names = names[:names.index("exit_group")]
    found = kill_each(
        models, files, path, range(len(names)), lambda place: stopped_save(models[1], path),
        lambda number, place: traced(number, "-e", "inject={}:signal=KILL:when={}".format(
            names[place], names[:place].count(names[place]) + 1)))
    return "killed at each of the {} system calls of a save: {} times the old file, then {} times " \
           "the new one, 0 mixtures".format(len(names), found[0], found[1])


@contextlib.contextmanager
def mounted(folder, options):
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder])
    try:
        yield
    finally:
        subprocess.check_call(["umount", folder])


def full_and_read_only_disks(folder):
    """A disk too small for the second version of a file, and one that cannot be written."""
    models, files = versions(folder)
    with mounted(folder, "size={}k".format(len(files[0]) // 1024 * 3 // 2)):
        path = os.path.join(folder, "model.gtm")
        models[0].save(path)
        seen = []
        for _ in range(3):
            try:
                models[1].save(path)
            except ModelFileError as error:
                seen.append(str(error))
        assert len(seen) == 3 and all("No space left" in text for text in seen), seen
        assert content(path) == files[0] and os.listdir(folder) == ["model.gtm"]
        load_model(path, threads=1)
        full = warnings_of_cache(os.path.join(folder, "cache"), 2000)
        assert full == 1, full
        subprocess.check_call(["mount", "-o", "remount,ro", folder])
        try:
            models[1].save(path)
            raise AssertionError("a read-only disk was written")
        except ModelFileError as error:
            assert "Read-only" in str(error), error
        assert warnings_of_cache(os.path.join(folder, "other"), 1) == 1
        assert content(path) == files[0]
    return "full disk, read-only disk: 4 errors that say so, 2 warnings of the cache, the old file " \
           "intact"


EXTRACT = """
import os, pwd, sys, warnings
import gear_transfer as gt
if "HOME" not in os.environ:  # nor does the system know one
    pwd.getpwuid = {}.__getitem__
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    settings = {"layer": "mixed0", "input_size": 96, "precision": "float32", "threads": 1}
    features = gt.FeatureExtractor(**settings).transform([sys.argv[1]])
assert (features == gt.FeatureExtractor(cache=False, **settings).transform([sys.argv[1]])).all()
print([str(warning.message) for warning in caught if warning.category is gt.CacheWarning])
"""


def homes(folder):
    """Where the cache's default folder cannot be: one warning, and the right features."""
    path = os.path.join(folder, "a.png")
    with open(path, "wb") as stream:
        stream.write(picture())
    cases = ["/proc", "/proc/nowhere", "/dev/null", None]
    for home in cases:
        environment = dict(os.environ, HOME=home or "")
        environment.pop("XDG_CACHE_HOME", None)
        if home is None:
            del environment["HOME"]
        output = subprocess.check_output([sys.executable, "-c", EXTRACT, path], env=environment)
        warned = ast.literal_eval(output.decode())
        assert len(warned) == 1 and "going on without" in warned[0], warned
        assert os.listdir(folder) == ["a.png"]
    return "{} homes that cannot be written or are not there: a warning of the cache each, the " \
           "right features".format(len(cases))


def warnings_of_cache(folder, vectors):
    cache = FeatureCache(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(vectors):
            cache.put([str(number).encode()], vector_of(number)[None])
    assert all(warning.category is CacheWarning for warning in caught)
    return len(caught)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=0)
    parser.add_argument("--cache", type=int, default=0)
    parser.add_argument("--writers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=30, help="of each writer")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--disks", action="store_true")
    parser.add_argument("--homes", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(sys.argv[1:] or [
        "--saves", "1000", "--cache", "1000", "--writers", "16", "--steps", "--calls", "--disks",
        "--homes"])
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # forks are what is tested
    rng = random.Random(wanted.seed)
    works = [(wanted.saves, kill_saves, (wanted.saves, rng)),
             (wanted.cache, kill_cache_writes, (wanted.cache, rng)),
             (wanted.writers, many_writers, (wanted.writers, wanted.rounds)),
             (wanted.steps, kill_at_each_step, ()),
             (wanted.calls, kill_at_each_call, ()), (wanted.disks, full_and_read_only_disks, ()),
             (wanted.homes, homes, ())]
    for asked, work, arguments in works:
        if asked:
            folder = tempfile.mkdtemp(prefix="gear_transfer_kills_")
            try:
                print(work(folder, *arguments))
                sys.stdout.flush()
            finally:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
