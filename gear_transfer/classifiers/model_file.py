"""Saved classifiers: one file in the native format, from pixels to probabilities.

The file holds the backbone up to the tapped layers with the trained head as
further nodes behind it, so it is a whole network of its own; what else the
classifier needs (class names, how photographs are resized) is JSON in its
metadata. Nothing in it is ever executed.
"""
import collections
import json
import re

import numpy as np

from ..common.arguments import check_path
from ..common.estimator import check_is_fitted, parameter_names
from ..common.labels import KINDS, as_labels
from ..errors import DatasetError, GraphError, ModelFileError, WeightsError
from ..features.backbone import POOLINGS, Backbone
from ..features.precision import PRECISIONS, Choice, are_ranges, runnable_choice
from ..importers.json_text import parse_json
from ..importers.native import read_network, write_network
from ..importers.network import Network, Node, QuantizedArray
from ..importers.operations import LARGEST_EXTENT
from ..importers.preprocessing import resolve
from ..photographs.augmentation import Augmentation, as_augmentation
from ..photographs.decoding import RESIZE_RULES
from ..photographs.splits import Split
from .training_record import facts_from_json, record_from_arrays

_PREFIX = "classifier"
_NOVELTY = "novelty/"
_RECORD = ("training/contents", "training/bits", "training/held")
_OFFSET = "head/offset"
_BIAS = "head/bias"  # that belongs to the offset; that of the network has it folded in
_VERSION = 1
_PART_LETTERS = {0: "t", 1: "v", 2: "s", -1: "-"}

#: Parameters of the classifier that the file keeps, with the types they may have.
_PARAMETERS = {
    "resize": (str,), "pooling": (str, type(None)), "hidden_layers": (list,),
    "dropout": (float, int), "epochs": (int, str), "batch_size": (int,),
    "learning_rate": (float, int, str), "optimizer": (str,), "momentum": (float, int),
    "l2": (float, int), "validation_fraction": (float, int), "early_stopping": (bool,),
    "patience": (int,), "class_weight": (str, list, type(None)), "calibrate": (bool,),
    "random_state": (int, type(None)), "strict": (bool,),
    "group_duplicates": (bool,), "augment": (dict, type(None)), "cache": (bool,), "refit": (bool,),
    "preprocessing": (str, dict, type(None)),
}

#: What those count as that files of earlier releases lack.
_ADDED_PARAMETERS = {"calibrate": False, "group_duplicates": True, "augment": None, "cache": True,
                     "refit": False, "preprocessing": None}


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
    network = whole_network(backbone, model.head_)
    network.extra = {_PREFIX: json.dumps(_settings(model, backbone), sort_keys=True)}
    network.extra_arrays = _novelty_arrays(model)
    record = getattr(model, "_record", None)
    if record is not None:
        for name, values in zip(_RECORD, (record.contents, record.bits, record.held)):
            network.extra_arrays[name] = QuantizedArray(values, 1.0, 0.0)
    offset = getattr(model.head_, "offset_", None)
    if offset is not None:
        network.extra_arrays[_OFFSET] = offset
        network.extra_arrays[_BIAS] = model.head_.intercepts_[0]
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
    labels = as_labels(model.classes_)
    if labels.dtype.kind not in KINDS:
        raise ModelFileError("class names of type {} cannot be saved; use text or "
                             "numbers".format(labels.dtype))
    parameters = dict((name, getattr(model, name)) for name in _PARAMETERS)
    parameters["preprocessing"] = model.preprocessing and resolve(model.preprocessing)
    parameters["hidden_layers"] = [int(width) for width in model.hidden_layers]
    parameters["cache"] = model.cache is not None and model.cache is not False
    if isinstance(model.class_weight, dict):
        parameters["class_weight"] = [
            [label.item() if isinstance(label, np.generic) else label, float(weight)]
            for label, weight in sorted(model.class_weight.items())]
    parameters["pooling"], parameters["resize"] = backbone.pooling, model.extractor_.resize_
    augmentation = as_augmentation(model.augment)
    parameters["augment"] = None if augmentation is None else augmentation.to_dict()
    for name in ("early_stopping", "calibrate", "strict", "group_duplicates", "refit"):
        parameters[name] = bool(parameters[name])
    for name, kinds in _PARAMETERS.items():
        if isinstance(parameters[name], np.generic):
            parameters[name] = parameters[name].item()
        if not isinstance(parameters[name], kinds):
            parameters[name] = None  # a RandomState: of no use later
    layers = [backbone.layer] if isinstance(backbone.layer, str) else list(backbone.layer)
    return {
        "version": _VERSION,
        "classes": labels.tolist(),
        "classes_type": None if labels.dtype.kind == "U" else labels.dtype.str,
        "layers": layers,
        "single_layer": isinstance(backbone.layer, str),
        "input_size": list(backbone.input_size),
        "backbone": backbone.name,
        "precision": backbone.precision,
        "precision_reason": backbone.precision_reason,
        "ranges": backbone.ranges,
        "parameters": parameters,
        "history": dict((key, [float(value) for value in values])
                        for key, values in model.history_.items()),
        "n_images": int(model.n_images_),
        "trained": model.trained_ and {"day": model.trained_.day, "counts": list(model.trained_.counts)},
        "temperature": getattr(model.head_, "temperature_", None),
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


def whole_network(backbone, head):
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
    biases = [head.first_intercept()] + head.intercepts_[1:]
    for i, (kernel, bias) in enumerate(zip(head.coefs_, biases)):
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


def load_model(path, threads=None, verbose=None, cache=None):
    """Read a classifier that `TransferClassifier.save` wrote.

    Parameters
    ----------
    path : str or Path
    threads : int, optional
        Default is the number of processors this process may use.
    verbose : bool or int, optional
        Show progress bars. Default: on a terminal and in a notebook.
    cache : bool, str, Path or FeatureCache, optional
        Where features are kept, see `FeatureExtractor`. Default is False if the classifier was
        trained with that, else True.

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
        return _rebuild(network, settings, path, threads, verbose, cache)
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
        type(name) for name in classes)) == 1 and isinstance(classes[0], (str, int, float))
        and len(set(classes)) == len(classes), "list of classes")
    settings["classes"] = _typed_classes(classes, settings.get("classes_type"))
    require(settings["classes"] is not None, "type of classes")
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
    require(isinstance(settings.setdefault("precision_reason", "as it was saved"), str),
            "reason for the precision")
    require(isinstance(settings.get("temperature"), (float, type(None))), "temperature")
    require(type(settings.get("n_images")) is int, "number of images")
    history = settings.get("history")
    require(isinstance(history, dict) and isinstance(history.get("loss"), list) and all(
        isinstance(values, list) and all(isinstance(value, float) for value in values)
        for values in history.values()), "history")
    for name, parse in (("split", _split_from),
                        ("trained", lambda value: facts_from_json(value, len(classes)))):
        try:
            settings[name] = parse(settings.get(name))
        except ValueError:
            require(False, name)
    parameters = settings.get("parameters")
    require(isinstance(parameters, dict), "parameters")
    for name, value in _ADDED_PARAMETERS.items():
        parameters.setdefault(name, value)
    require(set(parameters) == set(_PARAMETERS), "parameters")
    for name, kinds in _PARAMETERS.items():
        require(isinstance(parameters[name], kinds), name)
    for name in ("epochs", "learning_rate"):
        require(not isinstance(parameters[name], str) or parameters[name] == "auto", name)
    require(parameters["resize"] in RESIZE_RULES and parameters["pooling"] in POOLINGS,
            "preprocessing")
    if isinstance(parameters["class_weight"], list):
        require(all(isinstance(pair, list) and len(pair) == 2 and isinstance(
            pair[0], (str, int, float)) and isinstance(pair[1], float)
            for pair in parameters["class_weight"]), "class_weight")
    if parameters["augment"] is not None:
        require(_is_augmentation(parameters["augment"]), "augment")
    if parameters["preprocessing"] is not None:
        resolve(parameters["preprocessing"], "{}: the saved classifier's preprocessing".format(path))
    return settings


def _typed_classes(classes, kind):
    """The classes as an array of the type that they had; None if they cannot be of it."""
    if kind is None:
        return None if isinstance(classes[0], float) else np.array(classes)
    if not isinstance(kind, str) or not re.match("[<|][biuf][1248]$", kind):
        return None
    try:
        found = np.array(classes, dtype=kind)
    except (OverflowError, ValueError, TypeError):
        return None
    return found if found.tolist() == classes else None


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


def _rebuild(network, settings, path, threads, verbose, cache):
    from .classifier import TransferClassifier
    parameters = dict(settings["parameters"])
    parameters["hidden_layers"] = tuple(parameters["hidden_layers"])
    if parameters["augment"] is not None:
        parameters["augment"] = Augmentation(**parameters["augment"])
    layers = settings["layers"]
    layer = layers[0] if settings["single_layer"] else tuple(layers)
    size = tuple(settings["input_size"])
    if isinstance(parameters["class_weight"], list):
        parameters["class_weight"] = dict(parameters["class_weight"])
    choice = runnable_choice(Choice(settings["precision"], settings["precision_reason"],
                                    settings.get("ranges")))
    model = TransferClassifier(backbone=path, layer=layer, input_size=size, threads=threads,
                               precision=choice.precision, verbose=verbose, **parameters)
    if cache is not None:
        model.cache = cache
    extractor, head = model.make_parts()
    backbone = Backbone.from_network(network, path, layer=layer, input_size=size,
                                     pooling=parameters["pooling"], threads=threads)
    backbone.settle(choice)
    kernels, biases = _head_arrays(network, len(settings["classes"]), path)
    if kernels[0].shape[0] != backbone.n_features:
        raise ModelFileError("{}: the head takes {} features, the backbone gives {}".format(
            path, kernels[0].shape[0], backbone.n_features))
    extractor.backbone_, extractor.resize_ = backbone, parameters["resize"]
    head.classes_ = settings["classes"]
    head.n_features_in_, head.n_iter_ = backbone.n_features, len(settings["history"]["loss"])
    if settings.get("temperature") is not None:
        head.temperature_ = settings["temperature"]
    head.history_ = collections.OrderedDict(
        (key, settings["history"][key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")
        if key in settings["history"])
    offset = _offset(network, biases, backbone, path)
    head.set_layers(list(zip(kernels, biases)), offset)
    model.extractor_, model.head_, model.skipped_ = extractor, head, []
    model.classes_, model.history_ = head.classes_, head.history_
    model.n_images_, model.split_ = settings["n_images"], settings["split"]
    model.trained_, model._record = settings["trained"], _training_record(network, path)
    model.training_, model._novelty = None, _novelty_detector(network, backbone, path)
    return model


def _training_record(network, path):
    """The hashes of the photographs of the training; None in files of earlier releases."""
    arrays = [network.extra_arrays.pop(name, None) for name in _RECORD]
    if all(array is None for array in arrays):
        return None
    try:
        return record_from_arrays(*[array.values for array in arrays])
    except (AttributeError, ValueError) as error:
        raise ModelFileError("{}: the hashes of the training photographs are damaged".format(
            path)) from error


def _offset(network, biases, backbone, path):
    """What the head takes from its features first, None for nothing; its bias goes into `biases`."""
    offset = network.extra_arrays.pop(_OFFSET, None)
    bias = network.extra_arrays.pop(_BIAS, None)
    if offset is None and bias is None:
        return None
    if np.shape(offset) != (backbone.n_features,) or np.shape(bias) != biases[0].shape:
        raise ModelFileError("{}: the saved offset of the features is damaged".format(path))
    biases[0] = np.array(bias, np.float32)
    return np.array(offset, np.float32)


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
