"""Weight files in, a `Network` out; the only way that weights come in."""
import os

from ..common.arguments import check_path
from ..common.regular_file import open_regular
from ..errors import WeightsError
from .network import ChannelQuantizedArray, Network, Node, QuantizedArray
from .preprocessing import ASKED_FOR, resolve

__all__ = ["ChannelQuantizedArray", "Network", "Node", "QuantizedArray", "load_network"]

READABLE = ("Keras models (.keras), Keras HDF5 (.h5: whole models, and the weights of networks "
             "known by name), ONNX (.onnx), PyTorch weights (.safetensors, names of torchvision or "
             "timm) and the native format (.gtw, safetensors layout)")


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


def load_network(path, layer=None, preprocessing=None, taps=None):
    """Read a network from a weight file; its kind is told by its content.

    Parameters
    ----------
    path : str or Path
        A Keras file (.keras, .h5), an ONNX file, PyTorch weights in a safetensors file, or a file in
        the native format.
    layer : str or sequence of str, optional
        Cut the network here: this layer is the last node. What lies above may hold operations that
        are not known.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        What pixels the network wants, see `preprocessing.resolve`, in place of what the file says
        or implies.
    taps : str or sequence of str, optional
        Layers that are wanted. Where the file has operations that are not known, the network is cut
        at these; else it is read whole.

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
        return load_keras_h5(path, layer, preprocessing, taps)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        from .keras_h5 import load_keras_archive
        return load_keras_archive(path, layer, preprocessing, taps)
    if head[8:9] == b"{":
        from .native import is_native, read_network
        if not is_native(path):
            from .pytorch import load_pytorch
            return load_pytorch(path, layer, preprocessing)
        network = read_network(path)
        if preprocessing is not None:
            network.preprocessing, network.preprocessing_reason = preprocessing, ASKED_FOR
        return network if layer is None else network.upto(layer)
    from .onnx import load_onnx, looks_like_onnx
    if looks_like_onnx(path, head):
        return load_onnx(path, layer, preprocessing, taps)
    from .unreadable import what_it_is
    raise WeightsError("{}: {}; readable are {}".format(
        path, what_it_is(head) or "not a weight file of a known kind", READABLE))
