"""Named settings: backbone, layers and input size by what matters most."""
import collections

from ..importers.weights import packaged_name

#: A backbone known by name, the tapped layer or layers, and the size of its images.
Setting = collections.namedtuple("Setting", ["backbone", "layer", "input_size"])

DEFAULT_QUALITY = "balanced"

#: What counts where neither backbone nor layer is given. Chosen by benchmarks/backbones.py on
#: photographs of gear, insects and flowers: each is more accurate than the ones before it. Blocks
#: beside the head add accuracy and cost nothing, for the head is made from them.
QUALITIES = collections.OrderedDict([
    ("fast", Setting("efficientnet_lite0", ("block10", "head"), (160, 160))),
    ("balanced", Setting("efficientnet_lite0", ("block10", "head"), (256, 256))),
    ("accurate", Setting("efficientnet_lite2", ("block14", "block19", "head"), (288, 288)))])

# Settings belong to weights, not to an architecture: those of Inception V3 were chosen on weights in
# 8 bits whose upper layers were fine-tuned, and say nothing of Keras's official ones.
_OF_WEIGHTS = {
    "efficientnet_lite0": {
        "fast": (("block10", "head"), (160, 160)), "balanced": (("block10", "head"), (256, 256)),
        "accurate": (("block10", "head"), (288, 288))},
    "efficientnet_lite2": {
        "fast": (("block14", "block19", "head"), (192, 192)),
        "balanced": (("block14", "block19", "head"), (260, 260)),
        "accurate": (("block14", "block19", "head"), (288, 288))},
    "inception_v3": {
        "fast": (("mixed3", "mixed4"), (96, 96)), "balanced": (("mixed3", "mixed4"), (128, 128)),
        "accurate": (("mixed3", "mixed5"), (224, 224)), None: ("mixed4", (128, 128))},
}

# Networks that saw photographs of every shape made square when they were trained; measured for each of
# these on photographs of insects, flowers and gear: white borders cost up to a point, stretching less.
_STRETCHED = ("efficientnet_lite0", "efficientnet_lite2")

_FLAT = ("global_average_pool", "global_max_pool", "flatten", "dense", "softmax")


def _is_flat(node, flat):
    """Whether a node's result is no map any more; `flat` has those of earlier nodes."""
    if node.op in _FLAT or (node.op == "reduce" and node.attributes["axis"] == "map"):
        return True
    if node.op == "reshape":
        return node.attributes["shape"][:2] == [1, 1]
    return node.op != "input" and all(name in flat for name in node.inputs)


def check_quality(quality):
    """Refuse what is neither None nor the name of a setting; ValueError."""
    if quality is not None and not (isinstance(quality, str) and quality in QUALITIES):
        raise ValueError("quality must be 'fast', 'balanced' or 'accurate', not {!r}".format(
            quality))


def default_backbone(quality=None):
    """The name of the backbone that a quality stands for, str."""
    check_quality(quality)
    return QUALITIES[quality or DEFAULT_QUALITY].backbone


def default_layer(network, quality=None):
    """Layer or layers and input size of a network of which no layer is asked for.

    Those of the quality for weights that come with the package; of others, and
    without a quality, the last layer before the map is pooled or flattened, and
    the network's own size.

    Parameters
    ----------
    network : Network
    quality : {"fast", "balanced", "accurate"}, optional

    Returns
    -------
    layer : str or tuple of str
    input_size : (int, int) or None
    """
    check_quality(quality)
    layer, size = _OF_WEIGHTS.get(packaged_name(network), {}).get(quality, ((), None))
    names = (layer,) if isinstance(layer, str) else layer
    if names and all(name in network.layers for name in names):
        return layer, size
    flat = set()
    for node in network.nodes:
        if _is_flat(node, flat):
            flat.add(node.name)
    maps = [node.name for node in network.nodes[1:] if node.name not in flat]
    return (maps or [network.nodes[1].name])[-1], network.input_size


def default_resize(network):
    """How photographs become squares for a network where it is not said, "pad" or "stretch"."""
    return "stretch" if packaged_name(network) in _STRETCHED else "pad"


def resize_rule(network, resize):
    """How photographs become squares by a rule and what the network says of it.

    Parameters
    ----------
    network : Network
    resize : {"pad", "stretch", "crop"}

    Returns
    -------
    str or Resize
        With the filter and the crop of the network's preprocessing, where it has any.
    """
    # Features of arrays need no Pillow.
    from ..photographs.decoding import DEFAULT_FILTER, Resize, as_resize
    said = network.preprocessing or {}
    rule = Resize(resize, said.get("resize_filter", DEFAULT_FILTER),
                  said.get("crop", 1.0) if resize == "crop" else 1.0)
    return resize if rule == as_resize(resize) else rule


def shown_resize():
    """The same for the backbone that counts where none is given, without loading it."""
    return "stretch" if default_backbone() in _STRETCHED else "pad"


def named_layers(network):
    """The layers that the named settings of a network's weights tap together, a list of tuple."""
    settings = _OF_WEIGHTS.get(packaged_name(network), {})
    return sorted(set(layer for layer, _ in settings.values() if isinstance(layer, tuple)
                      and all(name in network.layers for name in layer)))
