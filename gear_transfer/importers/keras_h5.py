"""Keras files: whole saved models (.h5, .keras), and files of the weights of networks known by name.

A file with a configuration describes its own graph. A file of weights
only is taken for Inception V3, whose graph `inception_v3` describes.
"""
import re
from collections import OrderedDict

from . import inception_v3, keras_families
from .json_text import parse_json
from .keras import Description, KerasArchive, archive, describe, find_family, find_weights, read_arrays
from .keras.builder import Place, Wanted
from .keras.families import FAMILIES
from .network import Network, needed_nodes, used_arrays
from .on_disk import keep_on_disk
from .operations import check_nodes
from .preprocessing import ASKED_FOR
from .safe_hdf5 import SafeHDF5
from .unreadable import WEIGHTS_ONLY, what_archive_is

#: Longest configuration that is read, in characters.
LONGEST_CONFIG = archive.LARGEST_CONFIG

#: Name and number of a weight of Inception V3 in a Keras file by the last part of our array's name.
KERAS_WEIGHTS = {"kernel": ("kernel", 0), "beta": ("beta", 0), "mean": ("moving_mean", 1),
                 "variance": ("moving_variance", 2)}


def load_keras_h5(path, layer=None, preprocessing=None, taps=None):
    """Read a network from a Keras HDF5 file.

    Parameters
    ----------
    path : str
    layer : str or sequence of str, optional
        Read only what this layer needs.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        See `preprocessing.resolve`. Default is what the layers say, see `keras_families`.
    taps : str or sequence of str, optional
        Where to cut a network that holds what is not known.

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
            version = source.attribute(source.root(), "keras_version")
            weights, description = _weights_only(source)
            if layer is not None:
                description = description._replace(nodes=needed_nodes(description.nodes, layer))
        else:
            if len(config) > LONGEST_CONFIG:
                source.fail("its model_config is too long")
            group = source.group(source.root(), "model_weights")
            if group is None:
                source.fail("a saved model without the group 'model_weights'")
            version = (source.attribute(group, "keras_version")
                       or source.attribute(source.root(), "keras_version"))
            description = describe(parse_json(config, source.fail, "model_config", strict=False),
                                   source.path, _major(version), layer, taps)
            weights = find_weights(source, group)
            if weights is None:
                source.fail("its group 'model_weights' has no 'layer_names'")
        return _network(source, weights, description, preprocessing, "Keras HDF5", version)


def load_keras_archive(path, layer=None, preprocessing=None, taps=None):
    """Read a network from a ``.keras`` file; for the rest see `load_keras_h5`."""
    with KerasArchive(path) as opened:
        config = opened.text(archive.CONFIG, archive.LARGEST_CONFIG)
        if config is None:
            opened.fail(what_archive_is(opened.names()))
        metadata = opened.text(archive.METADATA, archive.LARGEST_METADATA) or b"{}"
        metadata = parse_json(metadata, opened.fail, archive.METADATA, strict=False)
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        version = version if isinstance(version, str) else None
        description = describe(parse_json(config, opened.fail, archive.CONFIG, strict=False),
                               opened.path, _major(version or "3"), layer, taps)
        with SafeHDF5(opened.path, opened.weights()) as source:
            weights = find_weights(source, source.root())
            if weights is None:
                source.fail("its member '{}' has no group 'layers'".format(archive.WEIGHTS))
            return _network(source, weights, description, preprocessing, "Keras archive", version)


def _major(version):
    """The first number of a version; 2 where there is none."""
    match = re.match("[0-9]{1,3}", version or "")
    return int(match.group()) if match else 2


def _network(source, weights, description, preprocessing, kind, version):
    nodes = description.nodes
    arrays = keep_on_disk(read_arrays(weights, description, used_arrays(nodes)))
    check_nodes(nodes, arrays, source.path)
    provenance = {"format": kind}
    if version:
        provenance["keras_version"] = version
    if preprocessing is not None:
        known = keras_families.Known(preprocessing, ASKED_FOR)
    else:
        shapes = dict((name, want.shape) for name, want in description.wanted.items())
        known = keras_families.recognise(description.whole, shapes)
    return Network(description.name, nodes, arrays, description.input_size,
                   known and known.preprocessing, provenance,
                   preprocessing_reason=known and known.reason)


def _weights_only(source):
    """A network that is known by name, from a file of weights: its graph is from our code."""
    group = source.root()
    weights = find_weights(source, group)
    if weights is None:
        group = source.group(group, "model_weights")
        weights = None if group is None else find_weights(source, group)
    if weights is None:
        source.fail("an HDF5 file, but neither a Keras model (no 'model_config') nor Keras "
                    "weights (no 'layer_names' and no group 'layers')")
    description = find_family(source, weights, describe)
    if description is not None:
        return weights, description
    names, paths = source.names(group, "layer_names"), {}
    if names is None:
        paths = dict(weights.named("conv2d"), **weights.named("batch_normalization"))
        names = list(paths) if len(paths) == 2 * inception_v3.CONVOLUTIONS else None
    if names is None:
        source.fail("Keras weights, but not those of a network known by name ({}): {}".format(
            ", ".join(sorted(set(name.split("_")[0] for name in FAMILIES))), WEIGHTS_ONLY))
    return weights, _inception_v3(source, names, paths)


def _inception_v3(source, names, paths):
    """Inception V3, whose arrays are told by the order of their layers' numbers."""
    nodes, shapes = inception_v3.architecture()
    in_file = {}
    for kind in ("conv2d", "batch_normalization"):
        ours = [node.name for node in nodes if node.name.startswith(kind + "_")]
        in_file.update(_match_by_order(source, kind, ours, names))
    wanted = OrderedDict()
    for array, shape in shapes.items():
        layer, role = array.split("/")
        place = Place((in_file[layer],), ("layers", paths.get(in_file[layer])), None)
        weight, position = KERAS_WEIGHTS[role]
        wanted[array] = Wanted(place, (weight,), position, shape, shape, None)
    return Description("inception_v3", inception_v3.INPUT_SIZE, nodes, wanted, {}, nodes)


def _match_by_order(source, kind, ours, names):
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
                    "{} ({})".format(missing[0], len(ours), kind, len(in_file), WEIGHTS_ONLY))
    source.fail("has {} layers of the kind {}, Inception V3 has {}; {}".format(
        len(in_file), kind, len(ours), WEIGHTS_ONLY))
