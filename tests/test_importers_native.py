"""The native format: round trips, its layout, and every way in which a file can be wrong."""
import copy
import json
import os
import struct
import tempfile

import numpy as np
import pytest

from gear_transfer import Backbone
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import (ChannelQuantizedArray, Network, Node, QuantizedArray,
                                     load_network, on_disk)
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.importers.weights import packaged_path


def small_network():
    random = np.random.RandomState(1)
    nodes = [
        Node("in", "input", (), {"channels": 3}),
        Node("a", "conv2d", ["in"], {"kernel": "a/k", "strides": [2, 2],
                                     "padding": [0, 1, 2, 3], "groups": 1}),
        Node("n", "batch_norm", ["a"], {"mean": "n/m", "variance": "n/v", "epsilon": 1e-3}),
        Node("r", "relu", ["n"], {"max_value": 6.0}),
        Node("p", "average_pool", ["r"], {"pool_size": [3, 3], "strides": [1, 1],
                                          "padding": "same", "count_include_padding": False}),
        Node("c", "concat", ["r", "p"]),
        Node("g", "global_average_pool", ["c"]),
        Node("d", "dense", ["g"], {"kernel": "d/k", "bias": "d/b"}),
    ]
    arrays = {
        "a/k": QuantizedArray(random.randint(0, 256, (3, 3, 3, 5)).astype(np.uint8), 0.1, -3.7),
        "n/m": QuantizedArray(np.arange(5, dtype=np.uint8), 1e-3, 0.3),
        "n/v": np.linspace(0.5, 2, 5).astype(np.float32),
        "d/k": random.normal(size=(10, 3)).astype(np.float32),
        "d/b": random.normal(size=3).astype(np.float32),
    }
    return Network("small", nodes, arrays, (32, 48), {"scale": 1 / 127.5, "offset": -1.0},
                   {"source": "a test", "licence": "none"})


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "small.gtw")
    write_network(path, small_network())
    return path


def split(path):
    with open(path, "rb") as stream:
        content = stream.read()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + length].decode("utf-8")), content[8 + length:]


def join(path, header, data):
    """Write a file as earlier releases did, without a checksum, so that the other checks are met."""
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"].pop("crc32", None)
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + data)


def fails(path, *parts):
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in (os.path.basename(path),) + parts:
        assert part in str(caught.value)


def test_round_trip(path):
    before, after = small_network(), load_network(path)
    assert [repr(node) for node in after.nodes] == [repr(node) for node in before.nodes]
    assert after.name == "small" and after.input_size == (32, 48)
    assert after.preprocessing == before.preprocessing
    assert after.provenance == before.provenance
    assert after.fingerprint() == before.fingerprint()
    assert set(after.arrays) == set(before.arrays)
    for name, array in before.arrays.items():
        if isinstance(array, QuantizedArray):
            np.testing.assert_array_equal(after.arrays[name].values, array.values)
            array, found = array.dequantize(), after.arrays[name].dequantize()
        else:
            found = after.arrays[name]
        np.testing.assert_array_equal(found.view(np.uint32), array.view(np.uint32))


def test_arrays_are_views_of_one_buffer(path):
    arrays = load_network(path).arrays
    for array in (arrays["d/k"], arrays["a/k"].values):
        assert not array.flags.writeable and not array.flags.owndata
        assert array.flags.aligned and array.flags.c_contiguous


def test_layout_is_that_of_safetensors(path):
    header, data = split(path)
    metadata = header.pop("__metadata__")
    assert all(isinstance(value, str) for value in metadata.values())
    position = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        assert set(entry) == {"dtype", "shape", "data_offsets"}
        assert entry["data_offsets"][0] == position
        size = int(np.prod(entry["shape"])) * {"F32": 4, "U8": 1}[entry["dtype"]]
        position += size
        assert entry["data_offsets"][1] == position
    assert position == len(data)
    start, end = header["d/b"]["data_offsets"]
    np.testing.assert_array_equal(np.frombuffer(data[start:end], "<f4"),
                                  small_network().arrays["d/b"])


def test_same_network_same_bytes(path, tmp_path):
    other = str(tmp_path / "other.gtw")
    write_network(other, load_network(path))
    with open(path, "rb") as one, open(other, "rb") as two:
        assert one.read() == two.read()


def test_fingerprint_sees_every_change():
    def changed(change):
        network = small_network()
        change(network)
        return network.fingerprint()

    def twist(network):
        network.arrays["d/k"] = network.arrays["d/k"].copy()
        network.arrays["d/k"][0, 0] += 1

    def quantised(network, **change):
        old = network.arrays["n/m"]
        settings = {"values": old.values, "scale": old.scale, "minimum": old.minimum}
        settings.update(change)
        network.arrays["n/m"] = QuantizedArray(**settings)

    prints = [changed(change) for change in (
        lambda network: None,
        twist,
        lambda network: quantised(network, scale=0.5),
        lambda network: quantised(network, minimum=0.5),
        lambda network: quantised(network, values=np.zeros(5, np.uint8)),
        lambda network: network.preprocessing.update(scale=1.0),
        lambda network: network.nodes[3].attributes.clear(),
        lambda network: setattr(network.nodes[-1], "name", "other"))]
    assert len(set(prints)) == len(prints)
    assert changed(lambda network: network.provenance.clear()) == prints[0]
    network = small_network()
    network.arrays = dict(reversed(sorted(network.arrays.items())))
    assert network.fingerprint() == prints[0]


def test_upto(path):
    network = load_network(path, "r")
    assert network.layers == ["in", "a", "n", "r"]
    assert sorted(network.arrays) == ["a/k", "n/m", "n/v"]
    assert load_network(path).upto(["p", "r"]).layers == ["in", "a", "n", "r", "p"]
    with pytest.raises(GraphError, match="no layer 'x'"):
        load_network(path, "x")


def test_a_failed_write_leaves_nothing(tmp_path):
    network = small_network()
    network.arrays["d/k"] = network.arrays["d/k"].astype(np.float64)
    with pytest.raises(WeightsError, match="float64"):
        write_network(str(tmp_path / "x.gtw"), network)
    with pytest.raises(WeightsError, match="cannot be written"):
        write_network(str(tmp_path / "no" / "x.gtw"), small_network())
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        write_network(str(tmp_path / "folder"), small_network())
    assert os.listdir(str(tmp_path)) == ["folder"]


def test_cut_short_or_longer(path):
    with open(path, "rb") as stream:
        whole = stream.read()
    for size in (0, 3, 8, 9, 200, len(whole) // 2, len(whole) - 1):
        with open(path, "wb") as stream:
            stream.write(whole[:size])
        fails(path)
        if size:
            with pytest.raises(WeightsError):
                read_network(path)
    with open(path, "wb") as stream:
        stream.write(whole + b"x")
    fails(path, "1 bytes lie behind")


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 17 << 20])
def test_header_that_claims_too_much(path, length):
    with open(path, "r+b") as stream:
        stream.write(struct.pack("<Q", length))
    fails(path, "header claims", "at most")


@pytest.mark.parametrize("text", [b"{", b"{} x", b"{\"a\": NaN}", b"{\"a\": 1, \"a\": 2}",
                                  b"{\"\xff\": 1}", b"{\"a\":" + b"[" * 200000])
def test_header_that_is_not_json(path, text):
    join(path, text, b"")
    fails(path, "not valid JSON")


def test_another_safetensors_file(path):
    header, data = split(path)
    header["__metadata__"] = {"format": "pt"}
    join(path, header, data)
    fails(path, "not one of gear_transfer's")


def tensor(**changes):
    return lambda header: header["d/b"].update(changes)


def metadata(key, change):
    def apply(header):
        value = json.loads(header["__metadata__"][key])
        value = change(value) or value
        header["__metadata__"][key] = json.dumps(value)
    return apply


def attribute(index, **changes):
    return metadata("graph", lambda graph: graph[index]["attributes"].update(changes))


def node(index, **changes):
    return metadata("graph", lambda graph: graph[index].update(changes))


@pytest.mark.parametrize("change, part", [
    (tensor(dtype="F64"), "dtype"), (tensor(dtype=["F32"]), "dtype"),
    (tensor(shape=[3.5]), "shape"), (tensor(shape=[-3]), "shape"), (tensor(shape=[True]), "shape"),
    (tensor(shape=[]), "shape"), (tensor(shape=[0]), "shape"), (tensor(shape=[1] * 9), "shape"),
    (tensor(shape=[1 << 62, 1 << 62]), "takes"), (tensor(shape=[4]), "takes 16"),
    (tensor(data_offsets=[4, 16]), "'d/b'"), (tensor(data_offsets=[-12, 0]), "data_offsets"),
    (tensor(data_offsets=[12, 0]), "takes"), (tensor(data_offsets=[1, 13]), "gap"),
    (tensor(data_offsets=[1 << 70, (1 << 70) + 12]), "gap"),
    (tensor(extra=1), "must have"), (lambda header: header.update(x=3), "'x'"),
    (lambda header: header.pop("n/v"), "gap"),
    (lambda header: header.pop("__metadata__"), "metadata"),
    (lambda header: header["__metadata__"].update(version="4"), "version"),
    (lambda header: header["__metadata__"].pop("graph"), "'graph'"),
    (lambda header: header["__metadata__"].update(graph="["), "not valid JSON"),
    (lambda header: header["__metadata__"].update(graph="{}"), "not a JSON list"),
    (lambda header: header["__metadata__"].update(graph="[]"), "input"),
    (metadata("quantization", lambda q: q.pop("a/k") and q), "no scale"),
    (metadata("quantization", lambda q: q.update({"d/b": [1.0, 0.0]})), "F32 but has a scale"),
    (metadata("quantization", lambda q: q.update({"zz": [1.0, 0.0]})), "'zz'"),
    (metadata("quantization", lambda q: q.update({"a/k": [0.0, 1.0]})), "scale"),
    (metadata("quantization", lambda q: q.update({"a/k": [1e300, 1.0]})), "scale"),
    (metadata("quantization", lambda q: q.update({"a/k": [10 ** 400, 1.0]})), "scale"),
    (metadata("quantization", lambda q: q.update({"a/k": ["1", 1.0]})), "no scale"),
    (metadata("preprocessing", lambda p: p.pop("scale") and p), "preprocessing"),
    (metadata("preprocessing", lambda p: p.update(scale="1")), "preprocessing"),
    (metadata("input_size", lambda size: [0, 5]), "input_size"),
    (metadata("input_size", lambda size: "big"), "input_size"),
    (metadata("provenance", lambda p: p.update(source=1)), "provenance"),
    (node(1, op="exec"), "unknown operation"), (node(1, inputs=["p"]), "not an earlier node"),
    (node(1, inputs="in"), "wrong type"), (node(1, inputs=["in", "in"]), "2 inputs"),
    (node(2, name="a"), "two nodes"), (node(2, name=""), "no name"), (node(2, extra=1), "must"),
    (node(1, op="input", inputs=[], attributes={"channels": 3}), "second input"),
    (attribute(0, channels=0), "channels"), (attribute(0, channels="3"), "channels"),
    (attribute(1, strides=[1]), "strides"), (attribute(1, strides=[1, 1.5]), "strides"),
    (attribute(1, strides=[0, 1]), "strides"), (attribute(1, padding="full"), "padding"),
    (attribute(1, padding=[1, 1, 1, -1]), "padding"), (attribute(1, kernel=3), "kernel"),
    (attribute(1, kernel="zz"), "'zz'"), (attribute(1, kernel="d/k"), "dimension"),
    (attribute(1, kernel="n/v"), "dimension"), (attribute(1, flag=1), "unknown attribute"),
    (attribute(2, epsilon=0.0), "epsilon"), (attribute(2, epsilon=True), "epsilon"),
    (attribute(3, max_value=-1), "max_value"),
    (attribute(4, count_include_padding=1), "count_include_padding"),
    (metadata("graph", lambda graph: graph[1]["attributes"].pop("strides") and graph), "lacks"),
    (metadata("graph", lambda graph: graph[:-1]), "no node uses"),
    (metadata("graph", lambda graph: graph + [3]), "node number 8"),
])
def test_malformed(path, change, part):
    header, data = split(path)
    changed = copy.deepcopy(header)
    change(changed)
    assert changed != header
    join(path, changed, data)
    fails(path, part)


def test_not_finite(path):
    header, data = split(path)
    start = header["n/v"]["data_offsets"][0]
    join(path, header, data[:start] + struct.pack("<f", float("nan")) + data[start + 4:])
    fails(path, "'n/v' holds NaN")


def test_misaligned(path):
    header, data = split(path)
    text = json.dumps(header["__metadata__"])
    entries = sorted((entry["data_offsets"], name) for name, entry in header.items()
                     if name != "__metadata__")
    position, parts = 0, []
    for (start, end), name in sorted(entries, key=lambda each: each[1] != "n/m"):  # of five bytes
        header[name]["data_offsets"] = [position, position + end - start]
        position += end - start
        parts.append(data[start:end])
    assert header["n/m"]["data_offsets"] == [0, 5] and json.dumps(header["__metadata__"]) == text
    join(path, header, b"".join(parts))
    fails(path, "not aligned")


# The checksum

def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1:]


def test_every_flipped_bit_is_noticed(path):
    with open(path, "rb") as stream:
        content = stream.read()
    assert content[8:].startswith(b'{"__metadata__":{"crc32":"')
    for place in range(len(content)):
        with open(path, "wb") as stream:
            stream.write(flipped(content, place, (place * 5 + place // 8) % 8))
        with pytest.raises(WeightsError):
            read_network(path)


def test_a_flipped_weight_is_named_damage(path):
    with open(path, "r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)[0]
        stream.seek(-1, 2)
        stream.write(bytes([last ^ 1]))
    fails(path, "damaged", "checksum")


def test_files_of_earlier_releases_have_no_checksum(path):
    before = load_network(path).fingerprint()
    header, data = split(path)
    join(path, header, data)
    assert "crc32" not in split(path)[0]["__metadata__"]
    assert load_network(path).fingerprint() == before


def test_unknown_metadata_are_not_passed_over(path):
    """Else a checksum whose name is damaged would count as none."""
    header, data = split(path)
    header["__metadata__"]["crc33"] = "00000000"
    join(path, header, data)
    fails(path, "unknown entry 'crc33'")


def test_the_packaged_backbones_have_checksums():
    folder = os.path.dirname(packaged_path("inception_v3"))
    names = [name for name in os.listdir(folder) if name.endswith(".gtw")]
    assert len(names) >= 3
    for name in names:
        assert "crc32" in split(os.path.join(folder, name))[0]["__metadata__"], name


# What is loaded no longer depends on the file

@pytest.mark.parametrize("limit", [1, 1 << 30], ids=["in a file", "in memory"])
@pytest.mark.parametrize("damage", ["cut", "other bytes"])
def test_what_is_loaded_stays(path, monkeypatch, limit, damage):
    monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", limit)
    network = load_network(path)
    with open(path, "r+b") as stream:
        if damage == "cut":
            stream.truncate(0)
        else:
            stream.write(bytes(os.path.getsize(path)))
    assert network.fingerprint() == small_network().fingerprint()
    assert network.arrays["d/k"].base is not None and not network.arrays["d/k"].flags.writeable


def test_a_full_disk_leaves_the_copy_in_memory(path, monkeypatch, tmp_path):
    monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert load_network(path).fingerprint() == small_network().fingerprint()


def test_a_file_cut_short_while_it_is_read(path, monkeypatch):
    """The size is asked for first; somebody cuts the file after that."""
    size = os.path.getsize(path)
    with open(path, "r+b") as stream:
        stream.truncate(size - 3)
    found = os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat_result(
        list(found(descriptor))[:6] + [size] + list(found(descriptor))[7:]))
    for limit in (1, 1 << 30):
        monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", limit)
        with pytest.raises(WeightsError, match="became shorter"):
            read_network(path)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    for read in (load_network, read_network):
        with pytest.raises(WeightsError, match="not a regular file"):
            read(str(tmp_path / "pipe"))


# Kernels in 16 bits, and scales of channels

def compressed_network():
    random = np.random.RandomState(2)
    network = small_network()
    network.arrays["a/k"] = ChannelQuantizedArray(
        network.arrays["a/k"].values, random.uniform(0.01, 0.1, 5), random.normal(size=5))
    network.arrays["d/k"] = network.arrays["d/k"].astype(np.float16)
    return network


@pytest.fixture
def compressed(tmp_path):
    path = str(tmp_path / "small.gtw")
    write_network(path, compressed_network())
    return path


def test_round_trip_of_compressed_arrays(compressed, tmp_path):
    before, after = compressed_network(), load_network(compressed)
    assert after.fingerprint() == before.fingerprint() != small_network().fingerprint()
    assert set(after.arrays) == set(before.arrays)
    kernel = after.arrays["a/k"]
    assert isinstance(kernel, ChannelQuantizedArray)
    np.testing.assert_array_equal(kernel.dequantize(), before.arrays["a/k"].dequantize())
    assert after.arrays["d/k"].dtype == np.float16
    np.testing.assert_array_equal(after.arrays["d/k"], before.arrays["d/k"])
    again = str(tmp_path / "again.gtw")
    write_network(again, after)
    with open(compressed, "rb") as one, open(again, "rb") as two:
        assert one.read() == two.read()
    assert sorted(load_network(compressed, "a").arrays) == ["a/k"]


def test_version_says_whether_earlier_releases_can_read_it(path, tmp_path):
    assert split(path)[0]["__metadata__"]["version"] == "1"
    write_network(path, compressed_network())
    assert split(path)[0]["__metadata__"]["version"] == "2"


def test_compressed_arrays_compute_what_their_values_do(compressed):
    pixels = np.random.RandomState(0).randint(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    network = load_network(compressed)
    plain = compressed_network()
    plain.arrays["a/k"] = plain.arrays["a/k"].dequantize()
    plain.arrays["d/k"] = plain.arrays["d/k"].astype(np.float32)
    ours, expected = [Backbone.from_network(each, "x", layer="d").features(pixels)
                      for each in (network, plain)]
    np.testing.assert_array_equal(ours, expected)


def channel_scale(change):
    """A change of the scales, which are 5 numbers of float32 in the file."""
    def apply(header, data):
        start, end = header["scale/a/k"]["data_offsets"]
        data[start:end] = change(np.frombuffer(bytes(data[start:end]), "<f4").copy()).tobytes()
    return apply


def scaled(number):
    def change(values):
        values[3] = number
        return values
    return channel_scale(change)


def half(bits):
    def apply(header, data):
        start = header["d/k"]["data_offsets"][0]
        data[start:start + 2] = struct.pack("<H", bits)
    return apply


def header_only(change):
    return lambda header, data: change(header)


@pytest.mark.parametrize("change, part", [
    (scaled(0.0), "scale/a/k"), (scaled(-0.5), "scale/a/k"), (scaled(np.nan), "scale/a/k"),
    (scaled(np.inf), "scale/a/k"), (scaled(1e38), "scale/a/k"), (half(0x7c00), "'d/k' holds"),
    (half(0x7e01), "'d/k' holds"), (half(0xfc00), "'d/k' holds"),
    (header_only(metadata("quantization", lambda value: value.update(
        {"a/k": ["scale/a/k", "minimum/n/m"]}))), "no scale and minimum"),
    (header_only(metadata("quantization", lambda value: value.update(
        {"n/m": ["scale/n/m", "minimum/n/m"]}))), "'scale/n/m' is missing"),
    (header_only(metadata("quantization", lambda value: value.update({"a/k": [0.1, -1.0]}))),
     "scale or minimum of no other"),
    (header_only(metadata("quantization", lambda value: value.update({"d/k": [0.1, -1.0]}))),
     "F16 but has a scale"),
    (header_only(lambda header: header["scale/a/k"].update(shape=[1, 5])), "shape [5]"),
    (header_only(lambda header: header["d/k"].update(dtype="BF16")), "BF16"),
    (header_only(lambda header: header["d/k"].update(shape=[10, 1 << 50])), "takes"),
])
def test_hostile_scales_and_halves(compressed, change, part):
    header, data = split(compressed)
    data = bytearray(data)
    change(header, data)
    join(compressed, header, bytes(data))
    fails(compressed, part)


def test_scales_of_the_wrong_length(tmp_path):
    values = np.zeros((3, 3, 3, 5), np.uint8)
    for scale in (np.ones(4), np.ones((1, 5)), np.float32(1)):
        with pytest.raises(ValueError, match="shape"):
            ChannelQuantizedArray(values, scale, np.zeros(5))
    network = small_network()
    network.arrays["scale/x"] = network.arrays.pop("d/b")
    network.nodes[-1].attributes["bias"] = "scale/x"
    with pytest.raises(WeightsError, match="scale/x"):
        write_network(str(tmp_path / "x.gtw"), network)
