"""Which precision a backbone runs in: the fastest that is faithful to float32."""
import collections
import json
import time

import numpy as np

from .. import _core
from ..errors import EngineError

#: What may be asked for; "auto" is decided by `choose_precision`.
PRECISIONS = ("float32", "bf16", "int8", "auto")

#: Precisions that are faster than float32, the fastest first, and the least cosine between the
#: features of a photograph in it and in float32 for it to be chosen. Photographs beyond the sample
#: may stray further: in int8 these keep to 0.99.
BOUNDS = (("int8", 0.995), ("bf16", 0.9997))

#: Photographs that the choice is tried on, and that int8 learns the layers' ranges from.
SAMPLE_SIZE = 16

# Photographs that precisions are timed on, and rounds at most.
_TIMED = 8
_ROUNDS = 4

# Of the time, and of seconds, that a precision must save to be taken for one that is expected to be
# faster.
_LEAST_GAIN = 0.1
_LEAST_SECONDS = 1e-3

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
    trial = _Trial(images, make_engine)
    for name, bound in candidates:
        trial.consider(name, bound)
    return trial.decide()


class _Trial(object):
    """Precisions on a sample, one after the other: which agrees, and which of those is fastest."""

    def __init__(self, images, make_engine):
        self._images, self._make = images, make_engine
        self._reference = self._plain = None
        self._chosen = None  # name, what was found, engine
        self._refused = ""

    def consider(self, name, bound):
        """Try a precision that is expected to be slower than those before it."""
        try:
            engine = self._make(name)
            if name == "int8":
                self._reference = flat_features(engine.calibrate(self._images))
            if self._chosen is not None and not is_faster(engine, self._chosen[2], self._images):
                return
            self._compare(name, bound, engine)
        except EngineError as error:
            self._refuse(name, str(error))

    def _compare(self, name, bound, engine):
        if self._reference is None:
            self._reference = flat_features(self._float32().run(self._images))
        least = least_cosine(self._reference, flat_features(engine.run(self._images)))
        found = "least cosine {:.5f} to float32 on {} photographs, bound {}".format(
            least, len(self._images), bound)
        if least < bound:
            self._refuse(name, found)
            return
        if self._chosen is not None:
            self._refuse(self._chosen[0], "it is slower here")
        self._chosen = name, found, engine

    def _refuse(self, name, reason):
        self._refused = "; {} was tried and refused: {}".format(name, reason) + self._refused

    def _float32(self):
        if self._plain is None:
            self._plain = self._make("float32")
        return self._plain

    def decide(self):
        """The Choice and its engine, once all have been considered."""
        if self._chosen is not None:
            name, found, engine = self._chosen
            if not self._is_float32_faster(engine):
                return Choice(name, found + self._refused, known_ranges(engine, name)), engine
            self._refuse(name, "it is slower here than float32")
        return Choice("float32", self._refused[2:], None), self._plain

    def _is_float32_faster(self, engine):
        try:
            return is_faster(self._float32(), engine, self._images)
        except EngineError:  # what agrees will do
            return False


def is_faster(engine, other, images):
    """Whether one engine is clearly faster than another.

    In processor time, which other processes hardly change. The second is taken for the faster one
    unless several runs show otherwise, so that chance decides nothing.

    Parameters
    ----------
    engine, other : core's backbone
        Ready to run.
    images : ndarray of uint8, shape (n, height, width, 3)

    Returns
    -------
    bool
    """
    images = images[:_TIMED]
    for each in (engine, other):
        each.run(images)  # the first run builds the plan
    seconds, others = [], []
    for _ in range(_ROUNDS):
        seconds.append(_seconds(engine, images))
        others.append(_seconds(other, images))
        if min(seconds) > min(others):
            return False
    gain = min(others) - min(seconds)
    return gain > _LEAST_GAIN * min(others) and gain > _LEAST_SECONDS


def _seconds(engine, images):
    start = time.process_time()
    engine.run(images)
    return time.process_time() - start


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
