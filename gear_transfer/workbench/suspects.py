"""Samples whose label may be wrong, by predictions of classifiers that had not seen them."""
import collections

import numpy as np

from ..common.tables import Result, counted
from .evaluation import CrossValidation, cross_validate

_ROWS_SHOWN = 20


def find_label_suspects(result, labels=None, groups=None, estimator=None, random_state=0):
    """Find samples whose label looks wrong.

    Confident learning (C. Northcutt, L. Jiang and I. Chuang, "Confident learning: estimating
    uncertainty in dataset labels", 2021): a sample counts as confidently of a class if its
    probability reaches the mean probability of that class over the samples that have its label. A
    sample that is confidently of another class than its label, and not of its own, is a suspect.
    They are ranked by normalised margin: the probability of the label minus the largest other.

    Parameters
    ----------
    result : CrossValidation, or what `cross_validate` takes
    labels, groups, estimator, random_state
        For `cross_validate`, where `result` is not one yet.

    Returns
    -------
    LabelSuspects

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import find_label_suspects
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.randn(60, 5), rng.randn(60, 5) + 4])
    >>> labels = np.repeat(["left", "right"], 60)
    >>> labels[7] = "right"
    >>> suspects = find_label_suspects(X, labels)
    >>> suspects.ranking[:1].tolist()
    [7]
    """
    if not isinstance(result, CrossValidation):
        result = cross_validate(result, labels, groups, estimator, random_state=random_state)
    probabilities = result.probabilities.astype(float)
    given = np.searchsorted(result.classes, result.samples.labels)
    n, n_classes = probabilities.shape
    thresholds = np.array([probabilities[given == k, k].mean() for k in range(n_classes)])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    counted_as = confident.argmax(axis=1)
    is_suspect = (confident.max(axis=1) >= 0) & (counted_as != given)
    own = probabilities[np.arange(n), given]
    others = probabilities.copy()
    others[np.arange(n), given] = -1
    margins = own - others.max(axis=1)
    order = np.argsort(margins, kind="mergesort")
    return LabelSuspects(result, order[is_suspect[order]], counted_as, margins, order)


class LabelSuspects(Result):
    """Samples whose label may be wrong, the most suspicious first.

    Attributes
    ----------
    positions : ndarray of int, shape (m,)
        The suspects.
    given : ndarray, shape (m,)
        Their labels.
    suggested : ndarray, shape (m,)
        The class that their photographs look like.
    margins : ndarray of float, shape (m,)
        Probability of the label minus the largest other, from -1 (surely wrong) to 1.
    ranking : ndarray of int, shape (n,)
        All samples, the most suspicious first.
    result : CrossValidation
    """

    def __init__(self, result, positions, counted_as, margins, ranking):
        self.result = result
        self.positions = positions
        self.given = result.samples.labels[positions]
        self.suggested = result.classes[counted_as[positions]]
        self.margins = margins[positions]
        self.ranking = ranking

    def __len__(self):
        return len(self.positions)

    def __repr__(self):
        return "<LabelSuspects: {} among {}>".format(
            counted(len(self), "suspect"), counted(len(self.ranking), "sample"))

    def _sentences(self):
        return ["{} of {} may have a wrong label.".format(
            "{:,}".format(len(self)) if len(self) else "None",
            counted(len(self.ranking), "sample"))]

    def _rows(self):
        names = self.result.samples.names()
        return (["sample", "label", "looks like", "margin"],
                [[names[i], str(given), str(suggested), float(margin)] for i, given, suggested, margin
                 in list(zip(self.positions, self.given, self.suggested, self.margins))[
                     :_ROWS_SHOWN]])

    def to_dict(self):
        """All suspects as plain values: name, label, suggestion and margin."""
        names = self.result.samples.names()
        return collections.OrderedDict([
            ("samples", len(self.ranking)),
            ("suspects", [collections.OrderedDict([
                ("position", int(i)), ("name", names[i]), ("label", given),
                ("looks_like", suggested), ("margin", float(margin))])
                for i, given, suggested, margin in zip(
                    self.positions, self.given.tolist(), self.suggested.tolist(), self.margins)])])
