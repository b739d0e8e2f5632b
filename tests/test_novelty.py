"""None of these: what is far from all classes, and how much of the known stays known."""
import numpy as np
import pytest
from sklearn.utils.extmath import randomized_svd

from gear_transfer import DatasetError, TransferClassifier, load_folder, load_model, make_shapes
from gear_transfer.classifiers.novelty import NoveltyDetector, _leading_directions, is_unknown
from gear_transfer.common.threads import ThreadPool

QUICK = dict(layer="mixed2", input_size=64, epochs=8, cache=False)


def features(n, seed, offset=0.0):
    """Non-negative features of three classes in a space of 40, as pooled ReLU outputs are."""
    rng = np.random.RandomState(seed)
    labels = np.arange(n) % 3
    centres = np.random.RandomState(9).rand(3, 40) * 3
    mixing = np.random.RandomState(8).randn(5, 40)
    roots = centres[labels] + 0.3 * rng.randn(n, 5).dot(mixing) + 0.1 * rng.randn(n, 40) + offset
    return np.maximum(roots, 0).astype(np.float32) ** 2, labels


@pytest.fixture(scope="module")
def detector():
    return NoveltyDetector().fit(*features(600, 0))


def test_known_stay_known_and_others_do_not(detector):
    known = detector.known_score(features(4000, 1)[0])
    assert 0.93 <= (~is_unknown(known)).mean() <= 0.97
    assert 0.87 <= (~is_unknown(known, 0.9)).mean() <= 0.93
    assert 0.4 < known.mean() < 0.6 and known.min() >= 0 and known.max() <= 1
    assert is_unknown(detector.known_score(features(500, 1, offset=1.0)[0])).mean() > 0.95


def test_distances_equal_the_formula(detector):
    """To the nearest sample within the leading directions, and from the samples' space across."""
    X, trained = features(30, 2)[0], features(600, 0)[0]
    k, d = detector.components_.shape
    assert (k, d) == (39, 40) and detector.points_.shape == (600, 39)
    onto = detector.components_.T.astype(float).dot(detector.components_)
    among = detector.components_.dot(detector.components_.T)
    np.testing.assert_allclose(among, np.eye(k), atol=1e-5)
    rows, samples = np.sqrt(X.astype(float)), np.sqrt(trained.astype(float))
    middle = samples.mean(axis=0)
    within = np.linalg.norm((rows[:, None] - samples[None]).dot(onto), axis=2).min(axis=1)
    across = np.linalg.norm((rows - middle).dot(np.eye(d) - onto), axis=1)
    np.testing.assert_allclose(detector.distances(X), within ** 2 + across ** 2, rtol=1e-3)
    assert detector.distances(trained[:5]).max() < detector.distances(X).min()


@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
def test_the_leading_directions_are_those_of_scikit_learn(shape):
    rng = np.random.RandomState(0)
    rows = (rng.randn(*shape) * np.linspace(3, 0.1, shape[1])).astype(np.float32)
    for count in (1, 10):
        found = _leading_directions(rows, count, 7)
        expected = randomized_svd(rows, count, n_iter=2, random_state=7)[2]
        signs = np.sign((found * expected).sum(axis=1))
        np.testing.assert_allclose(found * signs[:, None], expected, atol=2e-4)
        np.testing.assert_allclose(found.dot(found.T), np.eye(count), atol=1e-5)
        assert found.dtype == np.float32


def test_threads_keep_to_the_share_of_a_worker(monkeypatch):
    """OMP_NUM_THREADS is how batch systems tell it, here as for features and heads."""
    counts = []
    monkeypatch.setattr("gear_transfer.classifiers.novelty.ThreadPool",
                        lambda threads: counts.append(threads) or ThreadPool(threads))
    monkeypatch.setattr("gear_transfer._core.available_threads", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    NoveltyDetector().fit(*features(60, 0))
    monkeypatch.delenv("OMP_NUM_THREADS")
    NoveltyDetector().fit(*features(60, 0))
    assert counts == [2, 3]


def test_of_many_samples_some_are_kept(monkeypatch):
    monkeypatch.setattr("gear_transfer.classifiers.novelty._MOST_POINTS", 200)
    some = NoveltyDetector().fit(*features(2000, 6))
    assert some.points_.shape == (200, 39)
    known = some.known_score(features(4000, 7)[0])
    assert 0.93 <= (~is_unknown(known)).mean() <= 0.97
    np.testing.assert_array_equal(NoveltyDetector().fit(*features(2000, 6)).points_, some.points_)


def test_near_duplicates_are_held_out_together():
    """Ten copies of each sample: apart they would make each other look usual."""
    X, y = features(60, 3)
    rng = np.random.RandomState(0)
    copies = np.repeat(X, 10, axis=0) * (1 + 0.01 * rng.randn(600, 40).astype(np.float32))
    labels, groups = np.repeat(y, 10), np.repeat(np.arange(60), 10)
    fresh = features(2000, 4)[0]
    detectors = [NoveltyDetector().fit(copies, labels, together) for together in (None, groups)]
    lost = [is_unknown(detector.known_score(fresh)).mean() for detector in detectors]
    assert lost[1] < 0.1 and lost[0] > 2 * lost[1]


def test_too_few_and_wrong_shapes(detector):
    X, y = features(60, 5)
    with pytest.raises(DatasetError, match="22 photographs in 3 classes are too few"):
        NoveltyDetector().fit(X[:22], y[:22])
    with pytest.raises(DatasetError, match="no two nearly the same"):
        NoveltyDetector().fit(X, y, np.arange(60) // 4)
    with pytest.raises(ValueError, match="60 samples need as many labels and groups"):
        NoveltyDetector().fit(X, y[:-1])
    with pytest.raises(ValueError, match="X has 39 features, 40 were fitted"):
        detector.distances(X[:, 1:])
    for keep in (0.3, 1, True, None, float("nan")):
        with pytest.raises(ValueError, match="keep must be"):
            is_unknown([0.5], keep)
    assert detector.known_score(np.empty((0, 40))).shape == (0,)
    assert is_unknown([np.nan, 0.0]).tolist() == [False, True]


def test_features_that_never_vary():
    X = np.ones((40, 6), np.float32)
    detector = NoveltyDetector().fit(X, np.arange(40) % 2)
    assert detector.known_score(X[:1])[0] > 0.05 and detector.known_score(X[:1] + 1)[0] == 0


# In the classifier

@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("novelty") / "shapes"
    return load_folder(make_shapes(folder, per_class=30, size=72, random_state=1))


@pytest.fixture(scope="module")
def fitted(shapes):
    return TransferClassifier(**QUICK).fit(shapes)


@pytest.fixture(scope="module")
def others():
    rng = np.random.RandomState(0)
    noise = [rng.randint(0, 256, (72, 72, 3)).astype(np.uint8) for _ in range(5)]
    black = np.zeros((72, 72, 3), np.uint8)
    stripes = np.where(np.arange(72) // 6 % 2, 255, 0).astype(np.uint8) * np.ones((72, 1), np.uint8)
    return noise + [black, stripes, stripes.T.copy()]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh") / "shapes"
    return load_folder(make_shapes(folder, per_class=30, size=72, random_state=2))


@pytest.mark.slow
def test_other_things_are_none_of_these(fitted, fresh, others):
    assert fitted.predict(others, unknown="none of these").tolist() == ["none of these"] * 8
    assert set(fitted.predict(others)) <= set(fresh.classes)
    predicted = fitted.predict(fresh.paths, unknown="?")
    known = fitted.known_score(fresh.paths)
    np.testing.assert_array_equal(predicted == "?", known < 1 - 0.95)
    certain = predicted != "?"
    assert certain.mean() >= 0.9
    np.testing.assert_array_equal(predicted[certain], fitted.predict(fresh.paths)[certain])
    strict = fitted.predict(fresh.paths, unknown="?", keep=0.5)
    assert (strict == "?").sum() > (predicted == "?").sum()
    probabilities = fitted.predict_proba(fresh.paths)
    np.testing.assert_array_equal(fitted.classes_from(probabilities, known, "?"), predicted)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_labels_that_are_no_text_and_unreadable_images(shapes, others, tmp_path):
    numbers = np.searchsorted(shapes.classes, shapes.labels)
    model = TransferClassifier(**QUICK).fit(shapes.paths, numbers)
    predicted = model.predict([shapes.paths[0], others[0], str(tmp_path / "gone.jpg")], unknown="?")
    assert predicted.tolist() == [0, "?", None]
    known = model.known_score([str(tmp_path / "gone.jpg"), shapes.paths[0]])
    assert np.isnan(known[0]) and known[1] > 0
    assert np.isnan(model.known_score([str(tmp_path / "gone.jpg")])).tolist() == [True]


def test_saved_and_loaded(fitted, shapes, others, tmp_path):
    fitted.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    images = shapes.paths[:10] + others
    np.testing.assert_array_equal(loaded.known_score(images), fitted.known_score(images))
    loaded.save(tmp_path / "again.gtm")
    again = load_model(tmp_path / "again.gtm")
    np.testing.assert_array_equal(again.known_score(images), fitted.known_score(images))


def test_too_few_photographs_to_tell(shapes, tmp_path):
    model = TransferClassifier(**QUICK).fit(shapes.subset(slice(None, None, 5)))
    with pytest.raises(DatasetError, match="18 photographs in 3 classes are too few"):
        model.predict(shapes.paths[:1], unknown="?")
    model.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    assert loaded.predict(shapes.paths[:1]).tolist() == model.predict(shapes.paths[:1]).tolist()
    with pytest.raises(DatasetError, match="too few"):
        loaded.known_score(shapes.paths[:1])


def test_of_very_many_samples_some_are_looked_at(monkeypatch):
    X = np.random.RandomState(0).rand(2000, 8).astype(np.float32)
    y = np.arange(2000) % 4
    whole = NoveltyDetector().fit(X, y)
    monkeypatch.setattr("gear_transfer.classifiers.novelty._MOST_SAMPLES", 1000)
    part = NoveltyDetector().fit(X, y)
    assert (len(whole.points_), len(part.points_)) == (2000, 1000)
    # Half as many neighbours are 2^(1/8) as far: squared, 1.19 times.
    assert 1.0 < np.median(part.quantiles_ / whole.quantiles_) < 1.4
    assert (part.known_score(X[:100] + 5) == 0).all() and (part.known_score(X) > 0.05).mean() > 0.9
