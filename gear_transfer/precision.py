"""Which precision a backbone runs in: the fastest that is faithful to float32."""
import collections

import numpy as np

from . import _core

PRECISIONS = ("float32", "bf16", "auto")

#: Least cosine between the features of a photograph in bf16 and in float32 for bf16 to be chosen.
BF16_BOUND = 0.9997

#: Photographs that the choice is tried on.
SAMPLE_SIZE = 8

#: The precision chosen, and why, for a person to read.
Choice = collections.namedtuple("Choice", ["precision", "reason"])


def check_precision(precision):
    """Check a value of the parameter ``precision``.

    Raises
    ------
    ValueError
        If it is not one of `PRECISIONS`, or the processor cannot run it fast.
    """
    if precision not in PRECISIONS:
        raise ValueError("precision must be 'float32', 'bf16' or 'auto', not {!r}".format(precision))
    if precision == "bf16" and not _core.has_fast_bf16():
        raise ValueError("this processor has no instructions for bf16: use precision='auto' or "
                         "'float32'")
    return precision


def choose_precision(images, run):
    """The fastest precision whose features agree with float32 on a sample.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, 3)
        The sample.
    run : callable
        ``run(images, precision)`` returns features, float32 (n, d).

    Returns
    -------
    Choice
    """
    if not _core.has_fast_bf16():
        return Choice("float32", "this processor has no instructions for bf16")
    if len(images) == 0:
        return Choice("float32", "there was no photograph to try bf16 on")
    least = least_cosine(run(images, "float32"), run(images, "bf16"))
    found = "least cosine {:.5f} to float32 on {} photographs, bound {}".format(
        least, len(images), BF16_BOUND)
    return Choice("bf16" if least >= BF16_BOUND else "float32",
                  found if least >= BF16_BOUND else "bf16 was tried and refused: " + found)


def least_cosine(left, right):
    """Smallest cosine between rows of the same position; 1 for two rows of zeros.

    Parameters
    ----------
    left, right : ndarray of shape (n, d)

    Returns
    -------
    float
    """
    left, right = left.astype(np.float64), right.astype(np.float64)
    lengths = np.sqrt((left ** 2).sum(axis=1) * (right ** 2).sum(axis=1))
    products = (left * right).sum(axis=1)
    same = (left == right).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(same, 1.0, products / lengths)
    return float(np.nan_to_num(cosines).min())
