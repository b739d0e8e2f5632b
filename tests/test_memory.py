"""Maps of a network are reckoned before memory is taken for them."""
import json
import os

import numpy as np
import pytest

from gear_transfer import Backbone, GraphError, ModelFileError, TransferClassifier, load_model
from gear_transfer.features import memory
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.importers.network import Network, Node


def tiny():
    random = np.random.RandomState(0)
    nodes = [Node("input", "input", (), {"channels": 3}),
             Node("conv", "conv2d", ("input",), {"kernel": "k", "strides": [1, 1],
                                                 "padding": "same"}),
             Node("relu", "relu", ("conv",)),
             Node("join", "concat", ("conv", "relu"))]
    return Network("tiny", nodes, {"k": random.randn(1, 1, 3, 7).astype(np.float32)}, (32, 32),
                   {"scale": 1.0, "offset": 0.0})


def test_what_is_needed_at_the_same_time():
    nodes, pixels = tiny().nodes, 10 * 20
    shapes = {"input": (10, 20, 3), "conv": (10, 20, 7), "relu": (10, 20, 7), "join": (10, 20, 14)}
    assert memory.most_values(nodes, shapes, ["join"]) == 28 * pixels
    assert memory.most_values(nodes[:3], shapes, ["relu"]) == 14 * pixels
    assert memory.most_values(nodes[:3], shapes, ["conv", "relu"]) == 14 * pixels
    assert memory.most_values(nodes[:1], shapes, ["input"]) == 3 * pixels
    assert memory.most_values(nodes[:3], shapes, ["input", "relu"]) == 17 * pixels


def test_too_large_maps_are_refused_before_a_plan_is_made():
    assert Backbone.from_network(tiny(), "tiny", "join", 1000, threads=1).input_size == (1000, 1000)
    with pytest.raises(GraphError, match="input size of 9000 x 9000 the maps of the network take"):
        Backbone.from_network(tiny(), "tiny", "join", 9000, threads=1)


def test_no_more_than_the_machine_has(monkeypatch):
    monkeypatch.setattr(memory, "memory_size", lambda: 200e6)
    Backbone.from_network(tiny(), "tiny", "join", 256, threads=1)
    with pytest.raises(GraphError, match="this machine has 0.2 GB: give .* or fewer threads"):
        Backbone.from_network(tiny(), "tiny", "join", 256, threads=64)
    with pytest.raises(GraphError, match="this machine has"):
        Backbone.from_network(tiny(), "tiny", "input", 2000, threads=1)  # the decoded photographs


def test_a_container_may_have_less(monkeypatch, tmp_path):
    whole = memory.memory_size()
    assert whole > 1 << 28
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("{}\n".format(1 << 27))
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    assert memory.memory_size() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "max"), str(tmp_path / "limit")))
    assert memory.memory_size() == 1 << 27


def test_a_small_model_that_would_take_all_memory(tmp_path):
    write_network(tmp_path / "tiny.gtw", tiny())
    images = np.random.RandomState(0).randint(0, 256, (12, 40, 40, 3)).astype(np.uint8)
    TransferClassifier(backbone=tmp_path / "tiny.gtw", layer="join", input_size=32, cache=False,
                       epochs=1, precision="float32").fit(images, np.repeat(["a", "b"], 6)).save(
        tmp_path / "model.gtm")
    network = read_network(tmp_path / "model.gtm")
    settings = json.loads(network.extra["classifier"])
    settings["input_size"] = [9000, 9000]
    network.extra["classifier"] = json.dumps(settings)
    write_network(tmp_path / "hostile.gtm", network)
    assert os.path.getsize(str(tmp_path / "hostile.gtm")) < 20000
    with pytest.raises(ModelFileError, match="hostile.gtm: .*take [0-9,.]+ GB"):
        load_model(tmp_path / "hostile.gtm")
