"""Labels come back as they went in: through tables, fit, predict, files, reports, command line."""
import json
import os

import numpy as np
import pytest

from gear_transfer import (DatasetError, FeatureSet, HeadClassifier, ImageSet, ModelFileError,
                           TransferClassifier, compute_features, cross_validate, load_folder,
                           load_model, make_shapes, plot_confusion_matrix, report)
from gear_transfer.cli import main
from gear_transfer.common.labels import as_labels, labels_of_classes
from gear_transfer.importers.native import read_network, write_network

QUICK = dict(layer="mixed0", input_size=75, epochs=5, precision="float32")
NUMBERS = [20, 3, 100]  # as text their order would be another


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Shapes in folders that are named by numbers."""
    folder = make_shapes(tmp_path_factory.mktemp("labels") / "shapes", per_class=12, size=64,
                         random_state=0)
    for name, number in zip(sorted(os.listdir(folder)), NUMBERS):
        os.rename(os.path.join(folder, name), os.path.join(folder, str(number)))
    return load_folder(folder)


@pytest.fixture(scope="module")
def numbers(images):
    return images.labels.astype(np.int32)


@pytest.fixture(scope="module")
def model(images, numbers):
    return TransferClassifier(**QUICK).fit(images.paths, numbers)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("labels") / "model.gtm")
    model.save(path)
    return path


def kinds(numbers):
    """Labels of every type, each with the type that must come back."""
    text = np.array(["{}".format(number) for number in numbers])
    return [
        ("int", numbers.tolist(), "i"), ("int8", numbers.astype(np.int8), "i"),
        ("uint16", numbers.astype(np.uint16), "u"), ("bool", (numbers == 3).tolist(), "b"),
        ("numpy bool", numbers == 3, "b"), ("float", numbers.astype(float), "f"),
        ("float32", numbers.astype(np.float32), "f"), ("text", text, "U"),
        ("list of text", text.tolist(), "U"), ("numpy scalars", list(numbers), "i"),
        ("numpy bools", list(numbers == 3), "b"), ("numpy text", list(text), "U"),
        ("objects", numbers.astype(object), "i"), ("objects of text", text.astype(object), "U")]


@pytest.mark.parametrize("number", range(14))
def test_a_table_a_fit_and_a_file(images, numbers, tmp_path, number):
    name, labels, kind = kinds(numbers)[number]
    table = ImageSet.from_frame({"path": images.paths, "label": labels})
    assert table.labels.dtype.kind == kind and table.labels.tolist() == list(labels)
    assert table.classes == sorted(set(table.labels.tolist()))
    assert table.subset([0, 1]).labels.dtype == table.labels.dtype
    model = TransferClassifier(**QUICK).fit(table)
    np.testing.assert_array_equal(model.classes_, table.classes)
    predicted = model.predict(images.paths)
    assert predicted.dtype == table.labels.dtype == model.classes_.dtype
    assert model.score(images.paths, labels) == (predicted == np.asarray(labels)).mean() > 0.5
    model.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(images.paths), predicted)
    loaded.save(tmp_path / "again.gtm")
    assert load_model(tmp_path / "again.gtm").classes_.dtype == model.classes_.dtype


def test_categories_and_columns_that_may_lack_values(images, numbers):
    pandas = pytest.importorskip("pandas", minversion="1.0")
    for column, kind in [
            (pandas.Categorical(numbers), "i"), (pandas.Categorical(images.labels), "U"),
            (pandas.array(numbers, dtype="Int64"), "i"),
            (pandas.array(images.labels.tolist(), dtype="string"), "U"),
            (pandas.array(numbers == 3, dtype="boolean"), "b")]:
        frame = pandas.DataFrame({"path": images.paths, "label": column})
        table = ImageSet.from_frame(frame)
        assert table.labels.dtype.kind == kind
        assert table.labels.tolist() == frame["label"].tolist()
        model = TransferClassifier(**QUICK)
        assert model.fit(frame["path"], frame["label"]).classes_.tolist() == table.classes


@pytest.mark.parametrize("labels, part", [
    ([1, "axe", 2], "1 is int and 'axe' is str"), (["axe", 2.5], "'axe' is str and 2.5 is float"),
    ([True, 2], "True is bool and 2 is int"), ([0, False], "0 is int and False is bool"),
    (np.array(["a", 1], object), "'a' is str and 1 is int")])
def test_labels_of_several_types_are_refused(labels, part):
    """NumPy would make text of them, and predictions that equal none of the labels."""
    paths = ["{}.jpg".format(i) for i in range(len(labels))]
    X = np.random.RandomState(0).randn(len(labels), 3).astype(np.float32)
    for use in (lambda: ImageSet(paths, labels), lambda: FeatureSet(X, labels),
                lambda: TransferClassifier().fit(paths, labels), lambda: as_labels(labels)):
        with pytest.raises(DatasetError) as caught:
            use()
        assert part in str(caught.value)
    if isinstance(labels, list):
        with pytest.raises(DatasetError):
            HeadClassifier().fit(X, labels)


def test_a_missing_label_among_text_is_no_class(images):
    labels = images.labels.tolist()
    labels[4] = float("nan")
    with pytest.raises(ValueError, match="no label for 1 of the images, the first is number 4"):
        TransferClassifier().fit(images.paths, labels)


def test_whole_numbers_and_numbers_may_be_mixed():
    assert as_labels([1, 2.0]).dtype.kind == "f" and as_labels([np.int8(1), 2]).dtype.kind == "i"
    assert as_labels([]).tolist() == []


def test_other_objects_become_text_in_a_set():
    class Kind(object):
        def __str__(self):
            return "axe"

    assert ImageSet(["a.jpg"], [Kind()]).labels.tolist() == ["axe"]


# What is made of them

def test_workbench(model, images, numbers):
    table = ImageSet(images.paths, numbers)
    result = cross_validate(compute_features(table, model), estimator=model, folds=3)
    assert result.classes.tolist() == [3, 20, 100] and result.predicted.dtype == numbers.dtype
    assert json.loads(result.to_json())["classes"] == [3, 20, 100]
    assert all(type(name) is int for name in json.loads(result.to_json())["classes"])


@pytest.mark.slow
def test_report(model, images, numbers, tmp_path):
    for folder in (ImageSet(images.paths, numbers), images):
        report(model, folder, tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert page.count("<th scope=\"row\">100</th>") >= 2


def test_folders_are_compared_by_the_text_of_the_classes(model, images, numbers):
    assert model.score(images) == model.score(images.paths, numbers)
    with pytest.raises(DatasetError, match="does not know the class 'axe'"):
        labels_of_classes(np.array(["3", "axe"]), model.classes_)


def test_command_line(saved, images, capsys):
    folder = os.path.dirname(os.path.dirname(images.paths[0]))
    assert main(["predict", saved, images.paths[0], "--json", "--probabilities"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert type(row["predicted"]) is int and list(row["probabilities"]) == ["3", "20", "100"]
    assert main(["evaluate", saved, folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["class"] for row in found["classes"]] == [3, 20, 100]
    assert found["accuracy"] == load_model(saved).score(images)


def test_the_order_of_a_confusion_matrix():
    ax = plot_confusion_matrix([2, 10, 1], [2, 10, 10])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1", "2", "10"]
    ax.figure.clf()


# Files

@pytest.mark.parametrize("change", [
    lambda settings: settings.update(classes_type="<i9"),
    lambda settings: settings.update(classes_type="|O"), lambda settings: settings.update(
        classes_type="|u1", classes=[3, 20, 1000]),
    lambda settings: settings.update(classes_type="|b1"), lambda settings: settings.update(
        classes_type=7), lambda settings: settings.update(classes=["a", "b", "c"])])
def test_a_damaged_type_of_classes(saved, tmp_path, change):
    network = read_network(saved)
    settings = json.loads(network.extra["classifier"])
    assert settings["classes_type"] == "<i4"
    change(settings)
    network.extra["classifier"] = json.dumps(settings)
    write_network(tmp_path / "damaged.gtm", network)
    with pytest.raises(ModelFileError, match="type of classes"):
        load_model(tmp_path / "damaged.gtm")


def test_files_of_earlier_releases_say_no_type(saved, tmp_path):
    network = read_network(saved)
    settings = json.loads(network.extra["classifier"])
    del settings["classes_type"]
    network.extra["classifier"] = json.dumps(settings)
    write_network(tmp_path / "earlier.gtm", network)
    assert load_model(tmp_path / "earlier.gtm").classes_.tolist() == [3, 20, 100]
