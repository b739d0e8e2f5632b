"""The network in the forms that other programs run, made from our own description of it."""
import os
import subprocess

import processes


def export(arguments, peer, weights, layer, temporary):
    """A network as an ONNX model; nothing is done where it is there already.

    Parameters
    ----------
    arguments : Namespace
        With python, peers and shared.
    peer : str
        An environment that has onnx.
    weights : str
        Path of a file that our importers read.
    layer : str
        The last layer; its global average is the result.
    temporary : str
        Folder that receives it.

    Returns
    -------
    str
        Its path.
    """
    name = os.path.splitext(os.path.basename(weights))[0]
    model = os.path.join(temporary, "{}_{}.onnx".format(name, layer))
    if not os.path.exists(model):
        native = os.path.join(temporary, name + ".gtw")
        subprocess.run([arguments.python, "-m", "gear_transfer", "convert", weights, native],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([processes.peer_python(arguments.peers, peer), processes.job("export_onnx"),
                        native, layer, model], check=True,
                       env=dict(processes.environment(True), PYTHONPATH=processes.ROOT))
    return model


def quantize(arguments, model, images, size, temporary):
    """An ONNX model in 8 bits, as OpenVINO runs it; nothing is done where it is there already.

    Parameters
    ----------
    arguments : Namespace
        With peers.
    model : str
        Path of the ONNX model.
    images : str
        Path of the npz with the photographs that it is calibrated on.
    size : int
        Side of the images.
    temporary : str
        Folder that receives it.

    Returns
    -------
    str
        Its path.
    """
    name = "{}_{}.xml".format(os.path.splitext(os.path.basename(model))[0], size)
    path = os.path.join(temporary, name)
    if not os.path.exists(path):
        subprocess.run([processes.peer_python(arguments.peers, "openvino"),
                        processes.job("quantize_openvino"), model, images, str(size), path],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=processes.environment(True))
    return path
