"""Networks of PyTorch from safetensors files."""
import os
import re

from ..efficientnet_lite import load_efficientnet_lite
from ..network import Network, needed_nodes, used_arrays
from ..on_disk import keep_on_disk
from ..operations import check_nodes
from ..preprocessing import ASKED_FOR
from ..safetensors import TensorFile
from .builder import Builder
from .families import find_family
from .timm_config import read_config

_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})\.safetensors$")


def load_pytorch(path, layer=None, preprocessing=None):
    """Read a network of a known family from its PyTorch weights.

    Parameters
    ----------
    path : str
        A safetensors file with the names of torchvision's or timm's tensors; a config.json of timm
        beside it is read too.
    layer : str, optional
        Read only what this layer needs.
    preprocessing : dict, optional
        See `preprocessing.resolve`, in place of what is known.

    Returns
    -------
    Network

    Raises
    ------
    WeightsError
        Naming the file, the tensor and what is wrong with it.
    GraphError
        If `layer` does not exist.
    """
    with TensorFile(path) as source:
        if "_conv_stem.weight" in source.shapes:
            return load_efficientnet_lite(path, layer, preprocessing)
        shard = _SHARD.search(os.path.basename(path))
        if shard and int(shard.group(1)) > 1:
            source.fail("holds one of {} parts of a network; save it as one file".format(
                int(shard.group(1))))
        family = find_family(source)
        config = read_config(path)
        net = Builder(source)
        description = family.build(net, config)
        unused = net.unused(family.ignored)
        if unused:
            source.fail("tensor '{}' is not one of {}, a network of the family {}".format(
                unused[0], description.name, family.title))
        nodes = net.nodes if layer is None else needed_nodes(net.nodes, layer)
        arrays = keep_on_disk(_read_arrays(source, net.wanted, used_arrays(nodes)))
    check_nodes(nodes, arrays, path)
    pixels, reason = _pixels(description, config, preprocessing)
    return Network(description.name, nodes, arrays, config.input_size or description.input_size,
                   pixels, {"format": "safetensors, PyTorch names"}, preprocessing_reason=reason)


def _pixels(description, config, preprocessing):
    """The preprocessing, and why."""
    if preprocessing is not None:
        return preprocessing, ASKED_FOR
    if config.preprocessing is not None:
        return config.preprocessing, "{} says so".format(config.path)
    return description.preprocessing, (
        description.preprocessing and "all published weights of " + description.name + " want it")


def _read_arrays(source, wanted, names):
    """Yield the named arrays, each made of its tensors."""
    for name in names:
        tensors = [source.array(tensor, shape) for tensor, shape in wanted[name].tensors]
        if name.endswith(".running_var") and tensors[0].min() < 0.0:
            source.fail("tensor '{}' holds a negative number".format(name))
        yield name, wanted[name].make(*tensors)
