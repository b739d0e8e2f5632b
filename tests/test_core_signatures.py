"""What the core's functions say of their parameters, and what they take."""
import inspect
import os
import sys

import numpy as np
import pytest

from conftest import ROOT
from gear_transfer import _core

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))

from small import ARRAYS, NODES, make_backbone, pictures, samples  # noqa: E402

FEATURES, LABELS = samples(40)
HEAD, BACKBONE = _core.head((6, 3), 0), make_backbone()

#: Arguments for every parameter without a default, by the function's name.
ARGUMENTS = {
    "available_threads": {}, "engine_info": {}, "has_fast": {"precision": "bf16"},
    "int8_rounding": {}, "shuffle": {"n": 5, "seed": 1, "epoch": 2},
    "backbone": {"nodes": NODES, "arrays": ARRAYS, "height": 8, "width": 8,
                 "outputs": (("relu", None),), "threads": 1, "sub_batch": 2, "scale": 0.5,
                 "offset": 0.0, "precision": "int8"},
    "infer_shapes": {"nodes": NODES, "arrays": ARRAYS, "height": 8, "width": 8},
    "head": {"widths": (6, 3), "seed": 0},
    "run": {"images": pictures(2)}, "profile": {"images": pictures(2)},
    "calibrate": {"images": pictures(2)}, "ranges": {}, "set_ranges": {"ranges": []}, "steps": {},
    "train": {"features": FEATURES, "labels": LABELS},
    "loss_gradient": {"features": FEATURES, "labels": LABELS},
    "predict": {"features": FEATURES, "threads": 1},
    "standardisation": {"features": FEATURES, "threads": 1},
    "fold_scaling": {"mean": np.zeros(6, np.float32), "inverse_deviation": None},
    "get_layers": {}, "set_layer": {"index": 0, "kernel": np.zeros((6, 3)), "bias": None},
}


def owners():
    """(object, name) of each function; a new object for those that change one."""
    for owner in (_core, BACKBONE, HEAD):
        for name in sorted(set(dir(owner)) & set(ARGUMENTS)):
            yield owner, name


def call(owner, name, with_defaults, by_name):
    if name in ("calibrate", "set_ranges"):
        owner = make_backbone(precision="int8")
    if owner is HEAD:
        owner = _core.head((6, 3), 0)
    function, given, named = getattr(owner, name), [], {}
    for parameter in inspect.signature(function).parameters.values():
        has_default = parameter.default is not parameter.empty
        if has_default and not with_defaults:
            continue
        value = parameter.default if has_default else ARGUMENTS[name][parameter.name]
        if parameter.kind is parameter.KEYWORD_ONLY or (
                by_name and parameter.kind is parameter.POSITIONAL_OR_KEYWORD):
            named[parameter.name] = value
        else:
            given.append(value)
    return owner, function(*given, **named)


def test_every_function_is_here():
    public = [name for owner in (_core, BACKBONE, HEAD) for name in dir(owner)
              if not name.startswith("_") and callable(getattr(owner, name))]
    assert sorted(public) == sorted(ARGUMENTS)


@pytest.mark.parametrize("owner, name", list(owners()))
def test_signatures_are_true(owner, name):
    """All parameters, by position and by name, and their defaults."""
    results = [call(owner, name, with_defaults, by_name)
               for with_defaults in (False, True) for by_name in (False, True)]
    if name == "train":
        weights = [head.get_layers()[0][0] for head, _ in results]
        assert all((one == weights[0]).all() for one in weights)
    elif name in ("predict", "shuffle"):
        assert all((result == results[0][1]).all() for _, result in results)
    signature = inspect.signature(getattr(owner, name))
    assert not any(parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
                   for parameter in signature.parameters.values())
    with pytest.raises(TypeError):
        getattr(owner, name)(no_such_parameter=1)
    if name in ("train", "loss_gradient"):
        assert len(signature.parameters) == 20
