"""Whether more photographs would help: accuracy against the number trained on."""
import collections

import numpy as np

from ..common.progress import progress_bar
from ..common.tables import Result, percent, plain
from ..photographs.splits import assign_groups, group_folds
from .feature_set import as_feature_set, fit_head, head_of, warn_of_lonely_in
from .intervals import sign_test, wilson_interval

#: What a learning curve says of the whole or of a class.
OUTLOOKS = ("would help", "would hardly help", "may help")

_LEVEL = 0.05  # of the test whether the last doubling helped
_WORTHWHILE = 0.005  # half a point of accuracy
_DOUBLINGS = 3


def learning_curve(samples, labels=None, groups=None, estimator=None, folds=5, random_state=0):
    """Train on an eighth, a quarter, half and all of the samples, and test on those held out.

    Each sample is held out once, as in `cross_validate`, and predicted by classifiers that were
    trained on more and more of the others. The smaller parts lie within the larger, near-duplicates
    are never torn apart, classes keep their proportion.

    Parameters
    ----------
    samples, labels, groups, estimator, folds, random_state
        As for `cross_validate`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    DatasetError, ValueError
        As for `cross_validate`.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import learning_curve
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.randn(80, 5), rng.randn(80, 5) + 4])
    >>> learning_curve(X, np.repeat(["left", "right"], 80)).outlook()
    'would hardly help'
    """
    samples = as_feature_set(samples, labels, groups)
    head = head_of(estimator)
    warn_of_lonely_in(samples)
    fold_of = group_folds(samples.labels, samples.groups, folds, random_state)
    n_sizes = _DOUBLINGS + 1
    right = np.zeros((n_sizes, len(samples)), bool)
    sizes = np.zeros((n_sizes, folds), int)
    with progress_bar(folds * n_sizes, "Learning curve", "head", None) as bar:
        for fold in range(folds):
            training = np.flatnonzero(fold_of != fold)
            held = np.flatnonzero(fold_of == fold)
            steps = assign_groups(
                samples.labels[training],
                None if samples.groups is None else samples.groups[training],
                [1] + [2 ** i for i in range(_DOUBLINGS)], random_state + 1 + fold)
            for i in range(n_sizes):
                some = training[steps <= i]
                sizes[i, fold] = len(some)
                right[i, held] = _predict(head, samples, some, held) == samples.labels[held]
                bar.update(1)
    return LearningCurve(samples, np.rint(sizes.mean(axis=1)).astype(int), right)


def _predict(head, samples, training, held):
    """Predictions after training on some samples, which may all be of one class."""
    present = np.unique(samples.labels[training])
    if len(present) < 2:
        return np.repeat(present if len(present) else samples.classes[:1], len(held))
    return fit_head(head, samples, training).predict(samples.features[held])


class LearningCurve(Result):
    """Accuracy of held-out samples against the number of samples trained on.

    Attributes
    ----------
    sizes : ndarray of int, shape (m,)
        Samples trained on, on average over the folds; each about twice the one before.
    right : ndarray of bool, shape (m, n)
        Whether each sample was predicted rightly, after training on each size.
    classes : ndarray, shape (c,)
    samples : FeatureSet
    """

    def __init__(self, samples, sizes, right):
        self.samples = samples
        self.classes = samples.classes
        self.sizes = sizes
        self.right = right

    def accuracies(self, label=None):
        """Accuracy for each size; of a class, its recall.

        Parameters
        ----------
        label : optional
            A class; default is all.

        Returns
        -------
        ndarray of float, shape (m,)
        """
        return self._of(label).mean(axis=1)

    def intervals(self, label=None):
        """95 % intervals (Wilson) of the accuracies, near-duplicates counted once: (m, 2)."""
        return np.array([wilson_interval(value, self._trials(label))
                         for value in self.accuracies(label)])

    def expected(self, label=None):
        """Accuracy to expect from twice as many photographs.

        The error is taken to fall as a power of the number of photographs (J. Hestness et al.,
        "Deep learning scaling is predictable, empirically", 2017), fitted by least squares of the
        logarithms; a curve that rises is taken as level.

        Parameters
        ----------
        label : optional
            A class; default is all.

        Returns
        -------
        float
        """
        errors = np.maximum(1 - self.accuracies(label), 0.5 / self._trials(label))
        slope = min(0.0, float(np.polyfit(np.log(self.sizes), np.log(errors), 1)[0]))
        return float(1 - (1 - self.accuracies(label)[-1]) * 2 ** slope)

    def outlook(self, label=None):
        """Whether more photographs "would help", "would hardly help" or "may help".

        They would help if doubling the number last made significantly more samples right (sign
        test, 5 %) and doubling it again promises half a point or more; they would hardly help if
        it promises less.

        Parameters
        ----------
        label : optional
            A class; default is all.

        Returns
        -------
        str
        """
        if self.expected(label) - self.accuracies(label)[-1] < _WORTHWHILE:
            return "would hardly help"
        before, after = self._of(label)[-2:]
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        return "would help" if sign_test(gained, lost) < _LEVEL else "may help"

    def _chosen(self, label):
        if label is None:
            return np.ones(len(self.samples), bool)
        chosen = self.samples.labels == label
        if not np.any(chosen):
            raise ValueError("there is no class {!r}".format(label))
        return chosen

    def _of(self, label):
        return self.right[:, self._chosen(label)]

    def _trials(self, label):
        groups, chosen = self.samples.groups, self._chosen(label)
        return int(chosen.sum()) if groups is None else len(np.unique(groups[chosen]))

    def __repr__(self):
        return "<LearningCurve: {}>".format(", ".join(
            "{:.4f} from {:,}".format(value, size)
            for value, size in zip(self.accuracies(), self.sizes)))

    def _sentences(self):
        sentences = ["More photographs {}: {} from {:,}, {} from {:,}; about {} to expect from twice "
                     "as many.".format(self.outlook(), percent(self.accuracies()[-2]),
                                       self.sizes[-2], percent(self.accuracies()[-1]),
                                       self.sizes[-1], percent(self.expected()))]
        wanted = [str(name) for name in self.classes.tolist() if self.outlook(name) == "would help"]
        if wanted:
            sentences.append("They would help most of: {}.".format(", ".join(wanted)))
        return sentences

    def _rows(self):
        header = ["class"] + ["{:,}".format(size) for size in self.sizes] + [
            "twice as many", "more photographs"]
        rows = [["all"] + self.accuracies().tolist() + [self.expected(), self.outlook()]]
        rows += [[str(name)] + self.accuracies(name).tolist()
                 + [self.expected(name), self.outlook(name)] for name in self.classes.tolist()]
        return header, rows

    def to_dict(self):
        """Sizes, accuracies, intervals and outlook, of all and of each class, as plain values."""
        def of(label):
            return collections.OrderedDict([
                ("accuracies", plain(self.accuracies(label))),
                ("intervals", plain(self.intervals(label))),
                ("expected", self.expected(label)), ("outlook", self.outlook(label))])

        return collections.OrderedDict([
            ("sizes", plain(self.sizes)), ("all", of(None)),
            ("classes", collections.OrderedDict(
                (str(name), of(name)) for name in self.classes.tolist()))])
