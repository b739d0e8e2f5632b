"""Nodes and arrays of a PyTorch network, gathered module by module.

The shapes come from the tensors of the file; what they cannot say (strides, activations) is said by
the families. A node has the name of the module whose result it is; a step within a module has a
slash in its name.
"""
import collections

import numpy as np

from ..network import Node

#: The number by which `torch.nn.BatchNorm2d` keeps its divisor from zero.
EPSILON = 1e-5

#: An array of the network: the tensors that it is made of, with their shapes, and how.
Wanted = collections.namedtuple("Wanted", ["tensors", "make"])


def _same(array):
    return array


def _kernel(weight):
    return weight.transpose(2, 3, 1, 0)


def _pointwise(weight):
    return weight.reshape(weight.shape[:2]).T[np.newaxis, np.newaxis]


def _dense(weight):
    return weight.reshape(weight.shape[:2]).T


class Builder(object):
    """The network described so far.

    Parameters
    ----------
    source : TensorFile
    epsilon : float
        Of batch normalisation.
    padding : {"symmetric", "same"}
        Of convolutions, unless they say it; "same" is as TensorFlow pads.

    Attributes
    ----------
    nodes : list of Node
    wanted : OrderedDict of str to Wanted
        By the name of the array.
    channels : dict of str to int
        Of each node's result.
    """

    def __init__(self, source, epsilon=EPSILON, padding="symmetric"):
        self.source = source
        self.epsilon = epsilon
        self.padding = padding
        self.nodes = [Node("input", "input", (), {"channels": 3})]
        self.wanted = collections.OrderedDict()
        self.channels = {"input": 3}
        self._used = set()

    def fail(self, reason):
        """Raise a WeightsError that names the file."""
        self.source.fail(reason)

    def has(self, *names):
        """Whether the file has all of these tensors."""
        return all(name in self.source.shapes for name in names)

    def count(self, form, first=0):
        """How many of ``form.format(first)``, ``form.format(first + 1)`` and so on the file has."""
        number = 0
        while self.has(form.format(first + number)):
            number += 1
        return number

    def shape(self, tensor, rank):
        """The shape of a tensor that must be there with that many dimensions."""
        if not self.has(tensor):
            self.fail("the tensor '{}' is missing".format(tensor))
        shape = self.source.shapes[tensor]
        if len(shape) != rank:
            self.fail("tensor '{}' has shape {}, expected {} dimension(s)".format(
                tensor, list(shape), rank))
        return shape

    def unused(self, ignored=()):
        """Tensors that nothing has asked for, but for those that begin as `ignored` says."""
        return [name for name in self.source.shapes if name not in self._used
                and not name.endswith(".num_batches_tracked")
                and not name.startswith(tuple(ignored))]

    # Arrays

    def want(self, array, tensors, make=_same):
        """Ask for an array made of tensors, pairs of name and shape; its name."""
        for tensor, shape in tensors:
            have = self.shape(tensor, len(shape))
            if tuple(have) != tuple(shape):
                self.fail("tensor '{}' has shape {}, expected {}".format(
                    tensor, list(have), list(shape)))
            self._used.add(tensor)
        self.wanted[array] = Wanted(tuple(tensors), make)
        return array

    def vector(self, tensor, size):
        """A tensor of one dimension, or of more of which the others are 1."""
        shape = self.source.shapes.get(tensor, (size,))
        if len(shape) > 1 and sorted(shape)[:-1] == [1] * (len(shape) - 1) and max(shape) == size:
            return self.want(tensor, [(tensor, shape)], np.ravel)
        return self.want(tensor, [(tensor, (size,))])

    # Nodes

    def add(self, name, op, inputs, attributes=None, channels=None):
        """A node; its result has as many channels as its first input unless `channels` says it."""
        self.nodes.append(Node(name, op, inputs, attributes))
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        return name

    def conv(self, source, module, stride=1, padding=None, grouped=False, node=None):
        """A convolution with the bias that the file has; `grouped` may have groups."""
        weight = module + ".weight"
        shape = self.shape(weight, 4)
        out, share, height, width = shape
        channels = self.channels[source]
        groups = channels // share if grouped else 1
        if share * groups != channels or out % max(groups, 1):
            self.fail("tensor '{}' has shape {}, which does not fit the {} channels before "
                      "it".format(weight, list(shape), channels))
        if padding is None:
            padding = self.padding
        if padding == "symmetric":
            padding = [(height - 1) // 2, (width - 1) // 2] * 2
        attributes = {"kernel": self.want(weight, [(weight, shape)], _kernel),
                      "strides": [stride, stride], "padding": padding}
        if groups > 1:
            attributes["groups"] = groups
        if self.has(module + ".bias"):
            attributes["bias"] = self.vector(module + ".bias", out)
        return self.add(node or module, "conv2d", [source], attributes, out)

    def norm(self, source, module, node=None):
        """A batch normalisation with its statistics."""
        channels = self.channels[source]
        attributes = dict((role, self.vector("{}.{}".format(module, tensor), channels))
                          for role, tensor in (("gamma", "weight"), ("beta", "bias"),
                                               ("mean", "running_mean"),
                                               ("variance", "running_var")))
        attributes["epsilon"] = self.epsilon
        return self.add(node or module, "batch_norm", [source], attributes)

    def layer_norm(self, source, module, epsilon=1e-6, node=None):
        """A layer normalisation."""
        channels = self.channels[source]
        return self.add(node or module, "layer_norm", [source], {
            "gamma": self.vector(module + ".weight", channels),
            "beta": self.vector(module + ".bias", channels), "epsilon": epsilon})

    def act(self, source, function, node):
        """An activation: "relu", "relu6" or a function of `operations.FUNCTIONS`."""
        if function in ("relu", "relu6"):
            limit = {"max_value": 6.0} if function == "relu6" else {}
            return self.add(node, "relu", [source], limit)
        return self.add(node, "activation", [source], {"function": function})

    def conv_norm_act(self, source, conv, norm, function, node, **settings):
        """Convolution, batch normalisation and activation, or none; `node` is the last one."""
        x = self.conv(source, conv, **settings)
        if function is None:
            return self.norm(x, norm, node)
        x = self.norm(x, norm, norm + "/norm" if norm == node else norm)
        return self.act(x, function, node)

    def linear(self, source, weight, bias, node, is_flat=False):
        """A fully connected layer on each pixel or token, or on a flat value."""
        channels = self.channels[source]
        shape = self.source.shapes.get(weight, ())
        if not (len(shape) == 4 and shape[2:] == (1, 1)):
            shape = self.shape(weight, 2)
        if shape[1] != channels:
            self.fail("tensor '{}' has shape {}, which does not fit the {} channels before "
                      "it".format(weight, list(shape), channels))
        attributes = {"kernel": self.want(weight, [(weight, shape)],
                                          _dense if is_flat else _pointwise)}
        if not is_flat:
            attributes.update(strides=[1, 1], padding="valid")
        if self.has(bias):
            attributes["bias"] = self.vector(bias, shape[0])
        return self.add(node, "dense" if is_flat else "conv2d", [source], attributes, shape[0])

    def head(self, source, module):
        """The scores of the classes from a flat value, where the file has them."""
        if self.has(module + ".weight"):
            return self.linear(source, module + ".weight", module + ".bias", module, is_flat=True)
        return source

    def scale(self, source, tensor, node):
        """Each channel times a number."""
        return self.add(node, "scale", [source], {
            "gamma": self.vector(tensor, self.channels[source])})

    def sum(self, first, second, node):
        """The sum of a block and what came in."""
        if self.channels[first] != self.channels[second]:
            self.fail("module '{}' adds {} channels to {}".format(
                node, self.channels[first], self.channels[second]))
        return self.add(node, "add", [first, second])

    def pool(self, source, op, size, stride, padding, node, **settings):
        """A pool with a square window and the same padding on each side."""
        return self.add(node, op, [source], dict(
            settings, pool_size=[size, size], strides=[stride, stride], padding=[padding] * 4))

    def squeeze_excite(self, source, module, parts, function, gate):
        """Squeeze and excite; `parts` are the names of its two convolutions."""
        x = self.add(module + "/pool", "global_average_pool", [source])
        x = self.conv(x, "{}.{}".format(module, parts[0]))
        x = self.act(x, function, module + "/act")
        x = self.conv(x, "{}.{}".format(module, parts[1]))
        if self.channels[x] != self.channels[source]:
            self.fail("tensor '{}.{}.weight' makes {} channels, expected {}".format(
                module, parts[1], self.channels[x], self.channels[source]))
        x = self.act(x, gate, module + "/gate")
        return self.add(module, "multiply", [source, x])
