"""One call of one layer: its settings, each checked, in messages that name the layer."""
import collections

from .builder import Blocked, LayerError, Plane, Value

#: Largest number that is believed of a size.
LARGEST = 1 << 24


class Layer(object):
    """One call of one layer.

    Parameters
    ----------
    builder : GraphBuilder
    name : str
        Unique in the file; what its arrays are called after.
    node : str
        Name of the node that this call becomes.
    kind : str
        Class.
    config : dict
    place : Place
        Where its weights are.
    args, kwargs : list, dict
        What it is called with: values, and what JSON holds.
    """

    def __init__(self, builder, name, node, kind, config, place, args=(), kwargs=None):
        self.builder = builder
        self.name = name
        self.node = node
        self.kind = kind
        self.config = config
        self.place = place
        self.args = list(args)
        self.kwargs = dict(kwargs or {})

    def fail(self, reason):
        """Raise LayerError with file, layer and class."""
        raise LayerError("{}: layer '{}' ({}): {}".format(
            self.builder.path, self.name, self.kind, reason))

    # What it reads

    def inputs(self):
        """The values it is called with, in order, list of Value."""
        return tensors([self.args, self.kwargs])

    def one(self):
        """The only input, padding and all."""
        found = self.inputs()
        if len(found) != 1:
            self.fail("has {} inputs, expected one".format(len(found)))
        return found[0]

    def plain(self):
        """The only input, with its padding as a node."""
        return self.builder.plain(self.one())

    def map(self, value):
        """Check that a value is a map (height, width, channels)."""
        if len(value.shape) != 3:
            self.fail("needs a map (height, width, channels), its input has shape {}".format(
                value.shape))
        self.check_format()
        return value

    def check_format(self):
        """Refuse channels first."""
        if self.config.get("data_format") not in (None, "channels_last"):
            self.fail("data_format is {!r}, only channels_last is supported; save the model after "
                      "keras.config.set_image_data_format('channels_last')".format(
                          self.config["data_format"]))

    def channels(self, value):
        """The number of a value's features, which must be known."""
        if value.shape[-1] is None:
            self.fail("the number of its features is not known, as the model leaves the size of "
                      "its input open")
        return value.shape[-1]

    # What it makes

    def add(self, op, inputs, attributes, shape, not_negative=False, part=None):
        """A node of this call, named after it; return its Value."""
        node = self.node if part is None else "{}/{}".format(self.node, part)
        return self.builder.add(node, op, inputs, attributes, shape, not_negative)

    def want(self, role, names, stored_shape, shape=None, sub=None, convert=None):
        """Ask for a weight; return the name of the array that it becomes."""
        return self.builder.want(self, role, names, stored_shape, shape, sub, convert)

    # Its settings

    def count(self, key, default=None):
        """A setting that is a whole number of at least one."""
        value = self.config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
            self.fail("setting '{}' is {!r}, expected a whole number from 1 on".format(key, value))
        return value

    def setting(self, key, position, default):
        """What a function is called with: by name, by position, or kept in its configuration."""
        for place in (self.kwargs, self.config):
            if place.get(key) is not None:
                return place[key]
        given = self.args[position] if position < len(self.args) else None
        return default if given is None else given

    def pair(self, key, default=None):
        """A setting that is one or two whole numbers of at least one, as a list of two."""
        value = self.config.get(key)
        value = default if value is None else value
        value = [value, value] if isinstance(value, int) else value
        if (not isinstance(value, (list, tuple)) or len(value) != 2
                or not all(type(item) is int and 1 <= item <= LARGEST for item in value)):
            self.fail("setting '{}' is {!r}, expected two whole numbers from 1 on".format(
                key, value))
        return list(value)

    def flag(self, key, default):
        """A setting that is true or false."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            self.fail("setting '{}' is {!r}, expected true or false".format(key, value))
        return value

    def number(self, key, default=None):
        """A setting that is a finite number, or None."""
        value = self.config.get(key, default)
        if isinstance(value, dict):  # Keras 3 writes NumPy's numbers so
            value = numbers(value)
            value = value[0] if value is not None and len(value) == 1 else value
        if value is None:
            return None
        if not is_number(value):
            self.fail("setting '{}' is {!r}, expected a number".format(key, value))
        return float(value)

    def positive(self, key, default):
        """A setting that is a number above zero."""
        value = self.number(key, default)
        if value is None or value <= 0.0:
            self.fail("{} must be greater than zero".format(key))
        return value

    def sides(self, key, default):
        """A setting of numbers of pixels as [top, left, bottom, right]."""
        value = self.config.get(key, default)
        pairs = [value, value] if type(value) is int else value
        if isinstance(pairs, (list, tuple)) and len(pairs) == 2:
            pairs = [[side, side] if type(side) is int else side for side in pairs]
        if (not isinstance(pairs, (list, tuple)) or len(pairs) != 2
                or not all(isinstance(side, (list, tuple)) and len(side) == 2 for side in pairs)
                or not all(type(n) is int and 0 <= n <= 1 << 16 for side in pairs for n in side)):
            self.fail("{} is {!r}".format(key, value))
        return [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]]

    def check_last_axis(self, value, axis):
        """The axis must be the last, that of the channels."""
        if isinstance(axis, (list, tuple)) and len(axis) == 1:
            axis = axis[0]
        if type(axis) is not int or axis not in (-1, len(value.shape)):
            self.fail("axis is {!r}, only the last one (channels) is supported".format(axis))


def is_number(value):
    """Whether a value out of JSON is a finite number of float64."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        value = float(value)
    except OverflowError:
        return False
    return value - value == 0.0


def numbers(value, most=1 << 20):
    """The numbers in nested lists or in an array as Keras writes it; list of float, or None."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        value = value.get("config")
        value = value.get("value") if isinstance(value, dict) else None
    found = []
    waiting = collections.deque([(value, 0)])
    while waiting:
        item, depth = waiting.popleft()
        if isinstance(item, (list, tuple)) and depth < 8:
            waiting.extendleft((part, depth + 1) for part in reversed(item))
        elif is_number(item) and len(found) < most:
            found.append(float(item))
        else:
            return None
    return found


def tensors(structure):
    """The values in nested lists and dictionaries, in order."""
    found = []
    waiting = [structure]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (Value, Blocked, Plane)):
            found.append(item)
        elif isinstance(item, (list, tuple)):
            waiting.extend(reversed(item))
        elif isinstance(item, dict):
            waiting.extend(item[key] for key in sorted(item, reverse=True))
    return found
