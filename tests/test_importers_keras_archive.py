"""Keras 3's archives: what is read, and every way in which one can lie."""
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from gear_transfer.errors import WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.keras import archive
from keras_files import (archive_weights, functional, image_3, layer_3, small_archive,
                         small_layers_3, small_model, small_numbered, small_weights, write_archive)


def fails(path, *parts, **options):
    """The import fails with a message that names the file and every part."""
    with pytest.raises(WeightsError) as caught:
        load_network(path, **options)
    for part in (os.path.basename(str(path)),) + parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_same_network_as_from_hdf5(tmp_path, compression):
    network = load_network(small_archive(tmp_path / "m.keras", compression=compression))
    old = load_network(small_model(tmp_path / "m.h5"))
    assert network.layers == ["input_layer"] + old.layers[1:]
    for name in old.arrays:
        np.testing.assert_array_equal(network.arrays[name], old.arrays[name])
    assert network.input_size == (8, 8)
    assert network.provenance == {"format": "Keras archive", "keras_version": "3.5.0"}


def test_a_large_file_of_weights_lies_on_disk_without_a_name(tmp_path):
    kernel = np.random.RandomState(0).normal(size=(1, 1, 1500, 1000)).astype(np.float32)
    layers = [image_3(channels=1500), layer_3("Conv2D", "big", ["input_layer"], filters=1000,
                                              kernel_size=[1, 1], use_bias=False)]
    path = write_archive(tmp_path / "big.keras", functional(layers), {"conv2d": ("big", [kernel])})
    network = load_network(path)
    os.remove(path)
    assert os.listdir(str(tmp_path)) == []
    np.testing.assert_array_equal(network.arrays["big/kernel"], kernel)


def test_layers_before_2_13(tmp_path):
    weights = archive_weights(small_numbered(), "_layer_checkpoint_dependencies")
    path = write_archive(tmp_path / "m.keras", functional(small_layers_3()), weights, "2.12.0")
    np.testing.assert_array_equal(load_network(path).arrays["conv/kernel"],
                                  dict(small_weights())["conv"]["kernel"])


def test_hard_sigmoid_is_that_of_the_version(tmp_path):
    layers = [image_3(), layer_3("Activation", "a", ["input_layer"], activation="hard_sigmoid")]
    for version, slope in (("3.1.0", 1.0 / 6.0), ("2.15.0", 0.2)):
        path = write_archive(tmp_path / "h.keras", functional(layers), {}, version)
        assert load_network(path).nodes[-1].attributes == {
            "function": "hard_sigmoid", "alpha": slope, "beta": 0.5}


# Archives that lie

@pytest.mark.parametrize("name", ["../config.json", "/config.json", "x/config.json", "CONFIG.JSON",
                                  "config.json/", "C:\\config.json"])
def test_members_count_by_their_exact_name_only(tmp_path, name):
    path = str(tmp_path / "paths.keras")
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr(name, json.dumps(functional(small_layers_3())))
        stream.writestr("model.weights.h5", archive_weights(small_numbered()))
    fails(path, "no member 'config.json'", "model.save")
    assert os.listdir(str(tmp_path)) == ["paths.keras"]


def test_other_members_are_not_looked_at(tmp_path):
    other = [("../../etc/passwd", b"x"), ("assets/a.py", b"raise SystemExit")]
    load_network(small_archive(tmp_path / "m.keras", members=other))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_two_members_of_one_name(tmp_path, name):
    fails(small_archive(tmp_path / "two.keras", members=[(name, b"{}")]), "two members", name)


@pytest.mark.slow
def test_bombs(tmp_path):
    config = json.dumps(functional(small_layers_3()))
    bomb = write_archive(tmp_path / "config.keras", config + " " * (archive.LARGEST_CONFIG), {},
                         compression=zipfile.ZIP_DEFLATED)
    fails(bomb, "'config.json' claims")
    weights = archive_weights({}) + bytes(archive.SPARE + (1 << 20))
    bomb = write_archive(tmp_path / "weights.keras", config, weights,
                         compression=zipfile.ZIP_DEFLATED)
    assert os.path.getsize(bomb) < 1 << 20
    fails(bomb, "'model.weights.h5' claims")


def test_a_member_that_is_longer_than_it_claims(tmp_path):
    path = small_archive(tmp_path / "long.keras", compression=zipfile.ZIP_DEFLATED)
    with open(path, "rb") as stream:
        data = bytearray(stream.read())
    size = next(info.file_size for info in zipfile.ZipFile(path).infolist()
                if info.filename == "model.weights.h5")
    for place in range(len(data) - 4):
        if data[place:place + 4] == struct.pack("<I", size):
            data[place:place + 4] = struct.pack("<I", size // 2)
    with open(path, "wb") as stream:
        stream.write(data)
    fails(path, "'model.weights.h5'")


@pytest.mark.slow
def test_a_list_of_members_without_end(tmp_path):
    path = str(tmp_path / "list.keras")
    with zipfile.ZipFile(path, "w") as stream:
        for number in range(archive.LARGEST_LIST // 46):
            stream.writestr(zipfile.ZipInfo("{:05}".format(number)), b"")
    fails(path, "zip archive", "list of members")


def test_damage(tmp_path):
    path = small_archive(tmp_path / "m.keras")
    with open(path, "rb") as stream:
        data = stream.read()
    broken = tmp_path / "broken.keras"
    for cut in (4, 100, len(data) // 2, len(data) - 1):
        broken.write_bytes(data[:cut])
        fails(broken, "model.save")
    start = data.index(b"\x89HDF") + 3000
    broken.write_bytes(data[:start] + b"\xff" + data[start + 1:])
    fails(broken, "'model.weights.h5' is damaged")


def test_encrypted_and_unusual_compression(tmp_path):
    fails(small_archive(tmp_path / "lzma.keras", compression=zipfile.ZIP_LZMA), "method 14")
    path = small_archive(tmp_path / "secret.keras")
    with open(path, "rb") as stream:
        data = bytearray(stream.read())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(signature, place + 1)
    with open(path, "wb") as stream:
        stream.write(data)
    fails(path, "encrypted")


@pytest.mark.parametrize("name, text, parts", [
    ("model/data.pkl", b"\x80\x02", ("PyTorch", "safetensors")),
    ("saved_model.pb", b"", ("SavedModel", "model.save")),
    ("arr_0.npy", b"", ("NumPy",))])
def test_other_archives_say_what_they_are(tmp_path, name, text, parts):
    path = str(tmp_path / "other.zip")
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr(name, text)
    fails(path, *parts)


@pytest.mark.parametrize("config, parts", [
    (b"not JSON", ("config.json",)), (b"[" * 100000, ("config.json",)), (b"\xff\xfe", ("JSON",)),
    (b"{}", ("model_config",))])
def test_configurations_that_are_none(tmp_path, config, parts):
    fails(write_archive(tmp_path / "c.keras", config, {}), *parts)


def test_without_weights(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as stream:
        stream.writestr("config.json", json.dumps(functional(small_layers_3())))
    (tmp_path / "w.keras").write_bytes(file.getvalue())
    fails(tmp_path / "w.keras", "model.weights.h5")
    fails(write_archive(tmp_path / "e.keras", functional(small_layers_3()), b"no HDF5" * 20),
          "e.keras")
    weights = small_numbered()
    del weights["dense"]
    fails(write_archive(tmp_path / "d.keras", functional(small_layers_3()), weights),
          "layer 'top'", "is missing")


def test_weights_in_the_place_of_another_layer(tmp_path):
    weights = small_numbered()
    weights["dense"] = ("another", weights["dense"][1])
    fails(write_archive(tmp_path / "n.keras", functional(small_layers_3()), weights),
          "layer 'top'", "those of layer 'another'")


# Code is neither imported nor run

@pytest.mark.parametrize("entry, parts", [
    (layer_3("Lambda", "evil", ["input_layer"], function={
        "class_name": "__lambda__", "config": {"code": "4wEAAAA="}}), ("'evil'", "refused")),
    (layer_3("system", "evil", ["input_layer"], module="os"), ("os>system", "not supported")),
    (layer_3("Conv2D", "evil", ["input_layer"], module="evil_module"),
     ("evil_module>Conv2D", "not supported")),
    (layer_3("run_function_with_timeout", "evil", ["input_layer"], module="keras.src.utils"),
     ("not supported",)),
    (layer_3("Activation", "evil", ["input_layer"], activation={
        "module": "builtins", "class_name": "function", "config": "eval"}), ("'eval'",))])
def test_no_code(tmp_path, entry, parts):
    fails(write_archive(tmp_path / "evil.keras", functional([image_3(), entry]), {}), *parts)


def test_a_registered_class_is_not_keras_own(tmp_path):
    entry = dict(layer_3("Conv2D", "mine", ["input_layer"], module=None),
                 registered_name="mine>Conv2D")
    fails(write_archive(tmp_path / "r.keras", functional([image_3(), entry]), {}), "mine>Conv2D")
