"""None of these: how unlike all training photographs a photograph is.

The distance is that of Mahalanobis to the nearest class mean, with one
covariance for all classes (K. Lee, K. Lee, H. Lee and J. Shin, "A simple
unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018). The covariance is that of probabilistic principal
components (M. Tipping and C. Bishop, "Probabilistic principal component
analysis", JRSS B 61, 1999): the leading directions within classes and one
variance for all others, so a few hundred photographs are enough and a saved
model stays small. Features come in as their signed square roots, which makes
the long-tailed outputs of ReLU more nearly normal (F. Perronnin, J. Sanchez
and T. Mensink, "Improving the Fisher kernel for large-scale image
classification", ECCV 2010).
"""
import contextlib

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted

from .arguments import check_whole_number
from .errors import DatasetError
from .splits import assign_groups

#: What a photograph unlike all classes is called.
UNKNOWN = "none of these"

#: Share of photographs of the known classes that stay known.
KEEP = 0.95

#: Photographs, less one for each class, below which a share of 95 % cannot be told.
FEWEST = 20

_COMPONENTS = 64       # directions kept; 96 to 256 reject as much and cost more
_PER_COMPONENT = 4     # photographs for each direction at least
_ITERATIONS = 2        # of the randomised decomposition
_LEVELS = 201          # quantiles kept of the held-out distances
_ROWS = 4096           # photographs compared at a time

#: The arrays of a fitted detector and the number of their axes.
_ARRAY_RANKS = {"means": 2, "components": 2, "variances": 1, "noise_variance": 1, "quantiles": 1}


class NoveltyDetector(BaseEstimator):
    """Tells features that are unlike all that it was fitted on.

    Parameters
    ----------
    folds : int
        Parts in which the samples are held out, to learn which distances
        samples of the known classes have that took no part in the fit.
    random_state : int

    Attributes
    ----------
    means_ : ndarray of float32, shape (c, d)
        Of the square roots of each class's features.
    components_ : ndarray of float32, shape (k, d)
        Leading directions within the classes, of length 1.
    variances_ : ndarray of float32, shape (k,)
        Along them.
    noise_variance_ : float
        Along each other direction.
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
        X = _signed_root(check_array(X, dtype=np.float32))
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
        folds = assign_groups(labels, groups, np.ones(self.folds), self.random_state)
        distances = np.empty(len(X))
        with one_blas_thread():
            for fold in range(self.folds):
                held_out = folds == fold
                self._fit_normal(X[~held_out], labels[~held_out])
                distances[held_out] = self._distances(X[held_out])
            self._fit_normal(X, labels)
        self.quantiles_ = np.percentile(distances, np.linspace(0, 100, _LEVELS)).astype(np.float32)
        return self

    def _fit_normal(self, roots, labels):
        """Means and shared covariance of the classes."""
        from sklearn.utils.extmath import randomized_svd

        present = np.unique(labels)
        places = np.searchsorted(present, labels)
        self.means_ = np.stack([roots[places == place].mean(axis=0)
                                for place in range(len(present))])
        within = roots - self.means_[places]
        freedom = len(roots) - len(present)
        count = max(1, min(_COMPONENTS, freedom // _PER_COMPONENT, roots.shape[1] - 1))
        _, singular, self.components_ = randomized_svd(
            within, count, n_iter=_ITERATIONS, random_state=self.random_state)
        self.variances_ = singular ** 2 / freedom
        total = np.einsum("ij,ij->", within, within, dtype=np.float64) / freedom
        others = max(1, roots.shape[1] - count)
        least = np.finfo(np.float32).eps * max(total, 1e-30)
        self.noise_variance_ = float(np.float32(max((total - self.variances_.sum()) / others,
                                                    least)))
        self.variances_ = np.maximum(self.variances_, self.noise_variance_).astype(np.float32)

    def distances(self, X):
        """Squared Mahalanobis distance to the nearest class mean.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        check_is_fitted(self, "means_")
        X = check_array(X, dtype=np.float32, ensure_min_samples=0)
        if X.shape[1] != self.means_.shape[1]:
            raise ValueError("X has {} features, {} were fitted".format(
                X.shape[1], self.means_.shape[1]))
        with one_blas_thread():
            return self._distances(_signed_root(X))

    def _distances(self, roots):
        means = self.means_.astype(np.float64)
        means_along = means.dot(self.components_.T)
        nearest = np.empty(len(roots))
        for start in range(0, len(roots), _ROWS):
            part = roots[start:start + _ROWS].astype(np.float64)
            along = part.dot(self.components_.T)
            across = np.maximum(_squared(part, means) - _squared(along, means_along), 0.0)
            weight = 1.0 / np.sqrt(self.variances_)
            squared = across / self.noise_variance_ + _squared(along * weight, means_along * weight)
            nearest[start:start + _ROWS] = squared.min(axis=1)
        return nearest

    def known_score(self, X):
        """How usual features are for the known classes.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float64, shape (n,)
            The share of held-out samples of the known classes that lie at
            least as far from all class means: 0.05 is reached by 95 % of
            them, something of another kind has about 0.
        """
        levels = np.linspace(0, 1, len(self.quantiles_))
        return np.interp(-self.distances(X), -self.quantiles_[::-1], levels)


    def to_arrays(self):
        """What a file must keep to bring the detector back, dict of str to ndarray of float32."""
        check_is_fitted(self, "means_")
        arrays = dict((name, getattr(self, name + "_")) for name in _ARRAY_RANKS)
        arrays["noise_variance"] = np.array([self.noise_variance_], np.float32)
        return arrays

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
        if (arrays["means"].shape[1] != length or arrays["variances"].shape != (count,)
                or arrays["noise_variance"].shape != (1,)):
            raise ValueError("the shapes of its arrays do not fit together")
        if arrays["variances"].min() <= 0 or arrays["noise_variance"][0] <= 0:
            raise ValueError("a variance is not greater than 0")
        if len(arrays["quantiles"]) < 2 or (np.diff(arrays["quantiles"]) < 0).any():
            raise ValueError("its quantiles do not rise")
        detector = cls()
        for name, array in arrays.items():
            setattr(detector, name + "_", np.array(array))
        detector.noise_variance_ = float(arrays["noise_variance"][0])
        return detector


def one_blas_thread():
    """A block in which NumPy and SciPy compute on one thread.

    Of the many small products of a decomposition the threads of BLAS make
    nothing faster, and where the processors have other work they make each
    wait for its time slice.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # comes with scikit-learn 0.23
        return contextlib.suppress()
    return threadpool_limits(1, user_api="blas")


def _signed_root(X):
    return np.sign(X) * np.sqrt(np.abs(X))


def _squared(rows, means):
    """Squared Euclidean distances (n, c) between rows and means."""
    return np.maximum(np.einsum("ij,ij->i", rows, rows)[:, None] - 2.0 * rows.dot(means.T)
                      + np.einsum("ij,ij->i", means, means), 0.0)


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
