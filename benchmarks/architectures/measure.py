"""What gear_transfer makes of a file, against what the peer computed."""
import os
import sys

import numpy as np

from gear_transfer.errors import GearTransferError
from gear_transfer.features.backbone import Backbone
from gear_transfer.features.precision import BOUNDS, fast_precisions, least_cosine
from gear_transfer.importers import load_network

#: Greatest error in float32, relative to the greatest number of the layer.
MOST_ERROR = 1e-4
#: Least cosine of the last layer in bf16.
LEAST_COSINE = 0.999
#: Layers that are compared, spread over the network.
TAPS = 8


def pictures(size, count, seed):
    """Images with structure at every scale and of different contrast, ndarray of uint8."""
    rng = np.random.RandomState(seed)
    result = np.zeros((count,) + tuple(size) + (3,))
    for cells in (2, 5, 16, 64):
        rows = np.arange(size[0]) * cells // size[0]
        columns = np.arange(size[1]) * cells // size[1]
        result += rng.normal(size=(count, cells, cells, 3))[:, rows][:, :, columns]
    result *= 40.0 * rng.uniform(0.3, 1.0, (count, 1, 1, 3))
    return np.clip(128.0 + result, 0, 255).astype(np.uint8)


def spread(names):
    """Some of the names over the depth of a network, the last among them."""
    places = np.linspace(0, len(names) - 1, TAPS + 1).round().astype(int)[1:]
    return [names[place] for place in sorted(set(places))]


def difference(ours, theirs):
    """The greatest difference over the greatest magnitude; theirs may have channels first."""
    found = []
    if theirs.ndim == 4:
        candidates = [theirs.transpose(0, 2, 3, 1), theirs]
    elif theirs.ndim == 3:
        candidates = [theirs[:, :, None]]
    else:
        candidates = [theirs.reshape(len(theirs), 1, 1, -1)]
    for values in candidates:
        if values.shape == ours.shape or values.size == ours.size == len(ours) * ours.shape[-1]:
            error = np.abs(ours - values.reshape(ours.shape)).max() / max(np.abs(values).max(), 1e-30)
            found.append(float(error))
    error = min(found) if found else np.inf
    return error if error == error else np.inf


def _features(network, layers, images, precision, twin=False):
    """Our result of each layer, list of ndarray (n, height, width, channels); the backbone."""
    if twin:
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
            os.path.abspath(__file__)))), "tests", "oracle"))
        import twin as oracle
        results = oracle.run(network.upto(layers), images)
        return [results[name] for name in layers], None
    backbone = Backbone.from_network(network, "network", layer=layers, pooling=None,
                                     input_size=images.shape[1:3], precision=precision)
    values = backbone.features(images)
    return [value.reshape((len(images),) + backbone.node_shapes[name])
            for name, value in zip(layers, values)], backbone


def _flat(values):
    return values.reshape(len(values), -1)


def measure(network, images, truth, with_auto=False, twin=False):
    """Compare a network with what its library computes.

    Parameters
    ----------
    network : Network
    images : ndarray of uint8
    truth : dict of str to ndarray
        By layer, in the order of the network.
    with_auto : bool
        Whether to try ``precision="auto"`` too.
    twin : bool
        Compute in plain NumPy what the core computes else.

    Returns
    -------
    dict
        Of a row: taps, error, where, cosine, auto, auto_cosine; `wrong` says what is beyond a bound.
    """
    layers = list(truth)
    ours, _ = _features(network, layers, images, "float32", twin)
    errors = [(difference(values, truth[name]), name) for name, values in zip(layers, ours)]
    error, where = max(errors)
    row = {"taps": len(layers), "error": error, "where": where, "wrong": []}
    if not error <= MOST_ERROR:
        row["wrong"].append("error {:.1e} at '{}'".format(error, where))
    if twin:
        return row
    last = layers[-1:]
    if "bf16" in fast_precisions():
        rounded, _ = _features(network, last, images, "bf16")
        row["cosine"] = least_cosine(_flat(rounded[0]), _flat(ours[-1]))
        if not row["cosine"] >= LEAST_COSINE:
            row["wrong"].append("cosine {:.5f} in bf16".format(row["cosine"]))
    if with_auto:
        chosen, backbone = _features(network, last, images, "auto")
        row["auto"], bound = backbone.precision, dict(BOUNDS).get(backbone.precision, 0.999999)
        row["auto_cosine"] = least_cosine(_flat(chosen[0]), _flat(ours[-1]))
        if not row["auto_cosine"] >= bound - 1e-6:
            row["wrong"].append("cosine {:.5f} in {}, chosen by auto".format(
                row["auto_cosine"], row["auto"]))
    return row


def pixels_known(path):
    """Whether a file says, without being asked, what pixels its network wants."""
    return load_network(path).preprocessing is not None


def refusal(path, preprocessing, size):
    """What is said to another size of image than the only one of a file; None if nothing is."""
    try:
        Backbone.load(path, input_size=size, preprocessing=preprocessing)
    except GearTransferError as error:
        return str(error)
    return None
