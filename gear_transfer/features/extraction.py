"""Images through a backbone, batch by batch."""
import contextlib

import numpy as np

from ..photographs.prefetch import iterate_batches


def iterate_features(backbone, images, resize, batch_size, workers, augmentation=None,
                     see=None, contents=None):
    """Decode images and compute their features, in order.

    Wrap it in ``contextlib.closing`` where the loop may be left early.

    Parameters
    ----------
    backbone : Backbone
    images : sequence
        As `read_image` takes them.
    resize : {"pad", "stretch", "crop"} or Resize
    batch_size : int
        Images that go through the backbone at a time.
    workers : int
        Threads that decode.
    augmentation : Augmentation, optional
        Compute the features of views of each image in place of its own.
    see : callable, optional
        Called with the position and the picture of every image that can be read, see
        `iterate_batches`.
    contents : KnownContents, optional
        See `iterate_batches`.

    Yields
    ------
    indices : int ndarray of shape (n,)
        Positions in `images` of what was read.
    features : float32 ndarray of shape (n, d)
        Several layers side by side; maps flattened; those of all views one after the other.
    failures : list of (int, ImageError)
        The positions that cannot be read.
    """
    if augmentation is not None:
        batch_size = max(1, batch_size // augmentation.views)
    batches = iterate_batches(images, backbone.input_size, resize, batch_size, workers=workers,
                              augmentation=augmentation, see=see, contents=contents)
    with contextlib.closing(batches):
        for indices, pixels, failures in batches:
            pixels = pixels.reshape((-1,) + pixels.shape[-3:])
            features = _flat(backbone.features(pixels))
            width = features.shape[1] * (1 if augmentation is None else augmentation.views)
            yield indices, features.reshape(len(indices), width), failures


def _flat(features):
    """Features of one or several layers as (n, d), also where n is 0."""
    parts = features if isinstance(features, list) else [features]
    flat = [part.reshape(len(part), int(np.prod(part.shape[1:]))) for part in parts]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
