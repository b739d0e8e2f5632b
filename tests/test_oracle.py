"""The core against a plain twin on random networks; tests/oracle/run.py has many more."""
import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import gear_transfer

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle")


def load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(FOLDER, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["DEFAULT", "AVX512_CORE", "AVX2", "SSE41"])
def test_random_networks(isa):
    """200 networks over four instruction sets, in each precision."""
    first = 50 * ["DEFAULT", "AVX512_CORE", "AVX2", "SSE41"].index(isa)
    done = subprocess.run([sys.executable, os.path.join(FOLDER, "run.py"), "--count", "50",
                           "--first", str(first), "--isa", isa],
                          stdout=subprocess.PIPE, universal_newlines=True,
                          env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(
                              os.path.abspath(gear_transfer.__file__)))))
    assert re.search(r"^50 networks, 0 findings$", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 0


def test_the_networks_are_of_every_kind():
    networks = load("networks")
    seen = set()
    for seed in range(200):
        network, size, taps = networks.make(seed)
        seen.add(("taps", min(len(taps), 3)))
        seen.add(("pixel", size == (1, 1)))
        for node in network.nodes:
            seen.add(node.op)
            seen.add((node.op, len(node.inputs), "value" in node.attributes))
            for key in ("strides", "dilations", "groups", "padding", "count_include_padding",
                        "ceil_mode", "channels_first", "axis", "coordinates",
                        "window", "shift"):
                value = node.attributes.get(key)
                seen.add((key, value if isinstance(value, (str, bool)) else "other"
                          if value not in (None, 1, [1, 1]) else "plain"))
    for wanted in ("conv2d", "batch_norm", "relu", "bias", "max_pool", "average_pool", "concat",
                   "add", "global_average_pool", "global_max_pool", "flatten", "dense", "softmax",
                   "layer_norm", "group_norm", "position_embedding", "attention",
                   ("taps", 1), ("taps", 2), ("taps", 3), ("strides", "other"), ("groups", "other"),
                   ("dilations", "other"), ("padding", "same"), ("padding", "valid"),
                   ("padding", "other"), ("count_include_padding", True),
                   "activation", "clip", "prelu", "scale", "multiply", "subtract", "divide",
                   "maximum", "minimum", "constant", "pad", "crop", "slice", "channel_shuffle",
                   "local_response_norm", "reduce", "resize", "reshape", "transpose",
                   ("ceil_mode", True), ("channels_first", True), ("axis", "height"),
                   ("coordinates", "align_corners"), ("window", "other"), ("shift", "other"),
                   ("attention", 1, True), ("attention", 3, False)):
        assert wanted in seen, wanted


@pytest.mark.slow
def test_the_twin_against_reference_features(shared):
    """The twin itself agrees with TensorFlow over a network that somebody else computed."""
    from gear_transfer.importers import load_network
    twin = load("twin")
    path = os.path.join(str(shared), "weights", "inception_v3_keras2_full.h5")
    network = load_network(path).upto("mixed0")
    reference = np.load(os.path.join(str(shared), "reference", "inception_v3_features.npz"),
                        allow_pickle=False)
    found = twin.run(network, reference["images_uint8"][:1])["mixed0"].mean(axis=(1, 2))
    expected = reference["gap_mixed0"][:1]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
