"""Files with the tensors of PyTorch networks, made without PyTorch.

A tensor's numbers follow from its name and shape alone, so that tests and the script that asks PyTorch
for references (models/make_pytorch_families.py) have the same.
"""
import gzip
import json
import os
import struct
import zlib

import numpy as np

REFERENCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models",
                          "pytorch_families.json.gz")

#: How many different numbers a tensor has; a prime, so that no axis repeats them in step.
_PERIOD = 4093


def tensor(name, shape):
    """The numbers of a tensor, ndarray of float32."""
    rng = np.random.RandomState(zlib.crc32(name.encode("utf-8")))
    numbers = rng.uniform(-1.0, 1.0, _PERIOD)
    if name.endswith("running_var"):
        numbers = 1.0 + 0.5 * numbers
    elif len(shape) <= 1 or name.endswith("layer_scale"):
        middle = 1.0 if name.endswith(("weight", "gamma", "layer_scale")) else 0.0
        numbers = middle + 0.3 * numbers
    elif len(shape) > 1 and not name.endswith(("token", "embed", "embedding")):
        numbers = numbers * np.sqrt(6.0 / np.prod(shape[1:]))
    return np.resize(numbers, shape).astype(np.float32)


def images(size, count=2):
    """Images of uint8, ndarray (count, height, width, 3)."""
    numbers = np.random.RandomState(5).randint(0, 256, (count, size[0], size[1], 3))
    return numbers.astype(np.uint8)


def some_of(values):
    """Numbers of a result (n, height, width, channels) from everywhere, as a list."""
    flat = np.asarray(values, float).ravel()
    return flat[np.linspace(0, flat.size - 1, 24).astype(int)].tolist()


def write(path, shapes, change=None, values=None):
    """A safetensors file with tensors of these shapes; `change` alters header or data."""
    header, data, position = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            kind, numbers = "I64", np.array(7, "<i8")
        else:
            kind = "F32"
            numbers = (values or {}).get(name)
            numbers = tensor(name, tuple(shape)) if numbers is None else numbers
        header[name] = {"dtype": kind, "shape": list(shape),
                        "data_offsets": [position, position + numbers.nbytes]}
        data.append(numbers.tobytes())
        position += numbers.nbytes
    data = bytearray(b"".join(data))
    if change is not None:
        change(header, data)
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(str(path), "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + bytes(data))
    return str(path)


def references():
    """What PyTorch made of the networks in the file beside, a list of dict."""
    with gzip.open(REFERENCES, "rt", encoding="utf-8") as stream:
        return json.load(stream)


def norm_shapes(name, channels):
    """The tensors of a batch normalisation."""
    shapes = dict(("{}.{}".format(name, part), [channels]) for part in (
        "weight", "bias", "running_mean", "running_var"))
    shapes[name + ".num_batches_tracked"] = []
    return shapes


def small_resnet(width=4, classes=3):
    """The shapes of a ResNet of basic blocks, one a stage."""
    shapes = {"conv1.weight": [width, 3, 7, 7]}
    shapes.update(norm_shapes("bn1", width))
    into = width
    for stage in range(4):
        name, out = "layer{}.0".format(stage + 1), width * (stage + 1)
        shapes[name + ".conv1.weight"] = [out, into, 3, 3]
        shapes.update(norm_shapes(name + ".bn1", out))
        shapes[name + ".conv2.weight"] = [out, out, 3, 3]
        shapes.update(norm_shapes(name + ".bn2", out))
        if stage:
            shapes[name + ".downsample.0.weight"] = [out, into, 1, 1]
            shapes.update(norm_shapes(name + ".downsample.1", out))
        into = out
    shapes.update({"fc.weight": [classes, into], "fc.bias": [classes]})
    return shapes


def small_vgg():
    """The shapes of a VGG 11 of two channels, without a head."""
    shapes, channels = {}, 3
    for number in (0, 3, 6, 8, 11, 13, 16, 18):
        shapes["features.{}.weight".format(number)] = [2, channels, 3, 3]
        shapes["features.{}.bias".format(number)] = [2]
        channels = 2
    return shapes


def write_plain(path, shapes):
    """A file whose numbers are all alike, which deflates well."""
    return write(path, shapes, values=dict((name, np.full(shape, 0.5, "<f4"))
                                           for name, shape in shapes.items()))


#: A config.json of timm for the small VGG.
CONFIG = json.dumps({
    "architecture": "vgg11", "model_args": {"num_classes": 3}, "pretrained_cfg": {
        "input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "crop_pct": 0.9,
        "interpolation": "bicubic"}}).encode("ascii")


def joined(config, weights):
    """A config.json and weights as one input of a fuzzer."""
    return struct.pack("<I", len(config)) + config + weights


def parted(data):
    """The two again; any bytes have them."""
    length = min(struct.unpack("<I", data[:4].ljust(4, b"\0"))[0], len(data))
    return data[4:4 + length], data[4 + length:]
