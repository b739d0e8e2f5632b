"""Files of weights alone: networks of keras.applications that are known by name."""
import os

import h5py
import numpy as np
import pytest

from gear_transfer.errors import WeightsError
from gear_transfer.importers import inception_v3, load_network
from gear_transfer.importers.keras import describe, families
from keras_files import small_numbered, small_weights, write_numbered, write_weights

MOBILENET = "mobilenet_0.25"


def described(name):
    return describe(families.configuration(name), name)


def named_weights(description):
    """As `write_weights` takes them: random arrays in the shapes that are wanted."""
    random = np.random.RandomState(0)
    layers = {}
    for want in description.wanted.values():
        layers.setdefault(want.place.names[0], {})[want.names[0]] = np.abs(
            random.normal(size=want.stored_shape)).astype(np.float32)
    return [(name, layers[name]) for name in sorted(layers)]


def numbered_weights(description, names):
    """As `write_numbered` takes them."""
    arrays = dict(named_weights(description))
    layers = {}
    for want in description.wanted.values():
        layer = want.place.names[0]
        path = want.place.path[1]
        entry = layers.setdefault(path, (layer if names else None, []))
        assert len(entry[1]) == want.position
        entry[1].append(arrays[layer][want.names[0]])
    return layers


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["named", "keras 3", "keras 2.15", "keras 2.13"])
def test_mobilenet_in_every_layout(tmp_path, layout):
    description = described(MOBILENET)
    path = str(tmp_path / "m.weights.h5")
    with h5py.File(path, "w") as stream:
        if layout == "named":
            write_weights(stream, named_weights(description) + [("conv_preds", {
                "kernel": np.ones((1, 1, 256, 1000), np.float32)})])
        else:
            write_numbered(stream, numbered_weights(description, layout == "keras 3"),
                           "_layer_checkpoint_dependencies" if layout == "keras 2.13" else "layers")
    network = load_network(path)
    assert network.name == MOBILENET and network.layers[-1] == "conv_pw_13_relu"
    assert network.input_size == (224, 224)
    assert "MobileNet" in network.preprocessing_reason
    arrays = dict(named_weights(description))
    np.testing.assert_array_equal(network.arrays["conv_pw_3/kernel"], arrays["conv_pw_3"]["kernel"])
    np.testing.assert_array_equal(network.arrays["conv_dw_3_bn/variance"],
                                  arrays["conv_dw_3_bn"]["moving_variance"])
    assert load_network(path, "conv_dw_1_relu").layers[-1] == "conv_dw_1_relu"


@pytest.mark.slow
def test_inception_v3_in_the_layout_of_keras_3(tmp_path):
    """The order of the file is not that of the numbers in the names."""
    nodes, shapes = inception_v3.architecture()
    layers = {}
    for kind, roles in (("conv2d", ["kernel"]), ("batch_normalization", ["beta", "mean", "variance"])):
        names = [node.name for node in nodes if node.name.startswith(kind + "_")]
        for place, name in enumerate(reversed(names)):
            path = "{}_{}".format(kind, place) if place else kind
            number = int(name.rsplit("_", 1)[1])
            layers[path] = ("{}_{}".format(kind, number + 94), [
                np.full(shapes[name + "/" + role], number + index, np.float32)
                for index, role in enumerate(roles)])
    path = str(tmp_path / "i.weights.h5")
    with h5py.File(path, "w") as stream:
        write_numbered(stream, layers)
    network = load_network(path, "mixed0")
    for number in (1, 5, 12):
        assert network.arrays["conv2d_{}/kernel".format(number)].flat[0] == number
        assert network.arrays["batch_normalization_{}/variance".format(number)].flat[0] == number + 2


#: Convolutions and dense layers that count, and million parameters without classifier, as published.
PUBLISHED = {"vgg16": (13, 14.7), "vgg19": (16, 20.0), "resnet50": (53, 23.6),
             "resnet101": (104, 42.7), "resnet152": (155, 58.4), "resnet50v2": (53, 23.6),
             "resnet101v2": (104, 42.6), "resnet152v2": (155, 58.3), "densenet121": (120, 7.0),
             "densenet169": (168, 12.6), "densenet201": (200, 18.3), "mobilenet_1.00": (27, 3.2),
             "mobilenetv2_1.00": (52, 2.3)}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_sizes_are_those_published(name):
    description = described(name)
    count = sum(node.op == "conv2d" for node in description.nodes)
    parameters = sum(int(np.prod(want.shape)) for want in description.wanted.values())
    assert (count, round(parameters / 1e6, 1)) == PUBLISHED[name]


@pytest.mark.slow
def test_no_family_is_taken_for_another():
    """Of two whose layers fit, the larger one comes first."""
    shapes = dict((name, dict((key, want.stored_shape) for key, want in
                              described(name).wanted.items())) for name in families.FAMILIES)
    names = list(shapes)
    for index, name in enumerate(names):
        for earlier in names[:index]:
            assert not set(shapes[earlier].items()) <= set(shapes[name].items())


@pytest.mark.slow
def test_unknown_weights_say_what_is_needed(tmp_path):
    path = str(tmp_path / "unknown.weights.h5")
    for write in (lambda stream: write_weights(stream, small_weights()),
                  lambda stream: write_numbered(stream, small_numbered())):
        with h5py.File(path, "w") as stream:
            write(stream)
        with pytest.raises(WeightsError) as caught:
            load_network(path)
        for part in (os.path.basename(path), "model.load_weights(FILE)", 'model.save("model.keras")'):
            assert part in str(caught.value)


@pytest.mark.parametrize("head, parts", [
    (b"\x80\x02}q\x00" + b"." * 20, ("PyTorch", "safetensors", "onnx")),
    (b"\x1c\0\0\0TFL3" + b"." * 20, ("TensorFlow Lite", "model.save")),
    (b"\x1f\x8b\x08" + b"." * 20, ("gzip",)),
    (b"\x93NUMPY\x01\x00" + b"." * 20, ("NumPy",))])
def test_other_files_say_what_they_are(tmp_path, head, parts):
    path = tmp_path / "model.pth"
    path.write_bytes(head)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in ("model.pth", "readable are") + parts:
        assert part in str(caught.value)
