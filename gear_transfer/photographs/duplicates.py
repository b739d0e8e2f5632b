"""Photographs that show the same: byte for byte, or nearly."""
import collections

import numpy as np

from ..common.tables import Result, counted, plain
from ..common.threads import one_blas_thread
from .close_hashes import Hashes, count_bits, near_pairs
from .hashes import BITS, ImageHashes
from .sequences import check_images
from .linkage import average_linkage, connected_parts, numbered
from .splits import clusters, relative_names

#: Share of the bits of two difference hashes that may differ, and share of the edges of either
#: photograph that the other may lack. Chosen on 1,694 photographs of climbing gear whose groups
#: are known: with them no known group is torn apart, see benchmarks/workbench.py.
DEFAULT_THRESHOLD = 0.12
_MOST_EDGES_APART = 0.5

# Share of both, and difference of colours (mean, of 255 levels), up to which two photographs show
# nearly the same in colour too. Of 81 such pairs of gear 91 % are in one known group, and most of
# the others look as if they should be.
_ALIKE = 0.6
_SAME_COLOURS = 6.0

# Share of both that counts as surely the same photograph. Of those photographs hardly one is so
# close to one of another group, and of 129 that were saved again, at half the size or at a quality
# of 40 to 90, 19 of 20 are to the original.
_SURELY = 0.25

_BLOCK = 4096  # pairs whose colours are compared at a time
_GROUPS_SHOWN = 20


def find_duplicates(images, threshold=DEFAULT_THRESHOLD, cache=True, threads=None, verbose=None):
    """Find photographs that are the same, nearly the same, or alike but for their colours.

    Two photographs are the same if their files (or pixels) are. They are in one group, to be
    kept on one side of a split, if their difference hashes (`difference_hash`) are close: the same
    picture in another size or compression, and also things of one shape in another colour, such as
    the ropes or jackets of a catalogue. Of these, photographs show nearly the same (``alike``) if
    their hashes are closer still and their colours agree. Groups are made by average linkage, so
    that a long chain of photographs, each a little like the next, is no group.

    Parameters
    ----------
    images : ImageSet, or sequence of str, Path, PIL.Image.Image or uint8 ndarray
    threshold : float
        Share of the bits of two hashes that may differ in a group, on average;
        0 finds only hashes that are equal.
    cache : bool, str, Path, FeatureCache or None
        Where the hashes of files are kept.
    threads : int, optional
        Default is the number of processors this process may use.
    verbose : bool or int, optional
        Show a progress bar. Default: on a terminal and in a notebook.

    Returns
    -------
    Duplicates

    Raises
    ------
    ValueError
        If the threshold is not a number from 0 to below 0.5, which is the distance of photographs
        that have nothing to do with each other.

    Examples
    --------
    >>> from gear_transfer import find_duplicates
    >>> from gear_transfer.photographs.datasets import make_shape
    >>> circle, square = make_shape("circle", random_state=0), make_shape("square", random_state=1)
    >>> find_duplicates([circle, square, circle[::2, ::2], circle]).groups.tolist()
    [0, 1, 0, 0]
    """
    valid = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if not valid or not 0 <= threshold < 0.5:
        raise ValueError("threshold must be a number from 0 to below 0.5, not {!r}".format(
            threshold))
    images = check_images(images)
    return group_hashes(images, ImageHashes(images, cache, threads, verbose=verbose), threshold)


def group_hashes(images, hashes, threshold=DEFAULT_THRESHOLD):
    """Duplicates among photographs whose hashes are there already, see `find_duplicates`.

    Parameters
    ----------
    images : sequence
    hashes : ImageHashes
        Of these images.
    threshold : float

    Returns
    -------
    Duplicates
    """
    bits, contents, failures = hashes.complete()
    readable = np.ones(len(images), bool)
    readable[[i for i, _ in failures]] = False
    packed = np.packbits(bits, axis=1)
    pairs, distances = _close_pairs(packed, readable, threshold)
    near = _linked(packed, pairs, threshold)
    exact = numbered([("content", content) if content else ("image", i)
                      for i, content in enumerate(contents)])
    # The same file is in one group, whatever its hash says; where it cannot be read, too.
    groups = _joined(near, exact)
    alike = _joined(_alike(packed, hashes.colours, groups, pairs, distances, threshold), exact)
    return Duplicates(images, groups, exact, pairs, distances, threshold, alike)


def groups_of_hashes(packed, contents):
    """Groups of near-duplicates by hashes alone, see `find_duplicates`.

    Parameters
    ----------
    packed : ndarray of uint8, shape (n, 64)
        Difference hashes, eight bits a byte.
    contents : sequence of n bytes
        The same for photographs that are byte for byte the same.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    pairs, _ = _close_pairs(packed, np.ones(len(packed), bool), DEFAULT_THRESHOLD)
    return _joined(_linked(packed, pairs, DEFAULT_THRESHOLD), numbered(contents))


class Duplicates(Result):
    """Groups of photographs that show the same.

    Attributes
    ----------
    images : sequence
        The photographs, as they were given.
    groups : ndarray of int, shape (n,)
        The group of each photograph, numbered from 0 in the order in which they first
        occur; fit for `groups` of scikit-learn's splitters. One that has no duplicate is alone in
        its group.
    exact : ndarray of int, shape (n,)
        The same for photographs that are byte for byte the same.
    pairs : ndarray of int, shape (m, 2)
        Positions of all pairs of photographs with close hashes, whether in one group or not.
    distances : ndarray of float, shape (m,)
        Share of the bits in which the two of a pair differ.
    threshold : float
    alike : ndarray of int, shape (n,)
        As ``groups``, of photographs that show nearly the same, colours too; parts of the groups.
    """

    def __init__(self, images, groups, exact, pairs, distances, threshold, alike=None):
        self.images = images
        self.groups = groups
        self.exact = exact
        self.pairs = pairs
        self.distances = distances
        self.threshold = threshold
        self.alike = exact if alike is None else alike

    def __len__(self):
        return len(self.clusters())

    def clusters(self, exact=False, alike=False):
        """The groups that have two photographs or more.

        Parameters
        ----------
        exact : bool
            Only photographs that are byte for byte the same.
        alike : bool
            Only photographs that show nearly the same, in colour too.

        Returns
        -------
        list of ndarray of int
            Positions, the largest group first.
        """
        return clusters(self.exact if exact else self.alike if alike else self.groups)

    def across(self, labels):
        """The groups whose photographs do not all have the same label: one may be wrong.

        Parameters
        ----------
        labels : sequence of n labels

        Returns
        -------
        list of ndarray of int
            Positions.
        """
        labels = np.asarray(labels)
        if len(labels) != len(self.groups):
            raise ValueError("{} photographs but {} labels".format(len(self.groups), len(labels)))
        return [cluster for cluster in self.clusters() if len(set(labels[cluster].tolist())) > 1]

    def first_of_each(self):
        """Positions of one photograph of each group, the first, in order: ndarray of int."""
        return np.unique(self.groups, return_index=True)[1]

    def __repr__(self):
        same = sum(len(cluster) for cluster in self.clusters(exact=True))
        return "<Duplicates: {:,} of {} in {}, {:,} of them byte for byte the same>".format(
            sum(len(cluster) for cluster in self.clusters()),
            counted(len(self.groups), "photograph"), counted(len(self), "group"), same)

    def sentence(self):
        """How many photographs have others like them, and how much alike, str."""
        def number(found):
            return sum(len(cluster) for cluster in found)
        return ("{:,} of {} have the outlines of others, in these or other colours, and are kept "
                "together in {}; {:,} show nearly the same, {:,} are byte for byte the same.".format(
                    number(self.clusters()), counted(len(self.groups), "photograph"),
                    counted(len(self), "group"), number(self.clusters(alike=True)),
                    number(self.clusters(exact=True))))

    def _sentences(self):
        return [self.sentence()]

    def _rows(self):
        names = self.names()
        rows = [[i + 1, len(cluster), "yes" if len(set(self.exact[cluster].tolist())) == 1
                 else "no", ", ".join(names[k] for k in cluster[:4])
                 + (" and {} more".format(len(cluster) - 4) if len(cluster) > 4 else "")]
                for i, cluster in enumerate(self.clusters()[:_GROUPS_SHOWN])]
        return ["group", "photographs", "byte for byte", "which"], rows

    def names(self):
        """Files relative to the folder they have in common, or "image 0" and so on: list of str."""
        return relative_names(self.images) or [
            "image {}".format(i) for i in range(len(self.images))]

    def to_dict(self):
        """Groups and pairs as plain values, see the attributes."""
        names = self.names()
        return collections.OrderedDict([
            ("photographs", len(self.groups)), ("threshold", float(self.threshold)),
            ("groups", plain(self.groups)), ("exact", plain(self.exact)),
            ("alike", plain(self.alike)),
            ("pairs", plain(self.pairs)), ("distances", plain(self.distances)),
            ("clusters", [[names[i] for i in cluster] for cluster in self.clusters()])])


def _close_pairs(packed, readable, threshold):
    """Positions (m, 2) of the pairs that may be in one group, and the distances (m,) of hashes."""
    known = np.flatnonzero(readable)
    hashes = Hashes(packed[known])
    most_apart = max(threshold * BITS, 0.5)
    pairs, distances = [np.empty((0, 2), int)], [np.empty(0)]
    with one_blas_thread():
        for first, second, apart, _ in near_pairs(hashes, hashes, most_apart, _MOST_EDGES_APART):
            first, second = known[np.minimum(first, second)], known[np.maximum(first, second)]
            pairs.append(np.stack([first, second], axis=1))
            distances.append(apart / float(BITS))
    pairs, distances = np.concatenate(pairs), np.concatenate(distances)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], distances[order]


def _alike(packed, colours, groups, pairs, distances, threshold):
    """Groups, within the groups, of photographs that show nearly the same in colour too."""
    within = groups[pairs[:, 0]] == groups[pairs[:, 1]]
    pairs, distances = pairs[within], distances[within]
    counts = count_bits(packed)
    is_alike = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _BLOCK):
        rows = slice(start, start + _BLOCK)
        one, other = pairs[rows].T
        apart = distances[rows] * BITS
        shared = (counts[one] + counts[other] - apart) / 2
        difference = np.abs(colours[one].astype(int) - colours[other]).mean(axis=1)
        is_alike[rows] = (_relative(apart / BITS, shared, counts[one], counts[other], threshold)
                          <= _ALIKE) & (difference <= _SAME_COLOURS)
    return numbered(connected_parts(len(packed), pairs[is_alike]).tolist())


def have_close(bits, others):
    """Which photographs are surely nearly the same as one of some others.

    Stricter than the groups of `find_duplicates`, where the others of a group have a say: that
    photograph in another size or compression, hardly another one of the same kind of thing.

    Parameters
    ----------
    bits : ndarray of bool, shape (n, 512)
        Their difference hashes.
    others : ndarray of bool, shape (m, 512)

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    found = np.zeros(len(bits), bool)
    if len(bits) and len(others):
        known = Hashes(np.packbits(others, axis=1))
        hashes = Hashes(np.packbits(bits, axis=1), known.basis)
        with one_blas_thread():
            for first, _, _, _ in near_pairs(hashes, known, _SURELY * DEFAULT_THRESHOLD * BITS,
                                             _SURELY * _MOST_EDGES_APART):
                found[first] = True
    return found


def _relative(apart, shared, counts, other_counts, threshold):
    """How far apart photographs are; up to 1 counts as nearly the same.

    Photographs with large plain areas have few edges and so few bits that can differ: the edges
    themselves must agree as well (Jaccard's distance).
    """
    either = counts + other_counts - shared
    lacking = (either - shared) / np.maximum(either, 1)
    return np.maximum(apart / max(threshold, 0.5 / BITS), lacking / _MOST_EDGES_APART)


def _linked(packed, pairs, threshold):
    """Groups by average linkage.

    Members of a group are connected by close pairs, so each connected part is grouped for itself.
    """
    groups = connected_parts(len(packed), pairs)
    order = np.argsort(groups, kind="mergesort")
    for part in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(part) > 1:
            edges = np.unpackbits(packed[part], axis=1).astype(np.float32)
            shared = edges.dot(edges.T)
            counts = edges.sum(axis=1)
            apart = (counts[:, None] + counts - 2 * shared) / BITS
            distances = _relative(apart, shared, counts[:, None], counts, threshold)
            groups[part] = part[average_linkage(distances, 1.0)]
    return numbered(groups.tolist())


def _joined(groups, others):
    """Groups that hold together what either of two groupings holds together."""
    count = len(groups) + len(others)
    pairs = np.stack([groups, len(groups) + others], axis=1)
    return numbered(connected_parts(count, pairs)[groups].tolist())
