"""The Python face of the core: a network that turns images into features."""
import collections
import difflib
import functools
import hashlib
import json
import os

import numpy as np

from .. import _core
from ..common.threads import check_threads
from ..errors import GraphError, WeightsError
from ..importers import ChannelQuantizedArray, QuantizedArray, load_network
from ..importers.operations import LARGEST_EXTENT
from ..importers.preprocessing import check_known, to_text
from ..importers.weights import PACKAGED, find_official_weights, packaged_path
from .memory import check_maps
from .precision import (SAMPLE_SIZE, Choice, check_precision, choose_precision, known_ranges,
                        runnable_choice)
from .settings import default_backbone, default_layer

#: Keras's official weights by name, beside those that come with the package.
OFFICIAL_BACKBONE = "inception_v3_imagenet"

POOLINGS = {"average": "global_average_pool", "max": "global_max_pool", None: None}

# Images of at most so many pixels go through the network by fours, see `Backbone.sub_batch`.
_SMALL = 200 * 200

# The precision chosen for a network and a sample, so that a choice is made once in a process.
_CHOICES = {}

#: A step of a network and the seconds that it takes for one image.
Timing = collections.namedtuple("Timing", ["layer", "operation", "implementation", "seconds"])


class Backbone(object):
    """A frozen network, tapped at one or several layers.

    Made by `Backbone.load`; runs in the C core, which drops the GIL.

    Attributes
    ----------
    name : str
        The name or path it was loaded by.
    layer : str or tuple of str
        The tapped layer or layers.
    layers : list of str
        All layers of the network that can be tapped.
    input_size : tuple of int
        Height and width of the images, in pixels.
    pooling : {"average", "max"} or None
    threads : int
    precision : {"float32", "bf16", "int8", "auto"}
        "auto" until the choice is made.
    precision_reason : str
        Why that precision.
    ranges : tuple of (str, float, bool) or None
        What int8 has learned of the layers' numbers: layer, largest magnitude,
        whether there are any below zero.
    shapes : list of tuple of int
        Shape of one image's features, for each tapped layer.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import Backbone
    >>> backbone = Backbone.load("inception_v3", layer="mixed4", input_size=128)
    >>> backbone.features(np.zeros((2, 128, 128, 3), np.uint8)).shape
    (2, 768)
    """

    def __init__(self, network, name, layer, input_size, pooling, threads, precision, ranges=None):
        self.name = name
        self.input_size = input_size
        self.pooling = pooling
        self.threads = threads
        self.precision = precision
        self.precision_reason = "asked for"
        self.ranges = None if ranges is None else tuple(tuple(item) for item in ranges)
        self.layer = layer
        self.layers = list(network.layers)
        self._network = network.upto(self._tapped())
        self._node_shapes = self._infer()
        check_maps(self._network.nodes, self._node_shapes, self._tapped(),
                   threads * self.sub_batch)
        self._engine = None
        self._fingerprint = None
        self.shapes = [self._feature_shape(layer) for layer in self._tapped()]

    @classmethod
    def load(cls, name_or_path=None, layer=None, input_size=None, pooling="average",
             threads=None, precision="float32", ranges=None, quality=None, preprocessing=None):
        """Load a backbone.

        Parameters
        ----------
        name_or_path : str or Path, optional
            "efficientnet_lite0", "efficientnet_lite2" or "inception_v3", which
            come with the package (see `gear_transfer.backbones` and
            gear_transfer/data/PROVENANCE.md); "inception_v3_imagenet": Keras's
            official weights, found as `find_official_weights` describes; or
            the path of a Keras HDF5 file, of PyTorch weights in a
            safetensors file, of a file in the native format or of a saved
            model. Default is what `quality` says, where layers are asked for
            that this one does not have the one in the package that has them.
        layer : str or sequence of str, optional
            Layer or layers to tap. Default is what `quality` says for weights
            that come with the package ("mixed4" at 128 x 128 for
            "inception_v3" without a quality); else the last layer that is a
            map of several pixels.
        input_size : int or (int, int), optional
            Size of the images, height and width. Default is what `quality`
            says where no layer is asked for, else the network's own.
        pooling : {"average", "max"} or None
            How a map becomes a vector; None leaves it a map.
        threads : int, optional
            Default is the number of processors this process may use.
        precision : {"float32", "bf16", "int8", "auto"}
            The type in which values travel between layers. int8 learns the
            ranges of the layers from the first images (16 at most) and keeps
            to them. "auto" takes the fastest for which the processor has
            instructions and with which the features of those images agree
            with float32 (cosine 0.995 or more in int8, 0.9997 in bf16).
        ranges : sequence, optional
            The `ranges` of another backbone in int8, to compute what it does.
        quality : {"fast", "balanced", "accurate"}, optional
            Backbone, layers and input size where these are not given:
            "block10" and "head" of "efficientnet_lite0" at 160 x 160 or at
            256 x 256, or "block14", "block19" and "head" of
            "efficientnet_lite2" at 288 x 288. Weights that come with the
            package have settings of these names of their own; those of
            "inception_v3" are "mixed3" and "mixed4" at 96 x 96 or at
            128 x 128, and "mixed3" and "mixed5" at 224 x 224.
        preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
            What pixels the network was trained on, where the file does not
            say it or says it wrongly. "tf": from -1 to 1; "caffe": blue,
            green, red less the means of ImageNet; "torch": less the mean and
            by the deviation of ImageNet; "raw": from 0 to 255. For a dict see
            `importers.preprocessing`.

        Returns
        -------
        Backbone

        Raises
        ------
        WeightsError
            If the file is missing, damaged or of an unknown kind, or if it is
            not known what pixels its network was trained on.
        GraphError
            If a layer does not exist or the input size does not fit.
        ValueError
            If another argument makes no sense.
        """
        name = default_name(layer, quality) if name_or_path is None else str(name_or_path)
        network = load_network(find_backbone(name), None, preprocessing, layer)
        return cls.from_network(network, name, layer, input_size, pooling, threads, precision,
                                ranges, quality)

    @classmethod
    def from_network(cls, network, name, layer=None, input_size=None, pooling="average",
                     threads=None, precision="float32", ranges=None, quality=None):
        """A backbone of a network that an importer has read; for the rest see `load`.

        Parameters
        ----------
        network : Network
        name : str
            What it was loaded by.
        layer, input_size, pooling, threads, precision, ranges, quality
            As for `load`.

        Returns
        -------
        Backbone
        """
        check_known(network, name)
        if not isinstance(pooling, (str, type(None))) or pooling not in POOLINGS:
            raise ValueError("pooling must be 'average', 'max' or None, not {!r}".format(pooling))
        tapped, size = default_layer(network, quality)
        if layer is None:
            layer = tapped
        else:
            size = network.input_size
        layer = _check_layer(layer)
        return cls(network, name, layer, _check_size(input_size, size), pooling,
                   check_threads(threads), check_precision(precision), ranges)

    def _tapped(self):
        return (self.layer,) if isinstance(self.layer, str) else self.layer

    def _infer(self):
        """(height, width, channels) of every node's result, by name."""
        nodes, arrays = describe(self._network)
        shapes = _core.infer_shapes(nodes, arrays, *self.input_size)
        return dict(zip(self._network.layers, shapes))

    def _feature_shape(self, layer):
        height, width, channels = self._node_shapes[layer]
        if self.pooling is not None or height == width == 1:
            return (channels,)
        return (height, width, channels)

    def _make_engine(self, precision):
        """The core's backbone."""
        nodes, arrays = describe(self._network)
        outputs = tuple((name, POOLINGS[self.pooling]) for name in self._tapped())
        pixels = self._network.preprocessing
        scale, offset = [tuple(pixels[key]) if isinstance(pixels[key], list) else pixels[key]
                         for key in ("scale", "offset")]
        return _core.backbone(
            nodes, arrays, self.input_size[0], self.input_size[1], outputs, self.threads,
            self.sub_batch, scale, offset, precision, pixels.get("channels") == "bgr")

    @property
    def sub_batch(self):
        """Images that one thread takes at a time, int.

        With AMX four, for matrix units want large products, and of small images, whose maps fit
        the caches by fours; else two. Measured with AMX, AVX-512 and AVX2.
        """
        is_small = self.input_size[0] * self.input_size[1] <= _SMALL
        return 4 if is_small or _core.engine_info()[1] == "AMX" else 2

    def _loaded_engine(self):
        """The core's backbone, built on first use."""
        engine = self._engine
        if engine is None:
            engine = self._make_engine(self.precision)
            if self.precision == "int8":
                engine.set_ranges(list(self.ranges))
            self._engine = engine  # only now: other threads take it from here
        return engine

    @property
    def is_settled(self):
        """Whether the precision, and in int8 what it has to know of the layers, is decided."""
        return self.precision != "auto" and (self.precision != "int8" or self.ranges is not None)

    def choose_precision(self, images):
        """Make the choice that ``precision="auto"`` leaves open, and let int8 learn its ranges.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3)
            Photographs of the kind to come, of which the first 16 are looked
            at; what was decided before stays.

        Returns
        -------
        str
            The precision; `precision_reason` says why.
        """
        asked = self.precision
        if not self.is_settled:
            sample = np.ascontiguousarray(self._checked(images)[:SAMPLE_SIZE])
            key = (self.fingerprint(), self.layer, self.input_size, self.pooling, asked,
                   hashlib.sha256(sample.data).digest())
            engine = None
            if key not in _CHOICES:
                _CHOICES[key], engine = self._decide(sample, asked)
            self.settle(_CHOICES[key], engine)
        return self.precision

    def _decide(self, sample, asked):
        """A Choice for the sample, and the engine it was tried with or None."""
        if asked == "auto":
            return choose_precision(sample, self._make_engine)
        if len(sample) == 0:
            raise ValueError("int8 learns the ranges of the layers from the first images: give "
                             "one or more, or use precision='float32'")
        engine = self._make_engine("int8")
        engine.calibrate(sample)
        return Choice("int8", "asked for", known_ranges(engine, "int8")), engine

    def settle(self, choice, engine=None):
        """Take over a Choice that another backbone of these settings made.

        Parameters
        ----------
        choice : Choice
        engine : core's backbone, optional
            That runs accordingly.
        """
        self.ranges = None if choice.ranges is None else tuple(tuple(item)
                                                               for item in choice.ranges)
        self.precision_reason = choice.reason
        self._engine = engine
        self.precision = choice.precision  # last: other threads run as soon as it is there

    @property
    def choice(self):
        """What was decided, as a Choice, for `settle`."""
        return Choice(self.precision, self.precision_reason, self.ranges)

    def rounding(self):
        """What besides the network decides the features to the last bit, str."""
        if self.ranges is None:
            return self.precision
        text = json.dumps([_core.int8_rounding(), self.ranges]).encode("utf-8")
        return "{} {}".format(self.precision, hashlib.sha256(text).hexdigest())

    def _checked(self, images):
        """The images as an array of the right type and shape."""
        images = np.asarray(images)
        wanted = self.input_size + (self._node_shapes[self._network.nodes[0].name][2],)
        if images.dtype != np.uint8:
            raise TypeError("images must be of type uint8 with values from 0 to 255, not {}".format(
                images.dtype))
        if images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError("images must have the shape (n, {}, {}, {}), not {}".format(
                *(wanted + (images.shape,))))
        return images

    def features(self, images):
        """Features of images.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3)
            Pixels from 0 to 255 of the backbone's input size; the scaling
            that the network wants is part of the backbone.

        Returns
        -------
        ndarray of float32, shape (n, channels), or list of them
            Of shape (n, height, width, channels) without pooling; a list,
            one array a layer, where several layers are tapped.

        Raises
        ------
        TypeError
            If the images are not of type uint8.
        ValueError
            If they have another shape.
        EngineError
            If oneDNN fails.
        """
        images = self._checked(images)
        self.choose_precision(images)
        results = self._loaded_engine().run(images)
        results = [result.reshape((len(images),) + shape)
                   for result, shape in zip(results, self.shapes)]
        return results[0] if isinstance(self.layer, str) else results

    @property
    def n_features(self):
        """Length of the features of one image, over all tapped layers, when flat."""
        return int(sum(np.prod(shape) for shape in self.shapes))

    @property
    def node_shapes(self):
        """(height, width, channels) of each node's result, a dict by name."""
        return dict(self._node_shapes)

    @property
    def preprocessing(self):
        """What the network sees of pixels: a dict as `load` takes it, all that is unusual."""
        return dict(self._network.preprocessing)

    @property
    def preprocessing_reason(self):
        """Why that preprocessing, str."""
        return self._network.preprocessing_reason or "said by the importer"

    @property
    def network(self):
        """The network up to the tapped layers, as the importer described it."""
        return self._network

    def fingerprint(self):
        """SHA-256 of the network up to the tapped layers and its weights, 64 digits."""
        if self._fingerprint is None:
            self._fingerprint = self._network.fingerprint()
        return self._fingerprint

    def primitives(self):
        """The steps that run, in order: oneDNN primitives and kernels of our own.

        Returns
        -------
        list of (str, str, str)
            Layer, operation and implementation, as oneDNN names it or "amx", "winograd_3x3"
            and the like for ours. Concatenations whose parts come to be in place have no step.

        Raises
        ------
        ValueError
            If the precision has not been chosen yet.
        """
        if self.precision == "auto":
            raise ValueError("the precision is chosen when the first images come")
        return self._loaded_engine().steps()

    def profile(self, images, repeats=5):
        """How long each step takes, on one thread, in the plan that runs batches.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3)
            As many as one thread takes at a time are run, repeated in turn if
            there are fewer.
        repeats : int
            Runs that are timed, after one that is not.

        Returns
        -------
        list of Timing
            First the writing of the input, then each of `primitives`; the
            seconds are the median of the runs and of one image.

        Raises
        ------
        TypeError, ValueError, EngineError
            As `features`; ValueError also for no image and no repeat.

        Examples
        --------
        >>> import numpy as np
        >>> from gear_transfer import Backbone
        >>> backbone = Backbone.load("inception_v3", layer="mixed0", input_size=96)
        >>> rows = backbone.profile(np.zeros((1, 96, 96, 3), np.uint8))
        >>> rows[1].layer, rows[1].operation
        ('conv2d_1', 'convolution')
        """
        images = self._checked(images)
        if len(images) == 0 or repeats < 1:
            raise ValueError("a profile needs at least one image and one repeat, not {} and "
                             "{}".format(len(images), repeats))
        self.choose_precision(images)
        batch = np.ascontiguousarray(images[np.arange(self.sub_batch) % len(images)])
        engine = self._loaded_engine()
        runs = [engine.profile(batch) for _ in range(repeats + 1)][1:]
        seconds = np.median(runs, axis=0) / len(batch)
        steps = [(self._network.nodes[0].name, "input", "core")] + engine.steps()
        return [Timing(*(step + (float(time),))) for step, time in zip(steps, seconds)]

    def summary(self):
        """A table of the layers that run: name, operation, shape and parameters.

        Returns
        -------
        str
        """
        rows = []
        for node in self._network.nodes:
            count = sum(int(np.prod(self._network.arrays[value].shape))
                        for value in node.attributes.values()
                        if isinstance(value, str) and value in self._network.arrays)
            height, width, channels = self._node_shapes[node.name]
            shape = "{} x {} x {}".format(height, width, channels)
            rows.append((node.name, node.op, shape, count))
        total = sum(row[3] for row in rows)
        line = "{:<32} {:<20} {:<18} {:>12}"
        text = ["Backbone {}, tapped at {} ({} pooling), input {} x {}".format(
            self.name, ", ".join(self._tapped()), self.pooling or "no", *self.input_size)]
        text.append("precision {} ({})".format(self.precision, self.precision_reason))
        text.append("pixels {} ({})".format(to_text(self.preprocessing), self.preprocessing_reason))
        text.append(line.format("layer", "operation", "shape", "parameters"))
        text += [line.format(row[0], row[1], row[2], "{:,}".format(row[3])) for row in rows]
        text.append(line.format("all", "", "", "{:,}".format(total)))
        return "\n".join(text)

    def __repr__(self):
        return ("Backbone({!r}, layer={!r}, input_size={!r}, pooling={!r}, threads={}, "
                "precision={!r})".format(self.name, self.layer, self.input_size, self.pooling,
                                         self.threads, self.precision))

    def with_threads(self, threads):
        """The same backbone, run by another number of threads.

        Parameters
        ----------
        threads : int or None
            None is the number of processors this process may use.

        Returns
        -------
        Backbone
            This one, if that is its number.
        """
        threads = check_threads(threads)
        if threads == self.threads:
            return self
        other = object.__new__(Backbone)
        other.__dict__.update(self.__dict__, threads=threads, _engine=None)
        return other

    def __reduce__(self):
        name = os.path.abspath(self.name) if os.path.isfile(self.name) else self.name
        return _unpickled, (name, self.layer, self.input_size, self.pooling, self.threads,
                            tuple(self.choice), self.fingerprint(), self.preprocessing)

    def __deepcopy__(self, memo):
        return self  # never changes once loaded and its precision chosen


def _unpickled(name, layer, input_size, pooling, threads, choice, fingerprint,
               preprocessing=None):
    """A backbone that was pickled: its weights must be found under their name, and be the same."""
    try:
        backbone = Backbone.load(name, layer, input_size, pooling, threads,
                                 preprocessing=preprocessing)
    except (GraphError, WeightsError, ValueError) as error:
        raise WeightsError("a pickle holds the name of the weights of a backbone, not the weights, "
                           "and they cannot be loaded: {}. Save classifiers with save, whose file "
                           "needs no other".format(error)) from error
    if backbone.fingerprint() != fingerprint:
        raise WeightsError("{}: the weights under this name are no longer those that were there "
                           "when the backbone was pickled. Save classifiers with save, whose file "
                           "needs no other".format(name))
    backbone.settle(runnable_choice(Choice(*choice)))
    return backbone


def find_backbone(name):
    """Path of the weight file of a backbone known by name, or the path itself."""
    if name in PACKAGED:
        return packaged_path(name)
    if name == OFFICIAL_BACKBONE:
        return find_official_weights()
    if not os.path.splitext(name)[1] and os.sep not in name and not os.path.exists(name):
        raise ValueError("no backbone is called {!r}; give {} or the path of a file".format(
            name, ", ".join(repr(known) for known in list(PACKAGED) + [OFFICIAL_BACKBONE])))
    return name


def default_name(layer=None, quality=None):
    """The backbone that is taken where none is named, str.

    Parameters
    ----------
    layer : str or sequence of str, optional
        Asked for; another backbone of the package is taken where only that has them.
    quality : {"fast", "balanced", "accurate"}, optional
    """
    default = default_backbone(quality)
    if layer is not None:
        names = _check_layer(layer)
        names = set((names,) if isinstance(names, str) else names)
        for name in [default] + list(PACKAGED):
            if names.issubset(_packaged_layers(name)):
                return name
        for name in PACKAGED:  # whose error says what may have been meant
            if all(difflib.get_close_matches(each, _packaged_layers(name), 1) for each in names):
                return name
    return default


@functools.lru_cache(maxsize=None)
def _packaged_layers(name):
    """Names of the layers of a network that comes with the package."""
    return tuple(load_network(packaged_path(name)).layers)


def describe(network):
    """Nodes and arrays of a network as the core takes them."""
    nodes = [(node.name, node.op, node.inputs, node.attributes) for node in network.nodes]
    arrays = {}
    for name, array in network.arrays.items():
        is_bytes = isinstance(array, (ChannelQuantizedArray, QuantizedArray))
        arrays[name] = (array.values, array.scale, array.minimum) if is_bytes else array
    return nodes, arrays


def _check_layer(layer):
    """The name of a layer, or a tuple of names."""
    names = (layer,) if isinstance(layer, str) else layer
    if not isinstance(names, (tuple, list)) or not names or not all(
            isinstance(name, str) and name for name in names):
        raise ValueError("layer must be the name of a layer or a sequence of names, not "
                         "{!r}".format(layer))
    return layer if isinstance(layer, str) else tuple(layer)


def _check_size(size, default):
    """A pair (height, width)."""
    if size is None:
        size = default
    if size is None:
        raise GraphError("the file does not say its input size; give input_size=")
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    try:
        height, width = pair = tuple(pair)
        valid = all(int(side) == side and 0 < side <= LARGEST_EXTENT for side in pair)
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError("input_size must be a number of pixels or (height, width), not "
                         "{!r}".format(size))
    return int(height), int(width)
