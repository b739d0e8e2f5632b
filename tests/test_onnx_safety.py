"""ONNX files that lie, or reach beyond themselves: refused by a typed error, before memory is taken."""
import os
import sys
import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_files import Graph, saved

from gear_transfer.errors import WeightsError
from gear_transfer.importers import load_network

KERNEL = (4, 3, 3, 3)
BYTES = 4 * 4 * 3 * 3 * 3


def with_weights_beside(folder, location="weights.bin", offset=0, length=BYTES, content=None, **more):
    """A model whose kernel lies in another file, and its path."""
    g = Graph()
    kernel = TensorProto()
    kernel.name, kernel.data_type = "kernel", TensorProto.FLOAT
    kernel.dims.extend(KERNEL)
    kernel.data_location = TensorProto.EXTERNAL
    for key, value in dict(more, location=location, offset=str(offset), length=str(length)).items():
        entry = kernel.external_data.add()
        entry.key, entry.value = key, value
    g.tensors.append(kernel)
    g.add("Conv", "image", "kernel", pads=[1] * 4, name="stem")
    if content is not None:
        with open(os.path.join(str(folder), "weights.bin"), "wb") as stream:
            stream.write(content)
    return saved(folder, g.model())


def test_weights_beside_the_model_are_read(tmp_path):
    values = np.arange(108, dtype=np.float32) / 100
    path = with_weights_beside(tmp_path, offset=64, content=b"x" * 64 + values.tobytes() + b"yy")
    network = load_network(path)
    kernel = network.arrays[network.nodes[-1].attributes["kernel"]]
    assert np.array_equal(kernel, values.reshape(KERNEL).transpose(2, 3, 1, 0))


@pytest.mark.parametrize("location", [
    "../weights.bin", "/etc/passwd", "folder/weights.bin", "..", ".", "", "a\\weights.bin",
    "weights.bin\0.txt"])
def test_only_plain_names_in_the_same_folder(tmp_path, location):
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * BYTES)
    path = with_weights_beside(tmp_path / "inner", location)
    with pytest.raises(WeightsError, match="only a file of a plain name"):
        load_network(path)


def test_links_devices_pipes_and_folders_are_refused(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"\0" * BYTES)
    (tmp_path / "link.bin").symlink_to(tmp_path / "real.bin")
    (tmp_path / "zero.bin").symlink_to("/dev/zero")
    os.mkfifo(str(tmp_path / "pipe.bin"))
    (tmp_path / "folder.bin").mkdir()
    for name, word in (("link.bin", "symbolic link"), ("zero.bin", "symbolic link"),
                       ("pipe.bin", "named pipe"), ("folder.bin", "folder"),
                       ("none.bin", "missing")):
        with pytest.raises(WeightsError, match=word):
            load_network(with_weights_beside(tmp_path, name))


@pytest.mark.parametrize("settings, word", [
    ({"offset": 1}, "cut short"), ({"offset": 1 << 59}, "cut short"), ({"offset": 1 << 62}, "offset"),
    ({"offset": -1}, "offset '-1'"), ({"offset": "1e3"}, "offset '1e3'"),
    ({"offset": 10 ** 19}, "offset"), ({"length": 100}, "100 are named"),
    ({"length": -BYTES}, "length"), ({"length": 1 << 59}, "are named"), ({"length": 1 << 60}, "length")])
def test_places_beyond_the_file(tmp_path, settings, word):
    with pytest.raises(WeightsError, match=word):
        load_network(with_weights_beside(tmp_path, content=b"\0" * BYTES, **settings))


def test_a_tensor_that_claims_more_than_there_is_takes_no_memory(tmp_path):
    for dims in ((1 << 20, 1 << 20, 1, 1), (1 << 62, 1 << 62, 3, 3), (-4, 3, 3, 3)):
        model = Graph()
        tensor = TensorProto()
        tensor.name, tensor.data_type, tensor.raw_data = "kernel", TensorProto.FLOAT, b"\0" * 16
        tensor.dims.extend(dims)
        model.tensors.append(tensor)
        model.add("Conv", "image", "kernel", name="stem")
        path = saved(tmp_path, model.model())
        tracemalloc.start()
        with pytest.raises(WeightsError):
            load_network(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()


@pytest.mark.parametrize("write", [
    lambda g: g.add("ConstantOfShape", g.ints(1 << 20, 1 << 20)),
    lambda g: g.add("Expand", g.number(1.0), g.ints(1 << 20, 1 << 20)),
    lambda g: g.add("Tile", g.tensor((4, 4)), g.ints(1 << 19, 1 << 19)),
    lambda g: g.add("Range", g.tensor(np.int64(0)), g.tensor(np.int64(1 << 40)),
                    g.tensor(np.int64(1)))])
def test_numbers_made_from_nothing_take_no_memory(tmp_path, write):
    g = Graph()
    x = g.conv(4)
    g.add("Add", x, g.add("Neg", write(g)), name="sum")
    path = saved(tmp_path, g.model())
    tracemalloc.start()
    with pytest.raises(WeightsError, match="node '"):
        load_network(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.slow
def test_ten_thousand_operations_deep(tmp_path):
    g = Graph()
    g.conv(4)
    for _ in range(10000):
        g.add("Relu")
    assert len(load_network(saved(tmp_path, g.model())).nodes) == 10002


def test_more_operations_than_are_allowed(tmp_path, monkeypatch):
    from gear_transfer.importers.onnx import translate
    monkeypatch.setattr(translate, "MOST_NODES", 5)
    g = Graph()
    g.conv(4)
    for _ in range(5):
        g.add("Relu")
    with pytest.raises(WeightsError, match="more than 5 nodes"):
        load_network(saved(tmp_path, g.model()))


def test_a_circle(tmp_path):
    g = Graph()
    g.add("Add", "image", "late:0", name="early")
    g.add("Relu", name="late")
    with pytest.raises(WeightsError, match=r"node 'early' \(Add\) reads 'late:0', which no earlier"):
        load_network(saved(tmp_path, g.model()))


def test_names_that_collide(tmp_path):
    model = Graph()
    model.conv(4, name="one")
    model.conv(4, name="two")
    proto = model.model()
    proto.graph.node[1].output[0] = "one:0"
    with pytest.raises(WeightsError, match="node 'two'.*'one:0', which there is already"):
        load_network(saved(tmp_path, proto))
    twice = Graph()
    twice.tensor((4, 3, 1, 1), "same")
    twice.tensor((4, 3, 1, 1), "same")
    twice.add("Conv", "image", "same")
    with pytest.raises(WeightsError, match="two tensors have the name 'same'"):
        load_network(saved(tmp_path, twice.model()))


@pytest.mark.parametrize("write, word", [
    (lambda g: g.add("Conv", "image", "nowhere", name="odd"), "node 'odd'.*'nowhere'"),
    (lambda g: g.add("Conv", "image", g.tensor((4, 5, 3, 3)), name="odd"), "node 'odd'.*3 channels"),
    (lambda g: g.add("Conv", "image", g.tensor((4, 3, 3)), name="odd"), "node 'odd'.*only maps"),
    (lambda g: g.add("Conv", "image", g.tensor((4, 3, 99, 3)), name="odd"), "node 'odd'.*99 pixels"),
    (lambda g: g.add("Conv", "image", name="odd"), "node 'odd'.*kernel"),
    (lambda g: g.add("Reshape", "image", g.ints(0, 7, -1), name="odd"), "node 'odd'.*reshapes"),
    (lambda g: g.add("Add", "image", g.tensor((5, 1, 1)), name="odd"), "node 'odd'.*joins"),
    (lambda g: g.add("Transpose", "image", perm=[0, 1, 2], name="odd"), "node 'odd'.*perm"),
    (lambda g: g.add("Concat", "image", g.tensor((1, 3, 5, 5)), axis=7, name="odd"),
     "node 'odd'.*axis"),
])
def test_what_does_not_fit(tmp_path, write, word):
    g = Graph()
    write(g)
    with pytest.raises(WeightsError, match=word):
        load_network(saved(tmp_path, g.model()))


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "model.onnx"
    g = Graph()
    g.conv(4)
    whole = g.model().SerializeToString()
    for data, word in ((b"version https://git-lfs.github.com/spec/v1\n", "not an ONNX model"),
                       (b"\0" * 100, "not an ONNX model"), (whole[:-40], "not an ONNX model"),
                       (whole[:12], "not an ONNX model"), (b"", "empty")):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=word):
            load_network(path)


def test_a_model_is_known_by_its_content(tmp_path):
    g = Graph()
    g.conv(4)
    path = tmp_path / "weights"
    path.write_bytes(g.model().SerializeToString())
    assert load_network(path).layers == ["image", "conv"]


def test_an_opset_before_the_oldest(tmp_path):
    g = Graph(opset=6)
    g.conv(4)
    with pytest.raises(WeightsError, match="version 6 of ONNX's operators"):
        load_network(saved(tmp_path, g.model()))


def test_two_images(tmp_path):
    g = Graph()
    g.conv(4)
    model = g.model()
    model.graph.input.append(helper.make_tensor_value_info("second", 1, [1, 3, 4, 4]))
    with pytest.raises(WeightsError, match="2 inputs"):
        load_network(saved(tmp_path, model))


def test_numbers_that_are_none(tmp_path):
    g = Graph()
    kernel = np.zeros(KERNEL, np.float32)
    kernel[0, 0, 0, 0] = np.nan
    g.add("Conv", "image", g.tensor(kernel), name="stem")
    with pytest.raises(WeightsError, match="'stem/kernel' holds a number that is NaN"):
        load_network(saved(tmp_path, g.model()))


def test_without_the_package_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    g = Graph()
    g.conv(4)
    path = saved(tmp_path, g.model())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(WeightsError, match="the package onnx, which is missing: pip install onnx"):
        load_network(path)
