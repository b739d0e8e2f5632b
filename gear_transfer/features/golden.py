"""A picture drawn by code, and the features that it must have.

The features in data/golden_features.npy are those of "inception_v3" at
mixed4 in float32. They were made by `make_features` with oneDNN held to SSE4.1
(``ONEDNN_MAX_CPU_ISA=SSE41``), of one picture on one thread.
"""
import os

import numpy as np

SIZE = 128
LAYER = "mixed4"

#: Largest difference to the golden features in float32, relative to the largest of them.
#: Instruction sets from SSE4.1 to AVX-512 differ by less than 3e-7.
BOUND = 1e-5


def draw_picture():
    """The picture, uint8 (128, 128, 3): a disc and squares on a chequered ramp.

    In whole numbers only, so that it is the same on every machine.
    """
    y, x = np.mgrid[:SIZE, :SIZE]
    picture = np.stack([2 * x, 2 * y, 255 - x - y], axis=2)
    picture[(x // 8 + y // 8) % 2 == 0] += 24
    picture[(x - 40) ** 2 + (y - 44) ** 2 < 28 ** 2] = (200, 30, 60)
    picture[70:110, 62:116] = (20, 90, 220)
    picture[80:100, 72:106] = (250, 240, 90)
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_features(precision="float32", threads=None, copies=5):
    """Features of the picture as this installation computes them.

    Parameters
    ----------
    precision : str
        As `Backbone.load` takes it.
    threads : int, optional
    copies : int
        Pictures in the batch; an odd number from 5 on takes every path of the
        engine, for sub-batches and for single images.

    Returns
    -------
    features : ndarray of float32, shape (copies, 768)
    backbone : Backbone
        That made them.
    """
    from .backbone import Backbone
    backbone = Backbone.load("inception_v3", layer=LAYER, input_size=SIZE, precision=precision, threads=threads)
    return backbone.features(np.repeat(draw_picture()[np.newaxis], copies, axis=0)), backbone


def golden_features():
    """The features that the picture must have, float32 (768,)."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.path.join(package, "data", "golden_features.npy")
    return np.load(path, allow_pickle=False)


def difference(features):
    """Largest difference to the golden features, relative to the largest of them.

    Parameters
    ----------
    features : ndarray of float32, shape (n, 768)

    Returns
    -------
    float
    """
    golden = golden_features()
    return float(np.abs(features - golden).max() / np.abs(golden).max())
