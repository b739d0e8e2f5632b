"""The features of the training photographs, which travel with a classifier so that it can grow."""
import collections

import numpy as np

from ..importers.network import QuantizedArray

#: What a classifier was trained on: the features (n, d) float32 of its photographs, their labels
#: (n,), the groups (n,) that were held back together or None, whether somebody gave these groups,
#: and features and labels of photographs that were given apart to validate on, of length 0 where
#: there were none.
TrainingFeatures = collections.namedtuple(
    "TrainingFeatures", ["features", "labels", "groups", "groups_given", "held_features",
                         "held_labels"])

_PREFIX = "kept/"
_MOST_EXPONENT = 150  # of two; those of float32 are from -149 to 128


class KeptFeatures(object):
    """The features of photographs in 16 bits a number, with what else `TrainingFeatures` has.

    Each feature is kept as float16 times a power of two of its own: none overflows, and what was
    kept before is kept again as it is.

    Parameters
    ----------
    rounded : ndarray of float16, shape (n + h, d)
        From -1 to 1; those of photographs given apart to validate on come last.
    exponents : ndarray of int, shape (d,)
    codes : ndarray of int, shape (n + h,)
        Positions of the labels among the classes.
    groups : ndarray of int, shape (n,), or None
    groups_given : bool
    classes : ndarray of shape (c,)
    count : int
        The n above.
    """

    def __init__(self, rounded, exponents, codes, groups, groups_given, classes, count):
        self.rounded = rounded
        self.exponents = exponents
        self.codes = codes
        self.groups = groups
        self.groups_given = groups_given
        self.classes = classes
        self.count = count

    @classmethod
    def of(cls, known, classes):
        """What is kept of features.

        Parameters
        ----------
        known : TrainingFeatures
        classes : ndarray of shape (c,)
            Sorted.

        Returns
        -------
        KeptFeatures
        """
        count = len(known.features)
        parts = [part for part in (known.features, known.held_features) if len(part)]
        largest = np.max([np.abs(part).max(axis=0) for part in parts], axis=0)
        exponents = np.frexp(largest)[1]
        rounded = np.concatenate([np.ldexp(part, -exponents).astype(np.float16)
                                  for part in parts])
        codes = np.searchsorted(classes, np.concatenate([known.labels, known.held_labels]))
        return cls(rounded, exponents, codes, known.groups, bool(known.groups_given), classes,
                   count)

    @property
    def nbytes(self):
        """Bytes that the features take."""
        return self.rounded.nbytes

    def restored(self):
        """The features in float32 with all that belongs to them, `TrainingFeatures`."""
        features = np.ldexp(self.rounded.astype(np.float32), self.exponents)
        labels, count = self.classes[self.codes], self.count
        return TrainingFeatures(features[:count], labels[:count], self.groups, self.groups_given,
                                features[count:], labels[count:])

    def to_arrays(self):
        """What a file keeps beside `groups_given`, dict of str to array."""
        arrays = {"features": self.rounded, "exponents": self.exponents.astype(np.float32),
                  "labels": _as_bytes(self.codes)}
        if self.groups is not None:
            arrays["groups"] = _as_bytes(self.groups)
        return dict((_PREFIX + name, array) for name, array in arrays.items())


def kept_from_arrays(extra_arrays, groups_given, classes, count, width):
    """The kept features of a file, whose arrays are taken out of a dict.

    Parameters
    ----------
    extra_arrays : dict of str to array
        Others stay in it.
    groups_given : bool
    classes : ndarray of shape (c,)
    count : int
        Photographs that were trained on.
    width : int
        Features of the backbone.

    Returns
    -------
    KeptFeatures or None
        None where there are none.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    names = [name for name in list(extra_arrays) if name.startswith(_PREFIX)]
    arrays = dict((name[len(_PREFIX):], extra_arrays.pop(name)) for name in names)
    if not arrays:
        return None
    rounded, exponents = arrays.pop("features", None), arrays.pop("exponents", None)
    if getattr(rounded, "dtype", None) != np.float16 or rounded.ndim != 2 or (
            rounded.shape[1] != width or len(rounded) < count):
        raise ValueError("the features are missing or of another shape")
    if getattr(exponents, "dtype", None) != np.float32 or exponents.shape != (width,) or (
            (exponents != np.round(exponents)).any() or np.abs(exponents).max() > _MOST_EXPONENT):
        raise ValueError("the exponents are missing or no exponents of two")
    if np.abs(rounded).max() > 1:
        raise ValueError("a feature is larger than its exponent says")
    codes = _whole_numbers(arrays.pop("labels", None), len(rounded), len(classes))
    groups = _whole_numbers(arrays.pop("groups"), count, 2 ** 31) if "groups" in arrays else None
    if arrays:
        raise ValueError("an array '{}' is not known".format(sorted(arrays)[0]))
    return KeptFeatures(rounded, exponents.astype(int), codes, groups, groups_given, classes,
                        count)


def _as_bytes(numbers):
    """Whole numbers (n,) as four bytes each, as the native format can hold them."""
    rows = np.ascontiguousarray(numbers, "<i4").view(np.uint8).reshape(len(numbers), 4)
    return QuantizedArray(rows, 1.0, 0.0)


def _whole_numbers(array, count, below):
    values = getattr(array, "values", None)
    if values is None or values.shape != (count, 4):
        raise ValueError("the labels or groups are missing or of another shape")
    numbers = np.ascontiguousarray(values).view("<i4").ravel().astype(int)
    if count and not 0 <= numbers.min() <= numbers.max() < below:
        raise ValueError("a label or group does not exist")
    return numbers


def known_features(model):
    """The features that a classifier was trained on, from memory or from its file.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded.

    Returns
    -------
    TrainingFeatures or None
        None where they were not kept.
    """
    training, kept = model.training_, getattr(model, "_kept", None)
    if training is None:
        return None if kept is None else kept.restored()
    groups = training.groups
    if groups is not None:
        groups = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    return TrainingFeatures(training.features, training.labels, groups, model._groups_given,
                            *model._held)
