"""Weight files in, a `Network` out; the only way that weights come in."""
import os

from ..common.arguments import check_path
from ..common.regular_file import open_regular
from ..errors import WeightsError
from .network import ChannelQuantizedArray, Network, Node, QuantizedArray
from .preprocessing import ASKED_FOR, resolve

__all__ = ["ChannelQuantizedArray", "Network", "Node", "QuantizedArray", "load_network"]

READABLE = ("Keras HDF5 (.h5: official Inception V3 weights or a whole saved model), PyTorch weights "
            "(.safetensors, names of torchvision or timm) and the native format (.gtw, safetensors "
            "layout)")


def _head(path):
    """The first 16 bytes of a file and its size."""
    try:
        with open_regular(path) as stream:
            return stream.read(16), os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise WeightsError("{}: no such file".format(path))
    except IsADirectoryError:
        raise WeightsError("{}: a folder, expected a weight file".format(path))
    except OSError as error:
        raise WeightsError("{}: cannot be read ({})".format(path, error.strerror or error))


def load_network(path, layer=None, preprocessing=None):
    """Read a network from a weight file; its kind is told by its content.

    Parameters
    ----------
    path : str or Path
        A Keras HDF5 file, PyTorch weights in a safetensors file, or a file in the native format.
    layer : str, optional
        Cut the network here: this layer is the last node.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        What pixels the network wants, see `preprocessing.resolve`, in place of what the file says
        or implies.

    Returns
    -------
    Network
        Whose `preprocessing` is None where neither the file nor the caller says it.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of an unknown kind or breaks a rule.
    GraphError
        If `layer` does not exist.
    """
    path = check_path("path", path)
    if preprocessing is not None:
        preprocessing = resolve(preprocessing)
    head, size = _head(path)
    if size == 0:
        raise WeightsError("{}: the file is empty".format(path))
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        from .keras_h5 import load_keras_h5
        return load_keras_h5(path, layer, preprocessing)
    if head[8:9] == b"{":
        from .native import is_native, read_network
        if not is_native(path):
            from .pytorch import load_pytorch
            return load_pytorch(path, layer, preprocessing)
        network = read_network(path)
        if preprocessing is not None:
            network.preprocessing, network.preprocessing_reason = preprocessing, ASKED_FOR
        return network if layer is None else network.upto(layer)
    from .pytorch import check_not_pickled
    check_not_pickled(path, head)
    raise WeightsError("{}: not a weight file of a known kind; readable are {}".format(
        path, READABLE))
