"""Pairs of hashes of bits that differ little, found exactly and without comparing all bits of all.

Of two hashes the squared distance between their projections on some orthonormal directions is never
more than the number of bits in which they differ, and along the leading principal components it is
most of it: one short matrix product says of nearly all pairs that they are too far apart (R. Agrawal,
C. Faloutsos and A. Swami, "Efficient similarity search in sequence databases", FODO 1993). Only the
others are compared bit by bit. Hashes whose numbers of bits differ too much never meet: they are
sorted by that number.

Hashing parts of them, as for hashes of few bits apart (M. Norouzi, A. Punjani and D. Fleet, "Fast
search in Hamming space with multi-index hashing", CVPR 2012), does not help here: 61 of 512 bits may
differ, and unlike photographs agree in every part of a few bits so often that nearly all would meet.
"""
import numpy as np

_DIRECTIONS = 96      # of 512 bits; they leave 1 % of the pairs of photographs of gear
_FEW = 2048           # hashes below which the directions would cost more than they save
_SAMPLE = 4096        # hashes whose directions are taken
_ROWS, _COLUMNS = 256, 4096   # pairs at a time, that fit the cache of a processor
_ROUNDING = 0.05      # of a squared distance in float32

_ONES = np.array([bin(number).count("1") for number in range(256)], np.uint8)
_ONES_OF_TWO = (_ONES[:, None] + _ONES).ravel()  # of numbers of 16 bits


class Hashes(object):
    """Hashes in the form in which they are compared, sorted by the number of their bits.

    Parameters
    ----------
    packed : ndarray of uint8, shape (n, b / 8)
        Eight bits a byte; b is a multiple of 16.
    basis : tuple (mean, directions), optional
        As another one's `basis`. Default: that of these hashes.

    Attributes
    ----------
    counts : ndarray of int, shape (n,)
        Bits that are set, in ascending order.
    order : ndarray of int, shape (n,)
        Positions in `packed` of the sorted hashes.
    """

    def __init__(self, packed, basis=None):
        counts = count_bits(packed)
        self.order = np.argsort(counts, kind="mergesort")
        self.counts = counts[self.order].astype(np.int64)
        self.packed = np.ascontiguousarray(packed[self.order])
        self.basis = basis or _basis(self.packed)
        mean, directions = self.basis
        self.points = np.concatenate([np.empty((0, len(directions[0])), np.float32)] + [
            (_unpacked(self.packed[start:start + _COLUMNS]) - mean).dot(directions)
            for start in range(0, len(packed), _COLUMNS)])
        self.lengths = np.einsum("ij,ij->i", self.points, self.points)


def count_bits(packed):
    """How many bits of each row are set.

    Parameters
    ----------
    packed : ndarray of uint8, shape (n, b / 8)
        Contiguous.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    found = np.empty(len(packed), np.int64)
    for start in range(0, len(packed), _COLUMNS):
        words = np.ascontiguousarray(packed[start:start + _COLUMNS]).view(np.uint16)
        found[start:start + _COLUMNS] = _ONES_OF_TWO[words].sum(axis=1, dtype=np.int64)
    return found


def near_pairs(hashes, others, most_apart, most_lacking):
    """Pairs of hashes that differ in few bits and have most bits in common.

    Parameters
    ----------
    hashes, others : Hashes
        By the same basis. Where they are the same object each pair comes once.
    most_apart : float
        Bits that may differ.
    most_lacking : float
        Share of the bits set in either that one of them may lack (Jaccard's distance), below 1.

    Yields
    ------
    first, second : ndarray of int, shape (m,)
        Their positions in what `hashes` and `others` were made of.
    apart : ndarray of int, shape (m,)
        Bits in which they differ.
    shared : ndarray of int, shape (m,)
        Bits that are set in both.
    """
    # Of c and d set bits with h apart (c + d + h) / 2 are in either, so that h may be at most this
    # share of c + d.
    share = most_lacking / (2.0 - most_lacking)
    for start in range(0, len(hashes.counts), _ROWS):
        rows = slice(start, start + _ROWS)
        low, high = hashes.counts[rows][0], hashes.counts[rows][-1]
        first, last = np.searchsorted(others.counts, [
            max(low - most_apart, low * (1 - share) / (1 + share)) - 0.5,
            min(high + most_apart, high * (1 + share) / (1 - share)) + 0.5])
        if others is hashes:
            first = start
        for left in range(first, last, _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, last))
            limits = np.minimum(most_apart, share * (high + others.counts[columns]))
            one, other = _candidates(hashes, others, rows, columns, limits + _ROUNDING)
            if others is hashes:
                later = one < other
                one, other = one[later], other[later]
            if not len(one):
                continue
            apart = count_bits(hashes.packed[one] ^ others.packed[other])
            total = hashes.counts[one] + others.counts[other]
            shared = (total - apart) // 2
            near = (apart <= most_apart + 1e-3) & (
                apart <= most_lacking * (total - shared) + 1e-3)
            yield (hashes.order[one[near]], others.order[other[near]], apart[near], shared[near])


def _candidates(hashes, others, rows, columns, limits):
    """Positions of the pairs of a block whose projections are near enough."""
    products = hashes.points[rows].dot(others.points[columns].T)
    # |p - q|^2 <= limit, as p.q >= |p|^2 / 2 + (|q|^2 - limit) / 2
    products -= (hashes.lengths[rows] / 2)[:, None]
    found = np.flatnonzero(products >= ((others.lengths[columns] - limits) / 2).astype(np.float32))
    width = products.shape[1]
    one = found // width
    return one + rows.start, found - one * width + columns.start


def _basis(packed):
    """The mean of hashes and their leading principal directions, (mean (b,), directions (b, k))."""
    bits = 8 * packed.shape[1]
    if len(packed) < _FEW:
        return np.float32(0.5), np.eye(bits, dtype=np.float32)
    some = np.linspace(0, len(packed) - 1, min(len(packed), _SAMPLE)).astype(int)
    rows = _unpacked(packed[some])
    mean = rows.mean(axis=0)
    rows -= mean
    directions = np.linalg.eigh(rows.T.dot(rows).astype(np.float64))[1][:, :-_DIRECTIONS - 1:-1]
    return mean, np.ascontiguousarray(directions, np.float32)


def _unpacked(packed):
    return np.unpackbits(packed, axis=1).astype(np.float32)
