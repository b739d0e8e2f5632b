"""Checks of arguments; each error names the argument, what it must be and the value."""
import collections.abc
import os
import pathlib

import numpy as np


def check_whole_number(name, value, least=1):
    """A whole number, as int.

    Parameters
    ----------
    name : str
        Of the argument.
    value : object
    least : int

    Raises
    ------
    ValueError
        If it is of another type (bool is one) or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError("{} must be a whole number of at least {}, not {!r}".format(
            name, least, value))
    return int(value)


def is_float32_matrix(value):
    """Whether scikit-learn's check_array would return a value as it is: a finite float32 matrix.

    Where that is so, scikit-learn need not be imported to check it.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool
        False also for finite numbers whose sum overflows.
    """
    if type(value) not in (np.ndarray, np.memmap) or value.dtype != np.float32 or value.ndim != 2 or (
            not value.size):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(value.sum()))


def check_float32_matrix(value, **options):
    """Numbers as a finite matrix of float32, by scikit-learn's check_array where they are none yet.

    Parameters
    ----------
    value : array-like of shape (n, d)
    **options
        Of check_array.

    Returns
    -------
    ndarray of float32, shape (n, d)

    Raises
    ------
    ValueError
    """
    if is_float32_matrix(value):
        return value
    from sklearn.utils.validation import check_array
    return check_array(value, dtype=np.float32, **options)


def is_missing(value):
    """Whether a value of a table is None, not a number, or pandas' mark of a missing one."""
    return value is None or isinstance(value, (float, np.floating)) and bool(
        np.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")


def is_path(value):
    """Whether a value is the path of a file or folder, a str or one of pathlib's."""
    return isinstance(value, (str, pathlib.PurePath))


def check_path(name, value):
    """The path of a file or folder, as str.

    Raises
    ------
    TypeError
        If it is neither a str nor a path of pathlib's kind.
    """
    if is_path(value) or hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError("{} must be a str or a pathlib.Path, not {!r}".format(name, value))


#: Endings of names that promise another kind of file than those that the package writes.
_ENDINGS_OF_OTHERS = frozenset(
    ".bmp .csv .docx .gif .h5 .hdf5 .ipynb .jpeg .jpg .joblib .json .keras .md .npy .npz .onnx .pb "
    ".pdf .pickle .pkl .png .pt .pth .py .tflite .txt .webp .zip".split())


def check_ending(path, kind, advice):
    """Refuse to write a file under a name that promises another kind of file.

    Parameters
    ----------
    path : str
    kind : str
        What the file will hold.
    advice : str
        How to name it.

    Raises
    ------
    ValueError
    """
    ending = os.path.splitext(path)[1].lower()
    if ending in _ENDINGS_OF_OTHERS:
        raise ValueError("{}: what is written is {}, not what the ending {} says; name it {}".format(
            path, kind, ending, advice))


def check_list(name, value):
    """Several values, as a list.

    Raises
    ------
    TypeError
        If it is a single text, or nothing that one can go through.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, collections.abc.Iterable):
        raise TypeError("{} must be a sequence, not {!r}".format(name, value))
    return list(value)
