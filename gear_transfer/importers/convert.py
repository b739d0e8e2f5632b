"""Any file that can be imported, written in the native format."""
import os
from collections import OrderedDict

import numpy as np

from ..common.arguments import check_path
from . import load_network
from .compress import compress as compressed
from .native import check_native_ending, write_network
from .preprocessing import check_known
from .quantize import recover_quantization


def convert(source, destination, layer=None, quantize=True, preprocessing=None, name=None,
            provenance=None, compress=False):
    """Convert a weight file to the native format.

    Parameters
    ----------
    source : str or Path
        Any file that `load_network` reads.
    destination : str or Path
        The file to write; it is replaced only once the new one is whole.
    layer : str, optional
        Cut the network here.
    quantize : bool
        Store as bytes what was made from bytes: only arrays that come back
        bit for bit, so no value changes. The others stay float32.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        What pixels the network wants, see `preprocessing.resolve`, in place of what the source says.
    name : str, optional
        Name of the network, in place of the source's.
    provenance : dict of str to str, optional
        Added to the source's; default is the name of the source file.
    compress : bool
        Store kernels in 8 or 16 bits, which takes a quarter of the room and
        changes features a little, see `gear_transfer.importers.compress`.

    Returns
    -------
    Network
        As written.

    Raises
    ------
    WeightsError
        If the source cannot be used or the destination cannot be written.
    GraphError
        If `layer` does not exist.
    """
    check_native_ending(check_path("destination", destination))
    network = load_network(source, layer, preprocessing)
    check_known(network, str(source))
    if quantize:
        arrays = OrderedDict()
        for key in network.arrays:
            array = network.arrays[key]
            smaller = recover_quantization(array) if isinstance(array, np.ndarray) else None
            arrays[key] = array if smaller is None else smaller
        network.arrays = arrays
    if compress:
        network.arrays = compressed(network)
    if name is not None:
        network.name = str(name)
    if provenance is None:
        provenance = {"source": os.path.basename(str(source))}
    network.provenance.update(provenance)
    write_network(destination, network)
    return network
