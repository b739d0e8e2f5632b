"""Which photographs a classifier has seen in its training, by hashes that travel with it."""
import collections
import hashlib
import os
import re
import time

import numpy as np

from ..photographs.duplicates import have_close
from ..photographs.hashes import BITS

#: For each of some photographs whether it, or one that is nearly the same, was trained on, and
#: else whether it was held back to watch the training; two arrays of bool (n,).
Seen = collections.namedtuple("Seen", ["trained", "held"])

#: The day of a training, in universal time as 2026-01-31, and the number of photographs of each
#: class, in the order of the classes.
TrainingFacts = collections.namedtuple("TrainingFacts", ["day", "counts"])

#: Bytes of the SHA-256 of each photograph that are kept.
CONTENT_BYTES = 16


class TrainingRecord(object):
    """Hashes of the photographs of a training, those that were held back included.

    The held-back ones are not trained on, but choose the temperature and, with early stopping,
    the epoch, so that the classifier looks better on them than it is.

    Parameters
    ----------
    contents : ndarray of uint8, shape (n, 16)
        The first bytes of each photograph's SHA-256.
    bits : ndarray of uint8, shape (n, 64)
        Its difference hash, eight bits a byte.
    held : ndarray of uint8, shape (n,)
        1 where it was held back.
    """

    def __init__(self, contents, bits, held):
        self.contents = contents
        self.bits = bits
        self.held = held

    @classmethod
    def of(cls, *parts):
        """The record of photographs.

        Parameters
        ----------
        *parts : tuple (ImageHashes, positions, held)
            The hashes of photographs, which of these were used, and which of those were held back.

        Returns
        -------
        TrainingRecord
        """
        contents, bits = [], []
        for hashes, positions, _ in parts:
            found, names, _ = hashes.complete()
            contents.append(_as_rows([names[i] for i in positions]))
            bits.append(np.packbits(found[positions], axis=1))
        return cls(np.concatenate(contents), np.concatenate(bits),
                   np.concatenate([held for _, _, held in parts]).astype(np.uint8))

    def __len__(self):
        return len(self.contents)

    def subset(self, rows):
        """The record of some of the photographs.

        Parameters
        ----------
        rows : slice or ndarray of int or bool

        Returns
        -------
        TrainingRecord
        """
        return TrainingRecord(self.contents[rows], self.bits[rows], self.held[rows])

    def rows_of(self, others):
        """The row of each photograph of another record that is byte for byte the same, else -1.

        Parameters
        ----------
        others : TrainingRecord

        Returns
        -------
        ndarray of int, shape (len(others),)
        """
        rows = dict((content.tobytes(), i) for i, content in enumerate(self.contents))
        return np.array([rows.get(content.tobytes(), -1) for content in others.contents], int)

    def digest(self):
        """SHA-256 of the hashes in order: equal for equal photographs, str of 64 digits."""
        return hashlib.sha256(b"".join(sorted(row.tobytes() for row in self.contents))).hexdigest()

    def find(self, hashes):
        """Which photographs were in the training.

        Parameters
        ----------
        hashes : ImageHashes

        Returns
        -------
        Seen
            False for those that cannot be read.
        """
        bits, names, failures = hashes.complete()
        readable = np.ones(len(names), bool)
        readable[[i for i, _ in failures]] = False
        known_bits = np.unpackbits(self.bits, axis=1).astype(bool)
        found = []
        for rows in (self.held == 0, self.held == 1):
            known = set(row.tobytes() for row in self.contents[rows])
            same = [name is not None and name[:CONTENT_BYTES] in known for name in names]
            found.append((np.array(same, bool) | have_close(bits, known_bits[rows])) & readable)
        return Seen(found[0], found[1] & ~found[0])


def _as_rows(names):
    rows = b"".join((name or b"")[:CONTENT_BYTES].ljust(CONTENT_BYTES, b"\0") for name in names)
    return np.frombuffer(rows, np.uint8).reshape(len(names), CONTENT_BYTES)


def join_records(records):
    """One record of the photographs of several, in order.

    Parameters
    ----------
    records : sequence of TrainingRecord

    Returns
    -------
    TrainingRecord
    """
    return TrainingRecord(*[np.concatenate([getattr(record, name) for record in records])
                            for name in ("contents", "bits", "held")])


def training_facts(labels, classes):
    """The facts of a training that takes place now.

    The day is that of SOURCE_DATE_EPOCH where the variable is set, as in builds that are to be
    reproduced.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    classes : ndarray of shape (c,)

    Returns
    -------
    TrainingFacts
    """
    now = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = time.strftime("%Y-%m-%d", time.gmtime(int(now) if now.isdigit() else time.time()))
    # Old releases of NumPy cannot make one str of a name with half a surrogate pair.
    return TrainingFacts(day, tuple(int((labels == classes[i:i + 1]).sum())
                                    for i in range(len(classes))))


def facts_from_json(value, n_classes):
    """The facts of a saved model, None where it has none; ValueError where they make no sense."""
    if value is None:
        return None
    if (not isinstance(value, dict) or not isinstance(value.get("day"), str)
            or not re.match(r"\d{4}-\d\d-\d\d$", value["day"])
            or not isinstance(value.get("counts"), list) or len(value["counts"]) != n_classes
            or not all(type(count) is int and count >= 0 for count in value["counts"])):
        raise ValueError("facts of a training of another form")
    return TrainingFacts(value["day"], tuple(value["counts"]))


def record_from_arrays(contents, bits, held):
    """The record of a saved model; ValueError where the arrays do not fit together."""
    if (contents.ndim != 2 or contents.shape[1] != CONTENT_BYTES or held.shape != (len(contents),)
            or bits.shape != (len(contents), BITS // 8)):
        raise ValueError("hashes of shapes {} and {}".format(contents.shape, bits.shape))
    return TrainingRecord(np.array(contents), np.array(bits), np.array(held))
