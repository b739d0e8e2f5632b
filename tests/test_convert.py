"""Conversion into the native format and the quantisation that loses nothing."""
import hashlib
import os

import numpy as np
import pytest

from gear_transfer import Backbone, cli
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import QuantizedArray, load_network
from gear_transfer.importers.compress import diffuse
from gear_transfer.importers.convert import convert
from gear_transfer.importers.quantize import recover_quantization
from gear_transfer.importers.weights import PACKAGED, make_packaged, packaged_name, packaged_path
from keras_files import model_config, small_layers, small_model, small_weights, write_model

OFFICIAL = "weights/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"


def quantised(seed, shape, scale, minimum):
    """Random bytes with 0 and 255 among them."""
    values = np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)
    values.flat[0], values.flat[-1] = 0, 255
    return QuantizedArray(values, scale, minimum)


def same_bits(one, two):
    return np.array_equal(one.view(np.uint32), two.view(np.uint32))


def test_dequantisation_is_float32_arithmetic():
    array = QuantizedArray(np.array([0, 7, 255], np.uint8), 0.1, -3.7)
    expected = [np.float32(np.float32(byte) * np.float32(0.1)) + np.float32(-3.7)
                for byte in (0, 7, 255)]
    assert array.dequantize().dtype == np.float32
    assert array.dequantize().tolist() == [float(value) for value in expected]


@pytest.mark.parametrize("seed", range(60))
def test_bytes_are_found_again(seed):
    random = np.random.RandomState(1000 + seed)
    shape = [(2,), (3,), (32,), (192,), (3, 3, 16, 16)][seed % 5]
    scale = 10.0 ** random.uniform(-6, 2)
    minimum = -scale * random.choice([0, 127, random.uniform(0, 255), random.uniform(-500, 500)])
    array = quantised(seed, shape, scale, minimum)
    found = recover_quantization(array.dequantize())
    assert found is not None and same_bits(found.dequantize(), array.dequantize())
    np.testing.assert_array_equal(found.values, array.values)
    assert found.minimum == array.minimum


def test_bytes_need_not_reach_255():
    values = np.array([0, 1, 2, 17, 90, 200], np.uint8)
    array = QuantizedArray(values, 0.013, -0.4).dequantize()
    found = recover_quantization(array)
    assert same_bits(found.dequantize(), array)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_constant_array(value):
    array = np.full((3, 2), value, np.float32)
    assert same_bits(recover_quantization(array).dequantize(), array)


@pytest.mark.parametrize("shape", [(32,), (200,), (1000,), (3, 3, 4, 4)])
def test_other_arrays_are_left_alone(shape):
    assert recover_quantization(np.random.RandomState(2).normal(size=shape)
                                .astype(np.float32)) is None


def test_nothing_is_lost_to_the_sign_of_zero_or_one_bit():
    array = quantised(1, (64,), 0.5, -10.0).dequantize()
    array[array == 0.0] = -0.0
    array[5] = -0.0
    array[6] = 0.0
    assert recover_quantization(array) is None
    array = quantised(1, (5000,), 0.013, -1.0).dequantize()
    array[77] = np.nextafter(array[77], np.float32(9))
    assert recover_quantization(array) is None


def test_convert(tmp_path):
    weights = small_weights()
    weights[0][1]["kernel"] = quantised(3, (3, 3, 3, 4), 0.02, -2.0).dequantize()
    source = write_model(tmp_path / "m.h5", model_config(small_layers()), weights)
    target = str(tmp_path / "m.gtw")
    written = convert(source, target, preprocessing="tf")
    before, after = load_network(source, preprocessing="tf"), load_network(target)
    assert after.fingerprint() == written.fingerprint()
    assert after.layers == before.layers and after.input_size == before.input_size
    assert after.provenance["source"] == "m.h5"
    assert isinstance(after.arrays["conv/kernel"], QuantizedArray)
    assert same_bits(after.arrays["conv/kernel"].dequantize(), before.arrays["conv/kernel"])
    assert same_bits(after.arrays["top/kernel"], before.arrays["top/kernel"])
    plain = convert(source, str(tmp_path / "plain.gtw"), quantize=False, preprocessing="tf")
    assert plain.fingerprint() == before.fingerprint()


def test_convert_cut_and_again(tmp_path):
    source = small_model(tmp_path / "m.h5")
    target = str(tmp_path / "m.gtw")
    convert(source, target, layer="norm", preprocessing={"scale": 1.0, "offset": 2.0},
            name="cut", provenance={"notes": "short"})
    network = load_network(target)
    assert network.layers[-1] == "norm" and network.name == "cut"
    assert network.preprocessing == {"scale": 1.0, "offset": 2.0}
    assert network.provenance["notes"] == "short"
    convert(target, target, layer="conv")    # over the very file that is mapped
    assert load_network(target).layers[-1] == "conv"
    with pytest.raises(GraphError):
        convert(source, str(tmp_path / "never.gtw"), layer="nowhere")
    with pytest.raises(WeightsError):
        convert(tmp_path / "missing.h5", str(tmp_path / "never.gtw"))
    assert not os.path.exists(str(tmp_path / "never.gtw"))


def test_embedded_backbone():
    path = packaged_path("inception_v3")
    assert os.path.getsize(path) <= 10 * 1000 * 1000
    network = load_network(path)
    assert network.layers[-1] == "mixed7" and network.input_size == (299, 299)
    assert network.preprocessing == {"scale": 1 / 127.5, "offset": -1.0}
    assert all(isinstance(array, QuantizedArray) for array in network.arrays.values())
    assert "nsfwjs 4.4.0" in network.provenance["source"]
    folder = os.path.dirname(path)
    with open(os.path.join(folder, "LICENSE-backbone.txt")) as stream:
        assert "Copyright (c) 2019 Infinite Red, Inc." in stream.read()
    with open(os.path.join(folder, "PROVENANCE.md")) as stream:
        assert "conv2d_56" in stream.read()


@pytest.mark.slow
def test_embedded_backbone_equals_the_source(shared, tmp_path):
    source = os.path.join(shared, OFFICIAL)
    original = load_network(source, "mixed7")
    network = load_network(packaged_path("inception_v3"))
    assert [repr(node) for node in network.nodes] == [repr(node) for node in original.nodes]
    assert set(network.arrays) == set(original.arrays)
    for name, array in original.arrays.items():
        assert same_bits(network.arrays[name].dequantize(), array), name
    again = make_packaged("inception_v3", source, str(tmp_path / "again.gtw"))
    with open(again, "rb") as one, open(packaged_path("inception_v3"), "rb") as two:
        assert one.read() == two.read()


# EfficientNet-Lite in the package

LITES = ["efficientnet_lite0", "efficientnet_lite2"]


def test_packaged_backbones_are_small():
    sizes = [os.path.getsize(packaged_path(name)) for name in PACKAGED]
    assert len(sizes) == 3 and sum(sizes) <= 20 * 1000 * 1000


@pytest.mark.parametrize("name", LITES)
def test_packaged_efficientnet(name):
    network = load_network(packaged_path(name))
    assert network.name == packaged_name(network) == name and network.layers[-1] == "head"
    assert packaged_name(network.upto("block3")) == name
    assert "Apache-2.0" in network.provenance["licence"] and "PyPI" in network.provenance["source"]
    kinds = dict((key, getattr(array, "dtype", "bytes")) for key, array in network.arrays.items())
    assert kinds["stem/kernel"] == kinds["block5/depthwise/kernel"] == np.float16
    assert kinds["head/kernel"] == kinds["block12/project/kernel"] == "bytes"
    assert kinds["head/gamma"] == np.float32
    folder = os.path.dirname(packaged_path(name))
    with open(os.path.join(folder, "LICENSE-efficientnet.txt")) as stream:
        assert "Apache License" in stream.read()
    with open(os.path.join(folder, "PROVENANCE.md")) as text, open(packaged_path(name), "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() in text.read()


@pytest.mark.slow
@pytest.mark.parametrize("name", LITES)
def test_packaged_efficientnet_made_again(shared, tmp_path, name):
    source = os.path.join(shared, "weights", name + ".safetensors")
    with open(os.path.join(os.path.dirname(packaged_path(name)), "PROVENANCE.md")) as text, open(
            source, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() in text.read()
    again = make_packaged(name, source, str(tmp_path / "again.gtw"))
    with open(again, "rb") as one, open(packaged_path(name), "rb") as two:
        assert one.read() == two.read()


@pytest.mark.slow
@pytest.mark.parametrize("name", LITES)
def test_packaged_efficientnet_agrees_with_float32(shared, name):
    with np.load(os.path.join(shared, "reference", name + ".npz"), allow_pickle=False) as file:
        images, known = file["images_uint8"], file["gap_head"].astype(float)
    features = Backbone.load(name).features(images).astype(float)
    cosines = (features * known).sum(axis=1) / np.linalg.norm(features, axis=1) / np.linalg.norm(
        known, axis=1)
    assert len(cosines) == 29 and cosines.min() >= 0.999


# Rounding that makes up for itself

def test_rounding_errors_cancel_out_in_the_mean():
    rng = np.random.RandomState(0)
    kernel = rng.normal(size=(1, 1, 300, 20)).astype(np.float32)
    mean, variance = rng.uniform(0, 3, 300), rng.uniform(0.1, 1, 300)
    inputs = mean + np.sqrt(variance) * rng.normal(size=(2000, 300))

    def error(rounded):
        assert np.abs(rounded.dequantize() - kernel).max() <= 2 * rounded.scale.max()
        return ((inputs.dot((rounded.dequantize() - kernel)[0, 0])) ** 2).mean()

    assert error(diffuse(kernel, (mean, variance))) < 0.5 * error(diffuse(kernel))


def test_constant_channels_and_nothing_known():
    kernel = np.zeros((1, 1, 4, 3), np.float32)
    kernel[..., 1], kernel[..., 2] = 0.75, [[-1, 0, 1, 2]]
    for moments in (None, (np.ones(4), np.zeros(4)), (np.zeros(4), np.zeros(4))):
        np.testing.assert_allclose(diffuse(kernel, moments).dequantize(), kernel, atol=0.01)


def test_compress_from_the_command_line(tmp_path, capsys):
    source, target = str(tmp_path / "a.h5"), str(tmp_path / "a.gtw")
    small_model(source)
    assert cli.main(["convert", source, target, "--compress", "--preprocessing", "tf"]) == 0
    before, after = load_network(source), load_network(target)
    assert after.arrays["conv/kernel"].dtype == np.float16
    np.testing.assert_allclose(after.arrays["conv/kernel"], before.arrays["conv/kernel"],
                               rtol=1e-3, atol=1e-6)
