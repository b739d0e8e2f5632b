"""scikit-learn's conventions, which our estimators keep without deriving from its classes."""
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

import gear_transfer as gt
from gear_transfer.common.estimator import Estimator, check_is_fitted, sklearn_view

pytestmark = pytest.mark.every_python

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


class Inner(Estimator):
    """Has one parameter."""

    def __init__(self, depth=1):
        self.depth = depth


class Outer(Estimator):
    """Has an estimator as a parameter."""

    _sklearn_mixins = ("ClassifierMixin",)

    def __init__(self, inner=None, name="outer"):
        self.inner = inner
        self.name = name

    def fit(self, X, y, groups=None):
        self.fitted_ = len(X)
        return self


class Derived(BaseEstimator):
    """What scikit-learn makes of the same parameters."""

    def __init__(self, inner=None, name="outer"):
        self.inner = inner
        self.name = name


def test_parameters_are_those_that_scikit_learn_finds():
    ours, theirs = Outer(Inner(2), "x"), Derived(Inner(2), "x")
    for deep in (True, False):
        assert sorted(ours.get_params(deep)) == sorted(theirs.get_params(deep))
    assert ours.get_params()["inner__depth"] == 2
    assert ours.set_params(inner__depth=5, name="y") is ours
    assert (ours.inner.depth, ours.name) == (5, "y")
    for estimator in (ours, theirs):
        with pytest.raises(ValueError, match="depth.* for estimator"):
            estimator.set_params(depth=1)


def test_text_is_scikit_learns():
    ours, theirs = Outer(Inner(2), "x" * 60), Derived(Inner(2), "x" * 60)
    assert "".join(repr(ours).split()) == "".join(repr(theirs).replace("Derived", "Outer").split())
    if VERSION >= (0, 23):  # before, all parameters are shown
        assert repr(gt.FeatureExtractor(threads=1)) == "FeatureExtractor(threads=1)"


def test_a_view_shares_everything():
    ours = Outer().fit([1, 2], [0, 1])
    view = sklearn_view(ours)
    assert isinstance(view, BaseEstimator) and isinstance(view, Outer)
    assert view.fitted_ == 2 and view.__dict__ is ours.__dict__
    assert sklearn_view(view) is view
    view.name = "changed"
    assert ours.name == "changed"
    assert is_classifier(ours) and not is_classifier(Inner())


def test_copies_and_pickles_of_a_view_are_the_estimator_itself():
    view = sklearn_view(Outer(Inner(3)).fit([1], [0]))
    for again in (copy.copy(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert type(again) is Outer and again.inner.depth == 3 and again.fitted_ == 1


def test_threads_make_one_view_class():
    kind = type("Fresh", (Outer,), {})
    with ThreadPoolExecutor(8) as pool:
        classes = set(pool.map(lambda i: type(sklearn_view(kind())), range(64)))
    assert len(classes) == 1


class Doubling(gt.FeatureExtractor):
    """Overrides a method and calls the original."""

    def transform(self, X):
        return 2 * super().transform(X)


def test_an_overridden_method_runs_once():
    images = [gt.make_shape("circle", random_state=0)]
    settings = dict(input_size=64, layer="mixed0", cache=False)
    plain = gt.FeatureExtractor(**settings).fit_transform(images)
    np.testing.assert_array_equal(Doubling(**settings).fit_transform(images), 2 * plain)


def test_copies_and_pickles_have_the_class():
    ours = Outer(Inner(3)).fit([1], [0])
    for again in (copy.copy(ours), copy.deepcopy(ours), clone(ours)):
        assert type(again) is Outer and again.inner.depth == 3
    assert not hasattr(clone(ours), "fitted_")
    model = pickle.loads(pickle.dumps(gt.HeadClassifier(epochs=3)))
    assert type(model) is gt.HeadClassifier and model.epochs == 3


def test_what_is_missing_is_an_attribute_error():
    for name in ("fitted_", "set_nothing", "_get_nothing", "nothing", "__length_hint__"):
        with pytest.raises(AttributeError, match="'Outer' object has no attribute '{}'".format(name)):
            getattr(Outer(), name)
    with pytest.raises(NotFittedError, match="Outer"):
        check_is_fitted(Outer(), "fitted_")
    check_is_fitted(Outer().fit([1], [0]), "fitted_")


def test_requests_for_metadata():
    """Which scikit-learn has since 1.3."""
    model = gt.TransferClassifier()
    if VERSION < (1, 3):
        assert not hasattr(model, "set_fit_request")
        return
    with sklearn.config_context(enable_metadata_routing=True):
        assert model.set_fit_request(groups=True) is model
        for asking in (model, clone(model)):
            assert asking.get_metadata_routing().fit.requests["groups"] is True
        assert gt.TransferClassifier().get_metadata_routing().fit.requests["groups"] is None
        assert not hasattr(gt.FeatureExtractor(), "set_transform_request")
        again = pickle.loads(pickle.dumps(model))
        assert type(again) is gt.TransferClassifier
        assert again.get_metadata_routing().fit.requests["groups"] is True


def test_diagrams():
    """Which scikit-learn has since 0.23."""
    if VERSION < (0, 23):
        assert not hasattr(gt.FeatureExtractor(), "_repr_html_")
        return
    with sklearn.config_context(display="diagram"):
        for estimator in (gt.FeatureExtractor(), gt.HeadClassifier(), gt.TransferClassifier()):
            assert type(estimator).__name__ in estimator._repr_html_()
        steps = Pipeline([("features", gt.FeatureExtractor()), ("head", gt.HeadClassifier())])
        html = steps._repr_html_()
    assert "FeatureExtractor" in html and "HeadClassifier" in html


def test_the_setting_for_all_transformers():
    """Which scikit-learn has since 1.2."""
    if VERSION < (1, 2):
        assert not hasattr(gt.FeatureExtractor(), "set_output")
        return
    images = [gt.make_shape("circle", random_state=0)]
    extractor = gt.FeatureExtractor(input_size=64, layer="mixed0", cache=False)
    plain = extractor.fit_transform(images)
    with sklearn.config_context(transform_output="pandas"):
        frame = extractor.transform(images)
    assert frame.shape == plain.shape and frame.columns[0] == "mixed0_0"
    assert type(extractor.transform(images)) is type(plain)
