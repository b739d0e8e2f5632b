"""Progress bars: shown where somebody looks, from the first second, and nowhere else."""
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer.common import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("progress") / "shapes")
    return gt.load_folder(gt.make_shapes(folder, per_class=30, size=64))


def everything(images, cache):
    """What takes long, on few photographs."""
    images = gt.load_folder(os.path.dirname(os.path.dirname(images.paths[0])))
    model = gt.TransferClassifier("inception_v3", layer="mixed0", input_size=75, epochs=20,
                                  cache=cache)
    model.fit(images).predict(images.paths)
    gt.find_duplicates(images, cache=False)
    samples = gt.compute_features(images, model)
    gt.cross_validate(samples, estimator=model)
    gt.learning_curve(samples, estimator=model)


@pytest.mark.slow
def test_bars_on_a_terminal_without_being_asked(images, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    everything(images, str(tmp_path / "cache"))
    shown = sys.stderr.getvalue()
    for name in ("Listing", "Features", "Head", "Comparing", "Cross-validation", "Learning curve"):
        assert name in shown


@pytest.mark.slow
def test_none_in_a_pipe_and_none_where_nobody_wants_them(images, tmp_path, monkeypatch, capfd):
    everything(images, str(tmp_path / "cache"))
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.no_automatic_bars(True):
        everything(images, False)
    gt.TransferClassifier("inception_v3", layer="mixed0", input_size=75, epochs=2, verbose=0,
                          cache=False).fit(images)
    assert sys.stderr.getvalue() == ""


@pytest.mark.slow
def test_no_bar_for_what_is_over_in_a_moment(images, monkeypatch):
    extractor = gt.FeatureExtractor("inception_v3", layer="mixed0", input_size=75, cache=False).fit()
    monkeypatch.setattr(sys, "stderr", Terminal())
    extractor.transform(images.paths[:2])
    assert sys.stderr.getvalue() == ""
    with progress.progress_bar(3, "Slowly", "step", None) as bar:
        bar.update()
        time.sleep(0.6)
        bar.update(), bar.set_postfix({"loss": 1})
        bar.update()
    assert "Slowly: 100%" in sys.stderr.getvalue() and "loss=1" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", [None, object()])
def test_streams_that_are_none(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress_bar(1000, "Features", "image", None) as bar:
        bar.update()
    assert isinstance(bar, progress.SilentBar)


@pytest.mark.slow
def test_first_sign_of_life_within_a_second(tmp_path):
    """On a real terminal, from the call on; many files, so that listing and hashing take long."""
    pixels = np.random.RandomState(0).randint(0, 256, (300, 64, 64, 3)).astype(np.uint8)
    for i, each in enumerate(pixels):
        folder = tmp_path / "gear" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        gt.photographs.images.Image.fromarray(each).save(str(folder / "{}.png".format(i)))
    script = ("import sys, gear_transfer as gt\nimages = gt.load_folder(sys.argv[1])\n"
              "model = gt.TransferClassifier(cache=False)\nprint('go', flush=True)\nmodel.fit(images)\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "gear")], cwd=HOME,
                               stdout=subprocess.PIPE, stderr=theirs)
    assert process.stdout.readline() == b"go\n"
    start = time.time()
    shown = b""
    while b"Features" not in shown:
        assert select.select([ours], [], [], 30)[0], shown
        shown += os.read(ours, 1000)
    waited = time.time() - start
    process.kill(), process.wait(), process.stdout.close(), os.close(ours), os.close(theirs)
    # A second on an idle machine; the tests of others may run beside.
    assert waited < 3
