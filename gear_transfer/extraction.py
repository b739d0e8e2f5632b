"""Images through a backbone, batch by batch."""
import contextlib

import numpy as np

from .prefetch import iterate_batches


def iterate_features(backbone, images, resize, batch_size, workers):
    """Decode images and compute their features, in order.

    Wrap it in ``contextlib.closing`` where the loop may be left early.

    Parameters
    ----------
    backbone : Backbone
    images : sequence
        As `read_image` takes them.
    resize : {"pad", "stretch"}
    batch_size : int
        Images that go through the backbone at a time.
    workers : int
        Threads that decode.

    Yields
    ------
    indices : int ndarray of shape (n,)
        Positions in `images` of what was read.
    features : float32 ndarray of shape (n, d)
        Several layers side by side; maps flattened.
    failures : list of (int, ImageError)
        The positions that cannot be read.
    """
    batches = iterate_batches(images, backbone.input_size, resize, batch_size, workers=workers)
    with contextlib.closing(batches):
        for indices, pixels, failures in batches:
            yield indices, _flat(backbone.features(pixels), len(indices)), failures


def _flat(features, n):
    """Features of one or several layers as (n, d), also where n is 0."""
    parts = features if isinstance(features, list) else [features]
    flat = [part.reshape(n, int(np.prod(part.shape[1:]))) for part in parts]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
