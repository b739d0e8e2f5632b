"""Loading a file runs nothing, imports nothing and opens no other file: seen by an audit hook.

Each kind of published attack on loaders of models has its file here. Those whose number is known for
sure are named by it.
"""
import base64
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile

import h5py
import numpy as np
import pytest

import gear_transfer
from gear_transfer.features import memory
from keras_files import (conv, functional, image, image_3, layer, layer_3, model_config, small_model,
                         small_weights, write_archive, write_model)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "fuzz"))

import targets  # noqa: E402

pytestmark = pytest.mark.every_python

#: What may happen besides opening the file: memory is taken, and the cache connects to its file and
#: makes sure of its folder.
BESIDES = ("mmap.__new__", "array.__new__", "sqlite3.connect/handle")


def loaded(files):
    """(error's name or None, events) for each (kind, path), in a process of its own."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(gear_transfer.__file__)))
    command = [sys.executable, os.path.join(HERE, "loading_under_audit.py")]
    for kind, path in files:
        command += [kind, str(path)]
    paths = [home] + [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    output = subprocess.check_output(command, env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)))
    return json.loads(output.decode())


def forbidden(path, events):
    """The events that loading this file gives no reason for."""
    allowed = [("open", str(path)), ("sqlite3.connect", str(path)), ("os.mkdir", os.path.dirname(path)),
               ("open", tempfile.gettempdir())]  # the file without a name in importers/on_disk.py
    allowed += [("open", limit) for limit in memory.LIMITS]  # how much memory there is
    return [(event, arguments) for event, arguments in events if not (
        event in BESIDES or (event,) + tuple(arguments) in allowed
        or event == "open" and arguments[0].isdigit())]  # a descriptor of what was opened before


@pytest.mark.slow
def test_supported_files(tmp_path):
    """Every kind of file that is read, as made by the fuzzer's seeds."""
    files = []
    for name, kind in (("native", "network"), ("keras", "network"), ("keras_archive", "network"),
                       ("model", "model"),
                       ("images", "image"), ("cache", "cache")):
        target = targets.TARGETS[name](str(tmp_path))
        for i, data in enumerate(target.seeds()):
            folder = tmp_path / "{}-{}".format(name, i)
            folder.mkdir()
            path = folder / target.file_name
            path.write_bytes(data)
            files.append((kind, str(path)))
    results = loaded(files)
    assert len(results) == len(files) >= 20
    for (kind, path), (error, events) in zip(files, results):
        assert error is None, path
        assert events or kind == "cache", "the hook saw nothing"
        assert forbidden(path, events) == [], path


class Bomb(object):
    """What a pickle may do when it is loaded."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def zipped(path, members):
    with zipfile.ZipFile(str(path), "w") as archive:
        for name, data in members:
            archive.writestr(name, data)


def write_npz(path):
    np.savez(str(path), x=np.array([Bomb()], dtype=object))
    os.rename(str(path) + ".npz", str(path))


def keras(path, **changes):
    """A model whose second layer is of another class or module."""
    entry = layer(changes.pop("kind"), "second", ["input_1"], **changes.pop("config", {}))
    entry.update(changes)
    write_model(path, model_config([image(), entry]), small_weights())


def keras_3(path, *entry, **config):
    """A ``.keras`` archive whose second layer is of another class or module."""
    write_archive(path, functional([image_3(), layer_3(*entry, **config)]), {})


def linked_weights(path):
    """A ``.keras`` archive whose weights are a link to another file."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as stream:
        group = stream.create_group("layers/conv2d/vars")
        group["0"] = h5py.ExternalLink(other_file(path), "/beta")
    write_archive(path, functional([image_3(), layer_3(
        "Conv2D", "conv", ["input_layer"], filters=1, kernel_size=[1, 1], use_bias=False)]),
        weights.getvalue())


def replaced(path, make):
    """The small model with one data set replaced by what `make(group, name)` puts there."""
    small_model(path)
    with h5py.File(str(path), "r+") as stream:
        group = stream["model_weights"]
        del group["norm/norm/beta:0"]
        make(group, "norm/norm/beta:0")


def other_file(path):
    """An HDF5 file beside `path` that must not be opened."""
    other = str(path) + ".secret"
    with h5py.File(other, "w") as stream:
        stream["beta"] = np.zeros(4, np.float32)
    return other


def external_storage(group, name, path):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_external(other_file(path).encode(), 0, 16)
    parent, last = name.rsplit("/", 1)
    h5py.h5d.create(group[parent].id, last.encode(), h5py.h5t.IEEE_F32LE,
                    h5py.h5s.create_simple((4,)), properties)


def virtual(group, name, path):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource(other_file(path), "beta", shape=(4,))
    group.create_virtual_dataset(name, layout)


def link_in_the_middle(path):
    small_model(path)
    other = str(path) + ".secret"
    with h5py.File(str(path), "r+") as stream, h5py.File(other, "w") as secret:
        stream.copy("model_weights/norm/norm", secret, "norm")
        del stream["model_weights/norm/norm"]
        stream["model_weights/norm/norm"] = h5py.ExternalLink(other, "/norm")


def protobuf(*fields):
    """A message of text fields (number, bytes or str)."""
    parts = []
    for number, value in fields:
        value = value.encode() if isinstance(value, str) else value
        parts.append(bytes([number << 3 | 2, len(value)]) + value)
    return b"".join(parts)


def onnx_external_data(path):
    """A tensor whose data lie in another file, by a path that leads out of the folder."""
    location = protobuf((1, "location"), (2, "../../etc/passwd"))
    tensor = protobuf((8, "w"), (13, location))
    path.write_bytes(protobuf((7, protobuf((5, tensor)))))


TORCH = pickle.dumps(Bomb(), 2)

#: name of the attack: what writes its file.
ATTACKS = {
    "pickle": lambda path: path.write_bytes(TORCH),
    "npz of objects, CVE-2019-6446": write_npz,
    "torch.load, CVE-2025-32434": lambda path: zipped(path, [
        ("archive/data.pkl", TORCH), ("archive/version", b"3")]),
    "Lambda layer, CVE-2024-3660 and CVE-2025-9905": lambda path: keras(
        path, kind="Lambda", config={"function": ["4wEAAAA=", None, None],
                                     "function_type": "lambda"}),
    "module and class by name, CVE-2025-1550": lambda path: keras(
        path, kind="function", module="os", registered_name="system",
        config={"args": ["mkdir exploded"]}),
    "download by a layer, CVE-2025-8747": lambda path: keras(
        path, kind="Lambda", config={
            "function": {"module": "keras.utils", "class_name": "function", "config": "get_file",
                         "registered_name": "function"},
            "arguments": {"origin": "https://example.org/exploded", "extract": True}}),
    "safe mode turned off by the file, CVE-2025-9906": lambda path: keras(
        path, kind="Lambda", config={
            "function": {"module": "keras.config", "class_name": "function",
                         "config": "enable_unsafe_deserialization",
                         "registered_name": "function"}}),
    "pickle within a layer, CVE-2025-49655": lambda path: keras(
        path, kind="TorchModuleWrapper", config={
            "module": base64.b64encode(TORCH).decode("ascii")}),
    "vocabulary in a file, CVE-2025-12058": lambda path: keras(
        path, kind="StringLookup", config={"vocabulary": "/etc/passwd"}),
    "custom object": lambda path: keras(path, kind="os>system", config={"command": "true"}),
    "Keras archive, module and class by name, CVE-2025-1550": lambda path: keras_3(
        path, "function", "second", ["input_layer"], module="os", command="mkdir exploded"),
    "Keras archive, Lambda layer, CVE-2024-3660": lambda path: keras_3(
        path, "Lambda", "second", ["input_layer"], function={
            "class_name": "__lambda__", "config": {"code": "4wEAAAA="}}),
    "Keras archive, function by name, CVE-2025-8747": lambda path: keras_3(
        path, "Activation", "second", ["input_layer"], activation={
            "module": "keras.utils", "class_name": "function", "config": "get_file"}),
    "Keras archive, weights in another file": linked_weights,
    "Keras archive with a path out of it": lambda path: zipped(path, [
        ("../exploded", b"x"), ("config.json", b"{}"), ("model.weights.h5", b"\x89HDF")]),
    "ONNX external data, CVE-2022-25882 and CVE-2024-27318": onnx_external_data,
    "HDF5 external storage, CVE-2026-1669": lambda path: replaced(
        path, lambda group, name: external_storage(group, name, path)),
    "HDF5 data set that is stored nowhere, as in CVE-2026-0897": lambda path: replaced(
        path, lambda group, name: group.create_dataset(name, (1 << 40,), "f4", chunks=(1 << 20,))),
    "HDF5 virtual data set": lambda path: replaced(
        path, lambda group, name: virtual(group, name, path)),
    "HDF5 external link": lambda path: replaced(
        path, lambda group, name: group.__setitem__(name, h5py.ExternalLink(
            other_file(path), "/beta"))),
    "HDF5 soft link": lambda path: replaced(
        path, lambda group, name: group.__setitem__(name, h5py.SoftLink("/model_weights"))),
    "HDF5 external link in the middle of a path": link_in_the_middle,
    "name of a weight that climbs": lambda path: write_model(
        path, model_config([image(), conv("../../conv", "input_1")]), small_weights()),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Outcomes by the name of the attack, for the loaders of networks and of models."""
    folder = tmp_path_factory.mktemp("attacks")
    here = os.getcwd()
    os.chdir(str(folder))
    try:
        files = []
        for i, name in enumerate(sorted(ATTACKS)):
            path = folder / "file{}".format(i)
            ATTACKS[name](path)
            files += [("network", str(path)), ("model", str(path))]
        before = sorted(os.listdir(str(folder)))
        results = loaded(files)
        assert sorted(os.listdir(str(folder))) == before, "a file was made"
    finally:
        os.chdir(here)
    found = {}
    for i, name in enumerate(sorted(ATTACKS)):
        found[name] = [(files[k][1],) + tuple(results[k]) for k in (2 * i, 2 * i + 1)]
    return found


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attacks(attacked, name):
    errors = []
    for path, error, events in attacked[name]:
        errors.append(error)
        assert any(event == "open" for event, _ in events), "the hook saw nothing"
        assert forbidden(path, events) == []
    assert errors == ["WeightsError", "ModelFileError"]


def test_the_hook_sees_a_pickle_that_runs(tmp_path):
    """What the tests above would see if a loader did load pickles."""
    script = ("import sys, pickle\nseen = []\nsys.addaudithook(lambda event, _: seen.append(event))\n"
              "pickle.loads({!r})\nprint(seen)".format(TORCH))
    output = subprocess.check_output([sys.executable, "-c", script], cwd=str(tmp_path))
    assert b"'os.mkdir'" in output and b"pickle.find_class" in output
    assert (tmp_path / "exploded").is_dir()
    with pytest.raises(ValueError):
        np.load(io.BytesIO(TORCH), allow_pickle=False)
