"""Which precision a backbone runs in: the fastest that is faithful to float32."""
import collections
import json

import numpy as np

from .. import _core

#: What may be asked for; "auto" is decided by `choose_precision`.
PRECISIONS = ("float32", "bf16", "int8", "auto")

#: Precisions that are faster than float32, the fastest first, and the least cosine between the
#: features of a photograph in it and in float32 for it to be chosen. Photographs beyond the sample
#: may stray further: in int8 these keep to 0.99.
BOUNDS = (("int8", 0.995), ("bf16", 0.9997))

#: Photographs that the choice is tried on, and that int8 learns the layers' ranges from.
SAMPLE_SIZE = 16

#: The precision chosen, why, for a person to read, and what int8 has to know of the layers: a
#: tuple of (layer, range, negative), else None.
Choice = collections.namedtuple("Choice", ["precision", "reason", "ranges"])


def check_precision(precision):
    """Check a value of the parameter ``precision``.

    Raises
    ------
    ValueError
        If it is not one of `PRECISIONS`, or the processor cannot run it fast.
    """
    if precision not in PRECISIONS:
        raise ValueError("precision must be 'float32', 'bf16', 'int8' or 'auto', not {!r}".format(
            precision))
    if precision != "auto" and not _core.has_fast(precision):
        raise ValueError("this processor has no instructions for {}: use precision='auto' or "
                         "'float32'".format(precision))
    return precision


def runnable_choice(choice):
    """A Choice that this processor can follow: float32, whose features agree, where it lacks the
    instructions for another.

    Parameters
    ----------
    choice : Choice

    Returns
    -------
    Choice
    """
    if choice.precision == "auto" or _core.has_fast(choice.precision):
        return choice
    return Choice("float32", "this processor has no instructions for {}, which was chosen "
                  "elsewhere".format(choice.precision), None)


def choose_precision(images, make_engine):
    """The fastest precision whose features agree with float32 on a sample.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, 3)
        The sample.
    make_engine : callable
        ``make_engine(precision)`` returns the core's backbone.

    Returns
    -------
    choice : Choice
    engine : core's backbone
        Of that precision, ready to run; None where none was needed for the choice.
    """
    candidates = [(name, bound) for name, bound in BOUNDS if _core.has_fast(name)]
    if not candidates:
        return Choice("float32", "this processor has no instructions for bf16 or int8", None), None
    if len(images) == 0:
        return Choice("float32", "there was no photograph to try another on", None), None
    reference, refused = None, ""
    for name, bound in candidates:
        engine = make_engine(name)
        if name == "int8":
            reference = flat_features(engine.calibrate(images))
        elif reference is None:
            reference = flat_features(make_engine("float32").run(images))
        least = least_cosine(reference, flat_features(engine.run(images)))
        found = "least cosine {:.5f} to float32 on {} photographs, bound {}".format(
            least, len(images), bound)
        if least >= bound:
            return Choice(name, found + refused, known_ranges(engine, name)), engine
        refused = "; {} was tried and refused: {}".format(name, found) + refused
    return Choice("float32", refused[2:], None), None


def fast_precisions():
    """The precisions for which this processor has instructions, a list of str."""
    return [name for name in PRECISIONS if name != "auto" and _core.has_fast(name)]


def choice_to_text(choice):
    """A Choice as JSON, for the cache."""
    return json.dumps(choice)


def choice_from_text(text):
    """The Choice of a JSON text, None if it is none that this processor can follow."""
    try:
        choice = Choice(*json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    valid = choice.precision in fast_precisions() and isinstance(choice.reason, str) and (
        are_ranges(choice.ranges) if choice.precision == "int8" else choice.ranges is None)
    return choice if valid else None


def are_ranges(ranges):
    """Whether an object from JSON is what `Choice.ranges` holds in int8."""
    return isinstance(ranges, (list, tuple)) and all(
        isinstance(item, (list, tuple)) and len(item) == 3 and isinstance(item[0], str)
        and isinstance(item[1], float) and 0 <= item[1] < float("inf")
        and isinstance(item[2], bool) for item in ranges)


def known_ranges(engine, precision):
    """What a calibrated engine knows of the layers, for `Choice`."""
    return tuple(engine.ranges()) if precision == "int8" else None


def flat_features(results):
    """The core's results for n images as one array (n, d)."""
    return np.concatenate([result.reshape(len(result), -1) for result in results], axis=1)


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
