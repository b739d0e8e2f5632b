"""Cross-validation, its interval and verdict, learning curves and label suspects on known answers."""
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score

from gear_transfer import (DatasetError, FeatureSet, HeadClassifier, TransferClassifier,
                           compute_features, cross_validate, find_label_suspects, learning_curve,
                           load_folder, make_shapes)
from gear_transfer.workbench.evaluation import CrossValidation
from gear_transfer.workbench.feature_set import as_feature_set, head_of
from gear_transfer.workbench.intervals import sign_test, verdict, wilson_interval
from gear_transfer.workbench.learning_curves import LearningCurve


def clouds(n, distance, n_classes=3, n_features=12, seed=0):
    """Normal clouds of unit variance around points `distance` apart, and their labels."""
    rng = np.random.RandomState(seed)
    labels = np.array(["abcdefgh"[i % n_classes] for i in range(n)])
    X = rng.randn(n, n_features)
    X[np.arange(n), np.arange(n) % n_classes] += distance / np.sqrt(2)
    return X.astype(np.float32), labels


def quick(**settings):
    return HeadClassifier(**dict(dict(epochs=15, l2=0.01, learning_rate=0.05), **settings))


# Intervals

def test_wilson_by_published_numbers():
    """Brown, Cai and DasGupta's formula by hand, and the limits at 0 and 1."""
    low, high = wilson_interval(0.9, 100)
    z = 1.959963984540054
    for bound in (low, high):
        assert abs(0.9 - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / 100), rel=1e-9)
    assert all(wilson_interval(0, n)[0] == 0 and wilson_interval(1, n)[1] == 1
               for n in range(1, 500))
    assert wilson_interval(1, 10)[0] == pytest.approx(10 / (10 + z * z))
    wider = wilson_interval(0.9, 100, 0.99)
    assert wider[0] < low and wider[1] > high


def test_wilson_covers_as_it_says():
    rng = np.random.RandomState(0)
    shares = rng.binomial(300, 0.93, 4000) / 300
    inside = np.mean([low <= 0.93 <= high for low, high in map(
        lambda share: wilson_interval(share, 300), shares)])
    assert 0.935 < inside < 0.965


def test_verdicts():
    assert verdict((0.91, 0.95), 0.9) == "met" and verdict((0.9, 0.95), 0.9) == "met"
    assert verdict((0.8, 0.89), 0.9) == "not met" and verdict((0.8, 0.9), 0.9) == "not proven"


def test_sign_test_by_hand():
    assert sign_test(4, 0) == pytest.approx(1 / 16) and sign_test(0, 0) == 1
    assert sign_test(3, 1) == pytest.approx(5 / 16) and sign_test(0, 5) == 1


# Cross-validation

@pytest.fixture(scope="module")
def easy():
    X, labels = clouds(240, 5)
    return cross_validate(X, labels, estimator=quick(), target=0.9)


def test_accuracy_and_tables(easy):
    assert easy.accuracy == accuracy_score(easy.samples.labels, easy.predicted) > 0.98
    assert np.bincount(easy.folds).tolist() == [48] * 5 and len(easy.fold_accuracies) == 5
    assert np.mean(easy.fold_accuracies) == pytest.approx(easy.accuracy)
    np.testing.assert_allclose(easy.probabilities.sum(axis=1), 1, rtol=1e-5)
    recalls = [row[1] for row in easy.per_class().values()]
    np.testing.assert_allclose(recalls, recall_score(
        easy.samples.labels, easy.predicted, average=None))
    assert easy.confusion().sum() == 240 and easy.confusion().trace() == easy.right.sum()
    assert easy.interval() == wilson_interval(easy.accuracy, 240) and easy.verdict() == "met"
    assert easy.verdict(0.9999) in ("not proven", "not met")


def test_what_it_says(easy):
    assert "240 samples in 5 folds" in repr(easy)
    assert "Target 90.0 %: met." in str(easy) and "precision" in str(easy)
    assert "<table>" in easy._repr_html_() and "Wilson" in easy._repr_html_()
    said = json.loads(easy.to_json())
    assert said["verdict"] == "met" and said["accuracy"] == easy.accuracy
    assert [row["class"] for row in said["per_class"]] == ["a", "b", "c"]
    assert np.array(said["confusion"]).shape == (3, 3) and len(said["top_losses"]) == 10


def test_written_json(easy, tmp_path):
    easy.to_json(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(easy.to_json())


def test_no_information_no_accuracy():
    """Labels that have nothing to do with the features: chance, within its interval."""
    X, labels = clouds(300, 0)
    result = cross_validate(X, labels, estimator=quick(), target=0.9)
    low, high = result.interval()
    assert low < 1 / 3 + 0.06 and high > 1 / 3 - 0.06 and result.verdict() == "not met"


def test_near_duplicates_do_not_help():
    """Every sample of noise is there four times: only a split that tears groups looks good."""
    X, labels = clouds(60, 0, n_features=200)
    X, labels, groups = np.repeat(X, 4, axis=0), np.repeat(labels, 4), np.repeat(np.arange(60), 4)
    estimator = quick(l2=0)
    flattered = cross_validate(X, labels, estimator=estimator)
    honest = cross_validate(X, labels, groups=groups, estimator=estimator)
    assert flattered.accuracy > 0.8 > 0.6 > honest.accuracy
    assert honest.interval() == wilson_interval(honest.accuracy, 60)
    assert "count once" in str(honest)
    for group in range(60):
        assert len(set(honest.folds[groups == group])) == 1


def test_same_seed_same_answer():
    X, labels = clouds(90, 2)
    first, second, other = [cross_validate(X, labels, estimator=quick(), random_state=seed)
                            for seed in (1, 1, 2)]
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert (first.folds != other.folds).any()


@pytest.mark.slow
def test_other_classifiers():
    X, labels = clouds(90, 4)
    result = cross_validate(X, labels, estimator=LogisticRegression())
    assert result.accuracy > 0.9
    with pytest.raises(TypeError):
        cross_validate(X, labels, estimator=3)
    numbers = cross_validate(X, np.arange(90) % 3 + 5, estimator=quick())
    assert numbers.classes.tolist() == [5, 6, 7] and json.loads(numbers.to_json())["classes"] == [
        5, 6, 7]


def test_the_most_confused_classes():
    labels = np.array(list("aabbbccc"))
    taken = dict(zip("abc", np.eye(3)))
    result = CrossValidation(FeatureSet(np.zeros((8, 2)), labels),
                             np.array([taken[name] for name in "abccacab"]), np.arange(8) % 2)
    assert result.most_confused() == [("b", "c", 2), ("a", "b", 1), ("b", "a", 1), ("c", "a", 1),
                                      ("c", "b", 1)]
    assert result.most_confused(1) == [("b", "c", 2)]
    right = CrossValidation(FeatureSet(np.zeros((8, 2)), labels),
                            np.array([taken[name] for name in labels]), np.arange(8) % 2)
    assert right.most_confused() == []


def test_top_losses():
    samples = FeatureSet(np.zeros((4, 2)), ["a", "b", "a", "b"], paths=["/x/%d" % i for i in range(4)])
    result = CrossValidation(samples, np.array([[0.9, 0.1], [0.6, 0.4], [0.01, 0.99], [0.2, 0.8]],
                                               np.float32), np.array([0, 0, 1, 1]))
    assert result.top_losses(3).tolist() == [2, 1, 3] and result.right.tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(result.losses(), -np.log([0.9, 0.4, 0.01, 0.8]), rtol=1e-5)
    assert result.to_dict()["top_losses"] == ["2", "1", "3", "0"]


@pytest.mark.parametrize("target", [0, -1, 1.5, "0.9", True, float("nan")])
def test_bad_targets(target):
    X, labels = clouds(30, 4)
    with pytest.raises(ValueError) as caught:
        cross_validate(X, labels, target=target)
    assert "target" in str(caught.value)


def test_bad_samples():
    X, labels = clouds(30, 4)
    for arguments in [(X,), (X, labels[:5]), (X[0], labels), (X, labels, np.arange(4)),
                      (FeatureSet(X, labels), labels), (X * np.nan, labels)]:
        with pytest.raises(ValueError):
            cross_validate(*arguments)
    with pytest.raises(DatasetError):
        cross_validate(X, ["a"] * 30)
    with pytest.raises(ValueError):
        cross_validate(X, labels).verdict()


# Label suspects

def test_flipped_labels_are_found():
    X, labels = clouds(300, 7)
    rng = np.random.RandomState(1)
    flipped = rng.choice(300, 12, replace=False)
    wrong = labels.copy()
    wrong[flipped] = [{"a": "b", "b": "c", "c": "a"}[name] for name in labels[flipped]]
    suspects = find_label_suspects(X, wrong, estimator=quick())
    assert set(suspects.ranking[:12].tolist()) == set(flipped.tolist())
    found = set(suspects.positions.tolist())
    assert len(found & set(flipped.tolist())) >= 8 and len(found) <= 12
    hit = np.isin(suspects.positions, flipped)
    assert (suspects.suggested[hit] == labels[suspects.positions[hit]]).all()
    assert (np.diff(suspects.margins) >= 0).all() and (suspects.given != suspects.suggested).all()
    assert repr(suspects) == "<LabelSuspects: {} suspects among 300 samples>".format(len(suspects))
    said = json.loads(suspects.to_json())["suspects"]
    assert said[0]["position"] == suspects.positions[0] and "looks like" in str(suspects)


def test_suspects_by_hand():
    """Thresholds are the mean probabilities of each label: here 0.7 for both classes."""
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.75, 0.25],
                              [0.1, 0.9], [0.05, 0.95]], np.float32)
    labels = np.array(["a", "a", "b", "b", "b", "b"])
    result = CrossValidation(FeatureSet(np.zeros((6, 1)), labels), probabilities, np.zeros(6, int))
    suspects = find_label_suspects(result)
    assert suspects.positions.tolist() == [3] and suspects.suggested.tolist() == ["a"]
    assert suspects.margins[0] == pytest.approx(-0.5)
    assert suspects.ranking.tolist() == [3, 1, 2, 0, 4, 5]
    assert result.suspects().positions.tolist() == [3]


def test_clean_labels_few_suspects(easy):
    assert len(easy.suspects()) <= 2 and "sample" in easy.suspects()._repr_html_()


# Learning curves

def test_learning_curve_rises_where_there_is_more_to_learn():
    X, labels = clouds(480, 2.5, n_features=60)
    curve = learning_curve(X, labels, estimator=quick())
    assert curve.sizes.tolist() == [48, 96, 192, 384]
    accuracies = curve.accuracies()
    assert accuracies[-1] > accuracies[0] + 0.1
    assert curve.expected() > accuracies[-1] and curve.outlook() in ("would help", "may help")
    np.testing.assert_allclose(accuracies, np.average(
        [curve.accuracies(name) for name in "abc"], axis=0))
    assert curve.intervals().shape == (4, 2)
    assert (curve.intervals()[:, 0] < accuracies).all()
    header, rows = curve._rows()
    assert header[1:5] == ["48", "96", "192", "384"] and [row[0] for row in rows] == [
        "all", "a", "b", "c"]
    assert json.loads(curve.to_json())["classes"]["b"]["accuracies"] == pytest.approx(
        curve.accuracies("b").tolist())
    with pytest.raises(ValueError):
        curve.accuracies("z")


def test_learning_curve_is_level_where_all_is_learned():
    X, labels = clouds(240, 9)
    curve = learning_curve(X, labels, estimator=quick())
    assert curve.accuracies()[-1] == 1 and curve.outlook() == "would hardly help"
    assert "would hardly help" in str(curve) and "<table>" in curve._repr_html_()


def test_outlook_by_hand():
    """The error halves with each doubling: it is expected to halve once more."""
    samples = FeatureSet(np.zeros((400, 1)), np.arange(400) % 2)
    right = np.arange(400) >= np.array([160, 80, 40, 20])[:, None]
    curve = LearningCurve(samples, np.array([40, 80, 160, 320]), right)
    assert curve.expected() == pytest.approx(0.975) and curve.outlook() == "would help"
    assert curve.expected(1) == pytest.approx(0.975)
    level = LearningCurve(samples, np.array([40, 80, 160, 320]), np.repeat(right[:1], 4, axis=0))
    assert level.expected() == pytest.approx(0.6) and level.outlook() == "would hardly help"
    falling = LearningCurve(samples, np.array([40, 80, 160, 320]), right[::-1])
    assert falling.expected() == pytest.approx(0.6)
    unsure = right[[0, 0, 1, 1]].copy()
    unsure[3, :4] = ~unsure[3, :4]
    curve = LearningCurve(samples, np.array([40, 80, 160, 320]), unsure)
    assert curve.outlook() == "may help"


def test_learning_curve_keeps_duplicates_together():
    X, labels = clouds(60, 0, n_features=200)
    X, labels, groups = np.repeat(X, 4, axis=0), np.repeat(labels, 4), np.repeat(np.arange(60), 4)
    curve = learning_curve(X, labels, groups=groups, estimator=quick(l2=0))
    assert curve.accuracies()[-1] < 0.6


# From photographs

@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "shapes"
    return load_folder(make_shapes(folder, per_class=20, size=72, random_state=2))


def test_features_of_photographs(shapes):
    model = TransferClassifier(layer="mixed0", input_size=64, precision="float32")
    samples = compute_features(shapes, model)
    assert samples.features.shape == (60, 256) and samples.paths == shapes.paths
    assert len(np.unique(samples.groups)) < 60 and "in" in repr(samples)
    assert samples.names()[0].startswith("circle/")
    some = samples.subset(np.arange(60) % 2 == 0)
    assert len(some) == 30 and some.paths == shapes.paths[::2]
    result = cross_validate(samples, estimator=model, folds=3)
    assert result.accuracy > 0.5 and as_feature_set(samples) is samples


def test_unreadable_photographs_are_left_out(shapes, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    images = shapes.subset(slice(None))
    images.paths[3] = str(broken)
    model = TransferClassifier(layer="mixed0", input_size=64, precision="float32")
    with pytest.warns(UserWarning, match="broken.png"):
        samples = compute_features(images, model)
    assert len(samples) == 59 and str(broken) not in samples.paths


def test_heads():
    head = head_of(TransferClassifier(l2=0.5, epochs=3))
    assert isinstance(head, HeadClassifier) and head.l2 == 0.5 and head.validation_fraction == 0
    assert head_of(quick(early_stopping=True)).validation_fraction == 0.1
    assert head_of(None).epochs == TransferClassifier().epochs
