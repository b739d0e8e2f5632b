"""Small networks that hold all that a native file may hold."""
import numpy as np

from gear_transfer.importers import ChannelQuantizedArray, Network, Node, QuantizedArray


def small_network():
    """Every operation that a native file may hold."""
    rng = np.random.RandomState(1)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    window = {"pool_size": [3, 3], "strides": [1, 1], "padding": "same"}
    nodes = [
        Node("in", "input", (), {"channels": 3}),
        Node("a", "conv2d", ["in"], {"kernel": "a/k", "bias": "a/b", "strides": [2, 2],
                                     "padding": [0, 1, 2, 3], "groups": 1, "dilations": [1, 1]}),
        Node("n", "batch_norm", ["a"], {"mean": "n/m", "variance": "n/v", "epsilon": 1e-3}),
        Node("r", "relu", ["n"], {"max_value": 6.0}),
        Node("p", "average_pool", ["r"], dict(window, count_include_padding=False)),
        Node("m", "max_pool", ["r"], dict(window)),
        Node("s", "add", ["p", "m"]),
        Node("c", "concat", ["r", "s"]),
        Node("o", "bias", ["c"], {"bias": "o/b"}),
        Node("g", "global_average_pool", ["o"]),
        Node("d", "dense", ["g"], {"kernel": "d/k", "bias": "d/b"}),
        Node("e", "softmax", ["d"]),
    ]
    arrays = {
        "a/k": QuantizedArray(rng.randint(0, 256, (3, 3, 3, 5)).astype(np.uint8), 0.1, -3.7),
        "a/b": normal(5), "n/m": QuantizedArray(np.arange(5, dtype=np.uint8), 1e-3, 0.3),
        "n/v": np.linspace(0.5, 2, 5).astype(np.float32), "o/b": normal(10),
        "d/k": normal(10, 3), "d/b": normal(3)}
    return Network("small", nodes, arrays, (32, 48), {"scale": 1 / 127.5, "offset": -1.0},
                   {"source": "a test"})


def compressed_network():
    """The small network with what a file of version 2 may hold."""
    network = small_network()
    rng = np.random.RandomState(2)
    network.arrays["a/k"] = ChannelQuantizedArray(
        network.arrays["a/k"].values, rng.uniform(0.01, 0.1, 5), rng.normal(size=5))
    network.arrays["d/k"] = network.arrays["d/k"].astype(np.float16)
    return network


def modern_network():
    """What networks of later years have: operations on maps and on tokens."""
    rng = np.random.RandomState(3)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    nodes = [
        Node("in", "input", (), {"channels": 3}),
        Node("a", "conv2d", ["in"], {"kernel": "a/k", "strides": [4, 4], "padding": "same"}),
        Node("f", "activation", ["a"], {"function": "hard_swish", "alpha": 0.2, "beta": 0.5}),
        Node("l", "clip", ["f"], {"min_value": -1.0, "max_value": 5.0}),
        Node("r", "prelu", ["l"], {"alpha": "six"}),
        Node("g", "reduce", ["r"], {"axis": "map", "function": "l2"}),
        Node("x", "multiply", ["r", "g"]),
        Node("w", "pad", ["x"], {"padding": [1, 0, 2, 3], "value": 0.5}),
        Node("k", "crop", ["w"], {"cropping": [1, 0, 2, 3]}),
        Node("h", "channel_shuffle", ["k"], {"groups": 3}),
        Node("u", "local_response_norm", ["h"], {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}),
        Node("z", "resize", ["u"], {"factors": [2, 1], "mode": "bilinear"}),
        Node("y", "slice", ["z"], {"axis": "height", "start": 0, "step": 2}),
        Node("v", "transpose", ["y"], {"axes": [1, 0, 2]}),
        Node("q", "group_norm", ["v"], {"groups": 2, "epsilon": 1e-5, "gamma": "six", "beta": "six"}),
        Node("e", "position_embedding", ["q"], {"value": "e/v"}),
        Node("t", "reshape", ["e"], {"shape": [-1, 1, 6]}),
        Node("c", "constant", (), {"value": "c/v"}),
        Node("j", "concat", ["c", "t"], {"axis": "height"}),
        Node("n", "layer_norm", ["j"], {"epsilon": 1e-6, "gamma": "six"}),
        Node("p", "conv2d", ["n"], {"kernel": "p/k", "strides": [1, 1], "padding": "valid"}),
        Node("m", "attention", ["p"], {"heads": 2, "scale": 0.5}),
        Node("b", "attention", ["x2"], {"heads": 1, "scale": 1.0, "window": [2, 2], "shift": [1, 1]}),
        Node("o", "flatten", ["m"], {"channels_first": True}),
    ]
    nodes.insert(-2, Node("x2", "conv2d", ["q"], {"kernel": "p/k", "strides": [1, 1], "padding": "valid"}))
    arrays = {"a/k": normal(4, 4, 3, 6), "six": normal(6), "e/v": normal(3, 4, 6), "c/v": normal(1, 1, 6),
              "p/k": normal(1, 1, 6, 18)}
    return Network("modern", nodes, arrays, (32, 48), {"scale": [1.0, 2.0, 3.0], "offset": 0.0,
                                                       "channels": "bgr"})
