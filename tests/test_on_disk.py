"""Arrays in a mapped file: they read as before and give their memory back once they are packed."""
import mmap
import os
import tempfile

import numpy as np
import pytest

from gear_transfer import Backbone
from gear_transfer.importers import on_disk
from gear_transfer.importers.network import Network, Node

pytestmark = pytest.mark.every_python

LARGE = (3, 3, 64, 256)


@pytest.fixture
def arrays():
    random = np.random.RandomState(0)
    return [("large", random.randn(*LARGE).astype(np.float32)),
            ("small", random.randn(7).astype(np.float32)),
            ("other", random.randn(128, 129).astype(np.float32))]


def kilobytes_in_memory(array):
    """What of the mappings that hold an array is in memory, as Linux counts it.

    An array on the heap may lie in several: advice on a part of the heap divides its mapping.
    """
    start, end = array.ctypes.data, array.ctypes.data + array.nbytes
    parts, inside = [], False
    with open("/proc/self/smaps") as stream:
        for line in stream:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                first, last = [int(text, 16) for text in words[0].split("-")]
                inside = first < end and start < last
            elif inside and words[0] == "Rss:":
                parts.append(int(words[1]))
    assert parts, "the array is nowhere"
    return sum(parts)


def test_arrays_read_as_before(arrays):
    kept = on_disk.keep_on_disk(iter(arrays))
    assert list(kept) == [name for name, _ in arrays]
    for name, array in arrays:
        np.testing.assert_array_equal(kept[name], array)
        assert kept[name].dtype == array.dtype and kept[name].flags.c_contiguous
    assert kept["small"] is arrays[1][1]
    assert not kept["large"].flags.writeable
    assert kept["large"].ctypes.data % 4096 == 0 and kept["other"].ctypes.data % 4096 == 0


def test_no_file_is_left(arrays, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = on_disk.keep_on_disk(iter(arrays))
    assert os.listdir(str(tmp_path)) == []
    np.testing.assert_array_equal(kept["large"], arrays[0][1])


def test_no_place_for_a_file(arrays, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    kept = on_disk.keep_on_disk(iter(arrays))
    assert all(kept[name] is array for name, array in arrays)


@pytest.mark.parametrize("half_way", [False, True])
def test_full_disk(arrays, monkeypatch, half_way):
    written = []

    class FullDisk(object):
        """A file that takes one array and a part of the next."""

        def __init__(self):
            self.file = tempfile.TemporaryFile(buffering=0)

        def write(self, data):
            if written and half_way:
                return self.file.write(bytes(data)[:20])
            if written:
                raise OSError(28, "No space left on device")
            written.append(self.file.write(data))
            return written[0]

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self.file.close()

    full_disk = FullDisk()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: full_disk)
    monkeypatch.setattr(on_disk, "SMALLEST", 1)
    kept = on_disk.keep_on_disk(iter(arrays))
    assert written == [arrays[0][1].nbytes]
    assert kept["large"] is not arrays[0][1]
    assert kept["small"] is arrays[1][1] and kept["other"] is arrays[2][1]
    np.testing.assert_array_equal(kept["large"], arrays[0][1])


def network(kernel):
    nodes = [Node("input", "input", [], {"channels": 64}),
             Node("conv", "conv2d", ["input"], {"kernel": "large", "strides": [1, 1],
                                                "padding": "same"})]
    return Network("one_layer", nodes, {"large": kernel}, (12, 12), {"scale": 1.0, "offset": 0.0})


def test_packed_arrays_leave_memory(arrays):
    images = np.random.RandomState(1).randint(0, 256, (9, 12, 12, 64)).astype(np.uint8)
    in_memory = arrays[0][1]
    expected = Backbone.from_network(network(in_memory), "memory", "conv").features(images)
    assert kilobytes_in_memory(in_memory) * 1024 >= in_memory.nbytes
    mapped = on_disk.keep_on_disk(iter(arrays[:1]))["large"]
    backbone = Backbone.from_network(network(mapped), "mapped", "conv")
    found = backbone.features(images)  # in the plan for batches and in that for single images
    assert kilobytes_in_memory(mapped) * 1024 < mapped.nbytes / 10
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mapped, in_memory)


def test_a_fingerprint_leaves_no_pages_in_memory(arrays):
    kept = on_disk.keep_on_disk(iter(arrays))
    network = Network("two", [Node("input", "input", [], {"channels": 3})], kept, None,
                      {"scale": 1.0, "offset": 0.0})
    in_memory = Network("two", network.nodes, dict(arrays), None, network.preprocessing)
    assert kept["large"].sum() == arrays[0][1].sum() and kilobytes_in_memory(kept["large"]) > 500
    assert network.fingerprint() == in_memory.fingerprint()
    assert kept["large"].sum() == arrays[0][1].sum()
    network.fingerprint()
    if hasattr(mmap.mmap, "madvise"):
        assert kilobytes_in_memory(kept["large"]) < 100
    on_disk.give_back(arrays[0][1])
    on_disk.give_back(kept["small"])
    np.testing.assert_array_equal(kept["large"], arrays[0][1])
