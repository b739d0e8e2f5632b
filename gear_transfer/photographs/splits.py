"""Parts of a data set for training, validation and test: stratified, seeded, groups kept whole."""
import collections
import os

import numpy as np

from ..common.arguments import check_whole_number, is_path
from ..common.caller import warn_caller
from ..common.tables import Result, counted, plain
from ..errors import DatasetError, DatasetWarning

#: Names of the parts, in the order in which `Split.parts` numbers them; unreadable images are in
#: none, which -1 says.
PARTS = ("training", "validation", "test")

_NAMED = 5  # classes that a warning names


def split_images(images, validation=0.2, test=0.0, groups=None, random_state=0):
    """Divide photographs, near-duplicates on one side and classes in proportion.

    Parameters
    ----------
    images : ImageSet
    validation, test : float
        Share of the photographs in each part; the rest is for training.
    groups : array-like of shape (n,), optional
        Photographs of one group stay together. Default: those of `find_duplicates`.
    random_state : int
        The same gives the same parts.

    Returns
    -------
    Split
        ``split.subsets(images)`` are the parts as ImageSets.

    Raises
    ------
    ValueError
        If the shares make no sense or there are not as many groups as photographs.

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> images = gt.load_folder(gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20))
    >>> split = gt.split_images(images, validation=0.25, groups=range(60))
    >>> training, validation = split.subsets(images)
    >>> validation.counts()["circle"]
    5
    """
    valid = all(isinstance(share, (int, float)) and 0 <= share < 1 for share in (validation, test))
    if not valid or validation + test >= 1:
        raise ValueError("validation and test must be shares of 1 that leave something for "
                         "training, not {!r} and {!r}".format(validation, test))
    check_whole_number("random_state", random_state, 0)
    if groups is None:
        from .duplicates import find_duplicates
        groups = find_duplicates(images).groups
    shares = [1 - validation - test, validation, test]
    parts = assign_groups(images.labels, groups, shares, random_state)
    return Split(parts, groups, relative_names(images.paths))


class Split(Result):
    """Which photographs are for training, validation and test.

    Attributes
    ----------
    parts : ndarray of int, shape (n,)
        0 training, 1 validation, 2 test, -1 none (an image that cannot be read).
    groups : ndarray of int, shape (n,), or None
        Groups that were kept whole.
    names : list of str, or None
        Files of the photographs, relative to the folder they have in common; in a loaded model
        only of those to validate on, None for the others.
    """

    def __init__(self, parts, groups=None, names=None):
        self.parts = np.asarray(parts, dtype=int)
        self.groups = None if groups is None else np.asarray(groups)
        self.names = names

    @property
    def training(self):
        """Positions of the photographs to train on, ndarray of int."""
        return np.flatnonzero(self.parts == 0)

    @property
    def validation(self):
        """Positions of the photographs to validate on, ndarray of int."""
        return np.flatnonzero(self.parts == 1)

    @property
    def test(self):
        """Positions of the photographs for the last test, ndarray of int."""
        return np.flatnonzero(self.parts == 2)

    def __len__(self):
        return len(self.parts)

    def subsets(self, images):
        """The parts of the set that was split.

        Parameters
        ----------
        images : ImageSet
            As many photographs as were split, in the same order.

        Returns
        -------
        list of ImageSet
            Training, validation and, where there is one, test.
        """
        if len(images) != len(self):
            raise ValueError("{} photographs were split, but {} are given".format(
                len(self), len(images)))
        places = [self.training, self.validation] + ([self.test] if len(self.test) else [])
        return [images.subset(positions) for positions in places]

    def straddling(self, groups=None):
        """Groups that lie in more than one part; none, unless other groups are given.

        Parameters
        ----------
        groups : array-like of shape (n,), optional
            Default: the groups that were kept whole.

        Returns
        -------
        list
        """
        groups = self.groups if groups is None else np.asarray(groups)
        if groups is None:
            return []
        used = self.parts >= 0
        pairs = set(zip(groups[used].tolist(), self.parts[used].tolist()))
        found = collections.Counter(group for group, _ in pairs)
        return sorted(group for group, count in found.items() if count > 1)

    def clusters(self):
        """The groups that have two photographs or more, a list of ndarray of positions."""
        return [] if self.groups is None else clusters(self.groups)

    def __repr__(self):
        sizes = ", ".join("{:,} {}".format(int((self.parts == i).sum()), name)
                          for i, name in enumerate(PARTS) if i < 2 or (self.parts == i).any())
        return "<Split: {}{}>".format(sizes, "" if self.groups is None else ", {} kept whole".format(
            counted(len(self.clusters()), "group of near-duplicates",
                    "groups of near-duplicates")))

    def _sentences(self):
        return [repr(self)[1:-1] + "."]

    def _rows(self):
        return ["part", "photographs"], [[name, int((self.parts == i).sum())]
                                         for i, name in enumerate(PARTS)
                                         if i < 2 or (self.parts == i).any()]

    def to_dict(self):
        """Parts, groups and names as plain values, see the attributes."""
        return collections.OrderedDict([
            ("parts", plain(self.parts)),
            ("groups", None if self.groups is None else plain(self.groups)),
            ("names", None if self.names is None else list(self.names))])


def clusters(groups):
    """Positions of the members of each group that has two or more, the largest group first.

    Parameters
    ----------
    groups : ndarray of shape (n,)

    Returns
    -------
    list of ndarray of int
    """
    groups = np.unique(groups, return_inverse=True)[1].ravel()
    counts = np.bincount(groups)
    order = np.argsort(groups, kind="mergesort")
    several = order[counts[groups[order]] > 1]
    ends = np.cumsum(counts[counts > 1])
    found = np.split(several, ends[:-1]) if len(several) else []
    return sorted(found, key=lambda positions: (-len(positions), positions[0]))


def assign_groups(labels, groups, shares, seed):
    """Give each group to one part, so that every part has its share of every class.

    The largest groups come first, each to the part where it leaves the smallest deviations (a
    greedy rule like that of scikit-learn's StratifiedGroupKFold, which came with 1.0 and knows
    only equal parts); samples alone in their group then fill each part up, class by class.

    Parameters
    ----------
    labels : array-like of shape (n,)
    groups : array-like of shape (n,), or None
        None: each sample is a group of its own.
    shares : sequence of float
        Of each part; they are brought to a sum of 1.
    seed : int
        Decides between groups of one size.

    Returns
    -------
    ndarray of int, shape (n,)
        The part of each sample.

    Raises
    ------
    ValueError
        If there are not as many groups as labels.
    """
    labels = np.unique(np.asarray(labels), return_inverse=True)[1].ravel()
    n, n_classes = len(labels), labels.max() + 1 if len(labels) else 0
    groups = np.arange(n) if groups is None else np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError("{} samples need as many groups, found groups of shape {}".format(
            n, groups.shape))
    rng = np.random.RandomState(seed % 2**32)
    groups = np.unique(groups, return_inverse=True)[1].ravel()
    shares = np.asarray(shares, float) / np.sum(shares)
    # What each part lacks of each class, in samples.
    lacking = np.outer(shares, np.bincount(labels, minlength=n_classes))
    counts = np.bincount(groups)
    parts = np.empty(n, int)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="mergesort")]
    by_group = np.argsort(groups, kind="mergesort")
    starts = np.cumsum(counts) - counts
    for group in order[:np.count_nonzero(counts > 1)]:
        members = by_group[starts[group]:starts[group] + counts[group]]
        held = np.bincount(labels[members], minlength=n_classes)
        # What the group would add to sum(lacking ** 2 / share) in each part.
        added = (held.dot(held) - 2 * lacking.dot(held)) / np.maximum(shares, 1e-12)
        best = int(np.argmin(np.where(shares > 0, added, np.inf)))
        parts[members] = best
        lacking[best] -= held
    single = rng.permutation(np.flatnonzero(counts[groups] == 1))
    single = single[np.argsort(labels[single], kind="mergesort")]
    ends = np.cumsum(np.bincount(labels[single], minlength=n_classes))
    owed = np.zeros(len(shares))
    for label, of_class in enumerate(np.split(single, ends[:-1]) if n_classes else []):
        numbers = _apportion(len(of_class), lacking[:, label], owed)
        owed += lacking[:, label] - numbers
        parts[of_class] = np.repeat(np.arange(len(shares)), numbers)
    return parts


def _apportion(total, lacking, owed):
    """Whole numbers that add up to `total`, each within 1 of what the part lacks.

    What is left over by rounding goes to the parts with the largest remainders, counting what the
    classes before owe them, so that the sums over all classes come out right as well.
    """
    wanted = np.maximum(lacking, 0)
    if total == 0 or wanted.sum() == 0:
        wanted[:] = 0
        wanted[0] = total
    else:
        wanted = wanted * (total / wanted.sum())
    numbers = np.floor(wanted + 1e-9).astype(int)
    rest = wanted - numbers + owed
    for part in np.argsort(-rest, kind="mergesort")[:total - numbers.sum()]:
        numbers[part] += 1
    return numbers


def group_folds(labels, groups, n_folds, seed):
    """Folds of cross-validation that keep groups whole and classes in proportion.

    Parameters
    ----------
    labels : array-like of shape (n,)
    groups : array-like of shape (n,), or None
    n_folds : int
    seed : int

    Returns
    -------
    ndarray of int, shape (n,)
        The fold in which each sample is held out.

    Raises
    ------
    DatasetError
        If fewer than two classes have groups enough to be both in training and held out. Others,
        see `lonely_classes`, are held out with nothing left to train on, once.
    """
    if isinstance(n_folds, bool) or not isinstance(n_folds, (int, np.integer)) or n_folds < 2:
        raise ValueError("folds must be a whole number from 2 on, not {!r}".format(n_folds))
    labels = np.asarray(labels)
    folds = assign_groups(labels, groups, np.ones(n_folds), seed)
    lonely = lonely_classes(labels, groups)
    if len(lonely) and len(np.unique(labels)) - len(lonely) < 2:
        raise DatasetError(
            "all photographs of class {!r} are in one group of near-duplicates, so none can "
            "be held out while others train; add photographs that differ, or give groups= of "
            "your own".format(str(lonely[0])))
    if len(np.unique(folds)) < n_folds:
        raise DatasetError("{} groups of photographs are too few for {} folds".format(
            len(labels) if groups is None else len(np.unique(groups)), n_folds))
    return folds


def lonely_classes(labels, groups=None):
    """Classes with one photograph, or one group of near-duplicates, which cannot be divided.

    Parameters
    ----------
    labels : array-like of shape (n,)
    groups : array-like of shape (n,), optional

    Returns
    -------
    ndarray
        Labels, sorted.
    """
    labels = np.asarray(labels)
    names, codes = np.unique(labels, return_inverse=True)
    groups = np.arange(len(labels)) if groups is None else np.unique(
        np.asarray(groups), return_inverse=True)[1].ravel()
    pairs = np.unique(np.stack([codes.ravel(), groups], axis=1), axis=0)
    return names[np.bincount(pairs[:, 0], minlength=len(names)) < 2]


def warn_of_lonely(lonely, labels, consequence):
    """Warn that some classes cannot be divided, if there are any.

    Parameters
    ----------
    lonely : sequence
        What `lonely_classes` found.
    labels : ndarray of shape (n,)
    consequence : str
        What follows from it, the end of a sentence.
    """
    if len(lonely):
        named = ", ".join("{!r} ({})".format(str(name), counted(
            int((labels == name).sum()), "photograph")) for name in lonely[:_NAMED])
        warn_caller("{} with one photograph, or one group of near-duplicates, cannot be divided: "
                    "{}{}; {}".format(
                        counted(len(lonely), "class", "classes"), named,
                        " and others" if len(lonely) > _NAMED else "", consequence), DatasetWarning)


def held_out_indices(labels, fraction, seed, groups=None):
    """Positions (training, validation), or None where there are too few samples.

    Classes of one photograph stay in training, where two others or more can be validated.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    fraction : float
        Share to hold back.
    seed : int
    groups : array-like of shape (n,), optional
        Groups to keep whole; a class that is all one group stays in training.

    Returns
    -------
    (ndarray of int, ndarray of int) or None
    """
    if fraction == 0:
        return None
    counts = np.bincount(labels)
    divided = np.flatnonzero(counts[labels] > 1)
    counts = counts[counts > 0]
    if (counts > 1).sum() < min(2, len(counts)) or counts.min() < 2 and len(counts) < 3:
        return None
    n_held = max(int(np.ceil(fraction * len(divided))), int((counts > 1).sum()))
    if len(labels) - n_held < len(counts):
        return None
    if groups is None:
        from sklearn.model_selection import StratifiedShuffleSplit
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=n_held, random_state=seed % 2**32)
        held = divided[next(splitter.split(divided, labels[divided]))[1]]
        return np.setdiff1d(np.arange(len(labels)), held), held
    share = n_held / len(divided)
    parts = assign_groups(labels, groups, [1 - share, share], seed)
    whole = [label for label in np.unique(labels) if (parts[labels == label] == 1).all()]
    parts[np.isin(labels, whole)] = 0
    if len(counts) - len(whole) < 2 or not (parts == 1).any():
        return None
    return np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)


def relative_names(images):
    """Files relative to the folder they have in common, with slashes; None where one is no file.

    Parameters
    ----------
    images : sequence

    Returns
    -------
    list of str or None
    """
    if not len(images) or not all(is_path(image) for image in images):
        return None
    paths = [os.path.abspath(str(image)) for image in images]
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, common).replace(os.sep, "/") for path in paths]
