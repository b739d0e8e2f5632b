"""The graph of an ONNX file, translated operation by operation."""
import difflib

import numpy as np

from ...errors import GraphError, WeightsError
from . import attention, constants
from .model_file import MOST_NODES, MOST_TENSORS
from .operation import Known, Operation, Unsupported
from .operators import TRANSLATORS
from .values import LETTERS, Builder, Value, letter_atoms

#: Stands for the number of images where a file leaves it open: a prime that no other size has.
OPEN_BATCH = 1009

_MOST_NESTED = 8
_LARGE = 1 << 16
_VIEWS = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze")
_CONSTANTS = {"value_float": np.float32, "value_int": np.int64, "value_floats": np.float32,
              "value_ints": np.int64}
_STANDARD = ("", "ai.onnx")
#: What Python says of a number where a list is due, and the like: each operation has such places.
_MALFORMED = (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError)
_BY_PIXEL = ("Cast", "Mul", "Div", "Add", "Sub", "Identity")
_CHANNELS_FIRST = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN",
                   "BatchNormalization", "InstanceNormalization", "GroupNormalization",
                   "DepthToSpace", "SpaceToDepth")


class Broken(object):
    """A tensor that cannot be described, and why; it matters only where somebody wants it."""

    def __init__(self, reason):
        self.reason = reason


class Translation(object):
    """All of a graph in terms of items.

    Parameters
    ----------
    model : onnx.ModelProto
    tensors : model_file.Tensors
    opset : int
    fail : callable
        ``fail(reason)`` raises the error.
    size : (int, int) or None
        Height and width of the image where the file leaves them open.
    """

    def __init__(self, model, tensors, opset, fail, size=None):
        self.graph = model.graph
        self.tensors = tensors
        self.opset = opset
        self.fail = fail
        self.size = size
        self.values = {}
        self.aliases = {}
        self.count = 0
        self.names = set()
        self.last = None
        self.net = Builder(OPEN_BATCH)
        self._read_constants(self.graph)
        self._read_input()
        self._run(self.graph, 0)

    # What a graph begins with

    def _read_constants(self, graph):
        if len(graph.initializer) > MOST_TENSORS:
            self.fail("has {} tensors, at most {} are allowed".format(
                len(graph.initializer), MOST_TENSORS))
        if graph.sparse_initializer:
            self.fail("has sparse tensors, which are not read")
        for tensor in graph.initializer:
            if not tensor.name or tensor.name in self.values:
                self.fail("two tensors have the name '{}'".format(tensor.name))
            self.values[tensor.name] = Known(tensor.dims, lambda t=tensor: self.tensors.array(t))

    def _read_input(self):
        inputs = [entry for entry in self.graph.input if entry.name not in self.values]
        if len(inputs) != 1:
            self.fail("has {} inputs ({}), only one, the image, is supported".format(
                len(inputs), ", ".join("'{}'".format(entry.name) for entry in inputs[:4])))
        name = inputs[0].name
        dims = inputs[0].type.tensor_type.shape.dim
        sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
        if len(sizes) != 4 or any(side is not None and side > 1 << 24 for side in sizes):
            self.fail("its input '{}' has the shape {}, expected (images, channels, height, width) "
                      "or (images, height, width, channels)".format(name, sizes))
        self.is_channels_last = self._channels_are_last(name, sizes)
        channels, sides = ((sizes[3], sizes[1:3]) if self.is_channels_last
                           else (sizes[1], sizes[2:4]))
        self.input_size = None if None in sides else tuple(sides)
        if self.input_size is None:
            sides = [own or other for own, other in zip(sides, self.size or (None, None))]
            if None in sides:
                return
        net = self.net
        net.batch.size = sizes[0] or OPEN_BATCH
        net.fail = self.fail
        item = net.emit("input", [], {"channels": channels or 3}, tuple(sides) + (channels or 3,))
        item.name = name
        self.last = item
        self.names.add(name)
        order = "bhwc" if self.is_channels_last else "bchw"
        base = dict((letter, letter_atoms(letter, side))
                    for letter, side in zip(LETTERS, item.shape))
        self.values[name] = Value(item, base, [(net.batch,) if letter == "b" else base[letter]
                                               for letter in order])

    def _channels_are_last(self, name, sizes):
        """Told by the first operation that knows, else by which size is one of images."""
        names = set([name])  # of the image, and of what its pixels are scaled to
        for node in self.graph.node:
            if node.op_type in _CHANNELS_FIRST:
                return False
            if node.op_type in _BY_PIXEL and names.intersection(node.input):
                names.update(node.output)
            if node.op_type == "Transpose" and names.intersection(node.input):
                return [list(entry.ints) for entry in node.attribute
                        if entry.name == "perm"] == [[0, 3, 1, 2]]
        first, last = (side in (1, 3, 4) for side in (sizes[1], sizes[3]))
        return last and not first

    # Operations

    def _run(self, graph, depth):
        if self.input_size is None and self.size is None:
            return
        self.count += len(graph.node)
        if self.count > MOST_NODES:
            self.fail("has more than {} nodes".format(MOST_NODES))
        for node in graph.node:
            self._step(node, depth)

    def _step(self, node, depth):
        name = self._name_of(node)
        for output in node.output:
            if output and output in self.values:
                self.fail("node '{}' ({}) makes '{}', which there is already".format(
                    name, node.op_type, output))
        inputs = [self._input(node, name, tensor) for tensor in node.input]
        made = len(self.net.items)
        self.net.owner = name
        results = self._results_or_reason(node, name, inputs, depth)
        if len(results) < len([output for output in node.output if output]):
            results = list(results) + [self._broken(
                node, name, inputs, "only its first result is supported")] * len(node.output)
        self._give_names(name, node, results, made)
        for output, result in zip(node.output, results):
            if output:
                self.values[output] = result
                self.aliases[output] = result

    def _results_or_reason(self, node, name, inputs, depth):
        """The results of an operation, `Broken` where there are none."""
        broken = [known for known in inputs if isinstance(known, Broken)]
        if broken:
            return [broken[0]] * len(node.output)
        try:
            return self._results(node, name, inputs, depth)
        except Unsupported as error:
            reason = str(error)
        except _MALFORMED as error:
            reason = "its attributes or inputs are not what the operation takes ({})".format(error)
        return [self._broken(node, name, inputs, reason)] * len(node.output)

    def _name_of(self, node):
        outputs = [output for output in node.output if output]
        name = node.name or (outputs[0] if outputs else node.op_type)
        if name in self.aliases or name in self.names:
            name = outputs[0] if outputs else name
        return name

    def _input(self, node, name, tensor):
        if not tensor:
            return None
        if tensor not in self.values:
            self.fail("node '{}' ({}) reads '{}', which no earlier node makes".format(
                name, node.op_type, tensor))
        return self.values[tensor]

    def _results(self, node, name, inputs, depth):
        op = Operation(node, name, inputs, self.opset, self.tensors)
        self.net.fail = op.fail
        if node.domain not in _STANDARD:
            op.fail("is an operation of '{}', only those of ONNX itself are read".format(node.domain))
        if op.kind == "Constant":
            return [self._constant(op)]
        if op.kind == "If":
            return self._branch(op, depth)
        if all(known is None or isinstance(known, Known) for known in inputs):
            return self._folded(op)
        if any(isinstance(known, (attention.Scores, attention.NotANumber)) for known in inputs) and \
                op.kind != "MatMul":
            return [attention.on_scores(op, self.net)]
        translate = TRANSLATORS.get(op.kind)
        if translate is None:
            op.fail("this operation is not supported")
        result = translate(op, self.net)
        return result if isinstance(result, list) else [result]

    def _constant(self, op):
        tensor = op.attribute("value")
        if tensor is not None:
            return Known(tensor.dims, lambda: self.tensors.array(tensor))
        for name, dtype in _CONSTANTS.items():
            value = op.attribute(name)
            if value is not None:
                return Known.of(np.array(value, dtype))
        return op.fail("is a constant of a kind that is not read")

    def _folded(self, op):
        known = [entry for entry in op.inputs if entry is not None]
        if op.kind == "Shape" and known:
            return [Known.of(np.array(known[0].shape, np.int64)[
                op.attribute("start", 0):op.attribute("end", len(known[0].shape))])]
        if op.kind in _VIEWS and known and known[0].size > _LARGE:
            return [self._large_view(op)]
        results = constants.fold(op)
        if results is None:
            op.fail("this operation is not supported on constants")
        return [Known.of(result) for result in results]

    @staticmethod
    def _large_view(op):
        """A large constant in another shape, made each time that it is wanted."""
        source = op.inputs[0]
        op.inputs[0] = Known.of(np.broadcast_to(np.zeros((), np.bool_), source.shape))
        shape = constants.fold(op)[0].shape
        op.inputs[0] = source
        return Known(shape, lambda: constants.fold(op)[0])

    def _branch(self, op, depth):
        condition = op.known(0, "its condition").array()
        if condition.size != 1:
            op.fail("its condition has the shape {}".format(condition.shape))
        if depth >= _MOST_NESTED:
            op.fail("is nested too deeply")
        graph = op.graph("then_branch" if bool(condition.reshape(())) else "else_branch")
        self._read_constants(graph)
        self._run(graph, depth + 1)
        missing = [entry.name for entry in graph.output if entry.name not in self.values]
        if missing:
            op.fail("its branch does not make '{}'".format(missing[0]))
        return [self.values[entry.name] for entry in graph.output]

    def _broken(self, node, name, inputs, reason):
        before = [known.item.name for known in inputs if isinstance(known, Value)
                  and known.item.name is not None and known.item.op not in ("erf", "cube")]
        before = before[0] if before else self.last.name
        return Broken("node '{}' ({}): {}; the last layer before it that can be tapped is '{}'".format(
            name, node.op_type, reason, before))

    def _give_names(self, name, node, results, made):
        """Name the items of an operation: the last of each result after it, the others below it."""
        outputs = [output for output in node.output if output]
        for index, result in enumerate(results):
            if isinstance(result, Value) and result.item.name is None:
                wanted = name if index == 0 or index >= len(outputs) else outputs[index]
                result.item.name = self._unique(wanted)
                self.last = result.item
            if index == 0:
                self.aliases.setdefault(name, result)
        for item in self.net.items[made:]:
            if item.name is None:
                item.name = self._unique("{}/{}".format(name, item.op))

    def _unique(self, wanted):
        name, number = wanted, 1
        while name in self.names:
            number += 1
            name = "{}_{}".format(wanted, number)
        self.names.add(name)
        return name

    # Results

    def result(self, name, where):
        """The item of a tensor or operation, arranged as the tensor is, and named after it."""
        known = self.values.get(name) if where == "output" else self.aliases.get(name)
        if isinstance(known, Broken):
            self.fail(known.reason)
        if isinstance(known, Value):
            return self._settled(known, name)
        if isinstance(known, Known):
            self.fail("'{}' does not depend on the image".format(name))
        return self.fail("'{}' is a part of attention, which is computed as one".format(name))

    def _settled(self, value, name):
        net, made = self.net, len(self.net.items)
        net.fail = self.fail
        net.owner = name
        rest = [net.without_batch(axis) for axis in value.axes]
        if not all(not axis or value.letter(i) or () for i, axis in enumerate(rest)):
            rest = [axis for axis in rest if axis]
            if len(value.axes) == 4 and value.axes[0] == (net.batch,):
                value = net.as_map(value)
            elif len(rest) <= 2:
                value = net.settled(value, rest[0] if len(rest) == 2 else (), (), rest[-1])
            else:
                value = net.settled(value, rest[0], sum(rest[1:-1], ()), rest[-1])
        for item in net.items[made:]:
            item.name = self._unique(name if item is value.item else "{}/{}".format(name, item.op))
        return value.item

    def layer(self, name):
        """The item that a user means by a name: of a node here, of the file, or of a tensor."""
        for item in self.net.items:
            if item.name == name:
                return item
        if name not in self.aliases:
            close = difflib.get_close_matches(str(name), [item.name for item in self.net.items], 3)
            raise GraphError("the network has no layer '{}' (its last layer is '{}'){}".format(
                name, self.last.name, "; did you mean {}?".format(", ".join(close)) if close else ""))
        return self.result(name, "layer")

    def outputs(self):
        """The items of the results of the graph."""
        items = []
        for entry in self.graph.output:
            if entry.name not in self.values:
                self.fail("its result '{}' is made by no node".format(entry.name))
            items.append(self.result(entry.name, "output"))
        if not items:
            self.fail("has no result")
        return items


def weights_error(path):
    """A function that raises the error for a file."""
    def fail(reason):
        raise WeightsError("{}: {}".format(path, reason))
    return fail
