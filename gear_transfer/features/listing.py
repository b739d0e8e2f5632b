"""The backbones that are known by name."""
import collections
import os

from ..common.tables import Result, text_table
from ..importers.weights import PACKAGED, packaged_path
from .backbone import Backbone
from .settings import DEFAULT_QUALITY

#: A backbone: its name; bytes of its file; licence; the layers by whose names it is usually tapped,
#: in order; what is tapped at which size by default; and the work for one image then, in billions of
#: operations (a multiplication and an addition are two).
BackboneInfo = collections.namedtuple("BackboneInfo", [
    "name", "size", "licence", "layers", "layer", "input_size", "gflop"])


class Backbones(Result, list):
    """A list of BackboneInfo that shows itself as a table."""

    def to_dict(self):
        """The list under the key "backbones", as plain values."""
        return {"backbones": [dict(each._asdict()) for each in self]}

    def _sentences(self):
        return []

    def _rows(self):
        rows = [[each.name, "{:.1f} MB".format(each.size / 1e6), each.licence.split(";")[0].split(
            ",")[0], "{} to {}".format(each.layers[0], each.layers[-1]), "{} at {} x {}".format(
                each.layer if isinstance(each.layer, str) else "+".join(each.layer),
                *each.input_size), "{:.2f}".format(each.gflop)] for each in self]
        return ["name", "size", "licence", "layers", "by default", "GFLOP an image"], rows

    def __repr__(self):
        return text_table(*self._rows())


def backbones():
    """The backbones that come with the package.

    Returns
    -------
    list of BackboneInfo
        With ``name``, ``size`` (bytes), ``licence``, ``layers``, and for the
        quality "balanced" ``layer``, ``input_size`` and ``gflop``, the work
        for one image. It shows itself as a table.

    Examples
    --------
    >>> import gear_transfer as gt
    >>> [each.name for each in gt.backbones()]
    ['efficientnet_lite0', 'efficientnet_lite2', 'inception_v3']
    """
    return Backbones(_describe(name) for name in PACKAGED)


def _describe(name):
    backbone = Backbone.load(name, quality=DEFAULT_QUALITY)
    # Parts of a block have a slash or a number after an underscore in their names.
    layers = [layer for layer in backbone.layers if "/" not in layer and "_" not in layer
              and layer not in ("input", "stem")]
    return BackboneInfo(name, os.path.getsize(packaged_path(name)),
                        PACKAGED[name].provenance["licence"], layers, backbone.layer,
                        backbone.input_size, work(backbone) / 1e9)


def work(backbone):
    """Operations for one image: twice the multiplications of convolutions and dense layers.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    int
    """
    network, shapes = backbone.network, backbone.node_shapes
    operations = 0
    for node in network.nodes:
        if node.op in ("conv2d", "dense"):
            kernel = network.arrays[node.attributes["kernel"]].shape
            height, width, channels = shapes[node.name]
            operations += 2 * height * width * channels * int(_product(kernel[:-1]))
    return operations


def _product(numbers):
    product = 1
    for number in numbers:
        product *= number
    return product
