"""The most probable classes of photographs, in order."""
import collections

import numpy as np

#: A class of a photograph and its probability.
Ranked = collections.namedtuple("Ranked", ["label", "probability"])


def most_probable(classes, probabilities, k):
    """The k most probable classes for each row of probabilities.

    Parameters
    ----------
    classes : ndarray of shape (c,)
    probabilities : ndarray of shape (n, c)
    k : int

    Returns
    -------
    list of list of Ranked
        Of equal probabilities that of the first class is first; nothing for a row of NaN.
    """
    labels = classes.tolist()
    return [[] if np.isnan(row).any() else [
        Ranked(labels[i], float(row[i])) for i in np.argsort(-row, kind="mergesort")[:k]]
        for row in probabilities]
