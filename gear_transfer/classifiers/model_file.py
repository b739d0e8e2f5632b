"""Saved classifiers: one file in the native format, from pixels to probabilities.

The file holds the backbone up to the tapped layers with the trained head as
further nodes behind it, so it is a whole network of its own; what else the
classifier needs (class names, how photographs are resized) is JSON in its
metadata. Nothing in it is ever executed.
"""
import collections
import json

import numpy as np

from .. import _core
from ..common.arguments import check_path
from ..common.estimator import check_is_fitted, parameter_names
from ..errors import DatasetError, GraphError, ModelFileError, WeightsError
from ..features.backbone import POOLINGS, Backbone
from ..features.precision import PRECISIONS, are_ranges
from ..importers.json_text import parse_json
from ..importers.native import read_network, write_network
from ..importers.network import Network, Node
from ..importers.operations import LARGEST_EXTENT
from ..photographs.augmentation import Augmentation, as_augmentation
from ..photographs.splits import Split

_PREFIX = "classifier"
_NOVELTY = "novelty/"
_VERSION = 1
_PART_LETTERS = {0: "t", 1: "v", 2: "s", -1: "-"}

#: Parameters of the classifier that the file keeps, with the types they may have.
_PARAMETERS = {
    "resize": (str,), "pooling": (str, type(None)), "hidden_layers": (list,),
    "dropout": (float, int), "epochs": (int, str), "batch_size": (int,),
    "learning_rate": (float, int, str), "optimizer": (str,), "momentum": (float, int),
    "l2": (float, int), "validation_fraction": (float, int), "early_stopping": (bool,),
    "patience": (int,), "class_weight": (str, type(None)), "calibrate": (bool,),
    "random_state": (int, type(None)), "strict": (bool,),
    "group_duplicates": (bool,), "augment": (dict, type(None)), "refit": (bool,),
}

#: What those count as that files of earlier releases lack.
_ADDED_PARAMETERS = {"calibrate": False, "group_duplicates": True, "augment": None,
                     "refit": False}


def save_model(model, path):
    """Write a fitted TransferClassifier; the file appears whole or not at all.

    Parameters
    ----------
    model : TransferClassifier
    path : str or Path

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the classifier has not been fitted.
    ModelFileError
        If the file cannot be written.
    """
    check_is_fitted(model, "head_")
    backbone = model.extractor_.backbone_
    network = _with_head(backbone, model.head_)
    network.extra = {_PREFIX: json.dumps(_settings(model, backbone), sort_keys=True)}
    network.extra_arrays = _novelty_arrays(model)
    try:
        write_network(path, network)
    except WeightsError as error:
        raise ModelFileError("the model cannot be saved: {}".format(error)) from error


def _novelty_arrays(model):
    """The arrays of the novelty detector; none where the training photographs were too few."""
    try:
        arrays = model._novelty_detector().to_arrays()
    except DatasetError:
        arrays = {}
    return dict((_NOVELTY + name, array) for name, array in arrays.items())


def _settings(model, backbone):
    """All of the classifier that is not a weight, for JSON."""
    labels = model.classes_
    if labels.dtype.kind not in "UOiub" or not all(
            isinstance(name, (str, int, bool)) for name in labels.tolist()):
        raise ModelFileError("class names of type {} cannot be saved; use text or whole "
                             "numbers".format(labels.dtype))
    parameters = dict((name, getattr(model, name)) for name in _PARAMETERS)
    parameters["hidden_layers"] = [int(width) for width in model.hidden_layers]
    parameters["pooling"], parameters["resize"] = backbone.pooling, model.extractor_.resize
    augmentation = as_augmentation(model.augment)
    parameters["augment"] = None if augmentation is None else augmentation.to_dict()
    for name in ("early_stopping", "calibrate", "strict", "group_duplicates", "refit"):
        parameters[name] = bool(parameters[name])
    for name, kinds in _PARAMETERS.items():
        if isinstance(parameters[name], np.generic):
            parameters[name] = parameters[name].item()
        if not isinstance(parameters[name], kinds):
            parameters[name] = None  # a dict of class weights or a RandomState: of no use later
    layers = [backbone.layer] if isinstance(backbone.layer, str) else list(backbone.layer)
    return {
        "version": _VERSION,
        "classes": labels.tolist(),
        "layers": layers,
        "single_layer": isinstance(backbone.layer, str),
        "input_size": list(backbone.input_size),
        "backbone": backbone.name,
        "precision": backbone.precision,
        "ranges": backbone.ranges,
        "parameters": parameters,
        "history": dict((key, [float(value) for value in values])
                        for key, values in model.history_.items()),
        "n_images": int(model.n_images_),
        "split": _split_settings(model.split_),
    }


def _split_settings(split):
    """Which photographs were held back, for JSON: few bytes for each photograph."""
    if split is None:
        return None
    return {
        "parts": "".join(_PART_LETTERS[part] for part in split.parts.tolist()),
        "groups": None if split.groups is None else [
            positions.tolist() for positions in split.clusters()],
        "validation": None if split.names is None else [split.names[i] for i in split.validation],
    }


def _split_from(settings):
    """The split that `_split_settings` described; ValueError where it makes no sense."""
    if settings is None:
        return None
    numbers = dict((letter, part) for part, letter in _PART_LETTERS.items())
    try:
        parts = np.array([numbers[letter] for letter in settings["parts"]], int)
        groups = names = None
        if settings["groups"] is not None:
            groups = np.arange(len(parts))
            for positions in settings["groups"]:
                if not all(type(i) is int and 0 <= i < len(parts) for i in positions):
                    raise ValueError("a position that does not exist")
                groups[positions] = min(positions)
        if settings["validation"] is not None:
            held = np.flatnonzero(parts == 1)
            if len(held) != len(settings["validation"]) or not all(
                    isinstance(name, str) for name in settings["validation"]):
                raise ValueError("names that do not fit")
            names = [None] * len(parts)
            for i, name in zip(held, settings["validation"]):
                names[i] = name
    except (KeyError, TypeError) as error:
        raise ValueError("a split of another form") from error
    return Split(parts, groups, names)


def _with_head(backbone, head):
    """The backbone's network with the head behind it."""
    network = backbone.network
    nodes, arrays = list(network.nodes), collections.OrderedDict(network.arrays)
    last = []
    for i, layer in enumerate([backbone.layer] if isinstance(
            backbone.layer, str) else backbone.layer):
        name = "{}/features_{}".format(_PREFIX, i + 1)
        nodes.append(Node(name, POOLINGS[backbone.pooling] or "flatten", (layer,)))
        last.append(name)
    if len(last) > 1:
        nodes.append(Node(_PREFIX + "/features", "concat", last))
        last = [_PREFIX + "/features"]
    for i, (kernel, bias) in enumerate(zip(head.coefs_, head.intercepts_)):
        name = "{}/dense_{}".format(_PREFIX, i + 1)
        arrays[name + "/kernel"], arrays[name + "/bias"] = kernel, bias
        nodes.append(Node(name, "dense", last, {"kernel": name + "/kernel",
                                                "bias": name + "/bias"}))
        is_last = i + 1 == len(head.coefs_)
        activation = _PREFIX + "/softmax" if is_last else name + "/relu"
        nodes.append(Node(activation, "softmax" if is_last else "relu", (name,)))
        last = [activation]
    return Network(network.name, nodes, arrays, backbone.input_size, network.preprocessing,
                   network.provenance)


def load_model(path, threads=None, verbose=0):
    """Read a classifier that `TransferClassifier.save` wrote.

    Parameters
    ----------
    path : str or Path
    threads : int, optional
        Default is the number of processors this process may use.
    verbose : bool or int

    Returns
    -------
    TransferClassifier
        Fitted; predicts as the saved one did.

    Raises
    ------
    ModelFileError
        Naming the file, if it is missing, damaged or not a saved classifier.
    """
    path = check_path("path", path)
    try:
        network = read_network(path)
        settings = _checked_settings(network, path)
        return _rebuild(network, settings, path, threads, verbose)
    except ModelFileError:
        raise
    except WeightsError as error:
        raise ModelFileError("cannot load the model: {}".format(error)) from error
    except GraphError as error:
        raise ModelFileError("{}: cannot load the model: {}".format(path, error)) from error


def _checked_settings(network, path):
    """The classifier's settings, each of the type it must have."""
    def require(valid, what):
        if not valid:
            raise ModelFileError("{}: the saved classifier's {} is missing or damaged".format(
                path, what))

    if _PREFIX not in network.extra:
        raise ModelFileError("{}: a network without a classifier; load it with "
                             "Backbone.load".format(path))
    settings = parse_json(network.extra[_PREFIX], lambda reason: require(False, "description"),
                          "description", strict=False)
    require(isinstance(settings, dict), "description")
    if settings.get("version") != _VERSION:
        raise ModelFileError("{}: saved in version {!r} of the model format, this release reads "
                             "version {}".format(path, settings.get("version"), _VERSION))
    classes = settings.get("classes")
    require(isinstance(classes, list) and len(classes) > 1 and len(set(
        type(name) for name in classes)) == 1 and isinstance(classes[0], (str, int, bool))
        and len(set(classes)) == len(classes), "list of classes")
    layers = settings.get("layers")
    require(isinstance(layers, list) and layers and all(isinstance(name, str) for name in layers)
            and settings.get("single_layer") in ((True, False) if len(layers) == 1 else (False,)),
            "list of layers")
    size = settings.get("input_size")
    require(isinstance(size, list) and len(size) == 2 and all(
        type(side) is int and 0 < side <= LARGEST_EXTENT for side in size), "input size")
    require(isinstance(settings.get("backbone"), str), "backbone")
    require(settings.get("precision") in PRECISIONS, "precision")
    require(are_ranges(settings.get("ranges")) if settings["precision"] == "int8"
            else settings.get("ranges") is None, "ranges of layers")
    require(type(settings.get("n_images")) is int, "number of images")
    history = settings.get("history")
    require(isinstance(history, dict) and isinstance(history.get("loss"), list) and all(
        isinstance(values, list) and all(isinstance(value, float) for value in values)
        for values in history.values()), "history")
    try:
        settings["split"] = _split_from(settings.get("split"))
    except ValueError:
        require(False, "split")
    parameters = settings.get("parameters")
    require(isinstance(parameters, dict), "parameters")
    for name, value in _ADDED_PARAMETERS.items():
        parameters.setdefault(name, value)
    require(set(parameters) == set(_PARAMETERS), "parameters")
    for name, kinds in _PARAMETERS.items():
        require(isinstance(parameters[name], kinds), name)
    require(parameters["resize"] in ("pad", "stretch") and parameters["pooling"] in POOLINGS,
            "preprocessing")
    require(type(parameters["epochs"]) is int or parameters["epochs"] == "auto", "epochs")
    if parameters["augment"] is not None:
        require(_is_augmentation(parameters["augment"]), "augment")
    return settings


def _is_augmentation(settings):
    """Whether a dict has all settings of an Augmentation, each as it must be."""
    if set(settings) != set(parameter_names(Augmentation)):
        return False
    try:
        Augmentation(**settings).check()
    except ValueError:
        return False
    return True


def _head_arrays(network, n_classes, path):
    """Kernels and biases of the head, in order."""
    kernels, biases = [], []
    while "{}/dense_{}/kernel".format(_PREFIX, len(kernels) + 1) in network.arrays:
        name = "{}/dense_{}".format(_PREFIX, len(kernels) + 1)
        if name + "/bias" not in network.arrays:
            raise ModelFileError("{}: the array '{}/bias' is missing".format(path, name))
        kernels.append(np.array(network.arrays[name + "/kernel"], np.float32))
        biases.append(np.array(network.arrays[name + "/bias"], np.float32))
    if not kernels or kernels[-1].shape[1] != n_classes:
        raise ModelFileError("{}: the head does not end in {} classes".format(path, n_classes))
    for i, (kernel, bias) in enumerate(zip(kernels, biases)):
        if bias.shape != kernel.shape[1:] or i and kernel.shape[0] != kernels[i - 1].shape[1]:
            raise ModelFileError("{}: the layer '{}/dense_{}' of the head has a kernel of shape {} "
                                 "and a bias of shape {}".format(path, _PREFIX, i + 1, kernel.shape,
                                                                 bias.shape))
    return kernels, biases


def _rebuild(network, settings, path, threads, verbose):
    from .classifier import TransferClassifier
    parameters = dict(settings["parameters"])
    parameters["hidden_layers"] = tuple(parameters["hidden_layers"])
    if parameters["augment"] is not None:
        parameters["augment"] = Augmentation(**parameters["augment"])
    layers = settings["layers"]
    layer = layers[0] if settings["single_layer"] else tuple(layers)
    size = tuple(settings["input_size"])
    # Where the processor lacks the instructions float32 stands in, whose features agree.
    precision = settings["precision"] if _core.has_fast(settings["precision"]) else "float32"
    model = TransferClassifier(backbone=path, layer=layer, input_size=size, threads=threads,
                               precision=precision, verbose=verbose, **parameters)
    extractor, head = model._parts()
    backbone = Backbone.from_network(network, path, layer=layer, input_size=size,
                                     pooling=parameters["pooling"], threads=threads,
                                     precision=precision,
                                     ranges=settings.get("ranges") if precision == "int8" else None)
    kernels, biases = _head_arrays(network, len(settings["classes"]), path)
    if kernels[0].shape[0] != backbone.n_features:
        raise ModelFileError("{}: the head takes {} features, the backbone gives {}".format(
            path, kernels[0].shape[0], backbone.n_features))
    extractor.backbone_ = backbone
    head.classes_ = np.array(settings["classes"])
    head.n_features_in_ = backbone.n_features
    head.history_ = collections.OrderedDict(
        (key, settings["history"][key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")
        if key in settings["history"])
    head.set_layers(list(zip(kernels, biases)))
    model.extractor_, model.head_, model.skipped_ = extractor, head, []
    model.classes_, model.history_ = head.classes_, head.history_
    model.n_images_, model.split_ = settings["n_images"], settings["split"]
    model.training_, model._novelty = None, _novelty_detector(network, backbone, path)
    return model


def _novelty_detector(network, backbone, path):
    """The saved novelty detector, None where there is none."""
    if not network.extra_arrays:
        return None
    arrays = dict((name[len(_NOVELTY):] if name.startswith(_NOVELTY) else name, array)
                  for name, array in network.extra_arrays.items())
    from .novelty import NoveltyDetector
    try:
        detector = NoveltyDetector.from_arrays(arrays)
    except ValueError as error:
        raise ModelFileError("{}: the saved novelty detector is damaged: {}".format(
            path, error)) from error
    if len(detector.mean_) != backbone.n_features:
        raise ModelFileError("{}: the novelty detector takes {} features, the backbone gives {}"
                             .format(path, len(detector.mean_), backbone.n_features))
    return detector
