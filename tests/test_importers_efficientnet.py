"""EfficientNet-Lite from safetensors files: features against PyTorch's, and every way to be wrong."""
import json
import os
import struct

import numpy as np
import pytest

from gear_transfer import Backbone
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.convert import convert
from gear_transfer.importers.efficientnet_lite import VARIANTS, architecture
from gear_transfer.importers.safetensors import MOST_TENSORS

BLOCKS = {"efficientnet_lite0": 16, "efficientnet_lite2": 21}

#: The issue allows 1e-4; float32 sums in another order make less than 1e-5.
BOUND = 1e-5


def file_of(shared, name):
    return os.path.join(shared, "weights", name + ".safetensors")


def reference(shared, name):
    with np.load(os.path.join(shared, "reference", name + ".npz"), allow_pickle=False) as file:
        return dict((key, file[key][:4]) for key in file.files)


def difference(ours, expected):
    assert ours.shape == expected.shape
    return np.abs(ours.astype(float) - expected).max() / np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_block_as_pytorch_computes_it(shared, name):
    known = reference(shared, name)
    layers = ["block{}".format(i) for i in range(BLOCKS[name])] + ["head"]
    size = known["images_uint8"].shape[1]
    path = file_of(shared, name)
    maps = Backbone.load(path, layer=layers, input_size=size, pooling=None).features(
        known["images_uint8"])
    for layer, values in zip(layers, maps):
        averages = values.astype(float).mean(axis=(1, 2))
        assert difference(averages, known["gap_" + layer]) <= BOUND, layer
    assert difference(maps[-1], known["map_head_first4"]) <= BOUND
    pooled = Backbone.load(path, layer=layers, input_size=size).features(known["images_uint8"])
    for layer, values in zip(layers, pooled):
        assert difference(values, known["gap_" + layer]) <= BOUND, layer
    backbone = Backbone.load(path, layer="logits", pooling=None)
    assert backbone.input_size == (size, size) == VARIANTS[name][2:] * 2
    assert difference(backbone.features(known["images_uint8"]), known["logits"]) <= BOUND


def same(values, side, stride):
    """Padding as TensorFlow lays it, more below and to the right."""
    pads = []
    for length in values.shape[:2]:
        total = max((-(-length // stride) - 1) * stride + side - length, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(values, pads + [(0, 0)], "constant")


def convolve(values, kernel, stride, groups):
    """A convolution of one map by loops over the kernel's places, in float64."""
    side, channels = kernel.shape[0], kernel.shape[3]
    padded = same(values, side, stride)
    height, width = [-(-length // stride) for length in values.shape[:2]]
    result = np.zeros((height, width, channels))
    for y in range(side):
        for x in range(side):
            seen = padded[y:y + stride * (height - 1) + 1:stride,
                          x:x + stride * (width - 1) + 1:stride]
            result += seen * kernel[y, x, 0] if groups > 1 else seen.dot(kernel[y, x])
    return result


def twin(network, image, last):
    """The result of a layer for one image, computed plainly in float64."""
    values = {network.nodes[0].name: image * network.preprocessing["scale"]
              + network.preprocessing["offset"]}
    for node in network.upto(last).nodes[1:]:
        inputs = [values[name] for name in node.inputs]
        arrays = dict((key, network.arrays[name].astype(float))
                      for key, name in node.attributes.items() if isinstance(name, str)
                      and name in network.arrays)
        if node.op == "conv2d":
            values[node.name] = convolve(inputs[0], arrays["kernel"], node.attributes["strides"][0],
                                         node.attributes.get("groups", 1))
        elif node.op == "batch_norm":
            values[node.name] = arrays["beta"] + arrays["gamma"] * (
                inputs[0] - arrays["mean"]) / np.sqrt(
                    arrays["variance"] + node.attributes["epsilon"])
        elif node.op == "relu":
            values[node.name] = np.clip(inputs[0], 0, node.attributes["max_value"])
        else:
            assert node.op == "add"
            values[node.name] = inputs[0] + inputs[1]
    return values[last]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_an_odd_size_against_a_plain_twin(shared, name):
    image = reference(shared, name)["images_uint8"][1][20:117, 30:117]
    network = load_network(file_of(shared, name))
    backbone = Backbone.from_network(network, name, layer="head", input_size=image.shape[:2],
                                     pooling=None)
    ours = backbone.features(image[np.newaxis])[0]
    assert ours.shape == (4, 3, 1280)
    assert difference(ours, twin(network, image, "head")) <= BOUND


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_what_is_read(shared, name, tmp_path):
    network = load_network(file_of(shared, name))
    assert network.name == name and network.layers[-3:] == ["head", "pool", "logits"]
    assert [layer for layer in network.layers if "/" not in layer and "block" in layer] == [
        "block{}".format(i) for i in range(BLOCKS[name])]
    assert network.preprocessing == {"scale": 1 / 128, "offset": -127 / 128}
    cut = load_network(file_of(shared, name), "block3", {"scale": 1.0, "offset": 0.0})
    assert cut.layers[-1] == "block3" and "head/kernel" not in cut.arrays
    assert cut.preprocessing == {"scale": 1.0, "offset": 0.0}
    with pytest.raises(GraphError, match="no layer 'block99'"):
        load_network(file_of(shared, name), "block99")
    written = str(tmp_path / "net.gtw")
    convert(file_of(shared, name), written, layer="head", quantize=False)
    assert load_network(written).fingerprint() == network.upto("head").fingerprint()


# Files that are wrong

def small_file(path, variant="efficientnet_lite0", classes=2, change=None):
    """A file with the shapes of a variant, the weights all alike; `change` alters header or data."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    position = 0
    for want in architecture(variant, classes)[1].values():
        size = 4 * int(np.prod(want.shape))
        header[want.tensor] = {"dtype": "F32", "shape": list(want.shape),
                               "data_offsets": [position, position + size]}
        data.append(np.full(want.shape, 0.5, "<f4").tobytes())
        position += size
    data = bytearray(b"".join(data))
    if change is not None:
        change(header, data)
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_each_variant_is_told_by_its_shapes(tmp_path, variant):
    network = load_network(small_file(str(tmp_path / "x"), variant, classes=7))
    size = VARIANTS[variant][2]
    assert (network.name, network.input_size) == (variant, (size, size))
    assert network.arrays["logits/kernel"].shape == (1280, 7)


def renamed(name, other):
    def change(header, data):
        header[other] = header.pop(name)
    return change


def other_shape(name, shape):
    return lambda header, data: header[name].update(shape=shape)


def value(name, number):
    def change(header, data):
        place = header[name]["data_offsets"][0]
        data[place:place + 4] = struct.pack("<f", number)
    return change


def entry(name, **fields):
    return lambda header, data: header[name].update(fields)


def crowd(header, data):
    header.update(("t{}".format(i), {}) for i in range(MOST_TENSORS))


EXPAND = "_blocks.1._expand_conv.weight"
DEEP = "_blocks.15._project_conv.weight"


@pytest.mark.parametrize("change, parts", [
    (renamed(EXPAND, "other"), ["other", "not one of efficientnet_lite0"]),
    (lambda header, data: (header.pop("_bn1.bias"), data.__delitem__(slice(0))),
     ["begins at byte"]),
    (renamed("_conv_stem.weight", "stem"), ["Looked for", "EfficientNet-Lite"]),
    (renamed(DEEP, "x"), ["one of its variants"]),
    (other_shape(EXPAND, [16, 96, 1, 1]), [EXPAND, "[16, 96, 1, 1]", "[96, 16, 1, 1]"]),
    (other_shape(EXPAND, [96, 16]), [EXPAND, "[96, 16]"]),
    (other_shape(EXPAND, [1 << 40, 1 << 40]), [EXPAND, "takes"]),
    (other_shape(EXPAND, []), [EXPAND, "shape []"]),
    (other_shape("_fc.weight", [2 * 1280]), ["_fc.", "expected"]),
    (entry(EXPAND, dtype="F64"), [EXPAND, "F64"]),
    (entry(EXPAND, dtype=["F32"]), [EXPAND]),
    (entry(EXPAND, data_offsets=[0, 1 << 62]), [EXPAND, "span"]),
    (entry(EXPAND, more=1), [EXPAND]),
    (crowd, ["more than"]),
    (lambda header, data: data.__delitem__(slice(-4, None)), ["cut short"]),
    (lambda header, data: data.extend(b"more"), ["lie behind"]),
    (value(EXPAND, np.nan), [EXPAND, "NaN"]),
    (value(DEEP, np.inf), [DEEP, "infinity"]),
    (value("_bn1.running_var", -1.0), ["_bn1.running_var", "negative"]),
])
def test_a_wrong_file_is_refused_by_name(tmp_path, change, parts):
    path = small_file(str(tmp_path / "wrong.safetensors"), change=change)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in ["wrong.safetensors"] + parts:
        assert part in str(caught.value)


def test_a_missing_tensor_is_named(tmp_path):
    def change(header, data):
        last = max(header, key=lambda name: header[name].get("data_offsets", [0])[0])
        del data[header.pop(last)["data_offsets"][0]:]

    with pytest.raises(WeightsError, match="_fc.bias.* is missing"):
        load_network(small_file(str(tmp_path / "x"), change=change))


def test_metadata_may_be_missing_or_odd(tmp_path):
    for odd in (None, 3, {"format": 1}):
        path = small_file(str(tmp_path / "x"),
                          change=lambda header, data: header.update(__metadata__=odd))
        assert load_network(path, "block0").name == "efficientnet_lite0"
