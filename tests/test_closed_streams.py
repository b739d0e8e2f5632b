"""Where standard output or standard error is closed the work is done all the same, silently."""
import os
import subprocess
import sys

import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer.common.progress import SilentBar, progress_bar


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gt.make_shapes(tmp_path_factory.mktemp("closed") / "shapes", per_class=8, size=64,
                          random_state=1)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_train_and_predict(folder, tmp_path, closed):
    model = str(tmp_path / "model.gtm")
    image = os.path.join(folder, "circle", "circle001.jpg")
    for words in (["train", folder, model, "--layer", "mixed0", "--input-size", "75", "--epochs",
                   "5", "--no-cache"], ["predict", model, image, "{}/none.jpg".format(folder)]):
        process = subprocess.Popen(
            ["sh", "-c", "exec \"$@\" " + closed, "sh", sys.executable, "-m", "gear_transfer"]
            + words, cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate()
        assert b"Traceback" not in errors and b"NoneType" not in errors
        assert process.returncode == (0 if words[0] == "train" else 3)
        assert (output == b"") == (">&-" in closed.split() or "<&-" in closed)
    assert gt.load_model(model).predict([image]).shape == (1,)


def test_verbose_without_standard_error(folder, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress_bar(3, "Features", "image", 1), SilentBar)
    images = gt.load_folder(folder)
    model = gt.TransferClassifier(layer="mixed0", input_size=75, epochs=2, verbose=1, cache=False)
    assert model.fit(images).predict(images.paths[:1]).shape == (1,)
