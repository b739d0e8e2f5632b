"""Layers that change the shape of a value, take its mean, or leave everything as it is."""
from ..hdf5_structure import product
from .builder import Plane
from .layer import LARGEST
from .windows import cropped


def input_layer(layer):
    """InputLayer, or the input implied by the first layer of a Sequential model."""
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if (not isinstance(shape, list) or len(shape) != 4 or type(shape[3]) is not int
            or not 1 <= shape[3] <= LARGEST
            or not all(side is None or type(side) is int and 1 <= side <= LARGEST
                       for side in shape[1:])):
        layer.fail("input shape is {!r}, expected (batch, height, width, channels)".format(shape))
    if layer.builder.nodes:
        layer.fail("is a second input, only one is supported")
    if None not in shape[1:3]:
        layer.builder.input_size = (shape[1], shape[2])
    return layer.add("input", [], {"channels": shape[3]}, tuple(shape[1:]))


def inner_input(layer):
    """The input of a model inside another one: what that gives it."""
    value = layer.plain()
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if not isinstance(shape, list):
        return value
    if len(shape) != len(value.shape) + 1:
        layer.fail("input shape is {!r}, but is given {}".format(shape, value.shape))
    whole = len(shape) == 4 and layer.builder.is_whole_image(value)
    sides = []
    for inner, outer in zip(shape[1:], value.shape):
        if inner is not None and type(inner) is not int or (
                None not in (inner, outer) and inner != outer):
            layer.fail("input shape is {!r}, but is given {}".format(shape, value.shape))
        sides.append(inner if outer is None else outer)
    if whole and None not in sides[:2]:
        layer.builder.fix_size(*sides[:2])
    return value._replace(shape=tuple(sides))


def nothing(layer):
    """A layer that does nothing at inference: its name stands for its input."""
    return layer.one()


def code(layer):
    layer.fail("runs code from the file, which is refused")


def flatten(layer):
    value = layer.plain()
    if len(value.shape) == 1:
        return value
    layer.check_format()
    size = None if None in value.shape else product(value.shape)
    return layer.add("flatten", [value], {}, (size,), value.node in layer.builder.not_negative)


def _global_pool(layer, op, rank):
    value = layer.plain()
    if len(value.shape) != rank:
        layer.fail("needs an input of {} dimensions, its input has shape {}".format(
            rank, value.shape))
    layer.check_format()
    kept = (1,) * (rank - 1) if layer.flag("keepdims", False) else ()
    return layer.add(op, [value], {}, kept + value.shape[-1:],
                     value.node in layer.builder.not_negative)


def global_average_pool(layer):
    return _global_pool(layer, "global_average_pool", 3)


def global_max_pool(layer):
    return _global_pool(layer, "global_max_pool", 3)


def global_average_pool_tokens(layer):
    return _global_pool(layer, "global_average_pool", 2)


def global_max_pool_tokens(layer):
    return _global_pool(layer, "global_max_pool", 2)


def reduction(function):
    """A translator of a mean, sum, maximum or minimum over axes."""
    def translate(layer):
        value = layer.plain()
        rank = len(value.shape)
        axes = layer.setting("axis", 1, None)
        axes = [axes] if type(axes) is int else axes
        keep = layer.setting("keepdims", 2, False)
        if (not isinstance(axes, list) or not all(type(axis) is int for axis in axes)
                or not isinstance(keep, bool)):
            layer.fail("axis is {!r}".format(axes))
        axes = sorted(axis + rank + 1 if axis < 0 else axis for axis in axes)
        ones = tuple(1 if axis + 1 in axes else side for axis, side in enumerate(value.shape))
        shape = ones if keep else tuple(side for axis, side in enumerate(value.shape)
                                        if axis + 1 not in axes)
        if axes == list(range(1, rank)) and rank in (2, 3):
            if function == "mean":
                return layer.add("global_average_pool", [value], {}, shape)
            if function == "max":
                return layer.add("global_max_pool", [value], {}, shape)
            return layer.add("reduce", [value], {"axis": "map", "function": function}, shape)
        if axes == [rank] and rank == 3 and keep:
            return layer.add("reduce", [value], {"axis": "channels", "function": function}, shape)
        layer.fail("axis is {} of {} dimensions, only a whole map or its channels (with keepdims) "
                   "are supported".format(axes, rank + 1))
    return translate


def _in_network(shape):
    """A Keras shape as [height, width, channels]; None where it has no such form."""
    return {1: lambda: (1, 1) + shape, 2: lambda: (shape[0], 1, shape[1]),
            3: lambda: shape}.get(len(shape), lambda: None)()


def reshape(layer):
    value = layer.plain()
    target = layer.config.get("target_shape")
    if target is None:  # a function, whose shape counts the batch
        target = layer.setting("newshape", 1, layer.setting("shape", 1, None))
        target = target[1:] if isinstance(target, list) else target
    if (not isinstance(target, list) or not all(type(n) is int and (n == -1 or 1 <= n <= LARGEST)
                                                for n in target) or target.count(-1) > 1):
        layer.fail("target shape is {!r}".format(target))
    if len(target) not in (1, 2, 3):
        layer.fail("target shape {} has {} dimensions, at most (height, width, channels) are "
                   "supported".format(target, len(target)))
    known = None if None in value.shape else product(value.shape)
    shape = tuple(target)
    if -1 in shape:
        rest = product(n for n in shape if n != -1)
        left = None if known is None else known // rest
        shape = tuple(left if n == -1 else n for n in shape)
    if known is not None and product(shape) != known:
        layer.fail("target shape {} does not fit its input of shape {}".format(
            target, value.shape))
    ours = _in_network(tuple(target))
    if _in_network(shape) == _in_network(value.shape) and None not in shape:
        return value._replace(shape=shape)
    return layer.add("reshape", [value], {"shape": list(ours)}, shape,
                     value.node in layer.builder.not_negative)


def permute(layer):
    value = layer.plain()
    return _transposed(layer, value, layer.config.get("dims"))


def transpose(layer):
    """The function of that name, whose axes count the batch."""
    value = layer.plain()
    axes = layer.setting("axes", 1, layer.setting("perm", 1, None))
    if not isinstance(axes, list) or axes[:1] != [0]:
        layer.fail("axes are {!r}".format(axes))
    return _transposed(layer, value, axes[1:])


def _transposed(layer, value, dims):
    rank = len(value.shape)
    if (not isinstance(dims, list) or not all(type(axis) is int for axis in dims)
            or sorted(dims) != list(range(1, rank + 1))):
        layer.fail("order of axes is {!r}, its input has shape {}".format(dims, value.shape))
    shape = tuple(value.shape[axis - 1] for axis in dims)
    if dims == sorted(dims):
        return value
    axes = [axis - 1 for axis in dims] if rank == 3 else [2, 1, 0]
    return layer.add("transpose", [value], {"axes": axes}, shape,
                     value.node in layer.builder.not_negative)


def _wanted_size(layer):
    return layer.count("height"), layer.count("width")


def _of_size(layer, value, size):
    """The value if it has that size, or is an image of any, which then gets it; else None."""
    if value.shape[:2] == size:
        return value
    if value.shape[:2] == (None, None) and layer.builder.is_whole_image(value):
        layer.builder.fix_size(*size)
        return value._replace(shape=size + value.shape[2:])
    return None


def resizing(layer):
    """The size of the images, or nothing where they have it."""
    value = layer.map(layer.plain())
    size = _wanted_size(layer)
    made = _of_size(layer, value, size)
    if made is not None:
        return made
    layer.fail("changes the size from {} to {}; photographs are brought to the input's size before "
               "the network, so save the model without this layer".format(value.shape[:2], size))


def center_crop(layer):
    value = layer.map(layer.plain())
    size = _wanted_size(layer)
    made = _of_size(layer, value, size)
    if made is not None:
        return made
    if None in value.shape[:2] or value.shape[0] < size[0] or value.shape[1] < size[1]:
        layer.fail("cuts {} out of {}, which must be known and no smaller".format(
            size, value.shape[:2]))
    before = [(side - wanted) // 2 for side, wanted in zip(value.shape, size)]
    after = [side - wanted - b for side, wanted, b in zip(value.shape, size, before)]
    fixed = layer.add("reshape", [value], {"shape": list(value.shape)}, value.shape, part="fixed")
    return cropped(layer, fixed, before + after)


def get_item(layer):
    """``x[..., ::-1]`` and ``x[..., 2]``, with which networks that want BGR turn channels around."""
    value = layer.map(layer.plain())
    channels = layer.channels(value)
    parts = _key(layer)
    if parts and all(part == _ALL for part in parts[:-1]):
        if parts[-1] == (None, None, -1) and 2 <= channels <= MOST_PLANES:
            return _channels(layer, value, list(range(channels))[::-1])
        if type(parts[-1]) is int and -channels <= parts[-1] < channels and len(parts) in (2, 4):
            return Plane(value, parts[-1] % channels)
    layer.fail("takes a part of a tensor, of which only x[..., ::-1] and x[..., c] are supported")


def stack(layer):
    """Channels of one map in another order."""
    planes = layer.inputs()
    axis = layer.setting("axis", 1, 0)
    if (len(set(planes)) == 0 or not all(isinstance(plane, Plane) for plane in planes)
            or len(set(plane.source for plane in planes)) > 1 or axis not in (-1, 3)
            or not 2 <= len(planes) <= MOST_PLANES):
        layer.fail("is not supported but for the channels of one map")
    return _channels(layer, planes[0].source, [plane.index for plane in planes])


def _channels(layer, value, order):
    """A map of these channels of another one."""
    positive = value.node in layer.builder.not_negative
    planes = [layer.add("slice", [value], {"axis": "channels", "start": index, "stop": index + 1},
                        value.shape[:2] + (1,), positive, part="channel{}".format(place))
              for place, index in enumerate(order)]
    return layer.add("concat", planes, {}, value.shape[:2] + (len(order),), positive)


#: Most channels that are put in another order.
MOST_PLANES = 16

#: What ``...`` and ``:`` are read as.
_ALL = (None, None, None)


def _key(layer):
    """A subscript as numbers and (start, stop, step), as Keras 2 and 3 write it; None at worst."""
    key = layer.setting("key", 1, layer.kwargs.get("slice_spec"))
    if not isinstance(key, list):
        return None
    parts = []
    for item in key:
        if isinstance(item, dict):
            config = item.get("config", item)
            if item.get("class_name") in ("__ellipsis__", "Ellipsis"):
                item = _ALL
            elif isinstance(config, dict):
                item = tuple(config.get(name) for name in ("start", "stop", "step"))
            elif isinstance(config, list):
                item = tuple(config)
        parts.append(_ALL if item == "Ellipsis" else item)
    return parts
