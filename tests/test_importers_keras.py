"""Keras HDF5 files: graphs, weights, and every way in which a file can be wrong."""
import json
import os

import h5py
import numpy as np
import pytest

from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import inception_v3, load_network
from keras_files import (conv, image, layer, model_config, small_layers, small_model,
                         small_weights, write_model, write_weights)

OFFICIAL = "weights/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"


def nodes_of(network):
    return dict((node.name, node) for node in network.nodes)


def fails(path, *parts, **options):
    """The import fails with a message that names the file and every part."""
    with pytest.raises(WeightsError) as caught:
        load_network(path, **options)
    for part in (os.path.basename(str(path)),) + parts:
        assert part in str(caught.value)


def model_fails(tmp_path, layers, *parts):
    fails(write_model(tmp_path / "bad.h5", model_config(layers), []), *parts)


def test_whole_model(tmp_path):
    network = load_network(small_model(tmp_path / "m.h5"))
    assert network.layers == ["input_1", "conv/linear", "conv", "norm", "pool", "top/linear",
                              "top"]
    nodes = nodes_of(network)
    assert nodes["top/linear"].inputs == ("pool",)     # the dropout is gone
    assert nodes["conv/linear"].attributes["padding"] == "same"
    assert network.input_size == (8, 8)
    assert network.preprocessing is None    # nobody knows what pixels it was trained on
    for name, arrays in small_weights():
        for key in arrays:
            ours = name + "/" + key.replace("moving_", "")
            np.testing.assert_array_equal(network.arrays[ours], arrays[key])
            assert network.arrays[ours].dtype == np.float32


def test_cut_and_preprocessing(tmp_path):
    path = small_model(tmp_path / "m.h5")
    network = load_network(path, "norm", preprocessing={"scale": 1.0, "offset": 0.0})
    assert network.layers[-1] == "norm"
    assert sorted(network.arrays) == ["conv/bias", "conv/kernel", "norm/beta", "norm/gamma",
                                      "norm/mean", "norm/variance"]
    assert network.preprocessing == {"scale": 1.0, "offset": 0.0}
    assert network.fingerprint() != load_network(path, "norm").fingerprint()
    with pytest.raises(GraphError, match="did you mean norm"):
        load_network(path, "norn")


def test_sequential_and_plain_list(tmp_path):
    layers = [dict(entry, inbound_nodes=[]) for entry in small_layers()[1:]]
    layers[0]["config"]["batch_input_shape"] = [None, None, None, 3]
    config = model_config(layers, "Sequential")
    one = load_network(write_model(tmp_path / "a.h5", config, small_weights()))
    config["config"] = config["config"]["layers"]
    two = load_network(write_model(tmp_path / "b.h5", config, small_weights()))
    assert one.layers == two.layers and one.layers[0] == "conv/input" and one.input_size is None
    assert one.fingerprint() == two.fingerprint()


def test_keras_3_dialect(tmp_path):
    def tensor(name):
        return {"class_name": "__keras_tensor__",
                "config": {"shape": [None, 8, 8, 3], "keras_history": [name, 0, 0]}}

    layers = [image(), conv("a", "input_1"), conv("b", "input_1"),
              layer("Concatenate", "both", axis=-1)]
    layers[0]["config"]["batch_shape"] = layers[0]["config"].pop("batch_input_shape")
    for entry in layers[1:3]:
        entry["inbound_nodes"] = [{"args": [tensor("input_1")], "kwargs": {}}]
    layers[3]["inbound_nodes"] = [{"args": [[tensor("b"), tensor("a")]], "kwargs": {}}]
    config = model_config(layers, "Functional")
    config["config"]["output_layers"] = ["both", 0, 0]
    kernel = np.ones((3, 3, 3, 4), np.float32)
    path = write_model(tmp_path / "k3.h5", config, [("a", {"kernel": kernel}),
                                                    ("b", {"kernel": kernel})], suffix="")
    assert nodes_of(load_network(path))["both"].inputs == ("b", "a")


def test_depthwise_separable_and_relu6(tmp_path):
    random = np.random.RandomState(0)
    depthwise = random.normal(size=(3, 3, 3, 2)).astype(np.float32)
    pointwise = random.normal(size=(1, 1, 6, 5)).astype(np.float32)
    layers = [image(),
              layer("DepthwiseConv2D", "d", ["input_1"], kernel_size=[3, 3], strides=[2, 2],
                    padding="same", depth_multiplier=2, use_bias=False, activation="relu6"),
              layer("SeparableConv2D", "s", ["input_1"], filters=5, kernel_size=[3, 3],
                    strides=[2, 2], padding="same", depth_multiplier=2, use_bias=False),
              layer("ReLU", "r", ["s"], max_value=6.0),
              layer("Concatenate", "all", ["d", "r"], axis=3)]
    network = load_network(write_model(tmp_path / "d.h5", model_config(layers), [
        ("d", {"depthwise_kernel": depthwise}),
        ("s", {"depthwise_kernel": depthwise, "pointwise_kernel": pointwise})]))
    nodes = nodes_of(network)
    assert nodes["d/linear"].attributes["groups"] == 3
    kernel = network.arrays["d/kernel"]
    assert kernel.shape == (3, 3, 1, 6)
    for channel in range(3):
        for extra in range(2):
            np.testing.assert_array_equal(kernel[:, :, 0, channel * 2 + extra],
                                          depthwise[:, :, channel, extra])
    assert nodes["d"].attributes == nodes["r"].attributes == {"max_value": 6.0}
    assert nodes["s"].inputs == ("s/depthwise",)
    np.testing.assert_array_equal(network.arrays["s/kernel"], pointwise)


def test_zero_padding_is_folded(tmp_path):
    layers = [image(), layer("ZeroPadding2D", "p", ["input_1"], padding=[[3, 2], [1, 0]]),
              conv("c", "p", padding="valid", strides=[2, 2], activation="relu"),
              layer("ZeroPadding2D", "q", ["c"], padding=[1, 1]),
              layer("MaxPooling2D", "m", ["q"], pool_size=[3, 3], strides=[2, 2],
                    padding="valid")]
    kernel = np.ones((3, 3, 3, 4), np.float32)
    path = write_model(tmp_path / "z.h5", model_config(layers), [("c", {"kernel": kernel})])
    nodes = nodes_of(load_network(path))
    assert nodes["c/linear"].attributes["padding"] == [3, 1, 2, 0]
    assert nodes["c/linear"].inputs == ("input_1",)
    assert nodes["m"].attributes["padding"] == [1, 1, 1, 1]


@pytest.mark.parametrize("follower", [
    layer("MaxPooling2D", "x", ["p"], pool_size=[3, 3]),
    layer("AveragePooling2D", "x", ["p"], pool_size=[1, 1]),
    layer("ReLU", "x", ["p"]),
    conv("x", "p", strides=[2, 2]),
])
def test_zero_padding_that_cannot_be_folded_is_a_node(tmp_path, follower):
    layers = [image(), layer("ZeroPadding2D", "p", ["input_1"], padding=[[3, 2], [1, 0]]), follower]
    kernel = np.ones((3, 3, 3, 4), np.float32)
    nodes = nodes_of(load_network(write_model(tmp_path / "p.h5", model_config(layers),
                                              [("x", {"kernel": kernel})])))
    assert (nodes["p"].op, nodes["p"].attributes["padding"]) == ("pad", [3, 1, 2, 0])
    assert nodes["x"].inputs == ("p",)
    assert nodes["x"].attributes.get("padding", "valid") in ("valid", "same")


@pytest.mark.parametrize("entry, parts", [
    (layer("Lambda", "evil", ["input_1"], function=["code"]), ("evil", "Lambda", "refused")),
    (layer("LSTM", "x", ["input_1"]), ("'x'", "LSTM", "not supported")),
    (layer("os.system", "x", ["input_1"]), ("os.system", "not supported")),
    (layer("Model", "inner", ["input_1"], layers=[]), ("0 layers",)),
    (layer("Activation", "x", ["input_1"], activation="log_softmax"), ("'x'", "log_softmax")),
    (layer("Concatenate", "x", ["input_1", "input_1"], axis=1), ("'x'", "axis")),
    (layer("Add", "x", ["input_1"]), ("'x'", "two or more")),
    (layer("ReLU", "x", ["nowhere"]), ("'x'", "nowhere")),
    (layer("ReLU", "x", ["x"]), ("'x'",)),
    (layer("Dense", "x", ["input_1"], units=0), ("'x'", "units")),
    (conv("x", "input_1", padding="causal"), ("'x'", "causal")),
    (conv("x", "input_1", filters=0), ("'x'", "filters")),
    (conv("x", "input_1", filters=True), ("'x'", "filters")),
    (conv("x", "input_1", size=9, padding="valid"), ("'x'", "9")),
    (conv("x", "input_1", data_format="channels_first"), ("'x'", "channels_first")),
    (layer("BatchNormalization", "x", ["input_1"], axis=1), ("'x'", "axis")),
    (layer("InputLayer", "x", batch_input_shape=[None, 3]), ("'x'", "input shape")),
])
def test_layers_that_are_refused(tmp_path, entry, parts):
    model_fails(tmp_path, [image(), entry], *parts)


@pytest.mark.parametrize("config", [
    "not JSON", "[" * 100000, "[]", "{}", '{"class_name": "Model"}',
    '{"class_name": "Model", "config": {"layers": []}}',
    '{"class_name": "Model", "config": {"layers": [3]}}',
    json.dumps(model_config([image()], outputs=["no"])),
    json.dumps(model_config([image(), image()])),
])
def test_bad_model_config(tmp_path, config):
    fails(write_model(tmp_path / "config.h5", config, []))


def changed_model(tmp_path, change):
    """The small model with `change` applied to the group of its weights."""
    path = small_model(tmp_path / "changed.h5")
    with h5py.File(path, "r+") as stream:
        change(stream["model_weights"])
    return path


def test_missing_layer_weight_and_wrong_shape(tmp_path):
    def no_layer(group):
        del group["norm"]

    def no_weight(group):
        del group["norm/norm/beta:0"]

    def other_shape(group):
        del group["conv/conv/kernel:0"]
        group["conv/conv/kernel:0"] = np.zeros((3, 3, 4, 4), np.float32)

    def unlisted(group):
        group["top"].attrs["weight_names"] = [b"top/kernel:0"]

    fails(changed_model(tmp_path, no_layer), "'norm' is missing")
    fails(changed_model(tmp_path, no_weight), "'norm'", "beta", "missing")
    fails(changed_model(tmp_path, other_shape), "'conv'", "(3, 3, 4, 4)", "(3, 3, 3, 4)")
    fails(changed_model(tmp_path, unlisted), "'top'", "bias is missing")


@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "NaN"), (-1.0, "negative")])
def test_values_that_cannot_be(tmp_path, value, word):
    def change(group):
        group["norm/norm/moving_variance:0"][2] = value

    fails(changed_model(tmp_path, change), "'norm'", "moving_variance", word)


def inception_file(path, first=1, drop=None):
    """An official-layout file of the true shapes, all zeros, with layers numbered from `first`."""
    nodes, shapes = inception_v3.architecture()
    weights = []
    for node in nodes:
        kind, _, number = node.name.rpartition("_")
        if kind not in ("conv2d", "batch_normalization") or node.name == drop:
            continue
        number = int(number) - 1 + first
        name = kind + ("_{}".format(number) if number else "")
        arrays = {}
        for key in shapes:
            if key.startswith(node.name + "/"):
                role = key.split("/")[1].replace("mean", "moving_mean")
                role = role.replace("variance", "moving_variance")
                arrays[role] = np.zeros(shapes[key], np.float32)
                arrays[role].flat[0] = number
        weights.append((name, arrays))
    with h5py.File(str(path), "w") as stream:
        write_weights(stream, weights[::-1])    # the order of the list must not matter
    return str(path)


@pytest.mark.parametrize("first", [0, 1, 95])
def test_official_layout_whatever_the_numbers(tmp_path, first):
    network = load_network(inception_file(tmp_path / "w.h5", first), "mixed0")
    assert network.input_size == (299, 299)
    for number in range(1, 13):
        name = "conv2d_{}/kernel".format(number)
        assert network.arrays[name].flat[0] == number - 1 + first


@pytest.mark.slow
@pytest.mark.parametrize("first, drop, named", [
    (1, "conv2d_57", "conv2d_57"), (1, "conv2d_1", "conv2d_1"), (95, "conv2d_3", "conv2d_97"),
    (1, "batch_normalization_94", "batch_normalization_94"), (0, "conv2d_1", "conv2d_94")])
def test_official_layout_with_a_missing_layer(tmp_path, first, drop, named):
    path = inception_file(tmp_path / "w.h5", first, drop)
    fails(path, "'{}' is missing".format(named) if first else "is missing")


@pytest.mark.slow
def test_official_layout_of_another_network(tmp_path):
    path = str(tmp_path / "other.h5")
    with h5py.File(path, "w") as stream:
        write_weights(stream, small_weights())
    fails(path, "Inception V3", "conv2d_1")
    with h5py.File(path, "w") as stream:
        stream["data"] = np.zeros(3)
    fails(path, "neither a Keras model")


@pytest.mark.slow
def test_shared_files_agree(shared):
    official = load_network(os.path.join(shared, OFFICIAL))
    full = load_network(os.path.join(shared, "weights/inception_v3_keras2_full.h5"), "mixed10")
    assert sum(node.op == "conv2d" for node in official.nodes) == 94
    ours, theirs = nodes_of(official), nodes_of(full)
    assert set(ours) == set(theirs)
    for name in ours:
        attributes = dict(theirs[name].attributes)
        assert attributes.pop("groups", 1) == 1 and attributes.pop("dilations", [1, 1]) == [1, 1]
        assert (ours[name].op, ours[name].inputs) == (theirs[name].op, theirs[name].inputs)
        assert ours[name].attributes == attributes
    for name in official.arrays:
        np.testing.assert_array_equal(official.arrays[name], full.arrays[name])
