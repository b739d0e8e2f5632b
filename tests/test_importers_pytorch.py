"""PyTorch weights in safetensors files: each family against PyTorch, and every way to be wrong."""
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

import pytorch_files
from gear_transfer import Backbone
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.pytorch.families import FAMILIES

REFERENCES = dict((entry["name"], entry) for entry in pytorch_files.references())

#: Of the greatest magnitude; float32 sums in another order differ by less.
BOUND = 1e-4

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def write_config(folder, architecture, **settings):
    """A config.json as timm writes it."""
    value = {"architecture": architecture, "num_classes": 5, "pretrained_cfg": dict(
        {"tag": "in1k", "input_size": [3, 160, 192], "interpolation": "bicubic", "crop_pct": 0.875,
         "crop_mode": "center", "mean": IMAGENET[0], "std": IMAGENET[1]}, **settings)}
    with open(os.path.join(str(folder), "config.json"), "w") as stream:
        json.dump(value, stream)


def file_of(folder, name):
    """A network of the references as a file, with its config.json where it has one."""
    entry = REFERENCES[name]
    if entry["architecture"]:
        write_config(folder, entry["architecture"])
    return pytorch_files.write(os.path.join(str(folder), "model.safetensors"), dict(entry["tensors"]))


def computed(network, layer, size):
    backbone = Backbone.from_network(network, "network", layer=layer, input_size=tuple(size),
                                     pooling=None, precision="float32")
    values = backbone.features(pytorch_files.images(size))
    return values.reshape((len(values),) + tuple(backbone.node_shapes[layer]))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_as_pytorch_computes_it(tmp_path, name):
    entry = REFERENCES[name]
    network = load_network(file_of(tmp_path, name), preprocessing="tf")
    for layer, expected in entry["results"].items():
        ours = computed(network, layer, entry["size"])
        assert list(ours.shape[1:]) == expected["shape"], layer
        worst = np.abs(np.array(pytorch_files.some_of(ours)) - expected["values"]).max()
        assert worst <= BOUND * expected["largest"], (layer, worst / expected["largest"])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_each_family_has_a_reference(family):
    assert any(all(name in dict(entry["tensors"]) for name in family.signature)
               for entry in REFERENCES.values())


def test_residual_block_in_plain_numpy(tmp_path):
    """The stem of a ResNet by its definition, so that not only PyTorch's numbers vouch for it."""
    network = load_network(pytorch_files.write(tmp_path / "x.safetensors",
                                               pytorch_files.small_resnet()), preprocessing="raw")
    ours = computed(network, "act1", (9, 11))
    pixels = np.pad(pytorch_files.images((9, 11)).astype(float),
                    ((0, 0), (3, 3), (3, 3), (0, 0)), "constant")
    kernel = pytorch_files.tensor("conv1.weight", (4, 3, 7, 7)).astype(float)
    gamma, beta, mean, variance = [pytorch_files.tensor("bn1." + part, (4,)).astype(float)
                                   for part in ("weight", "bias", "running_mean", "running_var")]
    for y in range(5):
        for x in range(6):
            window = pixels[:, 2 * y:2 * y + 7, 2 * x:2 * x + 7]
            sums = np.einsum("nyxc,ocyx->no", window, kernel)
            normal = (sums - mean) / np.sqrt(variance + 1e-5) * gamma + beta
            assert np.allclose(ours[:, y, x], np.maximum(normal, 0.0), rtol=1e-4, atol=1e-3)


# Pixels, sizes and names

def test_what_config_json_says(tmp_path):
    network = load_network(file_of(tmp_path, "tf_efficientnet_b0"))
    assert network.name == "tf_efficientnet_b0" and network.input_size == (160, 192)
    pixels = network.preprocessing
    assert pixels["resize_filter"] == "bicubic" and pixels["crop"] == 0.875
    assert np.allclose(pixels["scale"], 1.0 / (255.0 * np.array(IMAGENET[1])))
    assert np.allclose(pixels["offset"], -np.array(IMAGENET[0]) / IMAGENET[1])
    assert "config.json" in network.preprocessing_reason
    conv = [node for node in network.nodes if node.name == "conv_stem"][0]
    assert conv.attributes["padding"] == "same"
    asked = load_network(str(tmp_path / "model.safetensors"), preprocessing="raw")
    assert asked.preprocessing["scale"] == 1.0


@pytest.mark.parametrize("settings, parts", [
    ({"crop_mode": "squash"}, {"resize_filter": "bicubic"}),
    ({"interpolation": "random"}, {"crop": 0.875})])
def test_what_config_json_leaves_open(tmp_path, settings, parts):
    write_config(tmp_path, "resnet18", **settings)
    path = pytorch_files.write(tmp_path / "model.safetensors", resnet18())
    pixels = load_network(path, "act1").preprocessing
    assert dict((key, pixels[key]) for key in ("crop", "resize_filter") if key in pixels) == parts


def resnet18():
    """The shapes of what counts as a ResNet 18: its blocks, and 64 channels in the first stage."""
    shapes = pytorch_files.small_resnet(64)
    for stage in range(1, 5):
        into = 64 * stage
        for part in ("conv1", "conv2"):
            shapes["layer{}.1.{}.weight".format(stage, part)] = [into, into, 3, 3]
        for part in ("bn1", "bn2"):
            shapes.update(pytorch_files.norm_shapes("layer{}.1.{}".format(stage, part), into))
    return shapes


def test_without_config_json(tmp_path):
    small = load_network(pytorch_files.write(tmp_path / "a.safetensors",
                                             pytorch_files.small_resnet()))
    assert (small.name, small.input_size) == ("resnet", (224, 224))
    assert small.preprocessing is None
    known = load_network(pytorch_files.write(tmp_path / "b.safetensors", resnet18()))
    assert known.name == "resnet18" and "resnet18" in known.preprocessing_reason
    assert np.allclose(known.preprocessing["scale"], 1.0 / (255.0 * np.array(IMAGENET[1])))
    token = load_network(file_of(tmp_path, "vision transformer"))
    assert token.preprocessing is None and token.input_size == (32, 32)
    inception = load_network(file_of(tmp_path, "inception"))
    assert inception.preprocessing is None and inception.input_size == (299, 299)
    shapes = dict(REFERENCES["efficientnet_b0"]["tensors"])
    with pytest.raises(WeightsError) as caught:
        load_network(pytorch_files.write(tmp_path / "c.safetensors", shapes))
    assert "tf_efficientnet_b0" in str(caught.value) and "config.json" in str(caught.value)


def test_config_json_of_another_library(tmp_path):
    with open(str(tmp_path / "config.json"), "w") as stream:
        json.dump({"architectures": ["ResNetForImageClassification"]}, stream)
    path = pytorch_files.write(tmp_path / "a.safetensors", pytorch_files.small_resnet())
    assert load_network(path).name == "resnet"


def test_names_cuts_and_other_types(tmp_path):
    shapes = pytorch_files.small_resnet()
    path = pytorch_files.write(tmp_path / "a.safetensors", shapes)
    network = load_network(path, "layer2")
    assert network.layers[-1] == "layer2" and "layer3.0.conv1.weight" not in network.arrays
    assert {"layer1", "layer2.0.conv1", "layer2.0.bn2", "layer2.0.downsample"} <= set(network.layers)
    with pytest.raises(GraphError, match="no layer 'layer9'"):
        load_network(path, "layer9")
    whole = load_network(path).arrays["conv1.weight"]
    for kind, dtype in (("F16", np.float16), ("BF16", None)):
        values = pytorch_files.tensor("conv1.weight", (4, 3, 7, 7))
        stored = (values.view(np.uint32) >> 16).astype("<u2") if dtype is None else values.astype(dtype)

        def change(header, data, kind=kind):
            header["conv1.weight"]["dtype"] = kind

        other = load_network(pytorch_files.write(tmp_path / (kind + ".safetensors"), shapes, change,
                                                 {"conv1.weight": stored}), "conv1")
        assert np.allclose(other.arrays["conv1.weight"], whole, rtol=1e-2, atol=1e-6)
        assert other.arrays["conv1.weight"].dtype == np.float32


# Files that are wrong

def without(name):
    def change(shapes):
        del shapes[name]
    return change


def other(name, shape):
    def change(shapes):
        shapes[name] = shape
    return change


@pytest.mark.parametrize("change, parts", [
    (without("layer2.0.bn2.running_var"), ["'layer2.0.bn2.running_var' is missing"]),
    (without("layer3.0.conv2.weight"), ["'layer3.0.conv2.weight' is missing"]),
    (without("layer1.0.conv1.weight"), ["Looked for", "Closest is ResNet", "'layer1.0.conv1.weight'",
                                        "ONNX"]),
    (without("bn1.weight"), ["Closest is ResNet", "'bn1.weight'"]),
    (other("layer2.0.conv1.weight", [8, 5, 3, 3]), ["layer2.0.conv1.weight", "4 channels"]),
    (other("layer2.0.conv2.weight", [7, 8, 3, 3]), ["layer2.0.bn2", "[8]", "[7]"]),
    (other("layer2.0.conv1.weight", [8, 4, 9]), ["layer2.0.conv1.weight", "4 dimension"]),
    (other("conv1.weight", [4, 1, 7, 7]), ["conv1.weight", "3 channels"]),
    (other("bn1.running_mean", [1]), ["bn1.running_mean", "[1]", "[4]"]),
    (other("fc.weight", [3, 15]), ["fc.weight", "16 channels"]),
    (other("layer4.0.attention.weight", [3]), ["layer4.0.attention.weight", "not one of resnet"]),
    (other("layer5.0.conv1.weight", [3, 3, 1, 1]), ["layer5.0.conv1.weight", "not one of resnet"])])
def test_tensors_that_do_not_fit(tmp_path, change, parts):
    shapes = pytorch_files.small_resnet()
    change(shapes)
    path = pytorch_files.write(tmp_path / "x.safetensors", shapes)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in [path] + parts:
        assert part in str(caught.value)


def field(name, **fields):
    return lambda header, data: header[name].update(fields)


def negative(header, data):
    place = header["bn1.running_var"]["data_offsets"][0]
    data[place:place + 4] = struct.pack("<f", -1.0)


def not_a_number(header, data):
    data[:4] = struct.pack("<f", float("nan"))


@pytest.mark.parametrize("change, parts", [
    (field("conv1.weight", shape=[1 << 40, 1, 1, 1]), ["conv1.weight", "takes 4398046511104 bytes"]),
    (field("conv1.weight", shape=[1 << 40, 1 << 40, 7, 7]), ["conv1.weight", "takes"]),
    (field("conv1.weight", shape=[4, 3, 7, 8]), ["conv1.weight", "takes"]),
    (field("conv1.weight", dtype="I32"), ["conv1.weight", "'I32'", "floating point"]),
    (field("conv1.weight", dtype="F8_E4M3"), ["conv1.weight", "F8_E4M3"]),
    (field("bn1.weight", data_offsets=[0, 16]), ["begins at", "overlap"]),
    (negative, ["bn1.running_var", "negative"]),
    (not_a_number, ["conv1.weight", "NaN"]),
    (lambda header, data: data.__delitem__(slice(100, None)), ["cut short"])])
def test_headers_that_lie(tmp_path, change, parts):
    path = pytorch_files.write(tmp_path / "x.safetensors", pytorch_files.small_resnet(), change)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in [path] + parts:
        assert part in str(caught.value)


@pytest.mark.slow
def test_ten_thousand_nodes(tmp_path):
    shapes = pytorch_files.small_resnet(1)
    for number in range(1, 3000):
        for part in (1, 2):
            shapes["layer1.{}.conv{}.weight".format(number, part)] = [1, 1, 1, 1]
            shapes.update(pytorch_files.norm_shapes("layer1.{}.bn{}".format(number, part), 1))
    path = pytorch_files.write_plain(tmp_path / "x.safetensors", shapes)
    network = load_network(path, "layer1")
    assert len(network.nodes) > 15000 and network.nodes[-1].op == "relu"


@pytest.mark.parametrize("name, tensor, shape, parts", [
    ("vision transformer", "pos_embed", [1, 19, 192], ["pos_embed", "19 positions"]),
    ("vision transformer", "blocks.0.attn.qkv.weight", [191, 192], ["attn.qkv.bias", "[576]", "[191]"]),
    ("vision transformer", "patch_embed.proj.weight", [190, 3, 8, 8], ["190 channels", "heads"]),
    ("convnext_atto", "stem.0.weight", [40, 3, 4, 5], ["stem.0.weight", "square"]),
    ("inception", "Mixed_5b.branch1x1.conv.weight", [4, 11, 1, 1], ["12 channels"]),
    ("torchvision mobilenet", "features.4.block.2.fc2.weight", [95, 24, 1, 1], ["95"]),
    ("densenet", "features.transition1.conv.weight", [8, 17, 1, 1], ["16 channels"]),
    ("timm regnet y", "s2.b1.conv3.conv.weight", [9, 24, 1, 1], ["s2.b1.conv3", "9"])])
def test_other_families_that_do_not_fit(tmp_path, name, tensor, shape, parts):
    shapes = dict(REFERENCES[name]["tensors"])
    assert tensor in shapes and list(shapes[tensor]) != shape
    shapes[tensor] = shape
    if REFERENCES[name]["architecture"]:
        write_config(tmp_path, REFERENCES[name]["architecture"])
    path = pytorch_files.write(tmp_path / "model.safetensors", shapes)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in [path] + parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("text, parts", [
    ("{", ["config.json", "not valid JSON"]),
    ("[]", ["config.json", "not a JSON object"]),
    ('{"architecture": 5}', ["'architecture'"]),
    ('{"architecture": "resnet50"}', ["'resnet50'", "the tensors are those of"]),
    ('{"architecture": "vit_small_patch16_224"}', ["not one of those of ResNet"]),
    ('{"architecture": "resnet18", "model_args": {"act_layer": "silu"}}', ["'act_layer'"]),
    ('{"architecture": "resnet18", "model_args": 3}', ["'model_args'"]),
    ('{"architecture": "resnet18", "pretrained_cfg": 3}', ["'pretrained_cfg'"]),
    ('{"architecture": "resnet18", "input_size": [1, 28, 28]}', ["1 channels"]),
    ('{"architecture": "resnet18", "input_size": [3, 1e9, 28]}', ["input_size"]),
    ('{"architecture": "resnet18", "mean": [0, 0], "std": [1, 1]}', ["mean"]),
    ('{"architecture": "resnet18", "mean": 0.5, "std": 0}', ["std"]),
    ('{"architecture": "resnet18", "mean": "0.5", "std": 1}', ["'mean' and 'std'"]),
    ('{"architecture": "resnet18", "architecture": "resnet50"}', ["twice"]),
    (" " * (1 << 20) + "{}", ["more than"])])
def test_config_json_that_is_wrong(tmp_path, text, parts):
    with open(str(tmp_path / "config.json"), "w") as stream:
        stream.write(text)
    path = pytorch_files.write(tmp_path / "model.safetensors", pytorch_files.small_resnet())
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in parts:
        assert part in str(caught.value)


# Files that are not read

class Bomb(object):
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def zipped(path, text):
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr("model/data.pkl", text)
        archive.writestr("model/version", "3")


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("is_zip", [False, True])
def test_pickles_are_refused_with_the_way_out(tmp_path, name, is_zip):
    mark = tmp_path / "ran"
    text = pickle.dumps(Bomb(str(mark)), 2)
    path = tmp_path / name
    if is_zip:
        zipped(path, text)
    else:
        path.write_bytes(text)
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in (str(path), "save_file(torch.load(", "weights_only=True", "torch.onnx.export"):
        assert part in str(caught.value)
    assert not mark.exists()


def test_networks_in_several_files(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"metadata": {}, "weight_map": {"conv1.weight": "a"}}')
    with pytest.raises(WeightsError, match="in several files that it is the index of"):
        load_network(index)
    path = pytorch_files.write(tmp_path / "model-00001-of-00003.safetensors",
                               pytorch_files.small_resnet())
    with pytest.raises(WeightsError, match="one of 3 parts"):
        load_network(path)


def test_tensors_of_no_family(tmp_path):
    path = pytorch_files.write(tmp_path / "x", {"encoder.weight": [3, 4], "decoder.bias": [2]})
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    for part in ("Looked for: ResNet", "None of their tensors", "'encoder.weight' [3, 4]", "ONNX"):
        assert part in str(caught.value)
