"""Labels in the type in which they were given: text, whole numbers, truth values, numbers."""
import numpy as np

from ..errors import DatasetError

#: Kinds of NumPy's types that labels keep.
KINDS = "biufU"

_TYPES = (str, bool, int, float)


def as_labels(values):
    """Labels as an array whose type is theirs, where NumPy would make text of mixed ones.

    Parameters
    ----------
    values : array-like of shape (n,)

    Returns
    -------
    ndarray
        Of objects where they are of another type than those of `KINDS`.

    Raises
    ------
    DatasetError
        If some are text and others are not, or some are truth values and others are not.

    Examples
    --------
    >>> as_labels([3, 1]).tolist(), as_labels(["axe"]).tolist()
    ([3, 1], ['axe'])
    """
    if isinstance(values, (list, tuple)):
        items = [value.item() if isinstance(value, np.generic) else value for value in values]
    else:
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind != "O":
            return array
        items = [value.item() if isinstance(value, np.generic) else value
                 for value in array.tolist()]
    found = [_type_of(item) for item in items]
    for i, kind in enumerate(found):
        if (kind in (str, bool) or found[0] in (str, bool)) and kind is not found[0]:
            raise DatasetError("labels must be of one type, but {!r} is {} and {!r} is {}".format(
                items[0], type(items[0]).__name__, items[i], type(items[i]).__name__))
    if not found or None in found:
        return np.asarray(values)
    return np.array(items, dtype=found[0] if found[0] in (str, bool) else None)


def _type_of(item):
    """The first of text, truth, whole number and number that a label is, None for another."""
    return next((kind for kind in _TYPES if isinstance(item, kind)), None)


def labels_of_classes(labels, classes):
    """Labels in the type of a classifier's classes, those of another type by their text.

    Folders name classes in text, whatever type they had in the table that was trained on.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    classes : ndarray of shape (c,)

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    DatasetError
        If a label is none of the classes.
    """
    by_name = dict((str(name), name) for name in classes.tolist())
    names = [str(label) for label in labels.tolist()]
    for name in names:
        if name not in by_name:
            raise DatasetError("the classifier does not know the class {!r}; it knows {}".format(
                name, ", ".join(sorted(by_name))))
    return np.array([by_name[name] for name in names], dtype=classes.dtype)
