"""Activations: layers of their own, settings of other layers, and functions that are called."""
from .layer import is_number

#: What an activation becomes by its name in Keras: operation and attributes.
FUNCTIONS = {
    "relu": ("relu", {}),
    "relu6": ("relu", {"max_value": 6.0}),
    "softmax": ("softmax", {}),
    "leaky_relu": ("activation", {"function": "leaky_relu", "alpha": 0.2}),
    "elu": ("activation", {"function": "elu", "alpha": 1.0}),
    "celu": ("activation", {"function": "elu", "alpha": 1.0}),
    "selu": ("activation", {"function": "selu"}),
    "gelu": ("activation", {"function": "gelu"}),
    "silu": ("activation", {"function": "silu"}),
    "swish": ("activation", {"function": "silu"}),
    "hard_silu": ("activation", {"function": "hard_swish"}),
    "hard_swish": ("activation", {"function": "hard_swish"}),
    "hard_tanh": ("clip", {"min_value": -1.0, "max_value": 1.0}),
    "sigmoid": ("activation", {"function": "sigmoid"}),
    "tanh": ("activation", {"function": "tanh"}),
    "softplus": ("activation", {"function": "softplus"}),
    "softsign": ("activation", {"function": "softsign"}),
    "mish": ("activation", {"function": "mish"}),
    "exponential": ("activation", {"function": "exp"}),
}

#: Activations whose results are never negative.
_NOT_NEGATIVE = ("relu", "relu6", "softmax", "sigmoid", "hard_sigmoid", "softplus", "exponential")

#: Layers that may be given as the activation of another one, in Keras 3.
_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Softmax": "softmax"}


def activation_of(layer, setting, config=None):
    """The activation in a setting: (name in Keras, its own settings); "linear" where there is none."""
    config = layer.config if config is None else config
    name = config.get(setting)
    settings = {}
    if isinstance(name, dict):
        inner = name.get("config")
        settings = inner if isinstance(inner, dict) else {}
        name = inner if isinstance(inner, str) else str(name.get("class_name"))
        name = _LAYERS.get(name, name)
    if name is None:
        return "linear", {}
    if not isinstance(name, str) or not (name in FUNCTIONS or name in ("linear", "hard_sigmoid")):
        layer.fail("activation {!r} is not supported".format(name))
    for key in ("alpha", "negative_slope", "threshold", "max_value", "approximate"):
        if settings.get(key) not in (None, False, 0, 0.0) and name not in ("gelu", "linear"):
            layer.fail("activation {!r} with {} {!r} is not supported here; give it a layer of its "
                       "own".format(name, key, settings[key]))
    return name, settings


def activate(layer, value, function, part=None):
    """Append the node of an activation function by its name in Keras."""
    if function == "hard_sigmoid":
        # x / 6 + 1 / 2 since Keras 3, x / 5 + 1 / 2 before.
        slope = 1.0 / 6.0 if layer.builder.major >= 3 else 0.2
        op, attributes = "activation", {"function": "hard_sigmoid", "alpha": slope, "beta": 0.5}
    else:
        op, attributes = FUNCTIONS[function]
    if op == "softmax":
        layer.channels(value)
    return layer.add(op, [value], dict(attributes), value.shape, function in _NOT_NEGATIVE, part)


def with_activation(layer, add_linear):
    """A layer with an activation inside: the tapped name is that of the last node."""
    function, _ = activation_of(layer, "activation")
    if function == "linear":
        return add_linear(None)
    return activate(layer, add_linear("linear"), function)


def activation(layer):
    value = layer.plain()
    function, _ = activation_of(layer, "activation")
    return value if function == "linear" else activate(layer, value, function)


def _slope(layer, *names):
    """The first of the settings that is there, a number; Keras 2 and 3 name it differently."""
    for name in names:
        if layer.config.get(name) is not None:
            return layer.number(name)
    return None


def relu(layer):
    value = layer.plain()
    if layer.number("threshold") not in (None, 0.0):
        layer.fail("threshold other than zero is not supported, for no operation jumps")
    largest = layer.number("max_value")
    if largest is not None and largest <= 0.0:
        layer.fail("max_value must be greater than zero")
    slope = _slope(layer, "negative_slope")
    if slope in (None, 0.0):
        attributes = {} if largest is None else {"max_value": largest}
        return layer.add("relu", [value], attributes, value.shape, True)
    value = layer.add("activation", [value], {"function": "leaky_relu", "alpha": slope},
                      value.shape, part=None if largest is None else "leaky")
    if largest is None:
        return value
    return layer.add("clip", [value], {"max_value": largest}, value.shape)


def leaky_relu(layer):
    value = layer.plain()
    slope = _slope(layer, "negative_slope", "alpha")
    slope = 0.3 if slope is None else slope
    return layer.add("activation", [value], {"function": "leaky_relu", "alpha": slope}, value.shape)


def elu(layer):
    value = layer.plain()
    limit = _slope(layer, "alpha")
    return layer.add("activation", [value], {"function": "elu",
                                             "alpha": 1.0 if limit is None else limit}, value.shape)


def thresholded_relu(layer):
    layer.fail("jumps at its threshold, which no operation does")


def prelu(layer):
    value = layer.plain()
    shared = layer.config.get("shared_axes") or []
    if not isinstance(shared, list) or not all(type(axis) is int for axis in shared):
        layer.fail("shared_axes is {!r}".format(shared))
    rank = len(value.shape)
    if sorted(shared) != list(range(1, rank)) or value.shape[-1] is None:
        layer.fail("has a slope of its own for every pixel; only slopes of the channels are "
                   "supported (shared_axes={})".format(list(range(1, rank))))
    stored = (1,) * (rank - 1) + value.shape[-1:]
    return layer.add("prelu", [value], {"alpha": layer.want("alpha", "alpha", stored,
                                                            value.shape[-1:])}, value.shape)


def softmax(layer):
    value = layer.plain()
    layer.check_last_axis(value, layer.config.get("axis", -1))
    return activate(layer, value, "softmax")


def log_softmax(layer):
    layer.fail("is not supported; tap the layer before it")


def call_function(function):
    """A translator of a function of one tensor, such as keras.ops.relu or tf.nn.relu6."""
    def translate(layer):
        return activate(layer, layer.plain(), function)
    return translate


def gelu(layer):
    value = layer.plain()
    name = "gelu_tanh" if approximate(layer, layer.setting("approximate", 1, None)) else "gelu"
    return layer.add("activation", [value], {"function": name}, value.shape)


def approximate(layer, given):
    """Whether gelu is approximated; keras.ops does so unless told otherwise, tf.nn does not."""
    if given is None:
        return layer.builder.major >= 3
    if not isinstance(given, bool):
        layer.fail("approximate is {!r}, expected true or false".format(given))
    return given


def plain_function(name):
    """A translator of a function that only the operation "activation" knows, such as sqrt."""
    def translate(layer):
        value = layer.plain()
        return layer.add("activation", [value], {"function": name}, value.shape,
                         name in ("abs", "sqrt", "square", "exp"))
    return translate


def call_leaky_relu(layer):
    value = layer.plain()
    slope = layer.setting("negative_slope", 1, layer.kwargs.get("alpha", 0.2))
    if not is_number(slope):
        layer.fail("its slope is {!r}, expected a number".format(slope))
    return layer.add("activation", [value], {"function": "leaky_relu", "alpha": float(slope)},
                     value.shape)
