"""The graph in a Keras model's configuration, as nodes and the weights they need.

A configuration is data: layer classes are looked up in a table of this package and nothing in a file
is ever imported or evaluated. Models may lie inside models; the layers of an inner one keep their own
names where these are unique in the file, and are called "model/layer" where they are not.

A layer that cannot be used blocks only what depends on it.
"""
import heapq
import re
from collections import Counter, OrderedDict, namedtuple

from ..network import needed_nodes
from . import keras_1, tables
from .builder import Blocked, GraphBuilder, LayerError, Place, Plane, Value
from .calls import read_calls, read_references, references, replace
from .layer import Layer, tensors

#: Most layers that a model may have, those of inner models included.
MOST_LAYERS = 20000

#: How deep models may lie within each other.
DEEPEST = 16

MODEL_CLASSES = ("Model", "Functional", "Sequential")

#: Where Keras's own classes are.
_PACKAGES = ("keras", "tf_keras", "keras_core", "tensorflow")

#: The result: input_size is (height, width) where the model fixes it, constants are arrays by name;
#: `nodes` is what is read, `whole` all that could be described.
Description = namedtuple("Description", "name input_size nodes wanted constants whole")

#: A model that is being read: names and Keras 3's paths of those around it and its own, what the
#: names of its nodes begin with, and the node counts of all names in the file.
_Scope = namedtuple("_Scope", "names path prefix")


def describe(config, path, major=2, layers=None, taps=None):
    """Translate the configuration of a model.

    Parameters
    ----------
    config : dict
        Parsed JSON.
    path : str
        The file, for messages.
    major : int
        Major version of the Keras that wrote the file.
    layers : str or sequence of str, optional
        Read only what these layers need. Default is what the outputs need.
    taps : str or sequence of str, optional
        The same, but only where an output cannot be made.

    Returns
    -------
    Description

    Raises
    ------
    WeightsError
        Naming the layer and the class that cannot be used.
    GraphError
        If one of `layers` does not exist.
    """
    builder = GraphBuilder(path, major)
    if not isinstance(config, dict) or config.get("class_name") not in MODEL_CLASSES:
        builder.fail("its model_config describes {!r}, expected one of {}".format(
            config.get("class_name") if isinstance(config, dict) else config,
            ", ".join(MODEL_CLASSES)))
    counts = Counter()
    settings = _checked_settings(builder, config, "model", 0, counts)
    reader = _Reader(builder, counts)
    outputs = reader.read(config["class_name"], settings, None, _Scope((), (), ""))
    blocked = [value for value in outputs if isinstance(value, Blocked)]
    layers = taps if layers is None and blocked else layers
    if layers is None:
        if blocked:
            _fail_blocked(builder, blocked[0])
        if any(isinstance(value, Plane) for value in outputs):
            builder.fail("the model ends with a single channel of a map")
        needed = [builder.plain(value).node for value in outputs]
    else:
        needed = [layers] if isinstance(layers, str) else list(layers)
        for name in needed:
            if name in builder.blocked:
                _fail_blocked(builder, builder.blocked[name])
    if not builder.nodes:
        builder.fail("its model has no input of images (height, width, channels)")
    nodes = needed_nodes(builder.nodes, needed)
    name = settings.get("name")
    return Description(name if isinstance(name, str) else "model", builder.input_size, nodes,
                       builder.wanted, builder.constants, builder.nodes)


def _fail_blocked(builder, blocked):
    hint = "" if blocked.before is None else (
        "; the last layer before it that can be tapped is layer='{}'".format(blocked.before))
    builder.fail(blocked.reason[len(builder.path) + 2:] + hint)


def _checked_settings(builder, entry, name, depth, counts):
    """The settings of a model, all of whose layers have names, classes and settings."""
    if depth > DEEPEST:
        builder.fail("layer '{}': more than {} models lie within each other".format(name, DEEPEST))
    settings = entry.get("config")
    if isinstance(settings, list):
        settings = {"name": entry.get("name", "sequential"), "layers": settings}
        entry["config"] = settings
    if not isinstance(settings, dict) or not isinstance(settings.get("layers"), list):
        builder.fail("its model_config has no list of layers" if depth == 0 else
                     "layer '{}' ({}): has no list of layers".format(name, entry["class_name"]))
    layers = settings["layers"]
    if not layers or len(layers) + sum(counts.values()) > MOST_LAYERS:
        builder.fail("its model_config has {} layers".format(
            len(layers) and "more than {}".format(MOST_LAYERS)))
    found = set()
    for index, layer in enumerate(layers):
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            layers[index] = layer = keras_1.upgraded(layer)
        inner = isinstance(layer, dict) and layer.get("class_name") in MODEL_CLASSES
        if (not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str)
                or not isinstance(layer.get("config"), list if inner and isinstance(
                    layer.get("config"), list) else dict)
                or not isinstance(_name(layer), str) or not _name(layer)):
            builder.fail("its model_config has a layer without name, class or settings")
        if _name(layer) in found:
            builder.fail("two layers have the name '{}'".format(_name(layer)))
        found.add(_name(layer))
        counts[_name(layer)] += 1
        if inner:
            _checked_settings(builder, layer, _name(layer), depth + 1, counts)
    return settings


def _name(entry):
    config = entry["config"]
    return config.get("name", entry.get("name")) if isinstance(config, dict) else entry.get("name")


def _snake_case(name):
    """The name of a class as Keras 3 writes it in the paths of weights."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _paths(layers):
    """Keras 3's name for each layer among its neighbours, by layer name."""
    used = Counter()
    paths = {}
    for entry in layers:
        if _is_operation(entry):
            continue
        name = _snake_case(entry["class_name"])
        paths[_name(entry)] = name if not used[name] else "{}_{}".format(name, used[name])
        used[name] += 1
    return paths


def _class(entry):
    """The class of a layer; one that is not Keras's own keeps its package, whatever its name."""
    kind, module, name = entry["class_name"], entry.get("module"), entry.get("registered_name")
    if isinstance(module, str) and module.split(".")[0] not in _PACKAGES:
        return "{}>{}".format(module, kind)
    return name if module is None and isinstance(name, str) and ">" in name else kind


def _is_operation(entry):
    """Whether an entry is a function of keras.ops, which is not a layer."""
    module = entry.get("module")
    return isinstance(module, str) and re.match(r"keras(\.src)?\.ops\b", module) is not None


class _Reader(object):
    """Walks models and calls the translator of every layer."""

    def __init__(self, builder, counts):
        self.builder = builder
        self.counts = counts

    def read(self, kind, settings, inputs, scope):
        """The values that a model makes of its inputs, which are None for the outermost one."""
        scope = scope._replace(path=scope.path + ("layers",))
        paths = _paths(settings["layers"])
        if kind == "Sequential":
            return [self._sequential(settings, inputs, scope, paths)]
        return self._functional(settings, inputs, scope, paths)

    def _sequential(self, settings, inputs, scope, paths):
        entries = settings["layers"]
        value = None
        if inputs is not None:
            value = inputs[0]
        elif entries[0]["class_name"] != "InputLayer":
            first = self._layer(entries[0], 0, [], {}, scope, paths)
            first.config = {"batch_shape": _implied_shape(entries[0], settings)}
            first.node += "/input"
            value = self._attempt(first, tables.input_layer)
        for entry in entries:
            if entry["class_name"] == "InputLayer":
                value = self._input(entry, value, scope, paths)
            else:
                value = self._call(entry, 0, [value], {}, scope, paths)[0]
        return value

    def _functional(self, settings, inputs, scope, paths):
        """Translate every call once its inputs are there; the order of the file is kept."""
        fail = self.builder.fail
        given = self._given(settings, inputs)
        calls = OrderedDict()
        entries = {}
        for entry in settings["layers"]:
            entries[_name(entry)] = entry
            for number, call in enumerate(read_calls(entry, _name(entry), fail)):
                calls[(_name(entry), number)] = call
        outputs = read_references(settings.get("output_layers"), "output", fail)
        first = _first_calls(entries, calls, outputs)
        needs = OrderedDict((key, set((r.layer, r.call - first[r.layer]) for r in references(call)
                                      if r.layer in first)) for key, call in calls.items())
        self._check_references(entries, calls, first, outputs)
        values = {}
        for key in _in_order(calls, needs, entries, fail):
            call = calls[key]
            known = dict((r, _pick(values[(r.layer, r.call - first[r.layer])], r, self.builder))
                         for r in references(call))
            entry = entries[key[0]]
            if entry["class_name"] == "InputLayer":
                made = [self._input(entry, given.get(key[0]), scope, paths)]
            else:
                made = self._call(entry, key[1], replace(call.args, known),
                                  replace(call.kwargs, known), scope, paths)
            values[key] = made
        if not outputs:
            fail("its model_config names no output layer")
        return [_pick(values[(r.layer, r.call - first[r.layer])], r, self.builder)
                for r in outputs]

    def _given(self, settings, inputs):
        """What an inner model's input layers stand for."""
        if inputs is None:
            return {}
        names = [r.layer for r in read_references(settings.get("input_layers"), "input",
                                                  self.builder.fail)]
        if not names:
            names = [_name(entry) for entry in settings["layers"]
                     if entry["class_name"] == "InputLayer"]
        return dict(zip(names, inputs))

    def _check_references(self, entries, calls, first, outputs):
        """Every reference must be to a call that exists."""
        for (name, _), call in calls.items():
            for r in references(call):
                if (r.layer, r.call - first.get(r.layer, 0)) not in calls:
                    self.builder.fail("layer '{}' ({}): its input '{}' does not exist".format(
                        name, entries[name]["class_name"], r.layer))
        for r in outputs:
            if (r.layer, r.call - first.get(r.layer, 0)) not in calls:
                self.builder.fail("the output layer '{}' does not exist".format(r.layer))

    # Layers

    def _unique(self, name, scope):
        """What a layer is called in the network."""
        if not scope.names or self.counts[name] == 1:
            return name
        return "/".join(scope.names + (name,))

    def _layer(self, entry, number, args, kwargs, scope, paths):
        name = self._unique(_name(entry), scope)
        self.builder.count_call(name)
        node = scope.prefix + name
        if number:
            node = "{}/call{}".format(node, number)
        place = Place(scope.names + (_name(entry),), scope.path + (paths.get(_name(entry)),), None)
        return Layer(self.builder, name, node, _class(entry), entry["config"], place, args, kwargs)

    def _call(self, entry, number, args, kwargs, scope, paths):
        """Translate one call of a layer or of an inner model; list of values."""
        layer = self._layer(entry, number, args, kwargs, scope, paths)
        if entry["class_name"] not in MODEL_CLASSES:
            return [self._attempt(layer, tables.translator(layer, _is_operation(entry)))]
        inputs = layer.inputs()
        if not inputs:
            self.builder.fail("layer '{}' ({}): has no input".format(layer.name, layer.kind))
        if layer.kwargs.get("training") is True:
            return [self._attempt(layer, tables.trained)]
        inner = _Scope(layer.place.names, layer.place.path,
                       layer.node + "/" if number else scope.prefix)
        return self.read(entry["class_name"], entry["config"], inputs, inner)

    def _input(self, entry, value, scope, paths):
        """The input of the outermost model, or the place of an inner one's."""
        layer = self._layer(entry, 0, [], {}, scope, paths)
        if value is not None:
            layer.args = [value]
            return self._attempt(layer, tables.inner_input)
        if scope.names:
            self.builder.fail("layer '{}' ({}): is an input that the model around it does not "
                              "give".format(layer.name, layer.kind))
        return self._attempt(layer, tables.input_layer)

    def _attempt(self, layer, translate):
        """What a translator makes, or Blocked where it or what it reads is in the way."""
        inputs = layer.inputs()
        for value in inputs:
            if isinstance(value, Blocked):
                self.builder.blocked[layer.node] = value
                return value
        before = next((value.node for value in inputs if isinstance(value, Value)), None)
        known = len(self.builder.nodes)
        try:
            if any(isinstance(value, Plane) for value in inputs) and layer.kind != "Stack":
                layer.fail("reads a single channel of a map, which is not supported")
            return translate(layer)
        except LayerError as error:
            self.builder.drop(known)
            blocked = Blocked(str(error), before)
            self.builder.blocked[layer.node] = blocked
            return blocked


def _implied_shape(entry, settings):
    """The input shape of a Sequential model without an input layer."""
    shapes = []
    while True:
        config = entry["config"]
        shapes += [config.get("batch_input_shape"), config.get("batch_shape")]
        if entry["class_name"] not in MODEL_CLASSES:
            break
        shapes.append(config.get("build_input_shape"))
        entry = config["layers"][0]
    shapes.append(settings.get("build_input_shape"))
    build = entry.get("build_config")
    shapes.append(build.get("input_shape") if isinstance(build, dict) else None)
    return next((shape for shape in shapes if shape is not None), None)


def _first_calls(entries, calls, outputs):
    """The number under which the first call of each layer is referred to: inner models that exist
    before they are called count that as call 0."""
    least = {}
    for r in [r for call in calls.values() for r in references(call)] + outputs:
        least[r.layer] = min(least.get(r.layer, r.call), r.call)
    return dict((name, min(least.get(name, 0), 1)
                 if entries[name]["class_name"] in MODEL_CLASSES else 0) for name in entries)


def _in_order(calls, needs, entries, fail):
    """Yield the calls so that each comes after those it needs, else in the order of the file."""
    place = dict((key, index) for index, key in enumerate(calls))
    keys = list(calls)
    missing = dict((key, len(needs[key])) for key in keys)
    followers = {}
    for key in keys:
        for other in needs[key]:
            followers.setdefault(other, []).append(key)
    ready = [place[key] for key in keys if not missing[key]]
    heapq.heapify(ready)
    done = 0
    while ready:
        key = keys[heapq.heappop(ready)]
        done += 1
        yield key
        for follower in followers.get(key, ()):
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready, place[follower])
    if done < len(keys):
        name = next(key[0] for key in keys if missing[key])
        fail("layer '{}' ({}): its inputs depend on it".format(name, entries[name]["class_name"]))


def _pick(made, reference, builder):
    """The tensor that a reference means."""
    if reference.tensor < len(made):
        return made[reference.tensor]
    if any(isinstance(value, Blocked) for value in tensors(made)):
        return made[0]
    return Blocked("{}: layer '{}': its output number {} is not known".format(
        builder.path, reference.layer, reference.tensor), None)
