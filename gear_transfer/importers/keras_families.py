"""What pixels a Keras model wants, as far as its layers say it.

The networks of ``keras.applications`` are known by the names of their layers and the
shapes of their kernels; so each is known that was trained by its own ``preprocess_input``.
A graph that begins with arithmetic, such as a Rescaling or Normalization layer, takes
pixels as they are. Of any other model nobody knows it.
"""
from collections import namedtuple

#: What is known of a model: the name in `preprocessing.USUAL`, and why, for a person to read.
Known = namedtuple("Known", ["preprocessing", "reason"])

#: A family: its name, its preprocessing, and layers that every member has, each with the shape of
#: its kernel, in which None stands for any number, or None where the shape does not matter.
Family = namedtuple("Family", ["name", "preprocessing", "layers"])

_VGG = [("block1_conv1", (3, 3, 3, 64)), ("block1_conv2", (3, 3, 64, 64)),
        ("block2_conv1", (3, 3, 64, 128)), ("block2_conv2", (3, 3, 128, 128)),
        ("block3_conv1", (3, 3, 128, 256)), ("block3_conv3", (3, 3, 256, 256))]
_RESNET_V2 = [("conv1_conv", (7, 7, 3, 64)), ("conv2_block1_preact_bn", None),
              ("conv2_block1_1_conv", (1, 1, 64, 64)), ("conv2_block1_out", None)]
_DENSE_BLOCK = [("conv2_block1_0_bn", None), ("conv2_block1_1_conv", (1, 1, 64, 128)),
                ("conv2_block1_2_conv", (3, 3, 128, 32)), ("conv2_block1_concat", None)]

#: The first that fits counts.
FAMILIES = [
    Family("VGG19", "caffe", _VGG + [("block3_conv4", (3, 3, 256, 256))]),
    Family("VGG16", "caffe", _VGG),
    Family("ResNet V2", "tf", _RESNET_V2),
    Family("ResNeXt", "torch", [("conv1_conv", (7, 7, 3, 64)), ("conv1_bn", None),
                                ("conv2_block1_1_conv", (1, 1, 64, 128)),
                                ("conv2_block1_0_conv", (1, 1, 64, 256))]),
    Family("ResNet", "caffe", [("conv1_conv", (7, 7, 3, 64)), ("conv1_bn", None),
                               ("conv2_block1_1_conv", (1, 1, 64, 64)),
                               ("conv2_block1_0_conv", (1, 1, 64, 256))]),
    Family("ResNet50 of Keras 1 and 2", "caffe", [
        ("conv1", (7, 7, 3, 64)), ("bn_conv1", None), ("res2a_branch2a", (1, 1, 64, 64)),
        ("res2a_branch1", (1, 1, 64, 256))]),
    Family("DenseNet", "torch", [("conv1/conv", (7, 7, 3, 64)), ("conv1/bn", None)] + _DENSE_BLOCK),
    Family("DenseNet", "torch", [("conv1_conv", (7, 7, 3, 64)), ("conv1_bn", None)] + _DENSE_BLOCK),
    Family("MobileNet", "tf", [("conv1", (3, 3, 3, None)), ("conv1_bn", None),
                               ("conv_dw_1", None), ("conv_dw_1_bn", None),
                               ("conv_pw_1", (1, 1, None, None)), ("conv_pw_1_bn", None)]),
    Family("MobileNetV2", "tf", [("Conv1", (3, 3, 3, None)), ("bn_Conv1", None),
                                 ("expanded_conv_depthwise", None),
                                 ("expanded_conv_project", (1, 1, None, None)),
                                 ("block_1_expand", (1, 1, None, None))]),
    Family("Xception", "tf", [("block1_conv1", (3, 3, 3, 32)), ("block1_conv2", (3, 3, 32, 64)),
                              ("block2_sepconv1", None), ("block2_sepconv2_bn", None)]),
    Family("NASNet", "tf", [("stem_conv1", (3, 3, 3, None)), ("stem_bn1", None),
                            ("reduction_conv_1_stem_1", (1, 1, None, None)),
                            ("reduction_bn_1_stem_1", None)]),
]

# Inception's convolutions have running numbers, which begin anywhere.
_INCEPTION = [("Inception V3", "mixed0"), ("InceptionResNetV2", "mixed_5b")]
_INCEPTION_STEM = [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (1, 1, 64, 80), (3, 3, 80, 192)]

# The end of the name of what a layer computes before its activation.
_LINEAR = "/linear"

#: Operations with which a graph brings pixels into the range that it wants.
_ARITHMETIC = ("scale", "bias", "add", "multiply", "subtract", "divide")
_MOVES = ("pad", "crop", "slice", "concat", "resize", "transpose", "reshape", "clip")


def recognise(nodes, shapes):
    """What pixels a model wants.

    Parameters
    ----------
    nodes : list of Node
        The whole model, named as its layers; those of a model inside it may have the inner
        model's name and a slash in front.
    shapes : dict of str to tuple of int
        Of the arrays that the nodes name.

    Returns
    -------
    Known or None
        None where it is not known.
    """
    first = _first_on_pixels(nodes)
    if first and all(node.op in _ARITHMETIC for node in first):
        return Known("raw", "the graph scales pixels itself, by layer '{}'".format(first[0].name))
    if not first or any(node.op != "conv2d" for node in first):
        return None
    kernels = _kernels(nodes, shapes)
    for family in FAMILIES:
        if (all(_fits(kernels, *layer) for layer in family.layers)
                and _is_name_of(_layer_name(first[0]), family.layers[0][0])):
            return Known(family.preprocessing, "layers named as Keras's {}".format(family.name))
    stem = [kernels[_layer_name(node)] for node in nodes if node.op == "conv2d"]
    for name, block in _INCEPTION:
        if block in kernels and stem[:len(_INCEPTION_STEM)] == _INCEPTION_STEM:
            return Known("tf", "layers named as Keras's {}".format(name))
    return None


def _first_on_pixels(nodes):
    """The nodes that compute with pixels, past those that only move them."""
    moved, first = set(), []
    for node in nodes:
        if node.op == "input" or node.op in _MOVES and moved.issuperset(node.inputs):
            moved.add(node.name)
        elif moved.intersection(node.inputs):
            first.append(node)
    return first


def _kernels(nodes, shapes):
    """The shape of each layer's kernel, None where it has none, by its name with and without the
    names of the models around it."""
    found = {}
    for node in nodes:
        kernel = shapes.get(node.attributes.get("kernel"))
        parts = _layer_name(node).split("/")
        for i in range(len(parts)):
            name = "/".join(parts[i:])
            found[name] = found.get(name) or kernel and tuple(kernel)
    return found


def _layer_name(node):
    """The layer that a node is of; one with an activation becomes two nodes."""
    return node.name[:-len(_LINEAR)] if node.name.endswith(_LINEAR) else node.name


def _is_name_of(name, layer):
    return name == layer or name.endswith("/" + layer)


def _fits(kernels, layer, shape):
    """Whether there is such a layer, with a kernel of that shape where that matters."""
    found = kernels.get(layer)
    if shape is None:
        return layer in kernels
    return found is not None and len(found) == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(found, shape))
