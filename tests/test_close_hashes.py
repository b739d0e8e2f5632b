"""Near hashes: the same pairs as by comparing all bits of all pairs, in a fraction of the work."""
import numpy as np
import pytest

from gear_transfer.photographs import close_hashes
from gear_transfer.photographs.close_hashes import Hashes, count_bits, near_pairs
from gear_transfer.photographs.duplicates import (DEFAULT_THRESHOLD, _close_pairs, _relative,
                                                  have_close)
from gear_transfer.photographs.hashes import BITS, ImageHashes
from gear_transfer.photographs.image_set import load_folder


def alike_hashes(count, seed=0):
    """Hashes with bits that depend on their neighbours, of many densities, some close to others."""
    rng = np.random.RandomState(seed)
    waves = rng.randn(count, 40).dot(rng.randn(40, BITS)) / 6 + 0.5 * rng.randn(count, BITS)
    bits = waves > rng.uniform(-0.6, 1.8, (count, 1))
    copies = rng.choice(count, (2, count // 3), replace=False)
    flips = rng.rand(count // 3, BITS) < rng.uniform(0, 0.2, (count // 3, 1))
    bits[copies[0]] = bits[copies[1]] ^ flips
    bits[rng.choice(count, 5)] = False
    return bits


def slow_relative(bits, others, threshold=DEFAULT_THRESHOLD):
    """Distances of all pairs by products of all bits."""
    edges, other_edges = bits.astype(np.float32), others.astype(np.float32)
    shared = edges.dot(other_edges.T)
    counts, other_counts = edges.sum(axis=1)[:, None], other_edges.sum(axis=1)
    return _relative((counts + other_counts - 2 * shared) / BITS, shared, counts, other_counts,
                     threshold)


def check_pairs(bits, readable, threshold):
    pairs, distances = _close_pairs(np.packbits(bits, axis=1), readable, threshold)
    near = np.triu(slow_relative(bits, bits, threshold) <= 1, 1)
    near &= readable & readable[:, None]
    np.testing.assert_array_equal(pairs, np.argwhere(near))
    apart = (bits[pairs[:, 0]] != bits[pairs[:, 1]]).mean(axis=1)
    np.testing.assert_array_equal(distances, apart)
    return len(pairs)


@pytest.mark.parametrize("count, threshold", [(300, 0.12), (2500, 0.12), (2500, 0.3), (2500, 0.0)])
def test_the_pairs_of_comparing_everything(count, threshold):
    bits = alike_hashes(count)
    readable = np.random.RandomState(1).rand(count) < 0.9
    found = check_pairs(bits, readable, threshold)
    assert found > count // 20 if threshold else found == 10  # the five without a bit


def test_none_and_one():
    for count in (0, 1):
        pairs, distances = _close_pairs(np.zeros((count, BITS // 8), np.uint8),
                                        np.ones(count, bool), 0.12)
        assert pairs.shape == (0, 2) and distances.shape == (0,)


def test_groups_of_photographs_as_before(shared, tmp_path):
    images = load_folder(shared + "/gear/images")
    bits, _, failures = ImageHashes(images.paths, tmp_path, resize="stretch").complete()
    assert not failures
    assert check_pairs(bits, np.ones(len(bits), bool), DEFAULT_THRESHOLD) > 1000
    # More than few, so that directions are taken: the photographs with others made of them.
    rng = np.random.RandomState(0)
    noisy = bits ^ (rng.rand(*bits.shape) < 0.11)
    many = np.concatenate([bits, noisy])
    assert len(many) > close_hashes._FEW
    assert check_pairs(many, np.ones(len(many), bool), DEFAULT_THRESHOLD) > 2000


def test_close_to_one_of_others_as_by_comparing_everything():
    bits, others = alike_hashes(400, 1), alike_hashes(2600, 2)
    bits[:200] = others[:200] ^ (np.random.RandomState(3).rand(200, BITS) < 0.028)
    found = have_close(bits, others)
    np.testing.assert_array_equal(found, (slow_relative(bits, others) <= 0.25).any(axis=1))
    assert 20 < found[:200].sum() < 190


def test_few_pairs_are_compared_bit_by_bit(monkeypatch):
    bits = alike_hashes(4000)
    compared = []

    def count(packed):
        compared.append(len(packed))
        return count_bits(packed)

    hashes = Hashes(np.packbits(bits, axis=1))
    monkeypatch.setattr(close_hashes, "count_bits", count)
    found = sum(len(first) for first, _, _, _ in near_pairs(hashes, hashes, 61.44, 0.5))
    assert 0 < found <= sum(compared) < 0.03 * 4000 * 3999 / 2


def test_bits_are_counted_by_table():
    bits = alike_hashes(5000)
    np.testing.assert_array_equal(count_bits(np.packbits(bits, axis=1)), bits.sum(axis=1))
