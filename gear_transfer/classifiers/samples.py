"""Checks of the features and labels that a head is given, by scikit-learn where it matters."""
import numpy as np

from ..common.arguments import is_float32_matrix
from ..common.estimator import sklearn_view


def check_views(views, X, rows):
    """Features of views of those rows of X as float32."""
    views = np.asarray(views, dtype=np.float32)
    if views.ndim != 3 or views.shape[::2] != (len(rows), X.shape[1]):
        raise ValueError("views must have the shape ({}, v, {}), not {}".format(
            len(rows), X.shape[1], views.shape))
    bad = np.flatnonzero(~np.isfinite(views).all(axis=(1, 2)))
    if len(bad):
        raise ValueError("views must be finite; those of sample {} are not".format(rows[bad[0]]))
    return views


def check_samples(estimator, X, y):
    """Features as a finite matrix of float32, and labels of classes, in fit."""
    if is_float32_matrix(X) and _are_labels(y, len(X)) and not hasattr(
            estimator, "feature_names_in_"):
        estimator.n_features_in_ = X.shape[1]
        return X, y
    from sklearn.utils.multiclass import check_classification_targets
    X, y = name_bad_value(lambda X: _validate(estimator, X, y), X)
    check_classification_targets(y)
    return X, y


def _are_labels(y, count):
    """Whether labels are such as scikit-learn's checks leave as they are."""
    return type(y) is np.ndarray and y.shape == (count,) and y.dtype.kind in "Ui"


def check_features(estimator, X):
    """Features as a finite matrix of float32, as many as in fit."""
    if is_float32_matrix(X) and X.shape[1] == estimator.n_features_in_ and not hasattr(
            estimator, "feature_names_in_"):
        return X
    return name_bad_value(lambda X: _validate(estimator, X, None), X)


def name_bad_value(check, X):
    """What `check` makes of X; its error tells where X is not finite."""
    try:
        with np.errstate(over="ignore"):  # what overflows float32 becomes infinite, an error here
            return check(X)
    except ValueError as error:
        place = _first_not_finite(X)
        if place is None:
            raise
        raise ValueError("{} The first such value is {} in row {}, column {}.".format(
            str(error).splitlines()[0], *place))


def _first_not_finite(X):
    """(value, row, column) of the first that is not finite as float32, or None."""
    try:
        values = np.asarray(X, np.float64)
    except (TypeError, ValueError):
        return None
    if values.ndim != 2:
        return None
    with np.errstate(invalid="ignore"):  # before 1.19 NumPy warns of comparisons with NaN
        bad = np.argwhere(~(np.abs(values) <= np.finfo(np.float32).max))
    return None if len(bad) == 0 else (values[tuple(bad[0])],) + tuple(int(i) for i in bad[0])


def _validate(estimator, X, y):
    """Features, and labels in fit, checked as this release of scikit-learn does."""
    fitting = y is not None
    labels = {"y": y} if fitting else {}
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return _validate_before_1_6(estimator, X, y)
    return validate_data(estimator, X, dtype=np.float32, reset=fitting, **labels)


def _validate_before_1_6(estimator, X, y):
    if hasattr(sklearn_view(estimator), "_validate_data"):
        labels = {} if y is None else {"y": y}
        return sklearn_view(estimator)._validate_data(X, dtype=np.float32, reset=y is not None,
                                                       **labels)
    from sklearn.utils.validation import check_array, check_X_y
    if y is not None:
        X, y = check_X_y(X, y, dtype=np.float32)
        estimator.n_features_in_ = X.shape[1]
        return X, y
    X = check_array(X, dtype=np.float32)
    if X.shape[1] != estimator.n_features_in_:
        raise ValueError("X has {} features, but {} is expecting {} features".format(
            X.shape[1], type(estimator).__name__, estimator.n_features_in_))
    return X
