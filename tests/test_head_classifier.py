"""HeadClassifier as a scikit-learn estimator."""
import copy
import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from gear_transfer import FeatureExtractor, HeadClassifier, TransferClassifier, _core
from gear_transfer.classifiers.head import automatic_epochs


def blobs(n=150, d=6, classes=3, seed=0, distance=2.0):
    random = np.random.RandomState(seed)
    labels = np.arange(n) % classes
    X = random.randn(n, d) + distance * random.randn(classes, d)[labels]
    return X.astype(np.float32), np.array(["ash", "beech", "cedar", "oak"])[labels]


def same_weights(one, two):
    return all(np.array_equal(*pair) for pair in zip(one.coefs_ + one.intercepts_,
                                                     two.coefs_ + two.intercepts_))


def checks():
    """(estimator, check) of scikit-learn's own checks, whatever its release calls them."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        with warnings.catch_warnings():  # that it only does what BaseEstimator does
            warnings.filterwarnings("ignore", "Estimator HeadClassifier does not inherit")
            return list(estimator_checks.estimator_checks_generator(HeadClassifier()))
    try:
        return estimator_checks.check_estimator(HeadClassifier(), generate_only=True)
    except TypeError:    # before 0.23
        return [(HeadClassifier(), estimator_checks.check_estimator)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator, check", [pytest.param(
    *pair, id=getattr(getattr(pair[1], "func", pair[1]), "__name__", "all")) for pair in checks()])
def test_scikit_learns_checks(estimator, check):
    try:
        check(estimator)
    except BaseException as error:
        # Its checks of pandas and of other array libraries; not skips of ours.
        if type(error).__name__ not in ("SkipTest", "Skipped"):
            raise


# Training

def test_fit_and_predict():
    X, y = blobs()
    model = HeadClassifier()
    assert model.fit(X, y) is model
    assert model.classes_.tolist() == ["ash", "beech", "cedar"] and model.n_features_in_ == 6
    assert [kernel.shape for kernel in model.coefs_] == [(6, 3)]
    assert [bias.shape for bias in model.intercepts_] == [(3,)]
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (150, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])
    assert model.score(X, y) > 0.9
    np.testing.assert_array_equal(model.predict_proba(X.tolist()), probabilities)
    np.testing.assert_allclose(model.predict_proba(X[4:5])[0], probabilities[4], rtol=1e-5)


@pytest.mark.parametrize("labels", [[7, 3, 11], [True, False], ["é", "ü"], [1, 0]])
def test_kinds_of_labels(labels):
    X, _ = blobs(60, classes=len(labels))
    y = np.array(labels)[np.arange(60) % len(labels)]
    model = HeadClassifier(epochs=30, learning_rate=0.03).fit(X, y)
    assert model.classes_.tolist() == sorted(labels)
    assert model.predict(X).dtype == y.dtype and model.score(X, y) > 0.9
    assert HeadClassifier(epochs=1).fit(X, list(y)).classes_.tolist() == sorted(labels)


def test_history():
    X, y = blobs()
    model = HeadClassifier(epochs=7).fit(X, y)
    assert list(model.history_) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 7 for values in model.history_.values()) and model.n_iter_ == 7
    assert all(isinstance(value, float) and np.isfinite(value)
               for values in model.history_.values() for value in values)
    assert model.history_["loss"][-1] < model.history_["loss"][0]
    model = HeadClassifier(epochs=2, validation_fraction=0).fit(X, y)
    assert list(model.history_) == ["loss", "accuracy"]
    assert all(0 <= value <= 1 for value in model.history_["accuracy"])


def test_validation_data():
    X, y = blobs(200)
    held, held_y = X[150:], y[150:]
    model = HeadClassifier(epochs=20, learning_rate=0.02, l2=0.0, calibrate=False)
    model.fit(X[:150], y[:150], validation_data=(held, held_y))
    probabilities = model.predict_proba(held)
    places = np.searchsorted(model.classes_, held_y)
    expected = -np.log(probabilities[np.arange(50), places]).mean()
    np.testing.assert_allclose(model.history_["val_loss"][-1], expected, rtol=1e-4)
    assert model.history_["val_accuracy"][-1] == pytest.approx(model.score(held, held_y))
    without = HeadClassifier(epochs=20, learning_rate=0.02, l2=0.0, validation_fraction=0)
    assert same_weights(model, without.fit(X[:150], y[:150]))
    with pytest.raises(ValueError) as caught:
        model.fit(X, y, validation_data=(held, ["oak"] * 50))
    assert "validation_data has the class 'oak'" in str(caught.value)
    for bad in ((held[:, :3], held_y), (held, held_y[:9]), (held * np.nan, held_y)):
        with pytest.raises(ValueError):
            model.fit(X, y, validation_data=bad)


def test_early_stopping_returns_to_the_best_epoch():
    X, y = blobs(80, d=40, distance=0.3)     # noise: it overfits
    settings = dict(learning_rate=0.05, l2=0.0, epochs=60, validation_fraction=0.3,
                    calibrate=False, refit=False)
    model = HeadClassifier(early_stopping=True, patience=4, **settings).fit(X, y)
    losses = model.history_["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == model.n_iter_ == best + 5 < 60
    held = _held_out(model, X, y)
    np.testing.assert_allclose(_loss(model, *held), losses[best], rtol=1e-4)
    plain = HeadClassifier(**settings).fit(X, y)
    assert len(plain.history_["loss"]) == 60
    np.testing.assert_allclose(_loss(plain, *held), plain.history_["val_loss"][-1], rtol=1e-4)
    assert plain.history_["val_loss"][:len(losses)] == losses
    patient = HeadClassifier(early_stopping=True, patience=100, **settings).fit(X, y)
    np.testing.assert_allclose(_loss(patient, *held), min(losses), rtol=1e-4)


def test_the_saved_head_is_trained_on_all():
    X, y = blobs(80, d=40, distance=0.5)
    settings = dict(epochs=30, calibrate=False, random_state=3)
    refitted = HeadClassifier(validation_fraction=0.3, **settings).fit(X, y)
    everything = HeadClassifier(validation_fraction=0, **settings).fit(X, y)
    np.testing.assert_array_equal(refitted.coefs_[0], everything.coefs_[0])
    assert refitted.history_["loss"] != everything.history_["loss"]
    assert len(refitted.validation_indices_) == 24 and refitted.best_epoch_ == 29
    held = HeadClassifier(validation_fraction=0.3, refit=False, **settings).fit(X, y)
    assert held.history_ == refitted.history_
    assert np.abs(held.coefs_[0] - refitted.coefs_[0]).max() > 1e-3


def test_early_stopping_decides_for_how_long_all_are_trained_on():
    X, y = blobs(80, d=40, distance=0.3)
    settings = dict(learning_rate=0.05, l2=0.0, epochs=60, calibrate=False)
    model = HeadClassifier(early_stopping=True, patience=4, validation_fraction=0.3,
                           **settings).fit(X, y)
    assert model.best_epoch_ == int(np.argmin(model.history_["val_loss"])) < 55
    full = HeadClassifier(validation_fraction=0, **settings).fit(X, y)
    assert np.abs(full.coefs_[0] - model.coefs_[0]).max() > 1e-3
    places = np.searchsorted(model.classes_, y)
    assert _loss(model, X, places) > _loss(full, X, places)


def test_views_of_all_are_asked_for_once():
    X, y = blobs(80, d=6)
    asked = []

    def views(positions):
        asked.append(list(positions))
        return X[positions][:, np.newaxis] + 0.1

    HeadClassifier(epochs=2).fit(X, y, views=views)
    assert asked == [list(range(80))]


@pytest.mark.parametrize("count", [2, 5, 20])
def test_few_samples_are_enough_where_they_are_for_logistic_regression(count):
    """Random weights to begin with would stay, in all directions that few samples leave open."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rng = np.random.RandomState(count)
    labels = np.repeat(np.arange(4), 200 + count)
    X = (rng.randn(len(labels), 600) + rng.randn(4, 600)[labels] * 0.35).astype(np.float32)
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(4)])
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    known = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        X[chosen], labels[chosen]).score(X[rest], labels[rest])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = HeadClassifier().fit(X[chosen], labels[chosen]).score(X[rest], labels[rest])
    assert 0.5 < known and ours >= known - 0.01


def test_automatic_epochs():
    X, y = blobs(80)
    assert HeadClassifier(validation_fraction=0).fit(X, y).n_iter_ == 134
    assert automatic_epochs(4, 32) == 400 and automatic_epochs(320, 32) == 40
    assert automatic_epochs(10 ** 6, 32) == 40


def _held_out(model, X, y):
    from gear_transfer.classifiers.head import held_out_indices
    places = np.searchsorted(model.classes_, y)
    train, held = held_out_indices(places, model.validation_fraction, model.random_state)
    assert sorted(train.tolist() + held.tolist()) == list(range(len(y)))
    assert np.bincount(places[held]).min() >= 7     # 24 of 3 classes, stratified
    return X[held], places[held]


def _loss(model, X, places):
    return -np.log(model.predict_proba(X)[np.arange(len(X)), places]).mean()


def test_early_stopping_with_validation_data():
    X, y = blobs()
    model = HeadClassifier(early_stopping=True, validation_fraction=0, patience=1, epochs=5)
    model.fit(X, y, validation_data=(X, y))
    assert "val_loss" in model.history_
    with pytest.raises(ValueError):
        model.fit(X, y)


def test_class_weight():
    X, _ = blobs(300, d=2, classes=2, distance=0.4)
    y = np.where(np.arange(300) % 10 == 0, "rare", "usual")
    shares = [(HeadClassifier(class_weight=weight, epochs=30, learning_rate=0.02).fit(X, y)
               .predict(X) == "rare").mean()
              for weight in (None, "balanced", {"rare": 1000, "usual": 1})]
    assert shares[0] < 0.05 < shares[1] < 0.9 < shares[2]
    ones = HeadClassifier(class_weight={"rare": 1, "usual": 1}, epochs=3).fit(X, y)
    assert same_weights(ones, HeadClassifier(epochs=3).fit(X, y))
    with pytest.raises(ValueError):
        HeadClassifier(class_weight={"rare": -1, "usual": 1}).fit(X, y)


def test_hidden_layers_learn_what_one_layer_cannot():
    random = np.random.RandomState(0)
    X = random.uniform(-1, 1, (400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    settings = dict(epochs=60, learning_rate=0.02, l2=0.0)
    assert HeadClassifier(**settings).fit(X, y).score(X, y) < 0.75
    for options in ({}, {"dropout": 0.2}, {"optimizer": "sgd"}):
        options = dict(settings, hidden_layers=[32, 16], **options)
        model = HeadClassifier(**options).fit(X, y)
        assert [kernel.shape for kernel in model.coefs_] == [(2, 32), (32, 16), (16, 2)]
        assert model.score(X, y) > 0.9, options
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))


def test_constant_and_large_features():
    X, y = blobs()
    X = np.concatenate([X, np.full((150, 1), 3.5), X[:, :1] * 1e6 + 1e7], axis=1)
    model = HeadClassifier(epochs=30, learning_rate=0.02).fit(X, y)
    assert model.score(X, y) > 0.9 and np.isfinite(model.coefs_[0]).all()


# What is refused

def spoilt(X, kind, value):
    """Features that say as much as before, one or all of them with large or hardly any numbers."""
    X, noise = X.astype(float), np.random.RandomState(1).randn(len(X))
    if kind == "constant":
        return np.column_stack([np.full(len(X), value), X])
    if kind == "nearly constant":
        return np.column_stack([value * (1 + 1e-6 * noise), X])
    return X + value if kind == "moved" else X * value


@pytest.mark.parametrize("kind, value", [
    ("constant", 0.0), ("constant", 1e9), ("constant", -1e13), ("constant", 1e20),
    ("constant", 1e30), ("constant", 3e38), ("constant", 1e-42), ("nearly constant", 1e9),
    ("nearly constant", 1e20), ("nearly constant", -1e30), ("moved", 1e3), ("moved", -1e5),
    ("moved", 1e6), ("scaled", 1e-30), ("scaled", 1e25), ("scaled", 1e36)])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_what_history_says_is_what_is_predicted(kind, value, hidden):
    X, y = blobs(n=300, d=12)
    plain = HeadClassifier(epochs=20, hidden_layers=hidden, validation_fraction=0).fit(X, y)
    assert plain.offset_ is None and plain.first_intercept() is plain.intercepts_[0]
    X = spoilt(X, kind, value).astype(np.float32)
    model = HeadClassifier(epochs=20, hidden_layers=hidden, validation_fraction=0).fit(X, y)
    # The last epoch's accuracy is measured while the weights still move.
    assert abs(model.history_["accuracy"][-1] - model.score(X, y)) < 0.02
    assert model.score(X, y) > plain.history_["accuracy"][-1] - 0.03
    assert (model.offset_ is not None) == (kind == "nearly constant"
                                           or kind == "moved" and abs(value) > 1e4)


def test_a_feature_that_never_changed_does_not_count():
    X, y = blobs(n=300, d=12)
    X[:, 3] = 2020
    model = HeadClassifier(epochs=5).fit(X, y)
    assert (model.coefs_[0][3] == 0).all() and model.coefs_[0][2].any()
    before = model.predict_proba(X)
    X[:, 3] = 2021
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_the_offset_belongs_to_the_fitted_head():
    X, y = blobs(n=300, d=12)
    X += 1e5
    model = HeadClassifier(epochs=5).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_allclose(
        model.first_intercept(),
        model.intercepts_[0] - model.offset_.astype(float).dot(model.coefs_[0]), rtol=1e-6)
    assert model.fit(X - 100000, y).offset_ is None


@pytest.mark.parametrize("name, values", [
    ("hidden_layers", ["8", 8, (0,), (2.5,), (True,), (-1,), None, (4,) * 16]),
    ("dropout", [1, -0.1, "0.5", None, float("nan"), True]),
    ("epochs", [0, -1, 1.5, "3", None, True]), ("batch_size", [0, 2.0, None]),
    ("learning_rate", [0, -0.1, float("nan"), float("inf"), "fast", None]),
    ("optimizer", ["ADAM", None, 3]), ("momentum", [1.0, -1, None]), ("l2", [-1e-9, None]),
    ("validation_fraction", [1.0, -0.1, None, float("nan")]), ("patience", [0, 1.5]),
    ("class_weight", ["balance", 3, [1, 2]]), ("random_state", [-1, "seed", 1.5]),
    ("threads", [0, -2, 1.5, "2", True]),
    ("precision", ["bf16", "AUTO", None, 32, np.array(["auto", "float32"])])])
def test_bad_parameters(name, values):
    X, y = blobs(30)
    for value in values:
        with pytest.raises(ValueError) as caught:
            HeadClassifier(**{name: value}).fit(X, y)
        message = str(caught.value)
        assert name in message or (name == "random_state" and "seed" in message), (value, message)


def test_precision():
    """The default head is float32 anyway; large minibatches are near it, where they are rounded."""
    assert HeadClassifier().get_params()["precision"] == "auto"
    X, y = blobs(400)
    small = [HeadClassifier(epochs=2, precision=precision).fit(X, y).predict_proba(X)
             for precision in ("auto", "float32")]
    assert np.array_equal(*small)
    X = np.random.RandomState(0).randn(600, 500).astype(np.float32)
    y = np.argmax(X[:, :60], axis=1)
    large = [HeadClassifier(epochs=3, batch_size=600, precision=precision, threads=1,
                            validation_fraction=0.0, calibrate=False).fit(X, y)
             for precision in ("auto", "float32")]
    rounds = _core.has_fast("bf16")
    assert np.array_equal(large[0].coefs_[0], large[1].coefs_[0]) != rounds
    assert np.abs(large[0].predict_proba(X) - large[1].predict_proba(X)).max() < 0.01


def test_precision_of_a_transfer_classifier():
    for asked, expected in [("auto", "auto"), ("int8", "auto"), ("float32", "float32")]:
        assert TransferClassifier(precision=asked).make_parts()[1].precision == expected


def test_bad_data():
    X, y = blobs(30)
    with pytest.raises(ValueError) as caught:
        HeadClassifier().fit(X, ["oak"] * 30)
    assert "two classes or more" in str(caught.value) and "'oak'" in str(caught.value)
    spoilt = X.copy()
    spoilt[3, 2] = np.nan
    for bad in (spoilt, np.where(np.isnan(spoilt), np.inf, spoilt)):
        with pytest.raises(ValueError):
            HeadClassifier().fit(bad, y)
        with pytest.raises(ValueError):
            HeadClassifier(epochs=1).fit(X, y).predict(bad)
    for bad in (X[0], X[:, :, None], X[:0], np.full((30, 6), "x")):
        with pytest.raises(ValueError):
            HeadClassifier().fit(bad, y[:len(bad)])
    with pytest.raises(ValueError):
        HeadClassifier().fit(X, y[:-1])
    with pytest.raises(ValueError):
        HeadClassifier().fit(X, np.linspace(0, 1, 30))     # a regression
    with pytest.raises(ValueError) as caught:
        HeadClassifier(epochs=1).fit(X, y).predict(X[:, :4])
    assert "4 features" in str(caught.value) and "6 features" in str(caught.value)


def test_predict_before_fit():
    X, _ = blobs(10)
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(HeadClassifier(), method)(X)
    with pytest.raises(ValueError) as caught:
        HeadClassifier(learning_rate=1e30, optimizer="sgd").fit(*blobs(30))
    assert "learning rate" in str(caught.value)


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_samples_to_validate(n):
    X, y = blobs(n, classes=2)
    with pytest.warns(UserWarning) as caught:
        model = HeadClassifier(epochs=3).fit(X, y)
    assert "{} samples in 2 classes are too few".format(n) in str(caught[0].message)
    assert list(model.history_) == ["loss", "accuracy"] and len(model.predict(X)) == n


# Interruption

def test_interrupt_during_training():
    X, y = blobs(4000, d=300)
    model = HeadClassifier(epochs=100000, random_state=1)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    start = time.time()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert time.time() - start < 20  # all epochs would take many minutes
    timer.join()
    model.set_params(epochs=2)
    assert same_weights(model.fit(X, y), HeadClassifier(epochs=2, random_state=1).fit(X, y))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_error_in_the_callback(monkeypatch, error):
    from gear_transfer.classifiers import head
    X, y = blobs()
    called = []

    def fail(self, epoch, *losses):
        called.append(epoch)
        if epoch == 2:
            raise error("stop")

    monkeypatch.setattr(head._Watch, "__call__", fail)
    with pytest.raises(error):
        HeadClassifier().fit(X, y)
    assert called == [0, 1, 2]
    monkeypatch.undo()
    assert HeadClassifier(epochs=40).fit(X, y).n_iter_ == 40


# With the rest of scikit-learn

def test_pickle_copy_and_clone():
    X, y = blobs()
    model = HeadClassifier(hidden_layers=(5,), epochs=3).fit(X, y)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        assert again.history_ == model.history_
        assert same_weights(again.fit(X, y), model)
    fresh = clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "coefs_")
    assert same_weights(fresh.fit(X, y), model)
    assert pickle.loads(pickle.dumps(HeadClassifier(l2=0.5))).l2 == 0.5
    assert "epochs=3" in repr(model)


def test_pipelines_and_searches():
    X, y = blobs()
    model = HeadClassifier(epochs=10, learning_rate=0.02)
    assert cross_val_score(model, X, y, cv=3).mean() > 0.85
    search = GridSearchCV(make_pipeline(StandardScaler(), model),
                          {"headclassifier__l2": [0.0, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"headclassifier__l2": 0.0}
    assert search.predict(X).shape == y.shape


def test_pipeline_from_images():
    images = np.full((20, 70, 50, 3), 255, np.uint8)
    images[:10, 20:40, 10:30] = [200, 30, 30]
    images[10:, 10:60, 25:28] = [30, 30, 200]
    y = np.repeat(["square", "line"], 10)
    images[:, 0, 0, 0] = np.arange(20)
    model = make_pipeline(FeatureExtractor(layer="mixed0", input_size=64, batch_size=7),
                          HeadClassifier(epochs=10)).fit(images, y)
    np.testing.assert_array_equal(model.predict(images), y)
    np.testing.assert_array_equal(model.predict(list(images)), y)
    assert model.predict_proba(images[:3]).shape == (3, 2)
    assert clone(model).fit(images, y).score(images, y) == 1
