"""Which translator a layer class or a function has; nothing else in a file is ever called."""
from . import arithmetic, functions, norms, shapes, windows
from .shapes import inner_input, input_layer

__all__ = ["inner_input", "input_layer", "trained", "translator"]

LAYERS = {
    "Conv2D": windows.conv2d,
    "DepthwiseConv2D": windows.depthwise_conv2d,
    "SeparableConv2D": windows.separable_conv2d,
    "MaxPooling2D": windows.max_pool,
    "AveragePooling2D": windows.average_pool,
    "ZeroPadding2D": windows.zero_padding,
    "Cropping2D": windows.cropping,
    "UpSampling2D": windows.up_sampling,
    "BatchNormalization": norms.batch_normalization,
    "SyncBatchNormalization": norms.batch_normalization,
    "LayerNormalization": norms.layer_normalization,
    "GroupNormalization": norms.group_normalization,
    "Normalization": norms.normalization,
    "LayerScale": norms.layer_scale,
    "Dense": norms.dense,
    "MultiHeadAttention": norms.multi_head_attention,
    "Activation": functions.activation,
    "ReLU": functions.relu,
    "LeakyReLU": functions.leaky_relu,
    "PReLU": functions.prelu,
    "ELU": functions.elu,
    "ThresholdedReLU": functions.thresholded_relu,
    "Softmax": functions.softmax,
    "Concatenate": arithmetic.concatenate,
    "Add": arithmetic.add,
    "Multiply": arithmetic.merge("multiply"),
    "Subtract": arithmetic.merge("subtract"),
    "Maximum": arithmetic.merge("maximum"),
    "Minimum": arithmetic.merge("minimum"),
    "Average": arithmetic.average,
    "Dot": arithmetic.dot,
    "CustomScaleLayer": arithmetic.custom_scale,
    "Custom>CustomScaleLayer": arithmetic.custom_scale,
    "Rescaling": arithmetic.rescaling,
    "Flatten": shapes.flatten,
    "Reshape": shapes.reshape,
    "Permute": shapes.permute,
    "GlobalAveragePooling2D": shapes.global_average_pool,
    "GlobalMaxPooling2D": shapes.global_max_pool,
    "GlobalAveragePooling1D": shapes.global_average_pool_tokens,
    "GlobalMaxPooling1D": shapes.global_max_pool_tokens,
    "Resizing": shapes.resizing,
    "RandomCrop": shapes.resizing,
    "CenterCrop": shapes.center_crop,
    "Lambda": shapes.code,
}

#: Layers that do nothing at inference.
_NOTHING = (
    "Dropout", "SpatialDropout2D", "SpatialDropout1D", "GaussianDropout", "GaussianNoise",
    "AlphaDropout", "ActivityRegularization", "StochasticDepth", "DropPath", "Identity", "Masking",
    "AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
    "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
    "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom")
LAYERS.update((name, shapes.nothing) for name in _NOTHING)

#: Functions of keras.ops, by class, and of TensorFlow in a TFOpLambda, by name.
OPERATIONS = {
    "Add": arithmetic.binary("add"),
    "Subtract": arithmetic.binary("subtract"),
    "Multiply": arithmetic.binary("multiply"),
    "Divide": arithmetic.binary("divide"),
    "TrueDivide": arithmetic.binary("divide"),
    "Maximum": arithmetic.binary("maximum"),
    "Minimum": arithmetic.binary("minimum"),
    "Negative": arithmetic.negative,
    "Clip": arithmetic.clip,
    "Mean": shapes.reduction("mean"),
    "Sum": shapes.reduction("sum"),
    "Max": shapes.reduction("max"),
    "Min": shapes.reduction("min"),
    "Reshape": shapes.reshape,
    "Transpose": shapes.transpose,
    "GetItem": shapes.get_item,
    "Stack": shapes.stack,
    "Concatenate": arithmetic.concatenate,
    "Cast": shapes.nothing,
    "StopGradient": shapes.nothing,
    "Relu": functions.call_function("relu"),
    "Relu6": functions.call_function("relu6"),
    "Sigmoid": functions.call_function("sigmoid"),
    "Silu": functions.call_function("silu"),
    "Swish": functions.call_function("silu"),
    "HardSigmoid": functions.call_function("hard_sigmoid"),
    "HardSilu": functions.call_function("hard_silu"),
    "HardSwish": functions.call_function("hard_silu"),
    "HardTanh": functions.call_function("hard_tanh"),
    "LeakyRelu": functions.call_leaky_relu,
    "Elu": functions.elu,
    "Selu": functions.call_function("selu"),
    "Gelu": functions.gelu,
    "Tanh": functions.call_function("tanh"),
    "Softplus": functions.call_function("softplus"),
    "Softsign": functions.call_function("softsign"),
    "Mish": functions.call_function("mish"),
    "Softmax": functions.softmax,
    "Exp": functions.plain_function("exp"),
    "Sqrt": functions.plain_function("sqrt"),
    "Square": functions.plain_function("square"),
    "Abs": functions.plain_function("abs"),
    "Absolute": functions.plain_function("abs"),
}

_TENSORFLOW = {
    "math.add": "Add", "__operators__.add": "Add", "nn.bias_add": "Add", "math.subtract": "Subtract",
    "math.multiply": "Multiply", "math.truediv": "Divide", "math.divide": "Divide",
    "math.maximum": "Maximum", "math.minimum": "Minimum", "math.negative": "Negative",
    "clip_by_value": "Clip", "math.reduce_mean": "Mean", "math.reduce_sum": "Sum",
    "math.reduce_max": "Max", "math.reduce_min": "Min", "reshape": "Reshape",
    "transpose": "Transpose", "__operators__.getitem": "GetItem", "concat": "Concatenate", "stack": "Stack",
    "cast": "Cast", "identity": "Cast", "convert_to_tensor": "Cast", "stop_gradient": "Cast",
    "nn.relu": "Relu", "nn.relu6": "Relu6", "nn.sigmoid": "Sigmoid", "math.sigmoid": "Sigmoid",
    "nn.silu": "Silu", "nn.swish": "Silu", "nn.leaky_relu": "LeakyRelu", "nn.elu": "Elu",
    "nn.selu": "Selu", "nn.gelu": "Gelu", "nn.tanh": "Tanh", "math.tanh": "Tanh",
    "nn.softplus": "Softplus", "math.softplus": "Softplus", "nn.softsign": "Softsign",
    "math.softsign": "Softsign", "nn.softmax": "Softmax", "math.exp": "Exp", "math.sqrt": "Sqrt",
    "math.square": "Square", "math.abs": "Abs",
}


def translator(layer, is_operation):
    """The translator of a layer.

    Parameters
    ----------
    layer : Layer
    is_operation : bool
        Whether the file says that it is a function of keras.ops.

    Returns
    -------
    callable
        Takes the layer, returns the value it makes.
    """
    if layer.kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
        name = layer.config.get("function")
        name = name[3:] if isinstance(name, str) and name.startswith("tf.") else name
        if not isinstance(name, str) or name not in _TENSORFLOW:
            return _unknown("the function {!r} is not supported".format(name))
        return OPERATIONS[_TENSORFLOW[name]]
    known = LAYERS.get(layer.kind)
    if is_operation or known is None or _is_called_like_a_function(layer):
        known = OPERATIONS.get(layer.kind, known)
    if known is None:
        return _unknown("this class of layer is not supported")
    if "Quantized" in str(layer.config.get("dtype")):
        return _unknown("has quantised weights; save the model before quantising it")
    return known


def _is_called_like_a_function(layer):
    """Whether operands stand beside each other, and not in one list as those of layers do.

    Files of Keras 3 in HDF5 do not say which of the two an "Add" is.
    """
    return layer.kind in OPERATIONS and len(layer.args) > 1


def trained(layer):
    """Refuse a model that is called as in training."""
    layer.fail("is called with training=True and would normalise by the images at hand")


def _unknown(reason):
    def translate(layer):
        layer.fail(reason)
    return translate
