"""A runtime that only predicts: NumPy, Pillow and the core, nothing else that has to be installed."""
import json
import os
import shutil
import subprocess
import sys

import pytest

import gear_transfer as gt
from conftest import HOME
from gear_transfer.workbench.intervals import wilson_interval

pytestmark = pytest.mark.every_python

#: In front of what is run: none of these can be imported.
WITHOUT = """
import sys
for name in ("sklearn", "scipy", "matplotlib", "h5py", "tqdm", "pandas", "joblib", "onnx", "starlette"):
    sys.modules[name] = None
"""

PREDICT = """
import json
import numpy as np
import gear_transfer as gt
from gear_transfer.serving import scoring
from gear_transfer.serving.batching import Batcher
model = gt.load_model(sys.argv[1], cache=False)
paths = sys.argv[2:]
batcher = Batcher(model)
answers = [batcher.submit(open_file.read_bytes(), True) for open_file in map(
    __import__("pathlib").Path, paths)]
print(json.dumps({
    "predicted": model.predict(paths).tolist(),
    "unknown": model.predict(paths, unknown="none").tolist(),
    "top": [row[0].label for row in model.predict_top_k(paths)],
    "array": model.predict(np.zeros((1, 80, 80, 3), np.uint8)).tolist(),
    "served": [model.classes_[each.result().probabilities.argmax()] for each in answers],
    "card": gt.model_card(model).to_dict()["held_out"]["interval"],
    "scored": [scoring.run(open(path, "rb").read())["predictions"][0]["predicted"] for path in paths]}))
batcher.close()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return gt.load_folder(gt.make_shapes(tmp_path_factory.mktemp("runtime") / "shapes", per_class=10,
                                         size=64, random_state=6))


@pytest.fixture(scope="module")
def fitted(images):
    return gt.TransferClassifier(input_size=64, epochs=12, cache=False, verbose=0).fit(images)


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("runtime") / "m.gtm")
    fitted.save(path)
    return path


def run(code, *arguments, **variables):
    home = variables.pop("home", HOME)
    process = subprocess.Popen([sys.executable, "-c", WITHOUT + code] + list(arguments), cwd=home,
                               env=dict(os.environ, **variables), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.slow
def test_prediction_needs_numpy_and_pillow_only(fitted, path, images):
    paths = images.paths[::12]
    found = json.loads(run(PREDICT, path, *paths, GEAR_TRANSFER_MODEL=path))
    expected = fitted.predict(paths).tolist()
    assert found["predicted"] == found["top"] == found["served"] == found["scored"] == expected
    assert found["unknown"] == fitted.predict(paths, unknown="none").tolist()
    assert found["array"][0] in fitted.classes_.tolist()
    assert found["card"] == gt.model_card(fitted).to_dict()["held_out"]["interval"]


@pytest.mark.slow
def test_the_command_line_as_well(path, images):
    code = "from gear_transfer import cli\nsys.exit(cli.main(sys.argv[1:]))"
    rows = run(code, "predict", path, images.paths[0], "--json-lines", "--unknown", "--top-k", "2")
    assert json.loads(rows)["predicted"] == "circle"
    assert "circle (10)" in run(code, "info", path)


@pytest.mark.slow
def test_a_saved_classifier_needs_no_weights_of_the_package(path, images, tmp_path):
    """So a container that only predicts may leave them out."""
    shutil.copytree(os.path.join(HOME, "gear_transfer"), str(tmp_path / "gear_transfer"),
                    ignore=shutil.ignore_patterns("*.gtw", "__pycache__"))
    libraries = os.path.join(HOME, "gear_transfer.libs")  # a wheel has some beside it
    if os.path.isdir(libraries):
        shutil.copytree(libraries, str(tmp_path / "gear_transfer.libs"))
    code = ("import gear_transfer as gt\nassert gt.__file__.startswith(sys.argv[1]), gt.__file__\n"
            "print(gt.load_model(sys.argv[2], cache=False).predict([sys.argv[3]])[0])")
    assert run(code, str(tmp_path), path, images.paths[0], home=str(tmp_path)).strip() == "circle"


def test_the_usual_interval_is_that_of_every_confidence():
    assert wilson_interval(0.9, 100) == pytest.approx(wilson_interval(0.9, 100, 0.95 + 1e-12), abs=1e-9)
