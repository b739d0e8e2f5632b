"""Keras layers as nodes: models inside models, lazy translation, every layer and its refusals."""
import os

import h5py
import numpy as np
import pytest

from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.features.backbone import Backbone
from gear_transfer.importers import load_network
from keras_files import (conv, functional, image, image_3, layer, layer_3, model_config, tensor,
                         write_archive, write_model, write_weights)

OPS = "keras.src.ops.numpy"


def fails(path, *parts, **options):
    """The import fails with a message that names the file and every part."""
    with pytest.raises(WeightsError) as caught:
        load_network(path, **options)
    for part in (os.path.basename(str(path)),) + parts:
        assert part in str(caught.value), str(caught.value)


def nodes_of(network):
    return dict((node.name, node) for node in network.nodes)


def described(tmp_path, *layers, **options):
    """The network of a Keras 3 model of these layers, behind an input of 8 x 8 x 3."""
    weights = options.pop("weights", {})
    config = functional([image_3()] + list(layers))
    return load_network(write_archive(tmp_path / "m.keras", config, weights), **options)


def sequential(name, layers):
    return dict(layer_3("Sequential", name), config={"name": name, "layers": layers})


def conv_3(name, source, filters=3, size=1, **config):
    settings = dict(filters=filters, kernel_size=[size, size], use_bias=False, padding="valid")
    settings.update(config)
    return layer_3("Conv2D", name, [source] if source else [], **settings)


def kernel(filters=3, size=1, channels=3, value=1.0):
    return np.full((size, size, channels, filters), value, np.float32)


# Models inside models

def transfer_model():
    """Augmentation, a backbone that has a layer of a name in use, and a head with an unknown layer."""
    augmentation = sequential("augmentation", [layer_3("RandomFlip", "flip"),
                                               layer_3("RandomRotation", "turn")])
    augmentation["inbound_nodes"] = [{"args": [tensor("input_layer")], "kwargs": {}}]
    inner = [image_3(None, None, name="input_1"), conv_3("conv", "input_1"),
             layer_3("ReLU", "relu", ["conv"])]
    backbone = dict(functional(inner, name="backbone"),
                    inbound_nodes=[{"args": [tensor("augmentation")], "kwargs": {}}])
    return [image_3(), augmentation, backbone,
            dict(conv_3("conv", None), inbound_nodes=[
                {"args": [tensor("backbone", 1)], "kwargs": {}}]),
            layer_3("GlobalAveragePooling2D", "pool", ["conv"]),
            layer_3("Dense", "top", ["pool"], units=1, activation="sigmoid")]


TRANSFER_WEIGHTS = {
    "functional/layers/conv2d": ("conv", [kernel(value=2.0)]), "conv2d": ("conv", [kernel()]),
    "dense": ("top", [np.ones((3, 1), np.float32), np.zeros(1, np.float32)])}


def test_a_model_inside_a_model(tmp_path):
    network = load_network(write_archive(tmp_path / "t.keras", functional(transfer_model()),
                                         TRANSFER_WEIGHTS))
    assert network.layers == ["input_layer", "backbone/conv", "relu", "conv", "pool", "top/linear",
                              "top"]
    assert nodes_of(network)["backbone/conv"].inputs == ("input_layer",)
    assert network.arrays["backbone/conv/kernel"].flat[0] == 2.0
    assert network.arrays["conv/kernel"].flat[0] == 1.0
    assert nodes_of(network)["top"].attributes == {"function": "sigmoid"}


def test_named_weights_of_inner_models(tmp_path):
    inner = [image(name="input_1"), conv("Conv", "input_1", 3, 1), conv("a/Conv", "Conv", 3, 1)]
    backbone = dict(model_config(inner, "Functional"), name="backbone",
                    inbound_nodes=[[["input_2", 0, 0, {}]]])
    backbone["config"].update(name="backbone", input_layers=[["input_1", 0, 0]])
    config = model_config([image(name="input_2"), backbone], "Functional")
    config["config"]["output_layers"] = [["backbone", 1, 0]]
    path = str(tmp_path / "n.h5")
    for number, prefix in enumerate(("", "backbone/")):
        weights = {prefix + "Conv/kernel": kernel(value=1.0), prefix + "a/Conv/kernel": kernel(value=2)}
        write_model(path, config, [])
        with h5py.File(path, "r+") as stream:
            group = stream["model_weights"].create_group("backbone")
            group.attrs["weight_names"] = [name.encode() for name in sorted(weights)]
            for name in weights:
                group[name] = weights[name]
        if number == 1:  # names alone cannot tell these two apart
            fails(path, "two weights", "Conv")
            continue
        network = load_network(path)
        assert network.layers == ["input_2", "Conv", "a/Conv"]
        assert [network.arrays[name + "/kernel"].flat[0] for name in ("Conv", "a/Conv")] == [1, 2]


def test_an_inner_model_that_is_called_as_in_training(tmp_path):
    block = sequential("block", [conv_3("c", None), layer_3("BatchNormalization", "b")])
    block["inbound_nodes"] = [{"args": [tensor("input_layer")], "kwargs": {"training": True}}]
    fails(write_archive(tmp_path / "t.keras", functional([image_3(), block]), {}), "'block'",
          "training=True")


def test_an_inner_model_that_is_called_twice(tmp_path):
    block = sequential("block", [conv_3("c", None), layer_3("ReLU", "r")])
    block["inbound_nodes"] = [{"args": [tensor("input_layer")], "kwargs": {}},
                              {"args": [tensor("block")], "kwargs": {}}]
    config = functional([image_3(), block])
    config["config"]["output_layers"] = [["block", 1, 0]]
    network = load_network(write_archive(tmp_path / "b.keras", config, {
        "sequential/layers/conv2d": ("c", [kernel()])}))
    assert network.layers == ["input_layer", "c", "r", "block/call1/c", "block/call1/r"]
    assert list(network.arrays) == ["c/kernel"]


def test_the_inner_model_says_the_size_of_the_images(tmp_path):
    inner = functional([image_3(name="input_1"), layer_3("ReLU", "r", ["input_1"])], name="inner")
    inner["inbound_nodes"] = [{"args": [tensor("scaled")], "kwargs": {}}]
    layers = [image_3(None, None), layer_3("Rescaling", "scaled", ["input_layer"], scale=0.5), inner]
    config = functional(layers)
    config["config"]["output_layers"] = [["inner", 1, 0]]
    assert load_network(write_archive(tmp_path / "s.keras", config, {})).input_size == (8, 8)
    layers[1] = conv_3("scaled", "input_layer", size=3)
    assert load_network(write_archive(tmp_path / "s.keras", config, {
        "conv2d": ("scaled", [kernel(size=3)])})).input_size is None


def nested(depth):
    entry = layer_3("ReLU", "r")
    for number in range(depth):
        entry = sequential("s{}".format(number), [entry])
    entry["config"]["layers"] = [image_3()] + entry["config"]["layers"]
    return entry


@pytest.mark.parametrize("depth", [30, 150])
def test_too_many_models_within_each_other(tmp_path, depth):
    fails(write_archive(tmp_path / "deep.keras", nested(depth), {}), "within each other")
    assert load_network(write_archive(tmp_path / "ok.keras", nested(10), {})).layers[-1] == "r"


def test_ten_thousand_models_within_each_other(tmp_path):
    text = ('{"class_name": "Sequential", "config": {"name": "s", "layers": [' * 10000
            + "]}}" * 10000)
    fails(write_archive(tmp_path / "deep.keras", text, {}), "config.json")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ReLU", "Dropout"])
def test_calls_that_multiply(tmp_path, kind):
    """Eight models within each other, each of which calls the next one eight times."""
    entry = layer_3(kind, "r")
    calls = 8
    for number in range(8):
        name = entry["name"]
        entry["inbound_nodes"] = [{"args": [tensor("i" if i == 0 else name, max(i - 1, 0))],
                                   "kwargs": {}} for i in range(calls)]
        entry = functional([image_3(name="i"), entry], name="f{}".format(number))
        entry["config"]["output_layers"] = [[name, calls - 1, 0]]
    fails(write_archive(tmp_path / "many.keras", entry, {}), "the model")


# What is not supported blocks only what is above it

def blocked_model():
    return [image_3(), conv_3("below", "input_layer"), layer_3("Capsule", "odd", ["below"]),
            layer_3("ReLU", "above", ["odd"]), layer_3("ReLU", "beside", ["below"]),
            layer_3("Add", "sum", [["above", "beside"]])]


def test_an_unknown_layer_names_the_last_tap_before_it(tmp_path):
    path = write_archive(tmp_path / "b.keras", functional(blocked_model()),
                         {"conv2d": ("below", [kernel()])})
    hint = ("layer 'odd' (Capsule): this class of layer is not supported; the last layer before it "
            "that can be tapped is layer='below'")
    fails(path, hint)
    fails(path, hint, layer="above")
    fails(path, hint, taps="sum")
    for options in ({"layer": "below"}, {"taps": ["below"]}):
        assert load_network(path, **options).layers == ["input_layer", "below"]
    assert load_network(path, ("beside", "below")).layers == ["input_layer", "below", "beside"]
    with pytest.raises(GraphError, match="did you mean below"):
        load_network(path, layer="belov")
    assert Backbone.load(path, "beside", preprocessing="raw").layers == ["input_layer", "below", "beside"]
    with pytest.raises(WeightsError, match="odd"):
        Backbone.load(path, preprocessing="raw")


def test_taps_leave_a_whole_network_whole(tmp_path):
    path = write_archive(tmp_path / "w.keras", functional([
        image_3(), layer_3("ReLU", "a", ["input_layer"]), layer_3("Flatten", "b", ["a"])]), {})
    assert load_network(path, taps="a").layers == ["input_layer", "a", "b"]
    assert load_network(path, layer="a").layers == ["input_layer", "a"]


def test_names_that_collide(tmp_path):
    layers = [image_3(), layer_3("ReLU", "a", ["input_layer"]),
              conv_3("a/linear", "input_layer"), conv_3("a/x", "input_layer", activation="relu"),
              conv_3("a/x/linear", "input_layer"),
              layer_3("Concatenate", "all", [["a", "a/x", "a/x/linear"]])]
    fails(write_archive(tmp_path / "c.keras", functional(layers), {}), "two layers", "a/x/linear")
    layers = [image_3(), layer_3("ReLU", "a", ["input_layer"]), layer_3("ReLU", "a", ["input_layer"])]
    fails(write_archive(tmp_path / "c.keras", functional(layers), {}), "two layers", "'a'")


def test_cycles(tmp_path):
    layers = [image_3(), layer_3("Add", "a", [["input_layer", "b"]]), layer_3("ReLU", "b", ["a"])]
    fails(write_archive(tmp_path / "c.keras", functional(layers), {}), "'a'", "depend on it")
    layers = [image_3(), layer_3("ReLU", "b", ["nowhere"])]
    fails(write_archive(tmp_path / "c.keras", functional(layers), {}), "'b'", "nowhere")


@pytest.mark.slow
def test_layers_from_the_last_to_the_first(tmp_path):
    """Their order costs no time that grows with its square."""
    names = ["input_layer"] + ["r{}".format(i) for i in range(3000)]
    layers = [layer("ReLU", one, [two]) for one, two in zip(names[1:], names)][::-1]
    path = write_model(tmp_path / "r.h5", model_config(
        layers + [image(name="input_layer")], outputs=["r2999"]), [])
    assert len(load_network(path).nodes) == 3001


@pytest.mark.parametrize("entry, parts", [
    (conv_3("x", "input_layer", filters=1 << 24, size=1 << 13), ("x",)),
    (layer_3("Rescaling", "x", ["c"], scale=2.0), ("'x'", "numbers")),
    (layer_3("Reshape", "x", ["input_layer"], target_shape=[1 << 24, 1 << 16]), ("'x'", "does not fit")),
    (layer_3("UpSampling2D", "x", ["input_layer"], size=[1 << 40, 1]), ("'x'", "size")),
    (layer_3("Add", "x", ["input_layer", {"class_name": "__numpy__", "config": {
        "value": [[1.0], [1.0, 2.0]], "dtype": "float32"}}], module=OPS), ("'x'", "one length")),
    (layer_3("Add", "x", ["input_layer", float("1e400")], module=OPS), ("'x'",)),
    (layer_3("Add", "x", ["input_layer", 10 ** 400], module=OPS), ("'x'",)),
])
def test_sizes_that_cannot_be(tmp_path, entry, parts):
    layers = [image_3(), conv_3("c", "input_layer", filters=1 << 24), entry]
    fails(write_archive(tmp_path / "l.keras", functional(layers), {}), *parts)


# The padding of keras.applications, which depends on the size of the map

@pytest.mark.parametrize("name, size, expected", [
    ("block_1_pad", 8, "same"), ("block_1_pad", 9, "same"), ("other_pad", 8, [0, 0, 1, 1]),
    ("conv_pad_2", 8, [0, 0, 1, 1]), ("block3a_dwconv_pad", 8, "same"),
    ("expanded_conv_1/depthwise/pad", 8, "same"), ("stem_conv_pad", None, [0, 0, 1, 1])])
def test_correct_pad(tmp_path, name, size, expected):
    before = 0 if size is None or size % 2 == 0 else 1
    layers = [image_3(size, size), layer_3("ZeroPadding2D", name, ["input_layer"],
                                           padding=[[before, 1], [before, 1]]),
              conv_3("c", name, size=3, strides=[2, 2])]
    network = load_network(write_archive(tmp_path / "p.keras", functional(layers),
                                         {"conv2d": ("c", [kernel(size=3)])}))
    assert nodes_of(network)["c"].attributes["padding"] == expected


def test_correct_pad_before_a_pool_allows_no_other_size(tmp_path):
    network = described(tmp_path,
                        layer_3("ZeroPadding2D", "reduction_pad_1_7", ["input_layer"],
                                padding=[[0, 1], [0, 1]]),
                        layer_3("MaxPooling2D", "m", ["reduction_pad_1_7"], pool_size=[3, 3],
                                strides=[2, 2]))
    assert [node.op for node in network.nodes] == ["input", "reshape", "pad", "max_pool"]
    assert network.nodes[1].attributes == {"shape": [8, 8, 3]}


# Layers

def only(network):
    """Operations and attributes behind the input, without the names of arrays."""
    return [(node.op, dict((key, value) for key, value in node.attributes.items()
                           if not isinstance(value, str) or key in ("function", "mode", "axis")))
            for node in network.nodes[1:]]


@pytest.mark.parametrize("entry, expected", [
    (layer_3("Activation", "x", ["input_layer"], activation="silu"),
     [("activation", {"function": "silu"})]),
    (layer_3("Activation", "x", ["input_layer"], activation="gelu"),
     [("activation", {"function": "gelu"})]),
    (layer_3("Gelu", "x", ["input_layer"], module="keras.src.ops.nn", approximate=True),
     [("activation", {"function": "gelu_tanh"})]),
    (layer_3("Activation", "x", ["input_layer"], activation="hard_silu"),
     [("activation", {"function": "hard_swish"})]),
    (layer_3("Activation", "x", ["input_layer"], activation="mish"),
     [("activation", {"function": "mish"})]),
    (layer_3("Activation", "x", ["input_layer"], activation="exponential"),
     [("activation", {"function": "exp"})]),
    (layer_3("Activation", "x", ["input_layer"], activation="leaky_relu"),
     [("activation", {"function": "leaky_relu", "alpha": 0.2})]),
    (layer_3("LeakyReLU", "x", ["input_layer"], negative_slope=0.1),
     [("activation", {"function": "leaky_relu", "alpha": 0.1})]),
    (layer_3("LeakyReLU", "x", ["input_layer"], alpha=0.4),
     [("activation", {"function": "leaky_relu", "alpha": 0.4})]),
    (layer_3("ELU", "x", ["input_layer"], alpha=0.5),
     [("activation", {"function": "elu", "alpha": 0.5})]),
    (layer_3("ReLU", "x", ["input_layer"], negative_slope=0.1, max_value=4.0),
     [("activation", {"function": "leaky_relu", "alpha": 0.1}), ("clip", {"max_value": 4.0})]),
    (layer_3("Cropping2D", "x", ["input_layer"], cropping=[[1, 0], [2, 3]]),
     [("crop", {"cropping": [1, 2, 0, 3]})]),
    (layer_3("UpSampling2D", "x", ["input_layer"], size=[2, 3], interpolation="bilinear"),
     [("resize", {"factors": [2, 3], "mode": "bilinear"})]),
    (layer_3("Permute", "x", ["input_layer"], dims=[3, 1, 2]), [("transpose", {"axes": [2, 0, 1]})]),
    (layer_3("Reshape", "x", ["input_layer"], target_shape=[-1, 3]),
     [("reshape", {"shape": [-1, 1, 3]})]),
    (layer_3("Reshape", "x", ["input_layer", [-1, 64, 3]], module=OPS),
     [("reshape", {"shape": [64, 1, 3]})]),
    (layer_3("Resizing", "x", ["input_layer"], height=8, width=8), []),
    (layer_3("RandomZoom", "x", ["input_layer"], height_factor=0.1), []),
    (layer_3("CenterCrop", "x", ["input_layer"], height=4, width=3),
     [("reshape", {"shape": [8, 8, 3]}), ("crop", {"cropping": [2, 2, 2, 3]})]),
    (layer_3("Multiply", "x", [["input_layer", "input_layer"]]), [("multiply", {})]),
    (layer_3("Subtract", "x", [["input_layer", "input_layer"]]), [("subtract", {})]),
    (layer_3("Maximum", "x", [["input_layer"] * 3]), [("maximum", {}), ("maximum", {})]),
    (layer_3("Average", "x", [["input_layer"] * 2]), [("add", {}), ("scale", {})]),
    (layer_3("CustomScaleLayer", "x", [["input_layer"] * 2], scale=0.2),
     [("scale", {}), ("add", {})]),
    (layer_3("Mean", "x", ["input_layer"], module=OPS, axis=[1, 2], keepdims=True),
     [("global_average_pool", {})]),
    (layer_3("Max", "x", ["input_layer"], module=OPS, axis=-1, keepdims=True),
     [("reduce", {"axis": "channels", "function": "max"})]),
    (layer_3("Clip", "x", ["input_layer"], module=OPS, x_min=-1.0, x_max=2.0),
     [("clip", {"min_value": -1.0, "max_value": 2.0})]),
    (layer_3("Relu6", "x", ["input_layer"], module="keras.src.ops.nn"),
     [("relu", {"max_value": 6.0})]),
    (layer_3("GetItem", "x", ["input_layer", [
        {"class_name": "__ellipsis__", "config": {}},
        {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": -1}}]],
        module=OPS),
     [("slice", {"axis": "channels", "start": 2 - i, "stop": 3 - i}) for i in range(3)]
     + [("concat", {})]),
])
def test_layers_without_weights(tmp_path, entry, expected):
    network = described(tmp_path, entry)
    assert only(network) == expected
    assert network.nodes[-1].name == ("x" if expected else "input_layer")


def test_constants(tmp_path):
    value = {"class_name": "__tensor__", "config": {"value": [[[[1.0, 2.0, 4.0]]]],
                                                    "dtype": "float32"}}
    network = described(
        tmp_path, layer_3("Rescaling", "r", ["input_layer"], scale=[0.5, 0.25, 1.0], offset=-1),
        layer_3("Add", "a", ["r", value], module=OPS),
        layer_3("Divide", "d", ["a", value], module=OPS),
        layer_3("Subtract", "s", [1.0, "d"], module=OPS),
        layer_3("Maximum", "m", ["s", 0], module=OPS))
    arrays = network.arrays
    assert [node.op for node in network.nodes[1:]] == ["scale", "bias", "bias", "scale", "scale",
                                                       "bias", "clip"]
    assert arrays["r/scaled/gamma"].tolist() == [0.5, 0.25, 1.0]
    assert arrays["r/bias"].tolist() == [-1, -1, -1] and arrays["a/bias"].tolist() == [1, 2, 4]
    assert arrays["d/gamma"].tolist() == [1, 0.5, 0.25]
    assert arrays["s/negative/gamma"].tolist() == [-1] * 3 and arrays["s/bias"].tolist() == [1] * 3
    assert network.nodes[-1].attributes == {"min_value": 0.0}


def test_functions_of_tensorflow_in_keras_2(tmp_path):
    def function(name, source, **kwargs):
        entry = layer("TFOpLambda", name, function=name)
        entry["inbound_nodes"] = [[[source, 0, 0, kwargs]]]
        return entry

    layers = [image(), function("math.truediv", "input_1", y=127.5),
              function("math.subtract", "math.truediv", y=1.0),
              function("nn.relu6", "math.subtract"),
              function("__operators__.add", "nn.relu6", y=["input_1", 0, 0])]
    network = load_network(write_model(tmp_path / "tf.h5", model_config(layers), []))
    assert [(node.op, node.inputs) for node in network.nodes[1:]] == [
        ("scale", ("input_1",)), ("bias", ("math.truediv",)), ("relu", ("math.subtract",)),
        ("add", ("nn.relu6", "input_1"))]
    fails(write_model(tmp_path / "tf.h5", model_config([image(), function("py_function", "input_1")]),
                      []), "py_function", "not supported")


def test_channels_that_keras_3_turns_around(tmp_path):
    def plane(number):
        return layer_3("GetItem", "g{}".format(number), ["input_layer", [
            {"class_name": "__ellipsis__", "config": {}}, number]], module=OPS)

    stack = layer_3("Stack", "bgr", [["g2", "g1", "g0"]], module=OPS, axis=-1)
    network = described(tmp_path, plane(0), plane(1), plane(2), stack)
    assert [node.attributes.get("start") for node in network.nodes[1:4]] == [2, 1, 0]
    with pytest.raises(WeightsError, match="single channel"):
        described(tmp_path, plane(0), layer_3("ReLU", "r", ["g0"]))


def test_weights_of_other_layers(tmp_path):
    def vector(*numbers):
        return np.array(numbers, np.float32)

    tokens = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2)
    weights = {
        "normalization": ("n", [vector(1, 2, 3), vector(4, 16, 0), np.zeros((), np.int64)]),
        "p_re_lu": ("p", [np.full((1, 1, 3), 0.1, np.float32)]),
        "layer_normalization": ("ln", [vector(1, 2, 3), vector(0, 0, 1)]),
        "group_normalization": ("gn", [vector(1, 1, 1), vector(0, 0, 0)]),
        "layer_scale": ("ls", [vector(5, 6, 7)]),
        "depthwise_conv2d": ("dw", [np.ones((3, 3, 3, 1), np.float32)]),
        "dense": ("d", [np.arange(9, dtype=np.float32).reshape(3, 3), vector(1, 1, 1)]),
        "multi_head_attention/query_dense": ("query", [tokens, np.zeros((2, 2), np.float32)]),
        "multi_head_attention/key_dense": ("key", [tokens + 1, np.zeros((2, 2), np.float32)]),
        "multi_head_attention/value_dense": ("value", [tokens + 2, np.zeros((2, 2), np.float32)]),
        "multi_head_attention/output_dense": ("output", [tokens.reshape(2, 2, 3), vector(0, 0, 0)])}
    network = described(
        tmp_path, layer_3("Normalization", "n", ["input_layer"], axis=[3]),
        layer_3("PReLU", "p", ["n"], shared_axes=[1, 2]),
        layer_3("LayerNormalization", "ln", ["p"], axis=[3], epsilon=1e-6),
        layer_3("GroupNormalization", "gn", ["ln"], groups=-1, epsilon=1e-3),
        layer_3("LayerScale", "ls", ["gn"], module="keras.src.applications.convnext",
                projection_dim=3),
        layer_3("DepthwiseConv2D", "dw", ["ls"], kernel_size=[3, 3], padding="same",
                use_bias=False),
        layer_3("Dense", "d", ["dw"], units=3), layer_3("Reshape", "t", ["d"], target_shape=[64, 3]),
        layer_3("MultiHeadAttention", "a", ["t", "t"], num_heads=2, key_dim=2), weights=weights)
    arrays = network.arrays
    assert arrays["n/mean"].tolist() == [-1, -2, -3]
    np.testing.assert_allclose(arrays["n/variance"], [0.5, 0.25, 1e7])
    assert arrays["p/alpha"].tolist() == np.full(3, 0.1, np.float32).tolist()
    assert arrays["ls/gamma"].tolist() == [5, 6, 7]
    assert arrays["d/kernel"].shape == (1, 1, 3, 3) and arrays["dw/kernel"].shape == (3, 3, 1, 3)
    nodes = nodes_of(network)
    assert nodes["gn"].attributes["groups"] == 3
    assert nodes["a/attention"].inputs == ("a/query", "a/key", "a/value")
    assert nodes["a/attention"].attributes == {"heads": 2, "scale": 2 ** -0.5}
    np.testing.assert_array_equal(arrays["a/key/kernel"].reshape(3, 2, 2), tokens + 1)
    np.testing.assert_array_equal(arrays["a/output/kernel"].reshape(2, 2, 3),
                                  tokens.reshape(2, 2, 3))


@pytest.mark.parametrize("entry, part", [
    (layer_3("ReLU", "x", ["input_layer"], threshold=1.0), "threshold"),
    (layer_3("ThresholdedReLU", "x", ["input_layer"], theta=1.0), "jumps"),
    (layer_3("PReLU", "x", ["input_layer"], shared_axes=[1]), "every pixel"),
    (layer_3("Dot", "x", [["input_layer", "input_layer"]], axes=1), "not supported"),
    (layer_3("Activation", "x", ["input_layer"], activation="log_softmax"), "log_softmax"),
    (layer_3("Resizing", "x", ["input_layer"], height=4, width=4), "changes the size"),
    (layer_3("CenterCrop", "x", ["input_layer"], height=9, width=9), "no smaller"),
    (layer_3("GroupNormalization", "x", ["input_layer"], groups=2), "do not divide"),
    (layer_3("BatchNormalization", "x", ["input_layer"], kwargs={"training": True}), "training"),
    (layer_3("LayerNormalization", "x", ["input_layer"], axis=[1, 2, 3]), "axis"),
    (layer_3("Conv2D", "x", ["input_layer"], filters=3, kernel_size=[1, 1],
             data_format="channels_first"), "channels_last"),
    (layer_3("Dense", "x", ["input_layer"], units=3, dtype={
        "class_name": "QuantizedDTypePolicy", "config": {}}), "quantised"),
    (layer_3("MultiHeadAttention", "x", ["input_layer", "input_layer"], num_heads=2, key_dim=2),
     "tokens"),
    (layer_3("InputLayer", "x", batch_shape=[None, 4]), "does not exist"),
    (layer_3("GetItem", "x", ["input_layer", [0]], module=OPS), "takes a part"),
])
def test_refusals_name_the_layer(tmp_path, entry, part):
    layers = [image_3(), entry]
    if part == "does not exist":
        layers.append(layer_3("ReLU", "r", ["no"]))
    fails(write_archive(tmp_path / "x.keras", functional(layers), {}), "'x'" if part != "does not "
          "exist" else "'r'", part)


def test_keras_1(tmp_path):
    layers = [
        image(), layer("Convolution2D", "c", ["input_1"], nb_filter=4, nb_row=3, nb_col=3,
                       subsample=[2, 2], border_mode="same", dim_ordering="tf", bias=True,
                       activation="relu"),
        layer("BatchNormalization", "bn", ["c"], axis=3, mode=0, epsilon=0.001),
        layer("MaxPooling2D", "m", ["bn"], pool_size=[2, 2], strides=[2, 2], border_mode="valid",
              dim_ordering="tf"),
        layer("Merge", "sum", ["m", "m"], mode="sum", concat_axis=-1),
        layer("Flatten", "f", ["sum"]), layer("Dense", "d", ["f"], output_dim=2, bias=True,
                                              activation="softmax")]
    ones = np.ones(4, np.float32)
    path = str(tmp_path / "k1.h5")
    write_model(path, model_config(layers), [])
    weights = [("c", {"c_W": np.ones((3, 3, 3, 4), np.float32), "c_b": ones}),
               ("bn", {"bn_gamma": ones, "bn_beta": ones, "bn_running_mean": ones,
                       "bn_running_std": 2 * ones}),
               ("d", {"d_W": np.ones((16, 2), np.float32), "d_b": np.ones(2, np.float32)})]
    with h5py.File(path, "r+") as stream:
        del stream["model_weights"]
        write_weights(stream.create_group("model_weights"), weights)
        for name, arrays in weights:  # without the folder of the layer, as Keras 1 wrote them
            inner = stream["model_weights"][name]
            for key in arrays:
                inner[key] = inner["{}/{}:0".format(name, key)][()]
            inner.attrs["weight_names"] = [key.encode() for key in sorted(arrays)]
    network = load_network(path)
    nodes = nodes_of(network)
    assert nodes["c/linear"].attributes["padding"] == "same"
    assert nodes["c/linear"].attributes["strides"] == [2, 2]
    assert network.arrays["bn/variance"].tolist() == [2, 2, 2, 2]
    assert nodes["sum"].op == "add" and nodes["d"].op == "softmax"
    layers[1]["config"]["dim_ordering"] = "th"
    fails(write_model(path, model_config(layers), weights), "'c'", "channels_first")
