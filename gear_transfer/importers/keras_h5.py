"""Keras HDF5 files: official Inception V3 weights, and whole saved models.

A file with a ``model_config`` describes its own graph. A file of weights
only is taken for Inception V3, whose graph `inception_v3` describes.
"""
import re
from collections import OrderedDict

from . import inception_v3, keras_families
from .json_text import parse_json
from .keras_config import Wanted, describe
from .network import Network, needed_nodes, used_arrays
from .on_disk import keep_on_disk
from .operations import check_nodes
from .preprocessing import ASKED_FOR
from .safe_hdf5 import SafeHDF5

#: Longest model_config that is read, in characters.
LONGEST_CONFIG = 16 << 20

#: Name of a weight in a Keras file by the last part of our array's name.
KERAS_WEIGHTS = {"kernel": "kernel", "beta": "beta", "mean": "moving_mean",
                 "variance": "moving_variance"}


def load_keras_h5(path, layer=None, preprocessing=None):
    """Read a network from a Keras HDF5 file.

    Parameters
    ----------
    path : str
    layer : str, optional
        Read only what this layer needs.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        See `preprocessing.resolve`. Default is what the layers say, see `keras_families`.

    Returns
    -------
    Network

    Raises
    ------
    WeightsError
        Naming the file, the layer and what is wrong with it.
    GraphError
        If `layer` does not exist.
    """
    with SafeHDF5(path) as source:
        config = source.attribute(source.root(), "model_config")
        if config is None:
            name, input_size, nodes, wanted, weights = _weights_only(source)
        else:
            if len(config) > LONGEST_CONFIG:
                source.fail("its model_config is too long")
            name, input_size, nodes, wanted = describe(
                parse_json(config, source.fail, "model_config", strict=False), source.path)
            weights = source.group(source.root(), "model_weights")
            if weights is None:
                source.fail("a saved model without the group 'model_weights'")
        known = keras_families.recognise(
            nodes, dict((name, want.shape) for name, want in wanted.items()))
        if layer is not None:
            nodes = needed_nodes(nodes, layer)
        arrays = keep_on_disk(_read_arrays(source, weights, wanted, used_arrays(nodes)))
        version = source.attribute(weights, "keras_version")
    check_nodes(nodes, arrays, source.path)
    provenance = {"format": "Keras HDF5"}
    if version:
        provenance["keras_version"] = version
    if preprocessing is not None:
        known = keras_families.Known(preprocessing, ASKED_FOR)
    return Network(name, nodes, arrays, input_size, known and known.preprocessing, provenance,
                   preprocessing_reason=known and known.reason)


def _weights_only(source):
    """Inception V3 from a file of weights: graph from our code, arrays by order."""
    weights = source.root()
    names = source.names(weights, "layer_names")
    if names is None:
        weights = source.group(weights, "model_weights")
        names = source.names(weights, "layer_names") if weights is not None else None
    if names is None:
        source.fail("an HDF5 file, but neither a Keras model (no 'model_config') nor Keras "
                    "weights (no 'layer_names')")
    nodes, shapes = inception_v3.architecture()
    in_file = {}
    for kind in ("conv2d", "batch_normalization"):
        ours = [node.name for node in nodes if node.name.startswith(kind + "_")]
        in_file.update(_match_by_order(source, weights, kind, ours, names))
    wanted = OrderedDict()
    for array, shape in shapes.items():
        layer, role = array.split("/")
        wanted[array] = Wanted(in_file[layer], KERAS_WEIGHTS[role], shape, shape)
    return "inception_v3", inception_v3.INPUT_SIZE, nodes, wanted, weights


def _match_by_order(source, weights, kind, ours, names):
    """Pair our layers of one kind with those of the file, in the order of their numbers.

    Keras numbers layers on within a session, so the same network may begin
    at conv2d_1, conv2d_95 or plain conv2d; only the order is the same.
    """
    found = []
    for name in names:
        match = re.match("^" + kind + r"(?:_([0-9]{1,9}))?$", name)
        if match:
            found.append((-1 if match.group(1) is None else int(match.group(1)), name))
    found.sort()
    in_file = [name for _, name in found]
    if len(in_file) == len(ours):
        return dict(zip(ours, in_file))
    expected = ours
    if found and not set(in_file) <= set(ours):
        first = max(found[0][0], 0)
        expected = [kind + ("_{}".format(first + i) if first + i else "")
                    for i in range(len(ours))]
    missing = [name for name in expected if name not in in_file]
    if missing:
        source.fail("layer '{}' is missing; Inception V3 has {} layers of the kind {}, this file "
                    "{} (a file of weights only must be Inception V3; save other networks whole, "
                    "with model.save)".format(missing[0], len(ours), kind, len(in_file)))
    source.fail("has {} layers of the kind {}, Inception V3 has {}; a file of weights only must be "
                "Inception V3".format(len(in_file), kind, len(ours)))


def _read_arrays(source, weights, wanted, names):
    """Yield the named arrays, each checked against the shape that the graph expects."""
    tables = {}
    for name in names:
        want = wanted[name]
        if want.layer not in tables:
            tables[want.layer] = _layer_weights(source, weights, want.layer)
        dataset = tables[want.layer].get(want.weight)
        what = "layer '{}': {}".format(want.layer, want.weight)
        if dataset is None:
            source.fail("{} is missing".format(what))
        array = source.array(dataset, what, want.stored_shape)
        if want.weight == "moving_variance" and array.min() < 0.0:
            source.fail("{} holds a negative number".format(what))
        yield name, array.reshape(want.shape)


def _layer_weights(source, weights, layer):
    """Data sets of one layer by the plain name of the weight, such as "kernel"."""
    group = source.group(weights, layer)
    if group is None:
        source.fail("layer '{}' is missing".format(layer))
    table = {}
    for path in source.names(group, "weight_names") or []:
        role = path.split("/")[-1].split(":")[0]
        dataset = source.member(group, path)
        if dataset is None:
            source.fail("layer '{}': the weight '{}' is missing".format(layer, path))
        if role in table:
            source.fail("layer '{}' has two weights with the name '{}'".format(layer, role))
        table[role] = dataset
    return table
