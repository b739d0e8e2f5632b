"""Cross-validation on computed features: how good a classifier is, and how sure that is."""
import collections

import numpy as np

from ..common.progress import progress_bar
from ..common.tables import Result, counted, percent, plain
from ..photographs.splits import group_folds
from .feature_set import as_feature_set, fit_head, head_of, warn_of_lonely_in
from .intervals import verdict, wilson_interval


def cross_validate(samples, labels=None, groups=None, estimator=None, folds=5, target=None,
                   random_state=0):
    """Predict every sample by a classifier that was trained without it and its near-duplicates.

    Parameters
    ----------
    samples : FeatureSet, ImageSet or array-like of shape (n, d)
        Features, or photographs whose features are computed first.
    labels : array-like of shape (n,), optional
        For an array.
    groups : array-like of shape (n,), optional
        Samples of one group are in one fold.
    estimator : TransferClassifier, HeadClassifier or another scikit-learn classifier, optional
        Trained anew for each fold; of a TransferClassifier only the head. Default: a head with the
        default settings.
    folds : int
    target : float, optional
        An accuracy, to say whether it is reached.
    random_state : int
        Decides the folds.

    Returns
    -------
    CrossValidation

    Raises
    ------
    DatasetError
        If a class has too few photographs that differ.
    ValueError
        If an argument makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import cross_validate
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.randn(60, 5), rng.randn(60, 5) + 4])
    >>> result = cross_validate(X, np.repeat(["left", "right"], 60), target=0.9)
    >>> result.accuracy, result.verdict()
    (1.0, 'met')
    """
    samples = as_feature_set(samples, labels, groups)
    check_target(target)
    warn_of_lonely_in(samples)
    head = head_of(estimator)
    fold_of = group_folds(samples.labels, samples.groups, folds, random_state)
    probabilities = np.zeros((len(samples), len(samples.classes)), np.float32)
    with progress_bar(folds, "Cross-validation", "head", None) as bar:
        for fold in range(folds):
            fitted = fit_head(head, samples, np.flatnonzero(fold_of != fold))
            held = np.flatnonzero(fold_of == fold)
            known = np.searchsorted(samples.classes, fitted.classes_)
            probabilities[held[:, None], known] = fitted.predict_proba(samples.features[held])
            bar.update(1)
    return CrossValidation(samples, probabilities, fold_of, target)


class CrossValidation(Result):
    """Predictions of samples that the classifier had not seen.

    Attributes
    ----------
    samples : FeatureSet
    probabilities : ndarray of float32, shape (n, c)
        In the order of ``classes``; each row by a classifier trained without that sample.
    folds : ndarray of int, shape (n,)
        The fold in which each sample was held out.
    classes : ndarray of shape (c,)
    predicted : ndarray of shape (n,)
        The most probable class.
    right : ndarray of bool, shape (n,)
    target : float or None
    """

    def __init__(self, samples, probabilities, folds, target=None):
        self.samples = samples
        self.probabilities = probabilities
        self.folds = folds
        self.classes = samples.classes
        self.predicted = self.classes[probabilities.argmax(axis=1)]
        self.right = self.predicted == samples.labels
        self.target = target

    @property
    def accuracy(self):
        """Share of all samples that were predicted rightly."""
        return float(self.right.mean())

    @property
    def fold_accuracies(self):
        """The accuracy of each fold, list of float."""
        return [float(self.right[self.folds == fold].mean())
                for fold in range(self.folds.max() + 1)]

    def interval(self, confidence=0.95):
        """Wilson's interval of the accuracy, see `wilson_interval`.

        Near-duplicates count as one trial, which makes it wider. As the folds share training
        samples, it is an approximation: no exact one exists (Y. Bengio and Y. Grandvalet, "No
        unbiased estimator of the variance of k-fold cross-validation", 2004).

        Parameters
        ----------
        confidence : float

        Returns
        -------
        (float, float)
        """
        groups = self.samples.groups
        trials = len(self.right) if groups is None else len(np.unique(groups))
        return wilson_interval(self.accuracy, trials, confidence)

    def verdict(self, target=None):
        """Whether an accuracy is reached: "met", "not met" or "not proven".

        Parameters
        ----------
        target : float, optional
            Default: the one given to `cross_validate`.

        Returns
        -------
        str
        """
        target = self.target if target is None else target
        check_target(target, required=True)
        return verdict(self.interval(), target)

    def per_class(self):
        """Precision, recall and f1 of each class, by scikit-learn.

        Returns
        -------
        OrderedDict of label to (precision, recall, f1, number of samples)
        """
        from sklearn.metrics import precision_recall_fscore_support
        columns = precision_recall_fscore_support(
            self.samples.labels, self.predicted, labels=self.classes, zero_division=0)
        return collections.OrderedDict(
            (name, (float(p), float(r), float(f), int(n)))
            for name, p, r, f, n in zip(self.classes.tolist(), *columns))

    def confusion(self):
        """How often each class (row) was taken for each (column), ndarray of int (c, c)."""
        from sklearn.metrics import confusion_matrix
        return confusion_matrix(self.samples.labels, self.predicted, labels=self.classes)

    def most_confused(self, n=10):
        """Which classes were taken for which, the most frequent mistakes first.

        Parameters
        ----------
        n : int
            Pairs of classes at most.

        Returns
        -------
        list of tuple (class, class, int)
            The true class, what it was taken for, and how often.
        """
        counts, names = self.confusion(), self.classes.tolist()
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="mergesort")[:n]
        return [(names[true], names[taken], int(counts[true, taken]))
                for true, taken in zip(*np.unravel_index(order, counts.shape))
                if counts[true, taken]]

    def losses(self):
        """Minus the logarithm of the probability of each sample's label, float (n,)."""
        places = np.searchsorted(self.classes, self.samples.labels)
        own = self.probabilities[np.arange(len(places)), places]
        return -np.log(np.maximum(own, 1e-12))

    def top_losses(self, n=10):
        """Positions of the samples whose label was least expected, the worst first.

        Parameters
        ----------
        n : int

        Returns
        -------
        ndarray of int, shape (n,)
        """
        return np.argsort(-self.losses(), kind="mergesort")[:n]

    def suspects(self):
        """Samples whose label may be wrong, see `find_label_suspects`."""
        from .suspects import find_label_suspects
        return find_label_suspects(self)

    def __repr__(self):
        low, high = self.interval()
        return "<CrossValidation: {} in {} folds, accuracy {:.4f}, 95 % interval {:.4f} to {:.4f}>" \
            .format(counted(len(self.right), "sample"), self.folds.max() + 1, self.accuracy, low,
                    high)

    def _sentences(self):
        low, high = self.interval()
        folds = self.fold_accuracies
        sentences = ["{} of {} right: accuracy {}, 95 % interval {} to {} (Wilson); folds {}.".format(
            counted(int(self.right.sum()), "sample"), "{:,}".format(len(self.right)),
            percent(self.accuracy), percent(low), percent(high),
            ", ".join(percent(value) for value in folds))]
        if self.samples.groups is not None:
            sentences.append("Near-duplicates are on one side of each split and count once in the "
                             "interval.")
        if self.target is not None:
            sentences.append("Target {}: {}.".format(percent(self.target), self.verdict()))
        return sentences

    def _rows(self):
        return (["class", "precision", "recall", "f1", "samples"],
                [[str(name)] + list(values) for name, values in self.per_class().items()])

    def to_dict(self):
        """Accuracy, interval, verdict, classes and confusion matrix as plain values."""
        return collections.OrderedDict([
            ("accuracy", self.accuracy), ("interval", list(self.interval())),
            ("confidence", 0.95), ("folds", self.fold_accuracies), ("samples", len(self.right)),
            ("groups", None if self.samples.groups is None
             else len(np.unique(self.samples.groups))),
            ("target", self.target),
            ("verdict", None if self.target is None else self.verdict()),
            ("classes", plain(self.classes)),
            ("per_class", [collections.OrderedDict(
                [("class", name)] + list(zip(("precision", "recall", "f1", "samples"), values)))
                for name, values in self.per_class().items()]),
            ("confusion", plain(self.confusion())),
            ("top_losses", [self.samples.names()[i] for i in self.top_losses()])])


def check_target(target, required=False):
    """Refuse what is no accuracy."""
    if target is None and not required:
        return
    valid = isinstance(target, (int, float, np.number)) and not isinstance(target, bool)
    if not valid or not 0 < target <= 1:
        raise ValueError("target must be an accuracy above 0 and up to 1, not {!r}".format(target))
