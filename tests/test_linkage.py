"""Connected parts and average linkage, against SciPy's."""
import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gear_transfer.photographs.linkage import average_linkage, connected_parts, numbered


def same_groups(one, other):
    return np.array_equal(numbered(one.tolist()), numbered(other.tolist()))


@pytest.mark.parametrize("count, edges", [(1, 0), (5, 0), (60, 20), (60, 50), (60, 200)])
def test_connected_parts(count, edges):
    for seed in range(10):
        pairs = np.random.RandomState(seed).randint(count, size=(edges, 2))
        graph = coo_matrix((np.ones(edges), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
        parts = connected_parts(count, pairs)
        assert same_groups(parts, connected_components(graph, directed=False)[1])
        assert all(parts[first] == first for first in parts)


def test_a_long_chain_is_connected():
    order = np.random.RandomState(0).permutation(5000)
    pairs = np.stack([order[:-1], order[1:]], axis=1)
    assert not connected_parts(5000, pairs).any()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 80])
def test_average_linkage(count):
    sizes = []
    for seed in range(20):
        rng = np.random.RandomState(seed)
        points = rng.rand(count, 3) + rng.randint(3, size=(count, 1))
        distances = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
        for furthest in (0.2, 0.6, 1.5):
            groups = average_linkage(distances, furthest)
            expected = np.ones(1)
            if count > 1:
                tree = linkage(distances[np.triu_indices(count, 1)], "average")
                expected = fcluster(tree, furthest, "distance")
            assert same_groups(groups, expected)
            sizes.append(len(set(groups.tolist())))
    assert count == 1 or min(sizes) < max(sizes)


def test_members_of_a_group_may_be_equal():
    assert not average_linkage(np.zeros((40, 40)), 0.0).any()
    apart = np.where(np.arange(6)[:, None] // 2 == np.arange(6) // 2, 0.0, 1.0)
    assert same_groups(average_linkage(apart, 0.5), np.arange(6) // 2)
    assert len(set(average_linkage(apart, 1.0).tolist())) == 1


def test_distances_stay_as_they_are():
    distances = np.random.RandomState(0).rand(5, 5)
    before = distances.copy()
    average_linkage(distances, 1.0)
    np.testing.assert_array_equal(distances, before)
