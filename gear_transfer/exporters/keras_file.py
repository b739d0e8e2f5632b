"""A network as a file that Keras 3 loads: an archive of a description and of weights in HDF5."""
import io
import json
import re
import zipfile

from .keras_layers import LayerWriter
from .keras_order import keras_order

_VERSION = "3.0.0"
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that an archive can have; equal models are equal files


def keras_bytes(network, shapes, facts):
    """The content of a .keras file of a network whose last node has the result.

    Parameters
    ----------
    network : Network
    shapes : dict
        Not needed here.
    facts : dict
        What is known of the classifier, which the file has as the member gear_transfer.json.

    Returns
    -------
    bytes
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("writing files of Keras needs the package h5py, which cannot be imported "
                          "({}): pip install \"gear-transfer[keras]\"".format(error)) from error
    writer = LayerWriter(network)
    for node in network.nodes:
        last = writer.write(node)
    last = writer.add("probabilities", "Flatten", [last])
    layers = writer.layers
    order = keras_order(dict((name, layers[name].inputs) for name in layers), last)
    weights = io.BytesIO()
    with h5py.File(weights, "w") as target:
        for name, place in _places(layers, order):
            variables = target.create_group("layers/{}/vars".format(place))
            variables.attrs["name"] = name
            for i, values in enumerate(layers[name].weights):
                variables.create_dataset(str(i), data=values, track_times=False)
        target.create_group("vars")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in (
                ("metadata.json", json.dumps({"keras_version": _VERSION}, sort_keys=True)),
                ("config.json", json.dumps(_description(layers, order, last), sort_keys=True)),
                ("gear_transfer.json", json.dumps(facts, ensure_ascii=False)),
                ("model.weights.h5", weights.getvalue())):
            archive.writestr(zipfile.ZipInfo(name, _DATE), text)
    return content.getvalue()


def _places(layers, order):
    """Pairs (name, place of its weights): the class in lower case and how many of it came before."""
    counts = {}
    for name in order:
        place = _snake_case(layers[name].kind)
        number = counts[place] = counts.get(place, -1) + 1
        yield name, place if number == 0 else "{}_{}".format(place, number)


def _snake_case(name):
    """A class name as Keras writes it in paths: DepthwiseConv2D as depthwise_conv2d."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _description(layers, order, last):
    """The model as Keras's own functions describe theirs."""
    first = [name for name in order if not layers[name].inputs][0]
    return {"module": "keras.src.models.functional", "class_name": "Functional",
            "registered_name": "Functional", "compile_config": {}, "config": {
                "name": "gear_transfer", "trainable": True,
                "layers": [_describe_layer(name, layers[name]) for name in order],
                "input_layers": [[first, 0, 0]], "output_layers": [[last, 0, 0]]}}


def _describe_layer(name, layer):
    sources = [{"class_name": "__keras_tensor__", "config": {
        "shape": [None] * 4, "dtype": "float32", "keras_history": [each, 0, 0]}} for each in layer.inputs]
    is_list = layer.kind in ("Concatenate", "Add", "Multiply")
    return {"module": "keras.layers", "class_name": layer.kind, "registered_name": None, "name": name,
            "config": dict(layer.settings, name=name), "inbound_nodes": [
                {"args": [sources] if is_list else sources, "kwargs": {}}] if sources else []}
