"""The weights of a Keras model in HDF5, in each of the layouts that Keras has had.

Until Keras 2, and in ``.h5`` files to this day, a layer has a group that lists its weights by name. In
the files of Keras 3 a path is made of the classes of the layers, and weights are numbered.
"""
import re

import numpy as np

#: Names of weights in Keras 1, behind the name of the layer and "_".
_KERAS_1 = {"kernel": "W", "bias": "b"}

#: Groups that Keras 3 and the last releases of Keras 2 keep the layers of a model in.
_LAYERS = ("layers", "_layer_checkpoint_dependencies")


def find_weights(source, group):
    """A reader of the weights in a group of a file.

    Parameters
    ----------
    source : SafeHDF5
    group : Member

    Returns
    -------
    NamedWeights, NumberedWeights or None
        None where the group has no layout of Keras.
    """
    if source.names(group, "layer_names") is not None:
        return NamedWeights(source, group)
    for layers in _LAYERS:
        if source.group(group, layers) is not None:
            return NumberedWeights(source, group, layers)
    return None


def read_arrays(weights, description, names):
    """Yield the named arrays, each checked against the shape that the graph expects.

    Parameters
    ----------
    weights : NamedWeights or NumberedWeights
    description : Description
        Of the graph: wanted weights and constants.
    names : iterable of str
    """
    source = weights.source
    for name in names:
        if name in description.constants:
            yield name, description.constants[name]
            continue
        want = description.wanted[name]
        what = "layer '{}': {}".format("/".join(want.place.names), want.names[0])
        dataset = weights.find(want)
        if dataset is None:
            source.fail("{} is missing".format(what))
        array = source.array(dataset, what, want.stored_shape)
        if name.endswith("/variance") and array.min() < 0.0:
            source.fail("{} holds a negative number".format(what))
        if want.convert is not None:
            array = want.convert(array)
        yield name, np.ascontiguousarray(array.reshape(want.shape))


class NamedWeights(object):
    """Weights by name: a group for each layer or inner model of the outermost one."""

    #: Major version of Keras that this layout is of.
    major = 2

    def __init__(self, source, group):
        self.source = source
        self.group = group
        self._tables = {}

    def find(self, want, must=True):
        """The data set of a wanted weight, or None; a layer that is missing is an error if it must
        be there."""
        names = want.place.names
        if not must and self.source.group(self.group, names[0]) is None:
            return None
        table = self._table(names[0])
        inner = [] if len(names) == 1 else names[-1].split("/")
        for name in want.names:
            ending = tuple(inner + name.split("/"))
            found = [paths for paths in table if paths[-len(ending):] == ending]
            # Names of layers may themselves end like those of others: "Conv" and "block/Conv".
            found = [paths for paths in found if paths == ending] or found
            if not found:
                old = (names[-1] + "_" + _KERAS_1.get(name, name),)
                found = [paths for paths in table if paths[-1:] == old]
            if len(found) > 1:
                self.source.fail("layer '{}' has two weights with the name '{}'".format(
                    "/".join(names), name))
            if found:
                return table[found[0]]
        return None

    def _table(self, layer):
        """Data sets of an outer layer by the parts of their names."""
        if layer not in self._tables:
            self._tables[layer] = self._read_table(layer)
        return self._tables[layer]

    def _read_table(self, layer):
        source = self.source
        group = source.group(self.group, layer)
        if group is None:
            source.fail("layer '{}' is missing".format(layer))
        table = {}
        for path in source.names(group, "weight_names") or []:
            dataset = source.member(group, path)
            if dataset is None:
                source.fail("layer '{}': the weight '{}' is missing".format(layer, path))
            # Keras 3 numbers the weights that have no name.
            parts = tuple(re.sub("/variable_[0-9]+$", "/variable", path.split(":")[0]).split("/"))
            if parts in table:
                source.fail("layer '{}' has two weights with the name '{}'".format(
                    layer, parts[-1]))
            table[parts] = dataset
        return table


class NumberedWeights(object):
    """Weights by number, in groups named after the classes of layers."""

    #: Major version of Keras that this layout is of.
    major = 3

    def __init__(self, source, group, layers):
        self.source = source
        self.group = group
        self.layers = layers

    def find(self, want, must=True):
        """The data set of a wanted weight, or None; one of another layer is an error if it must be
        there."""
        place = want.place
        path = [self.layers if part == "layers" else part for part in place.path]
        if None in path:
            return None
        subs = [[]]
        if place.sub is not None:
            subs = [[place.sub + "_dense"], ["_" + place.sub + "_dense"]]
        for sub in subs:
            group = self.source.group(self.group, "/".join(path + sub + ["vars"]))
            if group is not None:
                if must:
                    self._check_name(group, place)
                return self.source.member(group, str(want.position))
        return None

    def named(self, kind):
        """Paths of the layers of a class by the names that Keras 3 notes beside their weights, dict."""
        found = {}
        while True:
            path = "{}_{}".format(kind, len(found)) if found else kind
            group = self.source.group(self.group, "{}/{}/vars".format(self.layers, path))
            name = None if group is None else self.source.attribute(group, "name")
            if name is None or name in found:
                return found
            found[name] = path

    def _check_name(self, group, place):
        """Keras 3 notes the name of the layer beside its weights."""
        name = self.source.attribute(group, "name")
        if name is not None and place.sub is None and name != place.names[-1]:
            self.source.fail("layer '{}': the weights in its place are those of layer '{}'".format(
                "/".join(place.names), name))
