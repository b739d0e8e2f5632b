"""A classifier as a model of ONNX."""
import json

import numpy as np

from ..errors import ModelFileError
from .onnx_maps import MapWriter

#: Read by every ONNX Runtime since 1.13 and every OpenVINO since 2022.
_OPSET = 17
_IR_VERSION = 8

#: A file in protocol buffers cannot be larger.
_LARGEST = (1 << 31) - 1


def onnx_bytes(network, shapes, facts):
    """The content of an ONNX file of a network whose last node has the result.

    Parameters
    ----------
    network : Network
    shapes : dict of str to (int, int, int)
        (height, width, channels) of the results of its nodes, of those at least that windows read.
    facts : dict
        What the file says of itself, see `export.describe`; JSON under the same keys.

    Returns
    -------
    bytes
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("writing ONNX files needs the package onnx, which cannot be imported ({}): "
                          "pip install \"gear-transfer[onnx]\"".format(error)) from error
    writer = MapWriter(network, shapes, onnx)
    for node in network.nodes:
        last = writer.write(node)
    shape = writer.constant("probabilities/shape", np.array([0, -1]))
    writer.add("Reshape", [last, shape], "probabilities")
    helper, types = onnx.helper, onnx.TensorProto
    images = helper.make_tensor_value_info("images", types.UINT8, facts["input"]["shape"])
    probabilities = helper.make_tensor_value_info("probabilities", types.FLOAT,
                                                  facts["output"]["shape"])
    graph = helper.make_graph(writer.nodes, "gear_transfer", [images], [probabilities],
                              writer.constants)
    exported = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)],
                                 ir_version=_IR_VERSION, producer_name="gear_transfer")
    helper.set_model_props(exported, dict((key, json.dumps(value, ensure_ascii=False))
                                          for key, value in facts.items()))
    if exported.ByteSize() > _LARGEST:
        raise ModelFileError("the network takes {:,} bytes, an ONNX file cannot be larger than "
                             "{:,}".format(exported.ByteSize(), _LARGEST))
    onnx.checker.check_model(exported)
    return exported.SerializeToString()

