"""The test cases of every operator inside the package onnx, of those with an image-like input.

Each case is one operator with its inputs and the results that it must have; the first input is the
image, the others are constants here. Those that are not run are counted with their reason.
"""
import collections
import re
import warnings

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from onnx_files import ours, saved

from gear_transfer.errors import WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.onnx.operators import TRANSLATORS

RAW = {"scale": 1.0, "offset": 0.0}

#: What is refused, by what the error says, and why.
REASONS = collections.OrderedDict([
    (r"Attention.*its input 1", "query, key and value are three images here; "
     "tests/test_importers_onnx.py has attention of one"),
    (r"normalises over axes from", "a layer norm over the map has a weight for each place"),
    (r"its mode is 'cubic'", "no cubic resizing"),
    (r"resizes axis . by", "sizes change by whole factors only"),
    (r"takes the nearest pixel in a way", "these ways of rounding do not repeat each pixel"),
    (r"coordinate_transformation_mode is", "a part of the map, or another grid"),
    (r"a pool with dilations", "no dilated pools"),
    (r"the places of the maxima", "places of maxima are no features"),
    (r"is in training mode", "statistics of the batch: not for inference"),
    (r"multiplies by a constant of shape|multiplies tensors of shapes", "a matrix for each image"),
    (r"only supported as a part of GELU", "the error function by itself"),
    (r"repeats what depends on the image|repeats \[", "images and maps are not repeated"),
    (r"takes some of the images|reduces over the images|joins images|along its axis 0",
     "images of a batch do not mix"),
    (r"raises to the power", "powers but 0.5, 2 and 3"),
    (r"its mode is '(reflect|edge|wrap)'", "padding with zeros or a number only"),
    (r"pads axis", "height and width are padded, nothing else"),
    (r"backwards", "a flip"),
    (r"softmax over several axes", "a softmax of the whole image"),
    (r"casts what depends|casts to type", "numbers of the core are floats"),
    (r"is a constant in the file|must be a constant", "an operand that depends on the image too"),
])


def cases():
    """Cases with a float image of four axes whose operator is claimed."""
    import onnx.backend.test.case.node as node_cases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = node_cases.collect_testcases(None)
    for case in found:
        if case.model is None or case.name.endswith("_expanded") or "_expanded_" in case.name:
            continue
        kinds = set(node.op_type for node in case.model.graph.node)
        inputs = [np.asarray(value) for value in case.data_sets[0][0]
                  if not isinstance(value, (list, dict))]
        if (kinds <= set(TRANSLATORS) and inputs and inputs[0].ndim == 4 and inputs[0].size
                and inputs[0].dtype in (np.float32, np.float64, np.float16)):
            yield case, inputs


def run(folder, case, inputs):
    """Whether ours agrees with the results of a case."""
    model = ModelProto()
    model.CopyFrom(case.model)
    for entry, array in list(zip(model.graph.input, inputs))[1:]:
        model.graph.initializer.append(numpy_helper.from_array(array, entry.name))
    del model.graph.output[1:]
    network = load_network(saved(folder, model), preprocessing=RAW)
    image = inputs[0].astype(np.float64)
    is_last = network.nodes[0].attributes["channels"] != image.shape[1]
    got = ours(network, image if is_last else image.transpose(0, 2, 3, 1)).ravel()
    expected = np.asarray(case.data_sets[0][1][0], np.float64)
    # Ours is (images, height, width, channels); where axes went, both orders of what is left.
    views = [expected, np.moveaxis(expected, 1, -1) if expected.ndim > 1 else expected,
             expected[0].transpose(0, 2, 3, 1) if expected.ndim == 5 else expected]
    tolerance = 2e-3 if inputs[0].dtype == np.float16 else 1e-3
    return any(got.size == view.size and np.allclose(got, view.ravel(), tolerance, tolerance / 10)
               for view in views)


@pytest.mark.slow
def test_cases_of_the_package(tmp_path, record_property):
    passed, refused, wrong = [], collections.Counter(), []
    for case, inputs in cases():
        try:
            (passed if run(tmp_path, case, inputs) else wrong).append(case.name)
        except WeightsError as error:
            reason = [text for pattern, text in REASONS.items() if re.search(pattern, str(error))]
            if not reason:
                wrong.append("{}: {}".format(case.name, error))
            else:
                refused[reason[0]] += 1
    record_property("passed", len(passed))
    assert not wrong, "\n".join(wrong)
    assert len(passed) >= 60, "{} passed, refused: {}".format(len(passed), dict(refused))
