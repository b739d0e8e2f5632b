"""Where it looked: class activation maps.

B. Zhou, A. Khosla, A. Lapedriza, A. Oliva and A. Torralba, "Learning deep
features for discriminative localization", CVPR 2016: with a global average
pool and a linear head, the logit of a class is the mean over the tapped map
of each place's own logit, plus the bias. One forward pass, no gradient.
"""
import numpy as np

from ..common.estimator import check_is_fitted
from ..features.backbone import Backbone
from ..features.extractor import FeatureExtractor
from ..photographs.sequences import check_images

_BATCH = 32


def activation_map(model, images, classes=None):
    """What each place of a photograph adds to the logit of a class.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded, without hidden layers and not with max pooling.
    images : sequence of n images
        Photographs, as for `TransferClassifier.predict`.
    classes : class or sequence of n classes, optional
        The class to explain, one for all or one for each; default is the
        predicted one.

    Returns
    -------
    ndarray of float32, shape (n, h, w)
        In units of the logit: the mean over a map plus the class's bias
        (``model.head_.first_intercept()``) is the logit. The places lie on the
        photograph as `map_extent` says. Of layers whose maps have several
        sizes, the coarser ones are interpolated to the finest.

    Raises
    ------
    ValueError
        If the logit is no sum over places, or a class is not one of the model's.
    ImageError
        For the first image that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> images = gt.load_folder(gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20))
    >>> model = gt.TransferClassifier(input_size=96).fit(images)
    >>> gt.activation_map(model, images.paths[:2], "circle").shape
    (2, 6, 6)
    """
    check_is_fitted(model, "head_")
    images = check_images(images)
    columns = _columns(model.classes_, classes, len(images))
    extractor = _map_extractor(model)
    shapes = [(1, 1) + shape if len(shape) == 1 else shape for shape in extractor.backbone_.shapes]
    kernels, bias = _place_kernels(model, shapes), model.head_.first_intercept()
    finest = max((shape[:2] for shape in shapes), key=lambda size: size[0] * size[1])
    maps = np.empty((len(images),) + finest, np.float32)
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        logits = [np.matmul(features, kernel)  # places, images, classes
                  for features, kernel in zip(_by_place(extractor.transform(images[part]), shapes),
                                              kernels)]
        chosen = columns[part] if columns is not None else (
            sum(each.mean(axis=0) for each in logits) + bias).argmax(axis=1)
        rows = np.arange(len(chosen))
        maps[part] = sum(_enlarged(each[:, rows, chosen].T.reshape((-1,) + shape[:2]), finest)
                         for each, shape in zip(logits, shapes))
    return maps


def map_extent(model):
    """Where on the prepared photograph the map of the tapped layer lies.

    Without padding in a network's first convolutions the outermost places of
    a map stand for pixels some way from the edge.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded.

    Returns
    -------
    tuple of float
        Left, top, right and bottom edge of the map, as shares of the width and
        height of the photograph as the backbone sees it.
    """
    backbone = model.extractor_.backbone_
    layers = (backbone.layer,) if isinstance(backbone.layer, str) else backbone.layer
    layer = max(layers, key=lambda name: np.prod(backbone.node_shapes[name][:2]))
    places = {}
    for node in backbone.network.nodes:
        places[node.name] = _place_of_first(node, backbone, places)
    first, stride = places[layer]
    size = backbone.node_shapes[layer][:2]
    edges = [((first[axis] + (index - 0.5) * stride[axis]) + 0.5) / backbone.input_size[axis]
             for index, axis in ((0, 1), (0, 0), (size[1], 1), (size[0], 0))]
    return tuple(float(edge) for edge in edges)


def _place_of_first(node, backbone, places):
    """Of a node's result: the input pixel under its first element, and pixels to the next one."""
    known = [places[name] for name in node.inputs if places[name] is not None]
    if not known:
        return ((0.0, 0.0), (1, 1)) if node.op == "input" else None  # of a constant
    first, stride = known[0]
    if node.op in ("pad", "crop", "resize", "slice"):
        return _place_moved(node, backbone.node_shapes[node.inputs[0]], first, stride)
    window = node.attributes.get("pool_size")
    if node.op == "conv2d":
        window = backbone.network.arrays[node.attributes["kernel"]].shape[:2]
    if window is None:
        return first, stride
    dilations = node.attributes.get("dilations", (1, 1))
    size = backbone.node_shapes[node.inputs[0]]
    moved = []
    for axis in (0, 1):
        span = (window[axis] - 1) * dilations[axis]
        before = _padding_before(node.attributes, axis, size[axis], span)
        moved.append(first[axis] + (span / 2 - before) * stride[axis])
    return tuple(moved), tuple(stride[axis] * node.attributes["strides"][axis] for axis in (0, 1))


def _place_moved(node, shape, first, stride):
    """Likewise of what only lays pixels around a map, or takes some of it, or more between them."""
    moved, steps = [0.0, 0.0], [1.0, 1.0]  # in pixels of the map before
    if node.op in ("pad", "crop"):
        sides = node.attributes["padding" if node.op == "pad" else "cropping"][:2]
        moved = [side * (-1.0 if node.op == "pad" else 1.0) for side in sides]
    elif node.op == "resize":
        steps = [1.0 / factor for factor in node.attributes["factors"]]
        moved = [(step - 1.0) / 2.0 for step in steps]
    elif node.attributes["axis"] != "channels":
        axis = ("height", "width").index(node.attributes["axis"])
        step = node.attributes.get("step", 1)
        moved[axis] = slice(node.attributes["start"], None).indices(shape[axis])[0]
        steps[axis] = step
    return (tuple(first[axis] + moved[axis] * stride[axis] for axis in (0, 1)),
            tuple(stride[axis] * steps[axis] for axis in (0, 1)))


def _padding_before(attributes, axis, size, span):
    padding = attributes["padding"]
    if padding == "valid":
        return 0
    if padding == "same":
        step = attributes["strides"][axis]
        return max((-(-size // step) - 1) * step + span + 1 - size, 0) // 2
    return padding[axis]  # top, left, bottom, right


def _map_extractor(model):
    """An extractor of maps where the model's own pools them."""
    head, own = model.head_, model.extractor_.backbone_
    if len(head.coefs_) > 1:
        raise ValueError("an activation map needs a linear head: train with hidden_layers=(), not "
                         "{!r}".format(tuple(kernel.shape[1] for kernel in head.coefs_[:-1])))
    if own.pooling == "max":
        raise ValueError("an activation map needs pooling='average' or None: with 'max' a logit is "
                         "not the sum of what the places of the map add to it")
    backbone = Backbone.from_network(own.network, own.name, layer=own.layer,
                                     input_size=own.input_size, pooling=None, threads=own.threads,
                                     precision=own.precision)
    return FeatureExtractor(backbone=backbone, resize=model.extractor_.resize_, batch_size=_BATCH,
                            threads=model.extractor_.threads, cache=False).fit()


def _columns(known, classes, n):
    """The column of the class to explain for each image, None for the predicted ones."""
    if classes is None:
        return None
    wanted = [classes] * n if np.ndim(classes) == 0 else list(classes)
    if len(wanted) != n:
        raise ValueError("{} images but {} classes".format(n, len(wanted)))
    places = dict((name, i) for i, name in enumerate(known.tolist()))
    for name in wanted:
        if name not in places:
            raise ValueError("the model has no class {!r}, only {}".format(
                name, ", ".join(str(known_name) for known_name in known)))
    return np.array([places[name] for name in wanted], dtype=int)


def _enlarged(maps, size):
    """Maps (n, h, w) interpolated to another size, each with the mean that it had."""
    for axis in (1, 2):
        count, wanted = maps.shape[axis], size[axis - 1]
        if count != wanted:
            place = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
            first = np.floor(place).astype(int)
            share = np.expand_dims(place - first, 1 if axis == 1 else 0)
            mean = maps.mean(axis=axis, keepdims=True)
            maps = (maps.take(first, axis=axis) * (1 - share) +
                    maps.take(np.minimum(first + 1, count - 1), axis=axis) * share)
            maps += mean - maps.mean(axis=axis, keepdims=True)
    return maps


def _by_place(features, shapes):
    """Flat maps (n, d) as arrays (places, n, channels), one for each layer."""
    widths = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(len(part), -1, shape[-1]).transpose(1, 0, 2)
            for part, shape in zip(np.split(features, widths, axis=1), shapes)]


def _place_kernels(model, shapes):
    """The head's kernel for each layer: (channels, c), or (places, channels, c) of maps."""
    kernel = model.head_.coefs_[0]
    if model.extractor_.backbone_.pooling is not None:
        return np.split(kernel, np.cumsum([shape[-1] for shape in shapes])[:-1])
    # The mean over places is taken where the head takes the sum.
    return [each.transpose(0, 2, 1) * len(each) for each in _by_place(kernel.T, shapes)]
