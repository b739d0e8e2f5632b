"""A network and a head so small that they can be made and used ten thousand times."""
import numpy as np

from gear_transfer import _core

#: Of the images that the network takes.
SHAPE = (8, 8, 3)


def description(seed=0):
    """Nodes and arrays: two convolutions, one stored as bytes, a pool, a sum and a softmax."""
    random = np.random.RandomState(seed)
    window = {"strides": (2, 2), "padding": "same", "kernel": "first/kernel", "bias": "first/bias"}
    nodes = [("input", "input", (), {"channels": 3}),
             ("first", "conv2d", ("input",), window),
             ("norm", "batch_norm", ("first",), {"mean": "mean", "variance": "variance",
                                                 "epsilon": 0.001}),
             ("relu", "relu", ("norm",), {"max_value": 6.0}),
             ("second", "conv2d", ("relu",), {"kernel": "second/kernel", "padding": (1, 1, 1, 1)}),
             ("sum", "add", ("relu", "second"), {}),
             ("pool", "max_pool", ("sum",), {"pool_size": (2, 2), "strides": (2, 2)}),
             ("flat", "flatten", ("pool",), {}),
             ("dense", "dense", ("flat",), {"kernel": "dense/kernel"}),
             ("scores", "softmax", ("dense",), {})]
    arrays = {"first/kernel": random.normal(0, 0.3, (3, 3, 3, 8)).astype(np.float32),
              "first/bias": random.normal(0, 0.1, 8).astype(np.float32),
              "mean": random.normal(0, 0.1, 8).astype(np.float32),
              "variance": random.uniform(0.5, 1.5, 8).astype(np.float32),
              "second/kernel": (random.randint(0, 256, (3, 3, 8, 8)).astype(np.uint8),
                                0.002, -0.25),
              "dense/kernel": random.normal(0, 0.3, (32, 5)).astype(np.float32)}
    return nodes, arrays


NODES, ARRAYS = description()


def make_backbone(threads=2, sub_batch=2, outputs=(("relu", "global_average_pool"),
                                                   ("scores", None)), **changes):
    """The core's backbone of that network, or of one with other nodes or arrays."""
    settings = {"nodes": NODES, "arrays": ARRAYS, "height": SHAPE[0], "width": SHAPE[1],
                "outputs": outputs, "threads": threads, "sub_batch": sub_batch,
                "scale": 1 / 127.5, "offset": -1.0, "precision": "float32"}
    settings.update(changes)
    return _core.backbone(**settings)


def pictures(count, seed=1):
    return np.random.RandomState(seed).randint(0, 256, (count,) + SHAPE).astype(np.uint8)


def samples(count, width=6, classes=3, seed=2):
    """Features and labels that can be told apart."""
    random = np.random.RandomState(seed)
    labels = np.arange(count, dtype=np.int32) % classes
    features = random.normal(0, 1, (count, width)).astype(np.float32)
    features[np.arange(count), labels] += 2
    return features, labels
