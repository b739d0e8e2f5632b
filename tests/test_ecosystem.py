"""The estimators in scikit-learn's hands: pipelines, searches, clones, frames and joblib."""
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (GridSearchCV, StratifiedKFold, cross_val_predict,
                                     cross_val_score, learning_curve)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conftest import HOME
from gear_transfer import (Backbone, FeatureCache, FeatureExtractor, HeadClassifier,
                           TransferClassifier, load_folder, make_shapes)
from gear_transfer.common.threads import check_threads

pytestmark = pytest.mark.every_python

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecosystem") / "shapes"
    return load_folder(make_shapes(folder, per_class=12, size=64, random_state=1))


@pytest.fixture(scope="module")
def frame(shapes):
    return pandas.DataFrame({"path": shapes.paths, "label": shapes.labels},
                            index=np.arange(100, 100 + len(shapes)))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Settings with a cache of their own, so that each photograph is computed once a layer."""
    return dict(layer="mixed2", input_size=64, cache=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def extractor(quick):
    return FeatureExtractor(**quick)


@pytest.fixture
def classifier(quick):
    return TransferClassifier(epochs=12, **quick)


# Pipelines

@pytest.mark.slow
def test_pipelines(shapes, extractor):
    features = extractor.fit_transform(shapes.paths)
    scaled = StandardScaler().fit(features)
    expected = LogisticRegression().fit(scaled.transform(features), shapes.labels)
    pipeline = make_pipeline(extractor, StandardScaler(), LogisticRegression())
    pipeline.fit(shapes.paths, shapes.labels)
    np.testing.assert_array_equal(pipeline.predict(shapes.paths),
                                  expected.predict(scaled.transform(features)))
    assert pipeline.score(shapes.paths, shapes.labels) > 0.95
    head = make_pipeline(clone(extractor), HeadClassifier(epochs=12))
    head.fit(shapes.paths, shapes.labels)
    assert head.score(shapes.paths, shapes.labels) > 0.9
    np.testing.assert_array_equal(
        head.predict_proba(shapes.paths),
        HeadClassifier(epochs=12).fit(features, shapes.labels).predict_proba(features))


@pytest.mark.slow
def test_pipeline_that_remembers(shapes, quick, tmp_path):
    """joblib.Memory hashes the extractor and the paths."""
    for _ in range(2):
        pipeline = make_pipeline(FeatureExtractor(**quick), LogisticRegression(max_iter=1000),
                                 memory=str(tmp_path))
        assert pipeline.fit(shapes.paths, shapes.labels).score(shapes.paths, shapes.labels) > 0.9


@pytest.mark.parametrize("column", ["path", ["path"]])
def test_columns_of_a_frame(frame, extractor, column):
    frame = frame.assign(price=np.arange(len(frame), dtype=float))
    both = ColumnTransformer([("picture", extractor, column), ("price", StandardScaler(),
                                                               ["price"])])
    found = both.fit_transform(frame)
    assert found.shape == (36, 289)
    np.testing.assert_array_equal(found[:, :288], extractor.fit_transform(frame["path"]))


def test_columns_of_an_array(frame, extractor):
    column = frame[["path"]].values
    assert column.shape == (36, 1)
    np.testing.assert_array_equal(extractor.fit_transform(column),
                                  extractor.fit_transform(frame["path"].tolist()))


# Cross-validation and searches

@pytest.mark.slow
def test_cross_validation(shapes, frame, classifier, extractor):
    pipeline = make_pipeline(extractor, StandardScaler(), LogisticRegression())
    scores = cross_val_score(pipeline, shapes.paths, shapes.labels, cv=FOLDS)
    assert scores.shape == (3,) and scores.mean() > 0.8
    scores = cross_val_score(classifier, shapes.paths, shapes.labels, cv=FOLDS)
    assert scores.mean() > 0.8
    for X, y in [(np.array(shapes.paths), shapes.labels), (frame["path"], frame["label"])]:
        np.testing.assert_array_equal(cross_val_score(classifier, X, y, cv=FOLDS), scores)
    probabilities = cross_val_predict(classifier, shapes.paths, shapes.labels, cv=FOLDS,
                                      method="predict_proba")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_grid_search(shapes, classifier, extractor):
    search = GridSearchCV(classifier, {"layer": ["mixed0", "mixed2"], "l2": [0.005, 100.0]},
                          cv=FOLDS)
    search.fit(shapes.paths, shapes.labels)
    assert search.best_params_["l2"] == 0.005 and search.best_score_ > 0.8
    assert search.best_estimator_.extractor_.backbone_.layer == search.best_params_["layer"]
    search = GridSearchCV(make_pipeline(extractor, HeadClassifier(epochs=12)), {
        "featureextractor__layer": ["mixed0", "mixed2"],
        "headclassifier__epochs": [1, 12]}, cv=FOLDS)
    search.fit(shapes.paths, shapes.labels)
    assert search.predict(shapes.paths).shape == (36,) and search.best_score_ > 0.8
    assert len(search.cv_results_["mean_test_score"]) == 4


@pytest.mark.slow
def test_other_meta_estimators(shapes, classifier):
    voting = VotingClassifier([("one", classifier), ("two", clone(classifier).set_params(
        layer="mixed0"))], voting="soft")
    assert voting.fit(shapes.paths, shapes.labels).score(shapes.paths, shapes.labels) > 0.9
    sizes, train, held = learning_curve(classifier, shapes.paths, shapes.labels, cv=FOLDS,
                                        train_sizes=[0.5, 1.0])
    assert sizes.tolist() == [12, 24] and train.shape == held.shape == (2, 3)


@pytest.mark.slow
def test_calibration(shapes, classifier, extractor):
    """Of the head in every release; of images where scikit-learn does not itself want numbers."""
    paths = np.array(shapes.paths)
    calibrated = make_pipeline(extractor, CalibratedClassifierCV(HeadClassifier(epochs=12),
                                                                 cv=FOLDS))
    calibrated.fit(paths, shapes.labels)
    assert calibrated.predict_proba(paths[:2]).shape == (2, 3)
    assert calibrated.score(paths, shapes.labels) > 0.9
    whole = CalibratedClassifierCV(classifier, cv=FOLDS)
    if VERSION >= (1, 0):
        whole.fit(paths, shapes.labels)
        assert whole.predict_proba(paths[:2]).shape == (2, 3)
    else:  # it wants them whatever the classifier
        for wants_numbers in (whole, CalibratedClassifierCV(DummyClassifier(), cv=FOLDS)):
            with pytest.raises(ValueError, match="Expected 2D array"):
                wants_numbers.fit(paths, shapes.labels)


# Clones and pickles

def test_clones(shapes, quick):
    backbone = Backbone.load(layer="mixed0", input_size=64)
    backbone.features(np.zeros((1, 64, 64, 3), np.uint8))
    for estimator in (
            FeatureExtractor(backbone, cache=FeatureCache(quick["cache"])),
            TransferClassifier(backbone, epochs=2, class_weight="balanced", cache=False),
            HeadClassifier(hidden_layers=(4,), class_weight={"a": 1, "b": 2})):
        copied = clone(estimator)
        assert repr(copied) == repr(estimator)
        assert sorted(copied.get_params()) == sorted(estimator.get_params())
        again = pickle.loads(pickle.dumps(estimator))
        assert type(again) is type(estimator) and sorted(vars(again)) == sorted(vars(estimator))
    one = TransferClassifier(backbone, epochs=2, cache=False).fit(shapes)
    two = clone(one).fit(shapes)
    assert not hasattr(clone(one), "head_")
    np.testing.assert_array_equal(one.head_.coefs_[0], two.head_.coefs_[0])
    three = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(three.predict_proba(shapes.paths), one.predict_proba(shapes.paths))


# Names and frames of features

def test_feature_names(quick):
    settings = dict(quick, layer=["mixed0", "mixed2"])
    names = FeatureExtractor(**settings).get_feature_names_out()
    assert names.dtype == object and len(set(names)) == 256 + 288
    assert names[0] == "mixed0_0" and names[256] == "mixed2_0" and names[-1] == "mixed2_287"
    maps = FeatureExtractor(**dict(quick, pooling=None)).fit()
    assert len(maps.get_feature_names_out()) == maps.backbone_.n_features > 288


@pytest.mark.parametrize("kind", ["list", "series"])
def test_frames_of_features(frame, extractor, kind):
    """Where scikit-learn has set_output (1.2 and newer) it gives frames; before, arrays."""
    X = frame["path"] if kind == "series" else frame["path"].tolist()
    expected = extractor.fit_transform(X)
    if VERSION >= (1, 2):
        found = extractor.set_output(transform="pandas").fit_transform(X)
        assert found.columns.tolist() == extractor.get_feature_names_out().tolist()
        keeps_index = kind == "series" and VERSION >= (1, 4)
        assert found.index.tolist() == (frame.index.tolist() if keeps_index else list(range(36)))
        found = found.values
    else:
        assert not hasattr(extractor, "set_output")
        found = expected
    np.testing.assert_array_equal(found, expected)
    assert expected.dtype == np.float32


# joblib

@pytest.mark.slow
def test_processes_of_joblib(shapes, classifier):
    expected = cross_val_score(classifier, shapes.paths, shapes.labels, cv=FOLDS)
    classifier.set_params(cache=False)
    with joblib.parallel_backend("loky"):
        found = cross_val_score(classifier, shapes.paths, shapes.labels, cv=FOLDS, n_jobs=2)
        np.testing.assert_array_equal(found, expected)
        threads = joblib.Parallel(n_jobs=2)(joblib.delayed(check_threads)(None) for _ in range(4))
    assert set(threads) == {max(1, joblib.cpu_count() // 2)}


def test_threads_of_joblib(shapes, extractor):
    expected = extractor.fit_transform(shapes.paths)
    shared = FeatureExtractor(**dict(extractor.get_params(), cache=False)).fit()
    found = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(shared.transform)(shapes.paths) for _ in range(4))
    for features in found:
        np.testing.assert_array_equal(features, expected)


@pytest.mark.slow
def test_forked_processes_of_joblib(shapes):
    """Used in the parent, then in forked children: a design with libgomp's own threads hangs."""
    process = subprocess.Popen([sys.executable, "-c", (
        "import sys, joblib, numpy as np\n"
        "from gear_transfer import FeatureExtractor\n"
        "extractor = FeatureExtractor(layer='mixed0', input_size=64, cache=False, threads=2)\n"
        "paths = sys.argv[1:]\n"
        "expected = extractor.fit_transform(paths)\n"
        "found = joblib.Parallel(n_jobs=2, backend='multiprocessing')(\n"
        "    joblib.delayed(extractor.transform)(paths) for _ in range(4))\n"
        "print(all(np.array_equal(each, expected) for each in found))\n")] + shapes.paths[:5],
        cwd=HOME, stdout=subprocess.PIPE, env=dict(os.environ, PYTHONWARNINGS="ignore"))
    try:
        output = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert output.decode().strip() == "True"
