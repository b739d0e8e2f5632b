"""What is fuzzed: each target has seeds made by code, a mutator and a run of one input.

A run lets pass what the documentation allows (a result, or one of our
exceptions) and raises anything else. No fuzzer is needed here, so that pytest
can replay inputs; run.py drives the same targets with coverage.
"""
import importlib.util
import io
import json
import os
import pkgutil
import random
import resource
import shutil
import sqlite3
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib

import numpy as np
from PIL import Image, features

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import keras_files  # noqa: E402
import pytorch_files  # noqa: E402
from mutations import Target, mutate_bytes, mutate_json  # noqa: E402
from seed_networks import compressed_network, modern_network, small_network  # noqa: E402
from gear_transfer import _core, errors, importers  # noqa: E402
from gear_transfer.common.cache import FeatureCache  # noqa: E402
from gear_transfer.features.backbone import describe  # noqa: E402
from gear_transfer.importers import load_network  # noqa: E402
from gear_transfer.importers.native import write_network  # noqa: E402
from gear_transfer.photographs.images import read_image  # noqa: E402

#: Seconds of processor time that no input may take.
LONGEST = 5.0
#: Bytes that an input may take beyond twice its own size.
SLACK = 64 << 20
#: Bytes by which the peak of memory may have grown before it is reset.
DRIFT = 1 << 20
#: Pixels that the image target allows; 4 bytes each, some formats hold three copies.
MOST_PIXELS = 1 << 22


def import_readers():
    """Import the modules that are else imported on first use, so that a fuzzer can see into them."""
    for found in pkgutil.walk_packages(importers.__path__, importers.__name__ + "."):
        importlib.import_module(found.name)
    for name in ("classifiers.classifier", "classifiers.head", "classifiers.model_file",
                 "photographs.prefetch"):
        importlib.import_module("gear_transfer." + name)


def check_shapes(network):
    """What is done with every network: the core infers its shapes."""
    nodes, arrays = describe(network)
    _core.infer_shapes(nodes, arrays, *(network.input_size or (32, 32)))


class NetworkFile(Target):
    """A file that a network is read from."""

    def read(self):
        """Read it and do what is done with every network."""
        check_shapes(load_network(self.path))

    def run(self, data):
        self.put(data)
        try:
            self.read()
        except (errors.WeightsError, errors.GraphError):
            return False
        return True


# The native format

class Native(NetworkFile):
    """A network in the native format (.gtw)."""

    file_name = "input.gtw"

    def seeds(self):
        short = small_network().upto("r")
        return [self.written_by(lambda path: write_network(path, network))
                for network in (small_network(), short, compressed_network(), modern_network())]

    def mutate(self, data, rng):
        """Change the JSON of the header and its length with it, or any byte."""
        if rng.random() < 0.25:
            return mutate_bytes(data, rng)
        try:
            length = struct.unpack("<Q", data[:8])[0]
            header = json.loads(data[8:8 + length].decode("utf-8"))
        except (ValueError, struct.error, RecursionError):
            return mutate_bytes(data, rng)
        if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
            header["__metadata__"].pop("crc32", None)  # it would stop all that follows
        for _ in range(rng.randrange(1, 3)):
            header = mutate_json(header, rng)
        text = json.dumps(header).encode("utf-8")
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data[8 + length:]


class Model(Native):
    """A saved classifier (.gtm)."""

    file_name = "input.gtm"

    def seeds(self):
        from gear_transfer import TransferClassifier
        images = np.random.RandomState(0).randint(0, 255, (6, 32, 32, 3)).astype(np.uint8)
        backbone = os.path.join(self.folder, "backbone.gtw")
        write_network(backbone, small_network().upto("c"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models = [TransferClassifier(backbone=backbone, layer=layer, input_size=32, epochs=1,
                                         cache=False, hidden_layers=hidden, threads=1,
                                         precision="float32").fit(images, list("aabbab"))
                      for layer, hidden in (("c", ()), (("r", "c"), (4,)))]
        os.remove(backbone)
        return [self.written_by(model.save) for model in models]

    def run(self, data):
        from gear_transfer import load_model
        self.put(data)
        try:
            load_model(self.path, threads=1)
        except errors.ModelFileError:
            return False
        return True


# PyTorch weights

class Pytorch(Native):
    """Weights of PyTorch in a safetensors file, beside a config.json of timm that changes too.

    The input is the config.json, its length before it, and then the weights.
    """

    file_name = "model.safetensors"

    def seeds(self):
        files = [self.written_by(lambda path, shapes=shapes: pytorch_files.write_plain(path, shapes))
                 for shapes in (pytorch_files.small_vgg(), pytorch_files.small_resnet(2))]
        return [pytorch_files.joined(config, weights)
                for config, weights in zip((pytorch_files.CONFIG, b"{}"), files)]

    def mutate(self, data, rng):
        """Change one of the two files."""
        config, weights = pytorch_files.parted(data)
        if rng.random() < 0.7:
            return pytorch_files.joined(config, super(Pytorch, self).mutate(weights, rng))
        try:
            value = mutate_json(json.loads(config.decode("utf-8")), rng)
            return pytorch_files.joined(json.dumps(value).encode(), weights)
        except (ValueError, RecursionError):
            return pytorch_files.joined(mutate_bytes(config, rng), weights)

    def put(self, data):
        config, weights = pytorch_files.parted(data)
        super(Pytorch, self).put(weights)
        with open(os.path.join(self.folder, "config.json"), "wb") as stream:
            stream.write(config)


# Keras HDF5

class Keras(NetworkFile):
    """A whole model saved by Keras (.h5)."""

    file_name = "input.h5"

    def seeds(self):
        layers = [keras_files.image(), keras_files.conv("conv", "input_1", use_bias=True),
                  keras_files.layer("GlobalAveragePooling2D", "pool", ["conv"]),
                  keras_files.layer("Dense", "top", ["pool"], units=2)]
        weights = [item for item in keras_files.small_weights() if item[0] != "norm"]
        config = keras_files.model_config(layers)
        return [self.written_by(keras_files.small_model),
                self.written_by(lambda path: keras_files.write_model(path, config, weights)),
                self.written_by(lambda path: _filtered(path))]

    def mutate(self, data, rng):
        """Change the model_config within its place, or any byte, those of the structure first."""
        start, end = data.find(b'{"class_name"'), data.rfind(b"}") + 1
        if rng.random() < 0.3 and start >= 0:
            try:
                text = json.dumps(mutate_json(json.loads(data[start:end].decode()), rng),
                                  separators=(",", ":")).encode()
                if len(text) <= end - start:
                    return data[:start] + text.ljust(end - start) + data[end:]
            except (ValueError, RecursionError):
                pass
        return mutate_bytes(data, rng)


def _filtered(path):
    """A model whose data sets are in chunks, with every filter that is read."""
    import h5py
    keras_files.small_model(path)
    with h5py.File(path, "r+") as stream:
        found = []
        stream.visititems(lambda name, thing: found.append(name) if isinstance(
            thing, h5py.Dataset) else None)
        for name in found:
            values = stream[name][()]
            del stream[name]
            stream.create_dataset(name, data=values, chunks=values.shape, compression="gzip",
                                  shuffle=True, fletcher32=True)


class KerasArchive(NetworkFile):
    """A model of Keras 3 (.keras): zip, configuration and weights, each changed in turn."""

    file_name = "input.keras"

    def seeds(self):
        inner = keras_files.functional(
            [keras_files.image_3(None, None, 4, name="i"), keras_files.layer_3("ReLU", "r", ["i"])], name="inner")
        inner["inbound_nodes"] = [{"args": [keras_files.tensor("conv")], "kwargs": {}}]
        layers = [keras_files.image_3(), keras_files.layer_3(
            "Conv2D", "conv", ["input_layer"], filters=4, kernel_size=[3, 3])]
        nested = keras_files.functional(layers + [
            inner, dict(keras_files.layer_3("Rescaling", "s", scale=[1.0, 2.0, 3.0, 4.0]),
                        inbound_nodes=[{"args": [keras_files.tensor("inner", 1)], "kwargs": {}}]),
            keras_files.layer_3("Multiply", "m", ["s", 0.5], module="keras.src.ops.numpy"),
            keras_files.layer_3("Reshape", "t", ["m"], target_shape=[-1, 4]),
            keras_files.layer_3("GlobalAveragePooling1D", "g", ["t"])])
        weights = dict((path, keras_files.small_numbered()[path]) for path in ["conv2d"])
        return [self.written_by(keras_files.small_archive),
                self.written_by(lambda path: keras_files.small_archive(
                    path, compression=zipfile.ZIP_DEFLATED)),
                self.written_by(lambda path: keras_files.write_archive(path, nested, weights))]

    def mutate(self, data, rng):
        """Change a member and pack them again, or any byte."""
        if rng.random() < 0.3:
            return mutate_bytes(data, rng)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as stream:
                members = [(name, stream.read(name)) for name in stream.namelist()]
        except Exception:  # whatever an earlier change has made of it
            return mutate_bytes(data, rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, text in members:
                if name == "config.json" and rng.random() < 0.8:
                    try:
                        text = json.dumps(mutate_json(json.loads(text.decode()), rng)).encode()
                    except (ValueError, RecursionError):
                        text = mutate_bytes(text, rng)
                elif rng.random() < 0.2:
                    text = mutate_bytes(text, rng)
                stream.writestr(name, text)
        return file.getvalue()

    def read(self):
        load_network(self.path)


class Onnx(NetworkFile):
    """A network in an ONNX file, with a file of weights beside it."""

    file_name = "input.onnx"

    def seeds(self):
        from onnx_files import Graph, saved
        with open(os.path.join(self.folder, "weights.bin"), "wb") as stream:
            stream.write(np.linspace(-1, 1, 500).astype(np.float32).tobytes())
        made = []
        for opset in (9, 17):
            g = Graph(("batch", 3, 8, 8), opset=opset)
            x = g.add("Relu", g.conv(8))
            g.add("MatMul", g.add("Transpose", g.add("Reshape", x, g.ints(0, 8, -1)), perm=[0, 2, 1]),
                  g.tensor((8, 24)))
            parts = g.add("Transpose", g.add("Reshape", g.last, g.ints(0, 64, 3, 2, 4)),
                          perm=[2, 0, 3, 1, 4])
            q, k, v = (g.add("Gather", parts, g.tensor(np.int64(i)), axis=0) for i in range(3))
            scores = g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2]))
            y = g.add("MatMul", g.add("Softmax", scores, axis=3), v)
            y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), g.ints(0, 64, 8))
            g.add("Gemm", g.add("Flatten", g.add("ReduceMean", y, axes=[1])), g.tensor((8, 3)))
            made.append(g.model())
        g = Graph((1, 3, 8, 8))
        x, shape = g.conv(4), g.add("Shape", "image")
        size = g.add("Concat", g.add("Slice", shape, g.ints(0), g.ints(1), g.ints(0)),
                     g.ints(4, 16, 16), axis=0)
        y = g.add("Resize", x, "", "", size, mode="linear")
        parts = g.add("Split", y, axis=1, outputs=2)
        g.add("Concat", g.add("Pad", parts[0], g.ints(0, 0, 1, 1, 0, 0, 1, 1)),
              g.add("Pad", parts[1], g.ints(0, 0, 0, 2, 0, 0, 2, 0)), axis=1)
        made.append(g.model())
        beside = Graph((1, 3, 8, 8))
        beside.conv(4)
        model = beside.model()
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", "weights.bin"), ("offset", "64"), ("length", "432")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        made.append(model)
        return [self.written_by(lambda path, m=m: saved(os.path.dirname(path), m, os.path.basename(
            path))) for m in made]

    def read(self):
        load_network(self.path)


class KerasWeights(NetworkFile):
    """A file of Inception V3's weights in the layout of Keras's official one (.h5).

    The real file is 88 MB; this one has the attributes and groups of it, and data sets
    for the first layers only, so that a run ends at the first that is missing.
    """

    file_name = "input.h5"

    def seeds(self):
        from gear_transfer.importers import inception_v3
        nodes, shapes = inception_v3.architecture()
        kept = ["conv2d_1", "batch_normalization_1"]

        def write(path):
            import h5py
            weights = []
            for node in nodes:
                arrays = {}
                for name, shape in shapes.items():
                    layer, role = name.split("/")
                    if layer == node.name and layer in kept:
                        arrays[{"mean": "moving_mean", "variance": "moving_variance"}.get(
                            role, role)] = np.ones(shape, np.float32)
                weights.append((node.name, arrays))
            with h5py.File(path, "w") as stream:
                keras_files.write_weights(stream, [item for item in weights if item[1]])
                stream.attrs["layer_names"] = [name.encode() for name, _ in weights]

        return [self.written_by(write)]

    def read(self):
        check_shapes(load_network(self.path, "activation_1"))


# The cache

class Cache(Target):
    """The SQLite file of the feature cache."""

    file_name = "features.sqlite3"
    KEYS = [bytes([i]) * 32 for i in range(12)]

    def seeds(self):
        def write(path, page_size):
            cache = FeatureCache(self.folder)
            if os.path.exists(cache.path):  # an input that was run before
                os.remove(cache.path)
            cache.put(self.KEYS, np.arange(36 * 8, dtype=np.float32).reshape(12, 24))
            cache.put_choice(self.KEYS[0], "bf16")
            connection = sqlite3.connect(cache.path)
            connection.execute("PRAGMA page_size = {}".format(page_size))
            connection.execute("VACUUM")  # from here on the pages have that size
            connection.close()
            shutil.copy(cache.path, path)
            os.remove(cache.path)

        return [self.written_by(lambda path: write(path, size)) for size in (512, 4096)]

    def run(self, data):
        self.put(data)
        cache = FeatureCache(self.folder, limit=200)
        found = cache.get(self.KEYS, 24)
        if not all(vector.shape == (24,) and vector.dtype == np.float32 and key in self.KEYS
                   for key, vector in found.items()):
            raise AssertionError("the cache gave {!r}".format(found))
        choice = cache.get_choice(self.KEYS[0])
        if not (choice is None or isinstance(choice, str)):
            raise AssertionError("the cache gave {!r}".format(choice))
        cache.put(self.KEYS[:2], np.zeros((2, 24), np.float32))
        cache.put_choice(self.KEYS[0], "float32")
        cache.trim()
        if os.path.exists(self.path + "-journal"):
            os.remove(self.path + "-journal")
        return bool(found)


# Images

class Images(Target):
    """One image file of each format that is read."""

    file_name = "input.jpg"

    def __init__(self, folder):
        super().__init__(folder)
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS

    def seeds(self):
        pixels = np.random.RandomState(0).randint(0, 255, (12, 10, 3)).astype(np.uint8)
        rgb = Image.fromarray(pixels)
        clear = Image.fromarray(np.dstack([pixels, pixels[:, :, :1]]))
        exif = (b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1)
                + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">I", 0))
        made = [(rgb, "JPEG", {}), (rgb, "JPEG", {"progressive": True, "exif": exif}),
                (rgb.convert("CMYK"), "JPEG", {}), (rgb.convert("L"), "JPEG", {}),
                (rgb, "PNG", {"exif": exif}), (clear, "PNG", {}), (rgb.convert("1"), "PNG", {}),
                (rgb.quantize(16), "PNG", {"transparency": 3}),
                (Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257), "PNG", {}),
                (rgb, "BMP", {}), (rgb.quantize(16), "BMP", {}), (rgb.convert("1"), "BMP", {}),
                (rgb, "GIF", {}), (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]})]
        if features.check("webp"):
            made += [(rgb, "WEBP", {}), (clear, "WEBP", {"lossless": True})]
        seeds = []
        for image, kind, options in made:
            stream = io.BytesIO()
            image.save(stream, kind, **options)
            seeds.append(stream.getvalue())
        return seeds

    def run(self, data):
        self.put(data)
        readable = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for resize in ("pad", "stretch"):
                try:
                    pixels = read_image(self.path, 16, resize)
                except errors.ImageError:
                    continue
                readable = True
                if pixels.shape != (16, 16, 3) or pixels.dtype != np.uint8:
                    raise AssertionError("read_image gave {} {}".format(
                        pixels.shape, pixels.dtype))
        return readable


TARGETS = {"native": Native, "model": Model, "pytorch": Pytorch, "keras": Keras,
           "keras_archive": KerasArchive, "keras_weights": KerasWeights,
           "cache": Cache, "images": Images}
if importlib.util.find_spec("onnx") is not None:  # left out with old Pythons, see ci/other_pythons.sh
    TARGETS["onnx"] = Onnx


def corpus_folder(name):
    """The folder of inputs that once failed, and of those kept for their coverage."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", name)


def corpus(name):
    """The inputs in that folder, list of bytes; those that end in .z are inflated."""
    folder = corpus_folder(name)
    inputs = []
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, entry), "rb") as stream:
            data = stream.read()
        inputs.append(zlib.decompress(data) if entry.endswith(".z") else data)
    return inputs


def run_checked(target, data):
    """Run one input under the limits.

    Returns
    -------
    seconds : float
    memory : int
        Bytes taken at most: the peak beyond what was resident before, or when the peak was last
        reset, which is dear and not done for every input.

    Raises
    ------
    AssertionError
        If the input took too long or too much memory.
    """
    if target.resident is None:
        target.resident = _reset_peak()
    seconds = _seconds(target, data)
    memory = _peak() - target.resident
    if seconds > LONGEST:
        raise AssertionError("took {:.1f} s".format(seconds))
    if memory > 2 * len(data) + SLACK:
        raise AssertionError("took {:,} bytes for an input of {:,}".format(memory, len(data)))
    if memory > DRIFT:
        target.resident = _reset_peak()
    return seconds, memory


def _seconds(target, data):
    """The processor time of the run of an input, which others on the machine do not lengthen."""
    start = time.process_time()
    target.run(data)
    return time.process_time() - start


def _peak():
    """The most memory that was resident at once since the last reset, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _reset_peak():
    """Begin to count the peak anew, where the system allows that; bytes resident now."""
    try:
        with open("/proc/self/clear_refs", "w") as stream:
            stream.write("5")
    except OSError:
        pass
    return _peak()


def new_target(name):
    """A target with a folder of its own, in memory where that is possible."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return TARGETS[name](tempfile.mkdtemp(prefix="gear_transfer_fuzz_", dir=base))


def random_inputs(target, name, count, seed=0):
    """Seeds, the kept inputs, and `count` mutations of them."""
    rng = random.Random(seed)
    pool = target.seeds() + corpus(name)
    for data in pool:
        yield data
    for _ in range(count):
        data = rng.choice(pool)
        for _ in range(rng.randrange(1, 4)):
            data = target.mutate(data, rng)
        yield data
