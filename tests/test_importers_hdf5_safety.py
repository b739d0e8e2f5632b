"""HDF5 files that reach outside themselves or claim more than they hold."""
import os
import struct
import time
import zlib

import h5py
import numpy as np
import pytest

from gear_transfer.errors import WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.safe_hdf5 import SafeHDF5, _fletcher32
from keras_files import small_model, small_weights, write_model

BETA = "norm/norm/beta:0"
VALUES = np.arange(4, dtype=np.float32)


def fails(path, *parts):
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in (os.path.basename(str(path)),) + parts:
        assert part in str(caught.value)


def replaced(tmp_path, make):
    """The small model with one data set replaced by what `make(group, path)` puts there."""
    path = small_model(tmp_path / "replaced.h5")
    with h5py.File(path, "r+") as stream:
        group = stream["model_weights"]
        del group[BETA]
        make(group, BETA)
    return path


def test_soft_link(tmp_path):
    def make(group, path):
        group["elsewhere"] = VALUES
        group[path] = h5py.SoftLink("/model_weights/elsewhere")

    fails(replaced(tmp_path, make), "norm", "soft or external link")


def test_external_link(tmp_path):
    other = str(tmp_path / "other.h5")
    with h5py.File(other, "w") as stream:
        stream["beta"] = VALUES

    fails(replaced(tmp_path, lambda group, path: group.__setitem__(
        path, h5py.ExternalLink(other, "/beta"))), "soft or external link")


def test_link_in_the_middle_of_a_path(tmp_path):
    path = small_model(tmp_path / "middle.h5")
    with h5py.File(path, "r+") as stream:
        stream.move("model_weights/norm/norm", "aside")
        stream["model_weights/norm/norm"] = h5py.SoftLink("/aside")
    fails(path, "soft or external link")
    with h5py.File(path, "r+") as stream:
        stream.move("model_weights", "moved")
        stream["model_weights"] = h5py.SoftLink("/moved")
    fails(path, "soft or external link")


def test_external_storage(tmp_path):
    raw = tmp_path / "raw.bin"
    raw.write_bytes(VALUES.tobytes())

    def make(group, path):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_external(str(raw).encode(), 0, VALUES.nbytes)
        parent, name = path.rsplit("/", 1)
        h5py.h5d.create(group[parent].id, name.encode(), h5py.h5t.IEEE_F32LE,
                        h5py.h5s.create_simple((4,)), properties)

    fails(replaced(tmp_path, make), "another file")


def test_virtual_dataset(tmp_path):
    other = str(tmp_path / "other.h5")
    with h5py.File(other, "w") as stream:
        stream["beta"] = VALUES

    def make(group, path):
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource(other, "beta", shape=(4,))
        group.create_virtual_dataset(path, layout)

    fails(replaced(tmp_path, make), "is a virtual data set")


@pytest.mark.parametrize("values", [np.array([b"a", b"b", b"c", b"d"]),
                                    np.zeros(4, [("x", "f4")]), np.zeros(4, "c8"),
                                    np.zeros(4, bool)])
def test_not_numbers(tmp_path, values):
    fails(replaced(tmp_path, lambda group, path: group.__setitem__(path, values)),
          "'norm'", "beta", "plain numbers")


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i1", "u2", "i8"])
def test_other_numbers_are_converted(tmp_path, kind):
    path = replaced(tmp_path, lambda group, path: group.__setitem__(path, VALUES.astype(kind)))
    array = load_network(path).arrays["norm/beta"]
    assert array.dtype == np.float32 and array.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [
    {"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"fletcher32": True}, {"chunks": (3,)}, {"maxshape": (None,)}])
def test_built_in_filters(tmp_path, options):
    path = replaced(tmp_path, lambda group, path: group.create_dataset(path, data=VALUES,
                                                                       **options))
    assert load_network(path).arrays["norm/beta"].tolist() == [0, 1, 2, 3]


def test_other_filter(tmp_path):
    fails(replaced(tmp_path, lambda group, path: group.create_dataset(
        path, data=VALUES, compression="lzf")), "filter", "gzip")


def test_values_that_are_not_stored(tmp_path):
    fails(replaced(tmp_path, lambda group, path: group.create_dataset(path, (4,), "f4")),
          "claims 16 bytes but only 0 are stored")


def test_chunk_that_expands_beyond_its_size(tmp_path):
    def make(group, path):
        dataset = group.create_dataset(path, (4,), "f4", chunks=(4,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(b"\0" * (1 << 22), 9))

    fails(replaced(tmp_path, make), "expands beyond its size")


def test_damaged_chunk(tmp_path):
    def make(group, path):
        dataset = group.create_dataset(path, (4,), "f4", chunks=(4,), compression="gzip")
        dataset.id.write_direct_chunk((0,), b"this is no zlib stream")

    fails(replaced(tmp_path, make), "damaged")


def test_long_lists_of_names_lie_in_parts(tmp_path):
    path = small_model(tmp_path / "parts.h5")
    with h5py.File(path, "r+") as stream:
        group = stream["model_weights/norm"]
        names = list(group.attrs["weight_names"])
        del group.attrs["weight_names"]
        group.attrs["weight_names0"] = names[:3]
        group.attrs["weight_names1"] = names[3:]
    arrays = load_network(path).arrays
    np.testing.assert_array_equal(arrays["norm/beta"], small_weights()[1][1]["beta"])


def test_cut_short_at_any_place(tmp_path):
    with open(small_model(tmp_path / "whole.h5"), "rb") as stream:
        whole = stream.read()
    path = tmp_path / "cut.h5"
    for size in (0, 4, 8, 100, 2048, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        fails(path)


def test_not_a_weight_file(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("this is a text, not a weight file")
    fails(path, "readable are", "Keras HDF5", "native")
    path.write_bytes(b"")
    fails(path, "empty")
    fails(tmp_path / "missing.h5", "no such file")
    fails(tmp_path, "folder")


# The structure of the file

def write_latest(path, **options):
    """The small model in the newest kind of HDF5 file."""
    with h5py.File(small_model(path + ".old"), "r") as source:
        with h5py.File(path, "w", libver="latest") as stream:
            stream.attrs["model_config"] = source.attrs["model_config"]
            group = stream.create_group("model_weights")
            group.attrs["layer_names"] = source["model_weights"].attrs["layer_names"]
            for layer, arrays in small_weights():
                inner = group.create_group(layer)
                names = source["model_weights"][layer].attrs["weight_names"]
                inner.attrs["weight_names"] = names
                for name, key in zip(names, sorted(arrays)):
                    inner.create_dataset(name, data=arrays[key], **options)
            return stream.libver


def test_newest_kind_of_file(tmp_path):
    path = str(tmp_path / "latest.h5")
    write_latest(path)
    with open(path, "rb") as stream:
        assert stream.read(9)[8] in (2, 3)
    old = load_network(small_model(tmp_path / "old.h5"))
    assert load_network(path).fingerprint() == old.fingerprint()


def test_what_only_the_newest_kind_of_file_has_is_refused_with_advice(tmp_path):
    path = str(tmp_path / "latest.h5")
    write_latest(path, compression="gzip")
    fails(path, "h5py's default settings")
    with h5py.File(path, "a", libver="latest") as stream:
        for i in range(20):
            stream["model_weights"].create_group("more{}".format(i))
    fails(path, "links in the manner of libver='latest'", "h5py's default settings")
    path = str(tmp_path / "attributes.h5")
    with h5py.File(path, "w", libver="latest") as stream:
        for i in range(20):
            stream.attrs["a{}".format(i)] = "x"
    fails(path, "attributes in the manner of libver='latest'")


def test_committed_type_is_refused(tmp_path):
    def make(group, path):
        group["type"] = np.dtype("<f4")
        group.create_dataset(path, data=VALUES, dtype=group["type"])

    fails(replaced(tmp_path, make), "committed")


def damaged(tmp_path, find, replacement, nth=0):
    """The small model with the bytes at the nth place of `find` overwritten."""
    with open(small_model(tmp_path / "whole.h5"), "rb") as stream:
        data = stream.read()
    place = -1
    for _ in range(nth + 1):
        place = data.index(find, place + 1)
    replacement = replacement(place) if callable(replacement) else replacement
    path = tmp_path / "damaged.h5"
    path.write_bytes(data[:place] + replacement + data[place + len(replacement):])
    return path


def test_tree_that_is_its_own_child(tmp_path):
    """A node of level 1 whose children are all the node itself."""
    def circle(place):
        return b"TREE\0\1" + struct.pack("<H", 30) + b"\xff" * 16 + struct.pack(
            "<QQ", 0, place) * 30
    start = time.process_time()
    fails(damaged(tmp_path, b"TREE", circle), "over and over")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("find, replacement, part", [
    (b"TREE", b"TRUE", "no table of names"), (b"HEAP", b"HELP", "no heap of names"),
    (b"GCOL", b"GOAL", "no heap of texts"), (b"SNOD", b"NODS", "no table of names"),
    (b"TREE\0\0", b"TREE\0\0\xff\xff", "cut short or damaged"),
    (b"GCOL\1\0\0\0", b"GCOL\1\0\0\0" + b"\xff" * 8, "cut short or damaged"),
    (b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\x09", "superblock of version 9"),
    (b"\x89HDF\r\n\x1a\n\0\0\0\0\0", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\4", "addresses of 4 bytes")])
def test_damaged_structure(tmp_path, find, replacement, part):
    fails(damaged(tmp_path, find, replacement), part)


def test_checksum_of_a_chunk(tmp_path):
    values = np.arange(5001, dtype=np.int8)
    marker = VALUES.tobytes()
    path = replaced(tmp_path, lambda group, path: group.create_dataset(
        path, data=VALUES, fletcher32=True))
    with open(path, "rb") as stream:
        data = stream.read()
    place = data.index(marker)
    with open(path, "wb") as stream:
        stream.write(data[:place] + b"\1" + data[place + 1:])
    fails(path, "damaged chunk")
    for length in (1, 2, 3, 721, 5001):  # as libhdf5 sums odd and even, short and long ones
        with h5py.File(str(tmp_path / "sums.h5"), "w") as stream:
            stream.create_dataset("x", data=values[:length], fletcher32=True)
            stored = stream["x"].id.read_direct_chunk((0,))[1]
        assert stored[-4:] == struct.pack("<I", _fletcher32(stored[:-4]))


def test_arrays_that_expand_too_far(tmp_path):
    def make(group, path):
        shape = (20 << 20,)
        group.create_dataset(path, shape, "f4", chunks=(1 << 20,), compression="gzip")
        group[path][:] = 0
        group.attrs["weight_names"] = [path]

    path = replaced(tmp_path, make)
    with SafeHDF5(path) as source:
        group = source.group(source.root(), "model_weights")
        with pytest.raises(WeightsError) as caught:
            source.array(source.member(group, BETA), "beta")
    assert "too many for a file of" in str(caught.value)


@pytest.mark.parametrize("text", ["[" + "[]," * 200000 + "0]", "{\"a\": " + "9" * 5000000 + "}",
                                  "{\"a\":[" + "{\"b\":1}," * 50000 + "0]}"])
def test_texts_that_would_take_memory_or_time(tmp_path, text):
    path = write_model(tmp_path / "long.h5", text, small_weights())
    start = time.process_time()
    fails(path, "model_config is not valid JSON")
    assert time.process_time() - start < 5
