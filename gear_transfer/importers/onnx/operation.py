"""One operation of an ONNX graph: its attributes, and its inputs, known or depending on the image."""
import numpy as np

from .values import Value

_FLOAT, _INT, _STRING, _TENSOR, _GRAPH, _FLOATS, _INTS, _STRINGS = range(1, 9)


class Unsupported(Exception):
    """What an operation asks for cannot be described; the reason is its text."""


class Known(object):
    """A constant tensor: its shape, and its values once they are wanted."""

    __slots__ = ("shape", "_make")

    def __init__(self, shape, make):
        self.shape = tuple(shape)
        self._make = make

    @classmethod
    def of(cls, array):
        """An array that is there."""
        array = np.asarray(array)
        return cls(array.shape, lambda: array)

    def array(self):
        """The values, ndarray; read from the file each time where they lie beside the model."""
        return self._make()

    @property
    def size(self):
        """How many numbers it has."""
        count = 1
        for side in self.shape:
            count *= side
        return count


class Operation(object):
    """A node of the file.

    Parameters
    ----------
    node : onnx.NodeProto
    name : str
        Under which it is known to the user.
    inputs : list of Known, Value, Scores or None
    opset : int
    tensors : model_file.Tensors
    """

    def __init__(self, node, name, inputs, opset, tensors):
        self.kind = node.op_type
        self.name = name
        self.inputs = inputs
        self.outputs = list(node.output)
        self.opset = opset
        self._attributes = dict((entry.name, entry) for entry in node.attribute)
        self._tensors = tensors

    def fail(self, reason):
        """Raise the error of this operation."""
        raise Unsupported(reason)

    def attribute(self, name, otherwise=None):
        """An attribute as a Python value; a TensorProto or GraphProto as it is."""
        entry = self._attributes.get(name)
        if entry is None:
            return otherwise
        if entry.type == _FLOAT:
            return float(entry.f)
        if entry.type == _INT:
            return int(entry.i)
        if entry.type == _STRING:
            return entry.s.decode("utf-8", "replace")
        if entry.type == _TENSOR:
            return entry.t
        if entry.type == _GRAPH:
            return entry.g
        if entry.type == _FLOATS:
            return [float(number) for number in entry.floats]
        if entry.type == _INTS:
            return [int(number) for number in entry.ints]
        if entry.type == _STRINGS:
            return [text.decode("utf-8", "replace") for text in entry.strings]
        return self.fail("its attribute '{}' is of a type that is not read".format(name))

    def integers(self, name, count, otherwise):
        """An attribute of that many whole numbers from 0 on."""
        numbers = self.attribute(name, otherwise)
        if (not isinstance(numbers, list) or len(numbers) != count
                or not all(isinstance(number, int) and 0 <= number < 1 << 24 for number in numbers)):
            self.fail("its attribute '{}' is {!r}, expected {} whole numbers".format(
                name, numbers, count))
        return numbers

    def tensor(self, proto):
        """The values of a tensor in an attribute."""
        return self._tensors.array(proto)

    def has(self, index):
        """Whether there is an input of that number."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def known(self, index, what="its input {}"):
        """The input of that number, which must be a constant."""
        if not self.has(index) or not isinstance(self.inputs[index], Known):
            self.fail("{} must be a constant in the file".format(what.format(index)))
        return self.inputs[index]

    def arrays(self):
        """All inputs, each known, as arrays."""
        return [self.known(index).array() for index in range(len(self.inputs)) if self.has(index)]

    def setting(self, name, index):
        """What was an attribute in older versions and is an input now; None where it is missing.

        A list of numbers, or a number where there are no axes.
        """
        if name in self._attributes:
            return self.attribute(name)
        if not self.has(index):
            return None
        array = self.known(index, "'{}'".format(name)).array()
        if array.size > 1 << 16:
            self.fail("'{}' has {} numbers".format(name, array.size))
        return array.tolist()

    def value(self, index=0):
        """The input of that number, which must depend on the image."""
        if not self.has(index):
            self.fail("lacks its input {}".format(index))
        if not isinstance(self.inputs[index], Value):
            self.fail("its input {} is of a kind that is not supported here".format(index))
        return self.inputs[index]

    def graph(self, name):
        """A graph in an attribute."""
        graph = self.attribute(name)
        if graph is None:
            self.fail("lacks its graph '{}'".format(name))
        return graph
