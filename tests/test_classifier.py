"""TransferClassifier: from photographs to class names."""
import os
import pathlib
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from gear_transfer import (Backbone, DatasetError, FeatureExtractor, GraphError, HeadClassifier,
                           ImageError, ImageSet, SkippedImageWarning, TransferClassifier,
                           WeightsError, load_folder, make_shapes)
from gear_transfer.common import progress
from gear_transfer.photographs.images import read_image

pytestmark = pytest.mark.every_python

QUICK = dict(layer="mixed2", input_size=64, batch_size=16, epochs=12, cache=False)


def classifier(**settings):
    return TransferClassifier(**dict(QUICK, **settings))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "shapes"
    return load_folder(make_shapes(folder, per_class=14, size=72, random_state=1))


@pytest.fixture(scope="module")
def fitted(shapes):
    return classifier().fit(shapes)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_bytes(b"Dear Sir or Madam")
    return str(path)


def same_weights(one, two):
    pairs = zip(one.head_.coefs_ + one.head_.intercepts_, two.head_.coefs_ + two.head_.intercepts_)
    return all(np.array_equal(*pair) for pair in pairs)


# The job

@pytest.mark.slow
def test_paths_and_labels(shapes, fitted):
    model = classifier()
    assert model.fit(shapes.paths, shapes.labels) is model
    assert same_weights(model, fitted)
    assert model.classes_.tolist() == ["circle", "square", "triangle"] and model.skipped_ == []
    assert list(model.history_) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 12 for values in model.history_.values())
    predicted = model.predict(shapes.paths)
    assert predicted.dtype.kind == "U" and (predicted == shapes.labels).mean() > 0.95
    probabilities = model.predict_proba(shapes.paths)
    assert probabilities.shape == (42, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(predicted, model.classes_[probabilities.argmax(axis=1)])
    np.testing.assert_array_equal(predicted, model.classes_from(probabilities))
    assert model.score(shapes) == model.score(shapes.paths, shapes.labels) == (
        predicted == shapes.labels).mean()
    assert model.score(shapes.paths[:2], shapes.labels[:2], sample_weight=[1, 0]) in (0.0, 1.0)


def test_defaults(shapes):
    some = shapes.subset(slice(None, None, 3))
    model = TransferClassifier(epochs=2).fit(some)
    assert model.extractor_.backbone_.layer == ("block10", "head")
    assert model.extractor_.backbone_.input_size == (256, 256)
    model = TransferClassifier("inception_v3", epochs=2).fit(some)
    assert model.extractor_.backbone_.layer == ("mixed3", "mixed4")
    assert model.extractor_.backbone_.input_size == (128, 128)


def test_summary(fitted):
    lines = fitted.summary().splitlines()
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "photographs padded with white to 64 x 64" in text
    assert "backbone inception_v3 up to mixed2, frozen" in text
    assert "features 288 (average pooling)" in text
    assert "dense 288 -> 3, softmax 867" in text
    assert "classes circle, square, triangle" in text
    assert "trained on 42 photographs (5 of them held back until the epochs were chosen), 12 ep" in text
    assert "val_accuracy " in text


def test_in_a_notebook(fitted):
    """A fitted model shows its summary, another one what scikit-learn shows."""
    html = fitted._repr_html_()
    assert html.startswith("<table>") and "<td>padded with white to 64 x 64</td>" in html
    assert "288 -&gt; 3, softmax" in html and "circle, square, triangle" in html
    assert "trained on" in html and fitted.extractor_.backbone_.precision_reason[:20] in html
    bundle = fitted._repr_mimebundle_()
    assert bundle == {"text/plain": repr(fitted), "text/html": html}
    blank = classifier()._repr_mimebundle_(include=None, exclude=None)
    assert blank["text/plain"] == repr(classifier())
    assert "TransferClassifier" in blank.get("text/html", "TransferClassifier")
    assert "softmax" not in blank.get("text/html", "")


@pytest.mark.parametrize("kind", ["Path", "str array", "array", "list of arrays", "PIL", "mixed"])
@pytest.mark.slow
def test_kinds_of_images(shapes, fitted, kind):
    paths = shapes.paths[::5]
    expected = fitted.predict_proba(paths)
    arrays = [read_image(path, 64) for path in paths]
    given = {
        "Path": [pathlib.Path(path) for path in paths], "str array": np.array(paths),
        "array": np.array(arrays), "list of arrays": arrays,
        "PIL": [Image.fromarray(pixels) for pixels in arrays],
        "mixed": tuple([paths[0], pathlib.Path(paths[1]), Image.fromarray(arrays[2])] + arrays[3:]),
    }[kind]
    np.testing.assert_array_equal(fitted.predict_proba(given), expected)


def test_nothing_to_predict(fitted):
    assert fitted.predict([]).shape == (0,) and fitted.predict_proba([]).shape == (0, 3)
    with pytest.raises(DatasetError):
        fitted.score([], [])


@pytest.mark.parametrize("labels", [[4, 2, 9], [True, False, True]])
def test_labels_that_are_no_text(shapes, labels):
    y = np.array(labels)[np.searchsorted(shapes.classes, shapes.labels)]
    model = classifier(epochs=3).fit(shapes.paths, y)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.predict(shapes.paths[:2]).dtype == y.dtype


def test_validation_data(shapes):
    train, held = shapes.subset(slice(0, None, 2)), shapes.subset(slice(1, None, 2))
    for given in (held, [held.paths, held.labels.tolist()]):
        model = classifier(validation_fraction=0, early_stopping=True).fit(
            train, validation_data=given)
        assert model.history_["val_accuracy"][-1] <= 1 and model.n_images_ == 21
        best = int(np.argmin(model.history_["val_loss"]))
        assert model.score(held) == pytest.approx(model.history_["val_accuracy"][best])
    with pytest.raises(ValueError):
        classifier().fit(train, validation_data=(held.paths, held.labels[:3]))


@pytest.mark.parametrize("settings", [
    dict(layer=("mixed1", "mixed0")), dict(pooling="max"), dict(pooling=None, layer="mixed0"),
    dict(hidden_layers=(16,), dropout=0.2), dict(resize="stretch"), dict(input_size=(64, 80)),
    dict(class_weight="balanced"), dict(optimizer="sgd"), dict(threads=1)])
def test_settings_reach_their_part(shapes, settings):
    some = shapes.subset(slice(0, None, 2))
    model = classifier(**dict(dict(epochs=4), **settings)).fit(some)
    extractor = FeatureExtractor(**dict((name, getattr(model, name)) for name in (
        "layer", "input_size", "pooling", "resize", "threads")))
    features = extractor.fit_transform(some.paths)
    head = HeadClassifier(**dict((name, getattr(model, name)) for name in (
        "epochs", "hidden_layers", "dropout", "class_weight", "optimizer", "threads",
        "batch_size"))).fit(features, some.labels, groups=model.split_.groups)
    np.testing.assert_array_equal(head.predict_proba(features), model.predict_proba(some.paths))


def test_a_loaded_backbone(shapes, fitted):
    backbone = Backbone.load(layer="mixed2", input_size=64, precision="auto")
    model = TransferClassifier(backbone=backbone, batch_size=16, epochs=12).fit(shapes)
    assert same_weights(model, fitted) and model.extractor_.backbone_ is backbone


def test_clone_and_pickle(shapes, fitted):
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "head_")
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(shapes.paths[:3]),
                                  fitted.predict_proba(shapes.paths[:3]))


# Files that cannot be read

def test_unreadable_in_fit(shapes, fitted, text_file, tmp_path):
    missing = str(tmp_path / "missing.png")
    paths = shapes.paths[:20] + [text_file] + shapes.paths[20:] + [missing]
    labels = shapes.labels.tolist()
    labels = labels[:20] + ["square"] + labels[20:] + ["circle"]
    model = classifier()
    with pytest.warns(SkippedImageWarning) as caught:
        model.fit(paths, labels)
    assert len(caught) == 1 and caught[0].filename == __file__
    message = str(caught[0].message)
    assert message.startswith("2 of the images are left out")
    for path, reason in model.skipped_:
        assert path in message and reason in message
    assert [skipped.path for skipped in model.skipped_] == [text_file, missing]
    assert "not a JPEG" in model.skipped_[0].reason and "no such file" in model.skipped_[1].reason
    assert same_weights(model, fitted) and model.n_images_ == 42
    with pytest.raises(ImageError) as caught:
        classifier(strict=True).fit(paths, labels)
    assert caught.value.path == text_file


def test_unreadable_in_predict(shapes, fitted, text_file):
    paths = [shapes.paths[0], text_file, shapes.paths[-1]]
    with pytest.warns(SkippedImageWarning) as caught:
        probabilities = fitted.predict_proba(paths)
    assert text_file in str(caught[0].message) and caught[0].filename == __file__
    assert np.isnan(probabilities[1]).all() and np.isfinite(probabilities[[0, 2]]).all()
    with pytest.warns(SkippedImageWarning) as caught:
        predicted = fitted.predict(paths)
    assert caught[0].filename == __file__
    assert predicted.dtype == object and predicted[1] is None
    np.testing.assert_array_equal(predicted[[0, 2]], fitted.predict([paths[0], paths[2]]))
    with pytest.warns(SkippedImageWarning):
        assert fitted.score(paths, ["circle", "circle", "triangle"]) in (0, 0.5, 1)
    with pytest.warns(SkippedImageWarning):
        assert fitted.predict([text_file] * 5).tolist() == [None] * 5
    with pytest.warns(SkippedImageWarning), pytest.raises(DatasetError) as caught:
        fitted.score([text_file], ["circle"])
    assert "none of the 1 images" in str(caught.value)
    strict = pickle.loads(pickle.dumps(fitted)).set_params(strict=True)
    with pytest.raises(ImageError):
        strict.predict(paths)


def test_many_unreadable_files(shapes, fitted, text_file):
    with pytest.warns(SkippedImageWarning) as caught:
        fitted.predict([text_file] * 9 + shapes.paths[:1])
    assert "9 of the images" in str(caught[0].message)
    assert str(caught[0].message).count("letter.jpg") == 3
    assert str(caught[0].message).endswith("and 6 more")


def test_all_of_a_class_unreadable(shapes, text_file):
    paths = [path for path, label in zip(shapes.paths, shapes.labels) if label == "circle"]
    with pytest.warns(SkippedImageWarning), pytest.raises(DatasetError) as caught:
        classifier().fit(paths + [text_file], ["circle"] * len(paths) + ["square"])
    assert "only 'circle'" in str(caught.value) and text_file in str(caught.value)
    with pytest.warns(SkippedImageWarning), pytest.raises(DatasetError) as caught:
        classifier().fit([text_file, text_file], ["circle", "square"])
    assert "found none; 2 images cannot be read" in str(caught.value)


# Arguments that make no sense

def test_bad_labels_and_images(shapes):
    paths, labels = shapes.paths, shapes.labels
    for X, y, error, part in [
            (paths, None, ValueError, "labels are missing"),
            (paths, labels[:-1], ValueError, "42 images need as many labels"),
            (paths, labels[:, None], ValueError, "labels of shape (42, 1)"),
            (paths, ["circle"] * 42, DatasetError, "only 'circle'"),
            ([], [], DatasetError, "found none"),
            (paths[0], labels[:1], TypeError, "a sequence of images"),
            (paths[0].encode(), labels[:1], TypeError, "a sequence of images"),
            (pathlib.Path(paths[0]), labels[:1], TypeError, "a sequence of images"),
            (iter(paths), labels, TypeError, "a sequence of images"),
            (np.zeros((42, 64, 64, 3)), labels, TypeError, "uint8"),
            ([1] * 42, labels, TypeError, "an open file, a PIL image or a uint8 array")]:
        with pytest.raises(error) as caught:
            classifier().fit(X, y)
        assert part in str(caught.value)
    with pytest.raises(DatasetError):
        classifier().fit(ImageSet(paths[:3], labels[:3]))
    with pytest.raises(TypeError):
        classifier(epochs=1).fit(shapes).predict(paths[0])


@pytest.mark.parametrize("settings, error, part", [
    ({"epochs": 0}, ValueError, "epochs"), ({"batch_size": 0}, ValueError, "batch_size"),
    ({"resize": "fit"}, ValueError, "resize"), ({"pooling": "mean"}, ValueError, "pooling"),
    ({"threads": 0}, ValueError, "threads"), ({"input_size": -1}, ValueError, "input_size"),
    ({"input_size": 10}, GraphError, "too small"), ({"layer": "mixd"}, GraphError, "mixd"),
    ({"backbone": "vgg"}, ValueError, "vgg"), ({"random_state": -1}, ValueError, "random_state"),
    ({"backbone": "missing.h5"}, WeightsError, "missing.h5"),
    ({"validation_fraction": 0, "early_stopping": True}, ValueError, "early_stopping"),
    ({"class_weight": "even"}, ValueError, "class_weight")])
def test_bad_settings(shapes, settings, error, part):
    with pytest.raises(error) as caught:
        classifier(**settings).fit(shapes)
    assert part in str(caught.value)


def test_before_fit(shapes, tmp_path):
    model = classifier()
    for call in (lambda: model.predict(shapes.paths), lambda: model.predict_proba(shapes.paths),
                 lambda: model.score(shapes), model.summary,
                 lambda: model.save(tmp_path / "model.gtw")):
        with pytest.raises(NotFittedError):
            call()
    assert os.listdir(str(tmp_path)) == []


# Progress and interruption

def test_silence(shapes, capfd):
    classifier(epochs=2).fit(shapes).predict(shapes.paths[:2])
    assert capfd.readouterr() == ("", "")


def test_progress_bars(shapes, capfd):
    classifier(epochs=2, verbose=1).fit(shapes)
    output, errors = capfd.readouterr()
    assert output == ""
    assert "Features: 100%" in errors and "42/42" in errors
    assert "Head: 100%" in errors and "2/2" in errors and "val_accuracy=" in errors


def test_bars_end_on_an_error(shapes, monkeypatch):
    bars = []
    original = progress.progress_bar

    def remembered(*args):
        bars.append(original(*args))
        return bars[-1]

    monkeypatch.setattr("gear_transfer.features.extractor.progress_bar", remembered)
    with pytest.raises(ImageError):
        classifier(strict=True, verbose=1).fit(shapes.paths + ["nowhere.jpg"],
                                               shapes.labels.tolist() + ["circle"])
    assert len(bars) == 1 and bars[0].disable and 0 < bars[0].n < 43     # closed


def running_threads():
    """All but tqdm's own, which it starts for the first bar that is shown."""
    return [each for each in threading.enumerate() if type(each).__name__ != "TMonitor"]


@pytest.mark.slow
def test_interrupt_while_features_are_computed(shapes, fitted):
    many = shapes.subset(np.arange(42 * 100) % 42)
    running = running_threads()
    for delay in (0.2, 0.5):
        model = classifier(input_size=128)
        timer = threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        start = time.time()
        with pytest.raises(KeyboardInterrupt):
            model.fit(many)
        assert time.time() - start < delay + 20  # all of them would take minutes
        timer.join()
        assert not hasattr(model, "head_") and running_threads() == running
    assert same_weights(classifier().fit(shapes), fitted)
