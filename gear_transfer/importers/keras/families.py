"""Networks of keras.applications by name: what a file of weights alone does not say.

Layers are named, ordered and set as Keras does since 2.3; their graphs are written as configurations,
and go the way of those in files. A file of weights is of the family and the variant all of whose
layers it has, in their very shapes.
"""
from collections import OrderedDict

_SIZE = 224


class _Graph(object):
    """Layers of a configuration, gathered one after the other."""

    def __init__(self, size=_SIZE):
        self.layers = []
        self.last = self.add("InputLayer", "input_1", [], batch_input_shape=[None, size, size, 3])

    def add(self, kind, name, inputs=None, **config):
        """A layer behind the last one, or behind `inputs`; its name."""
        inputs = [self.last] if inputs is None else inputs
        config["name"] = name
        calls = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        self.layers.append({"class_name": kind, "config": config, "inbound_nodes": calls})
        self.last = name
        return name

    def conv(self, name, filters, size, stride=1, padding="same", bias=False, inputs=None, **more):
        return self.add("Conv2D", name, inputs, filters=filters, kernel_size=[size, size],
                        strides=[stride, stride], padding=padding, use_bias=bias, **more)

    def depthwise(self, name, stride=1, padding="same"):
        return self.add("DepthwiseConv2D", name, kernel_size=[3, 3], strides=[stride, stride],
                        padding=padding, use_bias=False)

    def norm(self, name, epsilon=1.001e-5, inputs=None):
        return self.add("BatchNormalization", name, inputs, epsilon=epsilon)

    def relu(self, name, inputs=None, **more):
        return self.add("ReLU", name, inputs, **more)

    def pad(self, name, sides):
        return self.add("ZeroPadding2D", name, padding=sides)

    def max_pool(self, name, size, stride, inputs=None):
        return self.add("MaxPooling2D", name, inputs, pool_size=[size, size],
                        strides=[stride, stride], padding="valid")

    def config(self, name):
        return {"class_name": "Functional", "config": {
            "name": name, "layers": self.layers, "output_layers": [[self.last, 0, 0]]}}


def _vgg(*repeats):
    graph = _Graph()
    for block, (count, filters) in enumerate(zip(repeats, (64, 128, 256, 512, 512)), 1):
        for number in range(1, count + 1):
            graph.conv("block{}_conv{}".format(block, number), filters, 3, bias=True,
                       activation="relu")
        graph.max_pool("block{}_pool".format(block), 2, 2)
    return graph


def _resnet_stem(graph, with_norm):
    graph.pad("conv1_pad", 3)
    graph.conv("conv1_conv", 64, 7, 2, "valid", True)
    if with_norm:
        graph.norm("conv1_bn")
        graph.relu("conv1_relu")
    graph.pad("pool1_pad", 1)
    graph.max_pool("pool1_pool", 3, 2)


def _resnet(*repeats):
    graph = _Graph()
    _resnet_stem(graph, True)
    for stack, count in enumerate(repeats, 2):
        for number in range(1, count + 1):
            _residual(graph, "conv{}_block{}".format(stack, number), 16 << stack,
                      2 if number == 1 and stack > 2 else 1, number == 1)
    return graph


def _residual(graph, name, filters, stride, is_first):
    source = graph.last
    graph.conv(name + "_1_conv", filters, 1, stride, "valid", True)
    graph.norm(name + "_1_bn")
    graph.relu(name + "_1_relu")
    graph.conv(name + "_2_conv", filters, 3, bias=True)
    graph.norm(name + "_2_bn")
    inner = graph.relu(name + "_2_relu")
    if is_first:  # in the order in which Keras 3 numbers their weights
        graph.conv(name + "_0_conv", 4 * filters, 1, stride, "valid", True, [source])
    graph.conv(name + "_3_conv", 4 * filters, 1, 1, "valid", True, [inner])
    if is_first:
        source = graph.norm(name + "_0_bn", inputs=[name + "_0_conv"])
    branch = graph.norm(name + "_3_bn", inputs=[name + "_3_conv"])
    graph.add("Add", name + "_add", [source, branch])
    graph.relu(name + "_out")


def _resnet_v2(*repeats):
    graph = _Graph()
    _resnet_stem(graph, False)
    for stack, count in enumerate(repeats, 2):
        for number in range(1, count + 1):
            _residual_v2(graph, "conv{}_block{}".format(stack, number), 16 << stack,
                         2 if number == count and stack < 5 else 1, number == 1)
    graph.norm("post_bn")
    graph.relu("post_relu")
    return graph


def _residual_v2(graph, name, filters, stride, is_first):
    source = graph.last
    graph.norm(name + "_preact_bn")
    active = graph.relu(name + "_preact_relu")
    graph.conv(name + "_1_conv", filters, 1, 1, "valid")
    graph.norm(name + "_1_bn")
    graph.relu(name + "_1_relu")
    graph.pad(name + "_2_pad", 1)
    graph.conv(name + "_2_conv", filters, 3, stride, "valid")
    graph.norm(name + "_2_bn")
    inner = graph.relu(name + "_2_relu")
    if is_first:
        source = graph.conv(name + "_0_conv", 4 * filters, 1, stride, "valid", True, [active])
    elif stride > 1:
        source = graph.max_pool(name + "_0_pool", 1, stride, [source])
    branch = graph.conv(name + "_3_conv", 4 * filters, 1, 1, "valid", True, [inner])
    graph.add("Add", name + "_out", [source, branch])


def _densenet(repeats, separator):
    graph = _Graph()
    graph.pad("zero_padding2d", 3)
    graph.conv("conv1{}conv".format(separator), 64, 7, 2, "valid")
    graph.norm("conv1{}bn".format(separator))
    graph.relu("conv1{}relu".format(separator))
    graph.pad("zero_padding2d_1", 1)
    graph.max_pool("pool1", 3, 2)
    channels = 64
    for stack, count in enumerate(repeats, 2):
        for number in range(1, count + 1):
            _dense_block(graph, "conv{}_block{}".format(stack, number))
        channels += 32 * count
        if stack < 5:
            name = "pool{}".format(stack)
            channels //= 2
            graph.norm(name + "_bn")
            graph.relu(name + "_relu")
            graph.conv(name + "_conv", channels, 1, 1, "valid")
            graph.add("AveragePooling2D", name + "_pool", pool_size=[2, 2], strides=[2, 2],
                      padding="valid")
    graph.norm("bn")
    graph.relu("relu")
    return graph


def _dense_block(graph, name):
    source = graph.last
    graph.norm(name + "_0_bn")
    graph.relu(name + "_0_relu")
    graph.conv(name + "_1_conv", 128, 1, 1, "valid")
    graph.norm(name + "_1_bn")
    graph.relu(name + "_1_relu")
    graph.conv(name + "_2_conv", 32, 3)
    graph.add("Concatenate", name + "_concat", [source, name + "_2_conv"], axis=-1)


def _mobilenet(width):
    graph = _Graph()

    def finish(name, norm):
        graph.norm(norm, 1e-3)
        graph.relu(name, max_value=6.0)

    graph.conv("conv1", int(32 * width), 3, 2)
    finish("conv1_relu", "conv1_bn")
    filters = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for number, count in enumerate(filters, 1):
        stride = 2 if number in (2, 4, 6, 12) else 1
        if stride == 2:
            graph.pad("conv_pad_{}".format(number), [[0, 1], [0, 1]])
        name = "conv_dw_{}".format(number)
        graph.depthwise(name, stride, "same" if stride == 1 else "valid")
        finish(name + "_relu", name + "_bn")
        name = "conv_pw_{}".format(number)
        graph.conv(name, int(count * width), 1)
        finish(name + "_relu", name + "_bn")
    return graph


def _divisible(channels):
    """The next multiple of 8, no more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


#: Stages of MobileNetV2: channels, repeats, stride of the first block.
_INVERTED = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def _mobilenet_v2(width):
    graph = _Graph()
    into = _divisible(32 * width)
    graph.conv("Conv1", into, 3, 2)
    graph.norm("bn_Conv1", 1e-3)
    graph.relu("Conv1_relu", max_value=6.0)
    block = 0
    for channels, repeats, first_stride in _INVERTED:
        out = _divisible(int(channels * width))
        for number in range(repeats):
            _inverted(graph, block, into, out, first_stride if number == 0 else 1)
            into = out
            block += 1
    graph.conv("Conv_1", _divisible(1280 * width) if width > 1.0 else 1280, 1, 1, "valid")
    graph.norm("Conv_1_bn", 1e-3)
    graph.relu("out_relu", max_value=6.0)
    return graph


def _inverted(graph, block, into, out, stride):
    source = graph.last
    name = "block_{}_".format(block) if block else "expanded_conv_"
    if block:
        graph.conv(name + "expand", 6 * into, 1)
        graph.norm(name + "expand_BN", 1e-3)
        graph.relu(name + "expand_relu", max_value=6.0)
    if stride == 2:
        graph.pad(name + "pad", [[0, 1], [0, 1]])
    graph.depthwise(name + "depthwise", stride, "same" if stride == 1 else "valid")
    graph.norm(name + "depthwise_BN", 1e-3)
    graph.relu(name + "depthwise_relu", max_value=6.0)
    graph.conv(name + "project", out, 1)
    last = graph.norm(name + "project_BN", 1e-3)
    if stride == 1 and into == out:
        graph.add("Add", name + "add", [source, last])


def _configurations():
    """Makers of configurations, by name; of two that fit the larger one comes first."""
    makers = OrderedDict()
    for name, repeats in (("vgg19", (2, 2, 4, 4, 4)), ("vgg16", (2, 2, 3, 3, 3))):
        makers[name] = (_vgg, repeats)
    for name, repeats in (("resnet152", (3, 8, 36, 3)), ("resnet101", (3, 4, 23, 3)),
                          ("resnet50", (3, 4, 6, 3))):
        makers[name] = (_resnet, repeats)
        makers[name + "v2"] = (_resnet_v2, repeats)
    for name, repeats in (("densenet201", (6, 12, 48, 32)), ("densenet169", (6, 12, 32, 32)),
                          ("densenet121", (6, 12, 24, 16))):
        makers[name] = (_densenet, (repeats, "_"))
        makers[name + "_keras2"] = (_densenet, (repeats, "/"))
    for width in (1.0, 0.75, 0.5, 0.25):
        makers["mobilenet_{:.2f}".format(width)] = (_mobilenet, (width,))
    for width in (1.4, 1.3, 1.0, 0.75, 0.5, 0.35):
        makers["mobilenetv2_{:.2f}".format(width)] = (_mobilenet_v2, (width,))
    return makers


FAMILIES = _configurations()


def configuration(name):
    """The configuration of a network of keras.applications without its classifier, dict.

    Parameters
    ----------
    name : str
        One of `FAMILIES`.
    """
    make, arguments = FAMILIES[name]
    return make(*arguments).config(name)


def find_family(source, weights, describe):
    """The description of the network whose weights a file holds, or None.

    Parameters
    ----------
    source : SafeHDF5
    weights : NamedWeights or NumberedWeights
    describe : callable
        `model_config.describe`.

    Returns
    -------
    Description or None
    """
    for name in FAMILIES:
        description = describe(configuration(name), source.path, weights.major)
        if all(_has(source, weights, want) for want in description.wanted.values()):
            return description
    return None


def _has(source, weights, want):
    dataset = weights.find(want, must=False)
    return dataset is not None and source.shape(dataset, want.names[0]) == want.stored_shape
