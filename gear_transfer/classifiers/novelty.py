"""None of these: how unlike all training photographs a photograph is.

The distance is that to the nearest training photograph (Y. Sun, Y. Ming, X. Zhu and Y. Li,
"Out-of-distribution detection with deep nearest neighbors", ICML 2022), between the signed square
roots of features, which makes the long-tailed outputs of ReLU more nearly normal (F. Perronnin,
J. Sanchez and T. Mensink, "Improving the Fisher kernel for large-scale image classification",
ECCV 2010). Training photographs are kept as their principal components, so that a saved model
stays small; what of a photograph lies outside those counts as distance as well, as the
reconstruction error of principal components does (J. E. Jackson and G. S. Mudholkar, "Control
procedures for residuals associated with principal component analysis", Technometrics 21, 1979).
"""
import copy

import numpy as np

from ..common.arguments import check_float32_matrix, check_whole_number
from ..common.estimator import Estimator, check_is_fitted
from ..common.threads import ThreadPool, check_threads, one_blas_thread, result_of
from ..errors import DatasetError
from ..photographs.splits import assign_groups

#: What a photograph unlike all classes is called.
UNKNOWN = "none of these"

#: Share of photographs of the known classes that stay known.
KEEP = 0.95

#: Photographs, less one for each class, below which a share of 95 % cannot be told.
FEWEST = 20

_COMPONENTS = 64       # directions kept; 128 and 256 reject as much and cost more
_PER_COMPONENT = 4     # photographs for each direction at least
# Samples that are looked at: of more the quantiles are no better known, and memory and time stay as
# they are.
_MOST_SAMPLES = 20000
_MOST_POINTS = 10000   # photographs kept to compare with, drawn at random from more
_ITERATIONS = 2        # of the randomised decomposition
_MORE_DIRECTIONS = 10  # that it computes beside those that are kept
_LEVELS = 201          # quantiles kept of the held-out distances
_ROWS = 1024           # photographs compared at a time

#: The arrays of a fitted detector and the number of their axes.
_ARRAY_RANKS = {"mean": 1, "components": 2, "points": 2, "quantiles": 1}


class NoveltyDetector(Estimator):
    """Tells features that are unlike all that it was fitted on.

    Parameters
    ----------
    folds : int
        Parts in which the samples are held out, to learn which distances
        samples of the known classes have that took no part in the fit.
    random_state : int

    Attributes
    ----------
    mean_ : ndarray of float32, shape (d,)
        Of the square roots of all features.
    components_ : ndarray of float32, shape (k, d)
        The leading directions, of length 1.
    points_ : ndarray of float32, shape (m, k)
        Training samples along them.
    quantiles_ : ndarray of float32, shape (201,)
        Of the distances of held-out samples, from the smallest to the largest.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.rand(50, 8), rng.rand(50, 8) + 4])
    >>> detector = NoveltyDetector().fit(X, np.repeat(["low", "high"], 50))
    >>> detector.known_score([X[0], X[0] + 20]) > 0.05
    array([ True, False])
    """

    def __init__(self, folds=5, random_state=0):
        self.folds = folds
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """Learn what features of the known classes look like.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.
        y : array-like of shape (n,)
            Labels.
        groups : array-like of shape (n,), optional
            Samples of one group (near-duplicates) are held out together.

        Returns
        -------
        NoveltyDetector
            This one.

        Raises
        ------
        DatasetError
            If there are too few samples to know what is usual.
        ValueError
            If the data make no sense.
        """
        check_whole_number("folds", self.folds, 2)
        X = check_float32_matrix(X)
        labels = np.unique(np.asarray(y), return_inverse=True)[1].ravel()
        groups = np.arange(len(X)) if groups is None else np.asarray(groups)
        if not len(X) == len(labels) == len(groups):
            raise ValueError("{} samples need as many labels and groups, found {} and {}".format(
                len(X), len(labels), len(groups)))
        n_groups = len(set(groups.tolist()))
        if min(len(X) - len(set(labels.tolist())), n_groups) < FEWEST:
            raise DatasetError(
                "{} photographs in {} classes are too few to tell what is unlike them: {} more "
                "than there are classes are needed, no two nearly the same".format(
                    len(X), len(set(labels.tolist())), FEWEST))
        if len(X) > _MOST_SAMPLES:
            rng = np.random.RandomState(self.random_state)
            some = np.sort(rng.choice(len(X), _MOST_SAMPLES, replace=False))
            X, labels, groups = X[some], labels[some], groups[some]
        X = _signed_root(X)
        folds = assign_groups(labels, groups, np.ones(self.folds), self.random_state)
        distances = np.empty(len(X))

        def hold_out(fold):
            held_out = folds == fold
            part = copy.copy(self)._fit_points(X[~held_out])
            distances[held_out] = part._distances(X[held_out])

        with one_blas_thread(), ThreadPool(check_threads(None)) as pool:
            whole = pool.submit(self._fit_points, X)
            pool.map(hold_out, range(self.folds))
            result_of(whole)
        self.quantiles_ = np.percentile(distances, np.linspace(0, 100, _LEVELS)).astype(np.float32)
        return self

    def _fit_points(self, roots):
        """Keep the leading directions of square roots, and what to compare with along them."""
        self.mean_ = roots.mean(axis=0)
        apart = roots - self.mean_
        count = max(1, min(_COMPONENTS, len(roots) // _PER_COMPONENT, roots.shape[1] - 1))
        self.components_ = _leading_directions(apart, count, self.random_state)
        if len(apart) > _MOST_POINTS:
            rng = np.random.RandomState(self.random_state)
            apart = apart[rng.choice(len(apart), _MOST_POINTS, replace=False)]
        self.points_ = apart.dot(self.components_.T)
        return self

    def distances(self, X):
        """Squared distance to the nearest training sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        check_is_fitted(self, "points_")
        X = check_float32_matrix(X, ensure_min_samples=0)
        if X.shape[1] != len(self.mean_):
            raise ValueError("X has {} features, {} were fitted".format(
                X.shape[1], len(self.mean_)))
        with one_blas_thread():
            return self._distances(_signed_root(X))

    def _distances(self, roots):
        mean, components = self.mean_.astype(np.float64), self.components_.astype(np.float64)
        points = self.points_.astype(np.float64)
        nearest = np.empty(len(roots))
        for start in range(0, len(roots), _ROWS):
            apart = roots[start:start + _ROWS] - mean
            along = apart.dot(components.T)
            outside = np.einsum("ij,ij->i", apart, apart) - np.einsum("ij,ij->i", along, along)
            nearest[start:start + _ROWS] = (np.maximum(outside, 0.0)
                                            + _squared(along, points).min(axis=1))
        # Less than this is the rounding of float32.
        return np.maximum(nearest, np.finfo(np.float32).eps * mean.dot(mean))

    def known_score(self, X):
        """How usual features are for the known classes.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float64, shape (n,)
            The share of held-out samples of the known classes that lie at
            least as far from all others: 0.05 is reached by 95 % of them,
            something of another kind has about 0.
        """
        levels = np.linspace(0, 1, len(self.quantiles_))
        return np.interp(-self.distances(X), -self.quantiles_[::-1], levels)

    def to_arrays(self):
        """What a file must keep to bring the detector back, dict of str to ndarray of float32."""
        check_is_fitted(self, "points_")
        return dict((name, getattr(self, name + "_")) for name in _ARRAY_RANKS)

    @classmethod
    def from_arrays(cls, arrays):
        """The detector that `to_arrays` described.

        Parameters
        ----------
        arrays : dict of str to ndarray of float32, all finite

        Returns
        -------
        NoveltyDetector

        Raises
        ------
        ValueError
            If an array is missing, too many, or does not fit the others.
        """
        if set(arrays) != set(_ARRAY_RANKS):
            raise ValueError("it has the arrays {}, not {}".format(
                ", ".join(sorted(arrays)) or "none", ", ".join(sorted(_ARRAY_RANKS))))
        for name, array in arrays.items():
            if getattr(array, "dtype", None) != np.float32 or array.ndim != _ARRAY_RANKS[name]:
                raise ValueError("{} is not a float32 array of {} axes".format(
                    name, _ARRAY_RANKS[name]))
        count, length = arrays["components"].shape
        if (len(arrays["mean"]) != length or arrays["points"].shape[1] != count
                or not len(arrays["points"])):
            raise ValueError("the shapes of its arrays do not fit together")
        if len(arrays["quantiles"]) < 2 or (np.diff(arrays["quantiles"]) < 0).any():
            raise ValueError("its quantiles do not rise")
        detector = cls()
        for name, array in arrays.items():
            setattr(detector, name + "_", np.array(array))
        return detector


def _leading_directions(rows, count, seed):
    """The right singular vectors (count, d) of the largest singular values.

    By N. Halko, P. Martinsson and J. Tropp, "Finding structure with randomness", SIAM Review 53,
    2011, algorithms 4.3 and 5.1, as in scikit-learn's `randomized_svd`.
    """
    wide = rows.shape[0] < rows.shape[1]
    matrix = rows.T if wide else rows
    rng = np.random.RandomState(seed)
    found = rng.normal(size=(matrix.shape[1], count + _MORE_DIRECTIONS)).astype(rows.dtype)
    for _ in range(_ITERATIONS):
        found = matrix.T.dot(matrix.dot(found))
    basis = np.linalg.qr(matrix.dot(found))[0]
    left, _, right = np.linalg.svd(basis.T.dot(matrix), full_matrices=False)
    return basis.dot(left[:, :count]).T if wide else right[:count]


def _signed_root(X):
    return np.sign(X) * np.sqrt(np.abs(X))


def _squared(rows, points):
    """Squared Euclidean distances (n, m) between rows and points."""
    return np.maximum(np.einsum("ij,ij->i", rows, rows)[:, None] - 2.0 * rows.dot(points.T)
                      + np.einsum("ij,ij->i", points, points), 0.0)


def is_unknown(known_scores, keep=KEEP):
    """Which photographs count as none of the known classes.

    Parameters
    ----------
    known_scores : ndarray of shape (n,)
        As `TransferClassifier.known_score` returns them.
    keep : float
        Share of photographs of the known classes that stay known, from 0.5
        to below 1.

    Returns
    -------
    ndarray of bool, shape (n,)
        False for NaN.
    """
    if isinstance(keep, bool) or not isinstance(keep, (int, float, np.number)) or not (
            0.5 <= keep < 1):
        raise ValueError("keep must be a number from 0.5 to below 1, not {!r}".format(keep))
    known_scores = np.asarray(known_scores, np.float64)
    with np.errstate(invalid="ignore"):
        return known_scores < 1.0 - keep
