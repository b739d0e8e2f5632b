"""The operations a node may have, with the type of each attribute.

This table is the only description of what a valid node looks like; files in
the native format are checked against it, and so is what the other importers
make.
"""
from ..errors import WeightsError

#: Longest side of a kernel or window, and most channels, that is believed.
LARGEST_EXTENT = 1 << 24


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value):
    """A whole number of at least one."""
    if not _is_int(value) or not 1 <= value <= LARGEST_EXTENT:
        raise ValueError("must be a whole number from 1 to {}".format(LARGEST_EXTENT))
    return value


def _pair(value):
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("must be a list of two whole numbers")
    return [_count(item) for item in value]


def _shift(value):
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("must be a list of two whole numbers")
    return [0 if _is_int(item) and item == 0 else _count(item) for item in value]


def _padding(value):
    if value in ("same", "valid"):
        return value
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise ValueError('must be "same", "valid" or [top, left, bottom, right]')
    for item in value:
        if not _is_int(item) or not 0 <= item <= LARGEST_EXTENT:
            raise ValueError("must hold whole numbers from 0 on")
    return list(value)


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a number")
    value = float(value)
    if not value - value == 0.0:
        raise ValueError("must be finite")
    return value


def _positive(value):
    value = _number(value)
    if value <= 0.0:
        raise ValueError("must be greater than zero")
    return value


def _flag(value):
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _whole(value):
    """A whole number, from the end where it is negative."""
    if not _is_int(value) or abs(value) > LARGEST_EXTENT:
        raise ValueError("must be a whole number up to {} either way".format(LARGEST_EXTENT))
    return value


def _sides(value):
    """[top, left, bottom, right], numbers of pixels."""
    if value in ("same", "valid"):
        raise ValueError("must be [top, left, bottom, right]")
    return _padding(value)


def _shape(value):
    """[height, width, channels], of which one may be -1: what is left."""
    if not isinstance(value, (list, tuple)) or len(value) != 3 or list(value).count(-1) > 1:
        raise ValueError("must be [height, width, channels] with at most one -1")
    return [item if item == -1 and _is_int(item) else _count(item) for item in value]


def _axes(value):
    """An order of the axes height, width, channels."""
    if not isinstance(value, (list, tuple)) or sorted(value) != [0, 1, 2]:
        raise ValueError("must hold 0, 1 and 2 in some order")
    return list(value)


def _one_of(*choices):
    def check(value):
        if not isinstance(value, str) or value not in choices:
            raise ValueError("must be one of {}".format(", ".join(choices)))
        return value
    return check


def _array(value):
    if not isinstance(value, str) or not value:
        raise ValueError("must be the name of an array")
    return value


class _Operation(object):
    """Required and optional attributes of one operation and its number of inputs."""

    def __init__(self, required=None, optional=None, inputs=(1, 1)):
        self.required = required or {}
        self.optional = optional or {}
        self.least_inputs, self.most_inputs = inputs


_WINDOW = {"pool_size": _pair, "strides": _pair, "padding": _padding}
_MANY = (2, 4096)
_PAIR = (2, 2)
_AXIS = _one_of("height", "width", "channels")

#: Functions of one number. `alpha` is the slope below zero of "leaky_relu" (0.01 unless given), the
#: limit of "elu" (1.0); "hard_sigmoid" is ``alpha * x + beta`` within 0 and 1 (1/6 and 0.5), and
#: "hard_swish" is x times that. "gelu" has the error function, "gelu_tanh" its approximation.
FUNCTIONS = ("leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "hard_swish", "hard_sigmoid",
             "sigmoid", "tanh", "softplus", "softsign", "mish", "exp", "abs", "sqrt", "square")

OPERATIONS = {
    "input": _Operation({"channels": _count}, inputs=(0, 0)),
    "conv2d": _Operation({"kernel": _array, "strides": _pair, "padding": _padding},
                         {"bias": _array, "dilations": _pair, "groups": _count}),
    "batch_norm": _Operation({"mean": _array, "variance": _array, "epsilon": _positive},
                             {"gamma": _array, "beta": _array}),
    "bias": _Operation({"bias": _array}),
    "relu": _Operation(optional={"max_value": _positive}),
    "max_pool": _Operation(_WINDOW, {"ceil_mode": _flag}),
    "average_pool": _Operation(_WINDOW, {"count_include_padding": _flag, "ceil_mode": _flag}),
    "concat": _Operation(optional={"axis": _AXIS}, inputs=_MANY),
    "add": _Operation(inputs=_MANY),
    "global_average_pool": _Operation(),
    "global_max_pool": _Operation(),
    "flatten": _Operation(optional={"channels_first": _flag}),
    "dense": _Operation({"kernel": _array}, {"bias": _array}),
    "softmax": _Operation(),
    "activation": _Operation({"function": _one_of(*FUNCTIONS)}, {"alpha": _number, "beta": _number}),
    "clip": _Operation(optional={"min_value": _number, "max_value": _number}),
    "prelu": _Operation({"alpha": _array}),
    "scale": _Operation({"gamma": _array}),
    "multiply": _Operation(inputs=_PAIR),
    "subtract": _Operation(inputs=_PAIR),
    "divide": _Operation(inputs=_PAIR),
    "maximum": _Operation(inputs=_PAIR),
    "minimum": _Operation(inputs=_PAIR),
    "constant": _Operation({"value": _array}, inputs=(0, 0)),
    "pad": _Operation({"padding": _sides}, {"value": _number}),
    "crop": _Operation({"cropping": _sides}),
    "slice": _Operation({"axis": _AXIS, "start": _whole}, {"stop": _whole, "step": _count}),
    "channel_shuffle": _Operation({"groups": _count}),
    "local_response_norm": _Operation({"size": _count, "alpha": _number, "beta": _number,
                                       "bias": _number}),
    "layer_norm": _Operation({"epsilon": _positive}, {"gamma": _array, "beta": _array}),
    "group_norm": _Operation({"groups": _count, "epsilon": _positive},
                             {"gamma": _array, "beta": _array}),
    "reduce": _Operation({"axis": _one_of("map", "channels"),
                          "function": _one_of("mean", "sum", "max", "min", "l2")}),
    "resize": _Operation({"factors": _pair, "mode": _one_of("nearest", "bilinear")},
                         {"coordinates": _one_of("half_pixel", "align_corners", "asymmetric")}),
    "reshape": _Operation({"shape": _shape}),
    "transpose": _Operation({"axes": _axes}),
    "position_embedding": _Operation({"value": _array}),
    "attention": _Operation({"heads": _count, "scale": _positive},
                            {"window": _pair, "shift": _shift, "value": _array, "bias": _array},
                            inputs=(1, 3)),
}

#: Number of dimensions each array-valued attribute has, by operation.
_RANKS = {("conv2d", "kernel"): 4, ("dense", "kernel"): 2, ("constant", "value"): 3,
          ("position_embedding", "value"): 3, ("attention", "value"): 3}


def array_attributes(node):
    """Names of the attributes of `node` that name an array, sorted."""
    operation = OPERATIONS[node.op]
    return sorted(key for key in node.attributes
                  if _array in (operation.required.get(key), operation.optional.get(key)))


def _check_attributes(node, fail):
    operation = OPERATIONS[node.op]
    for key in operation.required:
        if key not in node.attributes:
            fail("node '{}' ({}) lacks the attribute '{}'".format(node.name, node.op, key))
    for key in sorted(node.attributes):
        check = operation.required.get(key) or operation.optional.get(key)
        if check is None:
            fail("node '{}' ({}) has the unknown attribute '{}'".format(node.name, node.op, key))
        try:
            node.attributes[key] = check(node.attributes[key])
        except ValueError as error:
            fail("attribute '{}' of node '{}' ({}) {}".format(key, node.name, node.op, error))


def _check_arrays(node, arrays, fail):
    for key in array_attributes(node):
        name = node.attributes[key]
        if name not in arrays:
            fail("node '{}' needs the array '{}', which is missing".format(node.name, name))
        rank = _RANKS.get((node.op, key), 1)
        if len(arrays[name].shape) != rank:
            fail("array '{}' ({} of node '{}') has shape {}, expected {} dimension(s)".format(
                name, key, node.name, tuple(arrays[name].shape), rank))


def check_nodes(nodes, arrays, where):
    """Check a list of nodes: known operations, attributes, earlier inputs, unique names.

    Attribute values are brought to one form in place (numbers to float,
    tuples to lists).

    Parameters
    ----------
    nodes : list of Node
    arrays : dict of str to ndarray, QuantizedArray or ChannelQuantizedArray
    where : str
        The file, for messages.

    Raises
    ------
    WeightsError
        Naming `where` and the node.
    """
    def fail(reason):
        raise WeightsError("{}: {}".format(where, reason))

    if not nodes or nodes[0].op != "input":
        fail("the first node of the graph must be the input")
    known = set()
    for index, node in enumerate(nodes):
        if not isinstance(node.name, str) or not node.name:
            fail("node number {} has no name".format(index))
        if node.name in known:
            fail("two nodes have the name '{}'".format(node.name))
        if node.op not in OPERATIONS:
            fail("node '{}' has the unknown operation {!r}".format(node.name, node.op))
        if node.op == "input" and index > 0:
            fail("node '{}' is a second input".format(node.name))
        for name in node.inputs:
            if name not in known:
                fail("node '{}' reads '{}', which is not an earlier node".format(node.name, name))
        operation = OPERATIONS[node.op]
        if not operation.least_inputs <= len(node.inputs) <= operation.most_inputs:
            fail("node '{}' ({}) has {} inputs".format(node.name, node.op, len(node.inputs)))
        _check_attributes(node, fail)
        _check_arrays(node, arrays, fail)
        known.add(node.name)
