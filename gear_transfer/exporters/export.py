"""A classifier as a file that other programs run, with its labels beside it."""
import collections
import json
import os

from ..common.arguments import check_path
from ..common.atomic import write_whole
from ..common.estimator import check_is_fitted
from ..classifiers.model_file import whole_network
from ..errors import ModelFileError
from ..photographs.decoding import as_resize
from .keras_file import keras_bytes
from .onnx_model import onnx_bytes

#: Endings of the files that can be written, each with the function that makes their content.
FORMATS = collections.OrderedDict([(".onnx", onnx_bytes), (".keras", keras_bytes)])


def export(model, path):
    """Write a fitted classifier as one network, from pixels to probabilities, for other programs.

    The network takes photographs of the classifier's input size, uint8 RGB of shape
    (n, height, width, 3), as `read_image` makes them, and gives the probability of each class,
    float32 (n, classes); it computes in float32. What a program needs to know besides (the names of
    the classes, the size, how photographs are brought to it) is in the file itself and in a JSON file
    of the same name beside it.

    Parameters
    ----------
    model : TransferClassifier
    path : str or Path
        Ends in .onnx, which needs the package onnx (``pip install "gear-transfer[onnx]"``), or in
        .keras for Keras 3, which needs h5py (``pip install "gear-transfer[keras]"``).

    Returns
    -------
    list of str
        The files that were written: the network, the JSON.

    Raises
    ------
    GraphError
        Naming an operation of the network that cannot be exported.
    ImportError
        The package that writes the format is not installed.
    ModelFileError
        A file cannot be written.
    ValueError
        The ending is none of those.

    Examples
    --------
    >>> gt.export(model, "gear.onnx")                           # doctest: +SKIP
    ['gear.onnx', 'gear.json']
    """
    path = check_path("path", path)
    base, ending = os.path.splitext(path)
    if ending.lower() not in FORMATS:
        raise ValueError("{}: the name of the file must end in {}".format(path, " or ".join(FORMATS)))
    check_is_fitted(model, "head_")
    facts = describe(model)
    backbone = model.extractor_.backbone_
    content = FORMATS[ending.lower()](whole_network(backbone, model.head_), backbone.node_shapes,
                                      facts)
    texts = [(path, content),
             (base + ".json", (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))]
    for name, text in texts:
        try:
            write_whole(name, lambda stream, text=text: stream.write(text))
        except OSError as error:
            raise ModelFileError("{}: cannot be written: {}".format(
                name, error.strerror or error)) from error
    return [name for name, _ in texts]


def describe(model):
    """What a program must know of an exported classifier, as JSON has it."""
    backbone, extractor = model.extractor_.backbone_, model.extractor_
    rule = as_resize(extractor.resize_rule())
    return collections.OrderedDict([
        ("labels", model.classes_.tolist()),
        ("input", collections.OrderedDict([
            ("name", "images"), ("type", "uint8"), ("shape", ["n"] + list(backbone.input_size) + [3]),
            ("channels", "RGB")])),
        ("output", collections.OrderedDict([
            ("name", "probabilities"), ("type", "float32"), ("shape", ["n", len(model.classes_)])])),
        ("resize", collections.OrderedDict([
            ("rule", rule.rule), ("filter", rule.filter), ("crop", rule.crop)])),
        ("backbone", os.path.basename(backbone.network.name)),
        ("licence", backbone.network.provenance.get("licence")),
    ])
