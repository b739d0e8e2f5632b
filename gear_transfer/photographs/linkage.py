"""Groups of things that belong together: connected parts, and average linkage within them."""
import numpy as np


def connected_parts(count, pairs):
    """The connected part of a graph that each node belongs to.

    Parameters
    ----------
    count : int
        Nodes.
    pairs : ndarray of int, shape (m, 2)
        Nodes that are connected, in either direction.

    Returns
    -------
    ndarray of int, shape (count,)
        The first node of its part, for each node.
    """
    parts = np.arange(count)
    while True:
        least = parts[pairs].min(axis=1)
        before = parts.copy()
        for side in (0, 1):
            # The part's own name falls as well, so that long chains need few rounds.
            np.minimum.at(parts, before[pairs[:, side]], least)
            np.minimum.at(parts, pairs[:, side], least)
        parts = parts[parts]
        if np.array_equal(parts, before):
            return parts


def average_linkage(distances, furthest):
    """Join the two groups that are least far apart on average, until all are too far apart.

    Agglomerative clustering with the group average of R. Sokal and C. Michener, "A statistical
    method for evaluating systematic relationships", University of Kansas Science Bulletin 38,
    1958. Costs n (n + m) operations for m things that are joined.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        Symmetric.
    furthest : float
        Average distance between the members of two groups up to which they are joined.

    Returns
    -------
    ndarray of int, shape (n,)
        One of its members, for the group of each.
    """
    apart = np.array(distances, np.float64)
    np.fill_diagonal(apart, np.inf)
    groups, sizes = np.arange(len(apart)), np.ones(len(apart))
    nearest = apart.argmin(axis=1)
    while True:
        gaps = apart[np.arange(len(apart)), nearest]
        one = gaps.argmin()
        if not gaps[one] <= furthest:
            return groups
        other = nearest[one]
        joined = (sizes[one] * apart[one] + sizes[other] * apart[other]) / (sizes[one] + sizes[other])
        joined[[one, other]] = np.inf
        apart[one], apart[:, one] = joined, joined
        apart[other], apart[:, other] = np.inf, np.inf
        sizes[one] += sizes[other]
        groups[groups == other] = one
        # No other group came nearer to anything, as an average is not below the smaller distance.
        stale = np.flatnonzero((nearest == one) | (nearest == other))
        nearest[stale] = apart[stale].argmin(axis=1)


def numbered(names):
    """Numbers from 0 on for hashable names, in the order in which they first occur.

    Parameters
    ----------
    names : sequence of n hashables

    Returns
    -------
    ndarray of int, shape (n,)
    """
    numbers = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=int)
