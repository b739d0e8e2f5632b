"""Weights that only running a pickle would read: recognised, and refused with what to do."""
import os

from ...common.regular_file import open_regular
from ...errors import WeightsError

#: What a pickle of protocol 2 and later begins with; earlier PyTorch wrote it without a zip.
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_ZIP = b"PK\x03\x04"
#: Bytes at either end of a zip in which its members are named.
_DIRECTORY = 1 << 16
#: Bytes of a JSON text in which the table of a sharded network is looked for.
_INDEX = 1 << 20


def check_not_pickled(path, head):
    """Refuse a file of ``torch.save``, and the index of a network in several files.

    Parameters
    ----------
    path : str
    head : bytes
        The first bytes of the file.

    Raises
    ------
    WeightsError
        With the two lines of Python that make a readable file.
    """
    if head.startswith(_PICKLE) or head.startswith(_ZIP) and _has_pickle(path):
        raise WeightsError(
            "{0}: PyTorch's own format, a pickle: reading it may run any code, so it is not read. Make "
            "a safetensors file of it where you trust it:\n"
            "  import torch; from safetensors.torch import save_file\n"
            "  save_file(torch.load({1!r}, map_location=\"cpu\", weights_only=True), "
            "\"model.safetensors\")\n"
            "or export the model with torch.onnx.export(model, images, \"model.onnx\")".format(
                path, path))
    if head.lstrip().startswith(b"{") and _is_index(path):
        raise WeightsError("{}: the index of a network in several files; save its weights as one "
                           "safetensors file and give that".format(path))


def _has_pickle(path):
    """Whether a zip names the member that torch.save writes, in its first or its last bytes."""
    try:
        with open_regular(path) as stream:
            text = stream.read(_DIRECTORY)
            stream.seek(max(os.fstat(stream.fileno()).st_size - _DIRECTORY, 0))
            return b"/data.pkl" in text or b"/data.pkl" in stream.read(_DIRECTORY)
    except OSError:
        return False


def _is_index(path):
    try:
        with open_regular(path) as stream:
            return b'"weight_map"' in stream.read(_INDEX)
    except OSError:
        return False
