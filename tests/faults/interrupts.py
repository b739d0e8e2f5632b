"""Interrupts work at random moments, as Ctrl-C does, and looks at what comes after.

    python tests/faults/interrupts.py [N]

N (default 500) moments are shared by loading a model, extracting features, training and saving; at
each a timer sends the signal of Ctrl-C. KeyboardInterrupt must come out, within a second (of
the processor's time where others keep it busy), and no thread may stay; then the same work must give what it gives without an interrupt, and for features
only those may be computed again that were not finished. Prints a line for each kind of work and ends
with 1 where that is not so.
"""
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import kills  # noqa: E402
from gear_transfer import FeatureExtractor, HeadClassifier, load_model  # noqa: E402
from gear_transfer.photographs.datasets import make_shapes  # noqa: E402
from gear_transfer.photographs.image_set import load_folder  # noqa: E402


class Loading(object):
    """A saved classifier is read."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "model.gtm")
        kills.small_model(1).save(self.path)
        self.images = np.random.RandomState(0).randint(0, 255, (4, 32, 32, 3)).astype(np.uint8)
        self.expected = self.work().predict_proba(self.images)

    def prepare(self):
        pass

    def work(self):
        return load_model(self.path, threads=1)

    def check(self, result):
        assert np.array_equal(result.predict_proba(self.images), self.expected)


class Extraction(object):
    """Features of files, with a cache that is empty at first."""

    def __init__(self, folder):
        images = os.path.join(folder, "shapes")
        make_shapes(images, per_class=12, size=96)
        self.paths = load_folder(images).paths
        self.cache = os.path.join(folder, "cache")
        self.extractor = FeatureExtractor(layer="mixed0", input_size=75, batch_size=4,
                                          precision="float32", cache=self.cache).fit()
        self.computed = []
        run = self.extractor.backbone_.features

        def counted(images):
            result = run(images)
            self.computed.append(len(images))
            return result

        self.extractor.backbone_.features = counted
        self.expected = self.work()

    def prepare(self):
        shutil.rmtree(self.cache, ignore_errors=True)
        del self.computed[:]

    def work(self):
        return self.extractor.transform(self.paths)

    def check(self, result):
        assert np.array_equal(result, self.expected)
        # At most the batch under way is computed twice.
        assert sum(self.computed) <= len(self.paths) + self.extractor.batch_size, self.computed


class Training(object):
    """A head is trained."""

    def __init__(self, folder):
        self.X = np.random.RandomState(0).randn(2000, 60).astype(np.float32)
        self.y = np.arange(2000) % 5
        self.head = HeadClassifier(epochs=30, threads=1)
        self.expected = self.work()

    def prepare(self):
        pass

    def work(self):
        return self.head.fit(self.X, self.y).coefs_[0].copy()

    def check(self, result):
        assert np.array_equal(result, self.expected)


class Saving(object):
    """One classifier replaces another in a file."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "saved")
        os.makedirs(self.folder)
        self.path = os.path.join(self.folder, "model.gtm")
        self.models, self.files = kills.versions(self.folder)
        self.prepare()

    def prepare(self):
        self.models[0].save(self.path)

    def work(self):
        self.models[1].save(self.path)

    def after_interrupt(self):
        assert kills.content(self.path) in self.files
        assert os.listdir(self.folder) == ["model.gtm"], "an unfinished file stayed"

    def check(self, result):
        assert kills.content(self.path) == self.files[1]


WORKS = {"extraction": Extraction, "loading": Loading, "saving": Saving, "training": Training}


def own_threads():
    """All but tqdm's own, which old releases start for a silent bar as well."""
    return [each for each in threading.enumerate() if type(each).__name__ != "TMonitor"]


def interrupt(name, folder, count, seed=0):
    """Interrupt one kind of work `count` times, not counting those that came too late to matter.

    Returns
    -------
    dict
        interrupted: `count`; slowest: most seconds from the signal to the exception, on the wall or
        of the processor, whichever is less; waited: those on the wall.
    """
    rng = random.Random(seed)
    subject = WORKS[name](folder)
    subject.prepare()
    start = time.time()
    subject.work()
    lasts = time.time() - start
    rung, running = [], own_threads()

    def ring(number, frame):
        rung.append(time.time())
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGALRM, ring)
    figures = {"interrupted": 0, "slowest": 0.0, "waited": 0.0}
    try:
        while figures["interrupted"] < count:
            subject.prepare()
            del rung[:]
            due = rng.random() * lasts * 0.9 + 1e-5
            try:
                asked, used = time.time(), time.process_time()
                signal.setitimer(signal.ITIMER_REAL, due)
                subject.work()
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert not rung, "the interrupt was lost"
            except KeyboardInterrupt:
                figures["interrupted"] += 1
                waited, used = time.time() - asked - due, time.process_time() - used - due
                figures["slowest"] = max(figures["slowest"], min(waited, used))
                figures["waited"] = max(figures["waited"], waited)
                if hasattr(subject, "after_interrupt"):
                    subject.after_interrupt()
            # What a Ctrl-C kept from being closed is closed with the exception's traceback.
            for thread in own_threads():
                if thread not in running:
                    thread.join(1.0)
            assert own_threads() == running, "a thread stayed"
            subject.check(subject.work())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return figures


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may have it ignored
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    failed = False
    for name in sorted(WORKS):
        folder = tempfile.mkdtemp(prefix="gear_transfer_interrupts_")
        try:
            figures = interrupt(name, folder, -(-total // len(WORKS)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        failed |= figures["slowest"] > 1.0 or figures["waited"] > 20.0
        print("{}: {} interrupts, slowest {:.3f} s until KeyboardInterrupt, then right".format(
            name, figures["interrupted"], figures["slowest"]))
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
