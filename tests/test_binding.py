"""The binding: arrays however they lie in memory, values that are not finite, references, cycles."""
import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

from conftest import HOME, ROOT
from gear_transfer import GraphError, HeadClassifier, _core

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))

from small import ARRAYS, NODES, make_backbone, pictures, samples  # noqa: E402

pytestmark = pytest.mark.every_python

IMAGES = pictures(6)
FEATURES, LABELS = samples(40)


# How an array lies in memory

class Subclass(np.ndarray):
    """Without anything of its own."""


def misaligned(array):
    block = np.zeros(array.nbytes + 1, np.uint8)
    moved = block[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert array.itemsize == 1 or not moved.flags.aligned
    return moved


def strided(array):
    wide = np.repeat(np.repeat(array, 2, axis=0), 3, axis=-1)
    return wide[::2, ..., ::3] if array.ndim > 1 else np.repeat(array, 2)[::2]


def reversed_twice(array):
    turned = np.ascontiguousarray(array[::-1, ..., ::-1] if array.ndim > 1 else array[::-1])
    return turned[::-1, ..., ::-1] if array.ndim > 1 else turned[::-1]


def read_only(array):
    copied = array.copy()
    copied.flags.writeable = False
    return copied


LAYOUTS = [np.asfortranarray, strided, reversed_twice, read_only, misaligned,
           lambda array: array.astype(array.dtype.newbyteorder()),
           lambda array: array.view(Subclass), np.ma.masked_array,
           lambda array: np.broadcast_to(array, (2,) + array.shape)[1]]


def run(given):
    return make_backbone().run(given(IMAGES))


def profile(given):
    times = make_backbone().profile(given(IMAGES[:2]))
    return [np.array(len(times))]


def weights(given):
    def lay(array):
        return (given(array[0]),) + array[1:] if isinstance(array, tuple) else given(array)
    arrays = dict((name, lay(array)) for name, array in ARRAYS.items())
    shapes = _core.infer_shapes(NODES, arrays, 8, 8)
    return make_backbone(arrays=arrays).run(IMAGES) + [np.array(shapes)]


def train(given):
    head = _core.head((6, 4, 3), 0)
    one = np.linspace(0.5, 1.5, 6).astype(np.float32)
    head.train(given(FEATURES), given(LABELS), validation_features=given(FEATURES),
               validation_labels=given(LABELS), mean=given(one), inverse_deviation=given(one),
               class_weights=given(one[:3]), epochs=3)
    head.fold_scaling(given(one), given(one))
    return [array for layer in head.get_layers() for array in layer]


def loss_gradient(given):
    loss, gradient = _core.head((6, 3), 0).loss_gradient(given(FEATURES), given(LABELS))
    return [np.array(loss), gradient]


def predict(given):
    head = _core.head((6, 3), 0)
    kernel = np.random.RandomState(0).normal(0, 1, (6, 3)).astype(np.float32)
    head.set_layer(0, given(kernel), given(kernel[0]))
    return [head.predict(given(FEATURES), 2)]


def classifier(given):
    model = HeadClassifier(epochs=2, validation_fraction=0).fit(given(FEATURES), given(LABELS))
    return [model.predict_proba(given(FEATURES))]


ENTRIES = [run, profile, weights, train, loss_gradient, predict, classifier]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_how_arrays_lie_in_memory(entry, layout):
    wanted, result = entry(np.array), entry(layout)
    assert len(result) == len(wanted)
    for ours, plain in zip(result, wanted):
        assert type(ours) is np.ndarray and ours.flags.c_contiguous and ours.flags.writeable
        np.testing.assert_array_equal(ours, plain)


def test_matrices_are_taken_as_arrays():
    matrix = np.zeros((3, 6), np.float32).view(np.matrix)
    probabilities = _core.head((6, 3), 0).predict(matrix, 1)
    assert type(probabilities) is np.ndarray and probabilities.shape == (3, 3)


@pytest.mark.parametrize("entry", [run, weights, train, loss_gradient, predict])
@pytest.mark.parametrize("kind", [object, "U1", "S1", "M8[s]", complex, [("a", "f4")]])
def test_elements_of_another_kind(entry, kind):
    def given(array):
        return np.zeros(array.shape, kind)
    with pytest.raises(TypeError) as caught:
        entry(given)
    assert "must be an array of" in str(caught.value)


@pytest.mark.parametrize("labels", [
    LABELS.astype(np.int64), LABELS.astype(np.uint32), LABELS.astype(np.float32), LABELS > 0,
    np.full(40, 1 << 32)])
def test_labels_are_not_converted(labels):
    """Narrowing to 32 bits would turn 2^32 into class 0."""
    with pytest.raises(TypeError) as caught:
        _core.head((6, 3), 0).train(FEATURES, labels)
    assert "labels must be an array of int32" in str(caught.value)


#: More than any memory holds, from one element.
HUGE = 1 << 41


@pytest.mark.parametrize("call", [
    lambda: make_backbone().run(np.broadcast_to(IMAGES[0], (HUGE,) + IMAGES[0].shape)),
    lambda: make_backbone().profile(np.broadcast_to(IMAGES[0], (HUGE,) + IMAGES[0].shape)),
    lambda: make_backbone(arrays=dict(ARRAYS, mean=np.broadcast_to(ARRAYS["mean"][0], HUGE))),
    lambda: _core.head((6, 3), 0).predict(np.broadcast_to(FEATURES[0], (HUGE, 6)), 1),
    lambda: _core.head((6, 3), 0).train(np.broadcast_to(FEATURES[0], (HUGE, 6)), LABELS),
    lambda: _core.head((6, 3), 0).set_layer(0, np.broadcast_to(FEATURES[0, 0], (HUGE, 3)), None),
    lambda: _core.head((1 << 30, 1 << 30), 0)])
def test_arrays_that_no_memory_holds(call):
    """With tests/faults/large_arrays.py, which has the right answers where memory is enough."""
    with pytest.raises(MemoryError):
        call()


def test_labels_of_another_length_are_not_copied():
    with pytest.raises(ValueError) as caught:
        _core.head((6, 3), 0).train(FEATURES, np.broadcast_to(LABELS[0], HUGE))
    assert "length 40 along axis 0, not {}".format(HUGE) in str(caught.value)


def test_counts_of_more_than_31_bits(tmp_path):
    """The low 32 bits of the number of labels are the number of rows."""
    path = str(tmp_path / "labels")
    with open(path, "wb") as stream:
        stream.truncate(4 * ((1 << 32) + 40))  # a hole, not data
    with pytest.raises(ValueError) as caught:
        _core.head((6, 3), 0).train(FEATURES, np.memmap(path, np.int32, "r"))
    assert "length 40 along axis 0, not 4294967336" in str(caught.value)


def test_arrays_without_elements():
    assert [result.shape for result in make_backbone().run(IMAGES[:0])] == [
        (0, 1, 1, 8), (0, 1, 1, 5)]
    head = _core.head((6, 3), 0)
    for call in (lambda: head.predict(FEATURES[:0], 1), lambda: head.predict(FEATURES[:, :0], 1),
                 lambda: head.train(FEATURES[:0], LABELS[:0]),
                 lambda: head.loss_gradient(FEATURES[:0], LABELS[:0]),
                 lambda: head.fold_scaling(FEATURES[0, :0], None),
                 lambda: head.set_layer(0, FEATURES[:0], None),
                 lambda: make_backbone().run(IMAGES[:, :0])):
        with pytest.raises(ValueError):
            call()
    for name in ("first/kernel", "dense/kernel", "mean"):
        with pytest.raises(GraphError):
            make_backbone(arrays=dict(ARRAYS, **{name: ARRAYS[name][..., :0]}))


# Values that are not finite

def fit(X):
    HeadClassifier(epochs=1, validation_fraction=0).fit(X, LABELS)


def fit_with_validation(X):
    HeadClassifier(epochs=1).fit(FEATURES, LABELS, validation_data=(X, LABELS))


def fitted(method):
    model = HeadClassifier(epochs=1, validation_fraction=0).fit(FEATURES, LABELS)
    return lambda X: getattr(model, method)(X)


@pytest.mark.parametrize("call", [fit, fit_with_validation, fitted("predict"),
                                  fitted("predict_proba")])
@pytest.mark.parametrize("value, text", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"),
                                         (1e300, "1e+300")])
def test_the_classifier_names_the_first_bad_value(call, value, text):
    X = FEATURES.astype(float)
    X[7, 3] = value
    X[7, 5] = X[9, 0] = np.nan if value > 0 else value
    with pytest.raises(ValueError) as caught:
        call(X)
    assert "is {} in row 7, column 3".format(text) in str(caught.value)
    with pytest.raises(ValueError) as caught:
        call(X.tolist())
    assert "is {} in row 7, column 3".format(text) in str(caught.value)


def test_other_errors_of_the_classifier_stay_as_they_are():
    with pytest.raises(ValueError) as caught:
        fitted("predict")(FEATURES[:, :4])
    assert "4 features" in str(caught.value) and "row" not in str(caught.value)


@pytest.mark.parametrize("value, text", [(np.nan, "NaN"), (np.inf, "infinite")])
def test_the_core_names_the_first_bad_value(value, text):
    head = _core.head((6, 3), 0)
    many = np.tile(FEATURES, (50, 1))
    many[300, 4] = value
    many[301:, 0] = np.nan
    for call in (lambda: head.predict(many, 2), lambda: head.predict(many, 1),
                 lambda: head.train(many, np.tile(LABELS, 50)),
                 lambda: head.loss_gradient(many, np.tile(LABELS, 50)),
                 lambda: head.train(FEATURES, LABELS, validation_features=many,
                                    validation_labels=np.tile(LABELS, 50))):
        with pytest.raises(ValueError) as caught:
            call()
        assert "row 300, column 4 is " + text in str(caught.value)


# Cycles and code that runs in between

def test_cycles_through_a_backbone_are_collected():
    arrays = dict(ARRAYS)
    marked = arrays["mean"].view(Subclass)
    arrays["mean"] = marked
    marked.owner = make_backbone(arrays=arrays)
    gone = weakref.ref(marked)
    assert gc.is_tracked(marked.owner)
    del arrays, marked
    gc.collect()
    assert gone() is None


def test_what_the_collector_sees():
    backbone, head = make_backbone(), _core.head((6, 3), 0)
    for item in (backbone, head):
        assert gc.is_tracked(item) and _core in gc.get_referents(item)
        assert (type(item) in gc.get_referents(item)) == (sys.version_info >= (3, 9))
    kept = [item for item in gc.get_referents(backbone) if isinstance(item, tuple)]
    assert len(kept) == 1 and any(array is ARRAYS["mean"] for array in kept[0])


class Altering(dict):
    """Arrays that change what is being read."""

    def __init__(self, alter):
        super().__init__(ARRAYS)
        self.alter = alter

    def __getitem__(self, name):
        value = super().__getitem__(name)
        self.alter()
        return value


def test_a_description_that_changes_while_it_is_read():
    nodes = [(name, op, inputs, dict(attributes)) for name, op, inputs, attributes in NODES]
    assert make_backbone(nodes=nodes, arrays=Altering(lambda: nodes.__delitem__(
        slice(None)))).run(IMAGES)[0].shape == (6, 1, 1, 8)
    attributes = dict(NODES[1][3], kernel="".join(["first", "/kernel"]))
    nodes = NODES[:1] + [(NODES[1][0], NODES[1][1], NODES[1][2], attributes)] + NODES[2:]
    make_backbone(nodes=nodes, arrays=Altering(attributes.clear))


def test_numbers_that_change_their_list():
    class Clearing(object):
        def __index__(self):
            strides.clear()
            return 2
    strides = [Clearing(), 2]
    nodes = NODES[:1] + [NODES[1][:3] + (dict(NODES[1][3], strides=strides),)] + NODES[2:]
    assert _core.infer_shapes(nodes, ARRAYS, 8, 8)[1] == (4, 4, 8)


def test_ranges_that_change_while_they_are_read():
    class Clearing(object):
        def __float__(self):
            ranges.clear()
            return 1.0
    backbone = make_backbone(precision="int8")
    ranges = [("".join(["re", "lu"]), Clearing(), True), ("sum", 2.0, True)]
    backbone.set_ranges(ranges)
    known = dict((name, value) for name, value, _ in backbone.ranges())
    assert known["sum"] == 2.0 and not ranges


def test_floats_are_no_whole_numbers():
    """Python's own conversion cuts them before 3.10."""
    for strides in ((2.0, 2), (2, 2.5), (np.float32(2), 2)):
        nodes = NODES[:1] + [NODES[1][:3] + (dict(NODES[1][3], strides=strides),)] + NODES[2:]
        with pytest.raises(TypeError, match="integer"):
            _core.infer_shapes(nodes, ARRAYS, 8, 8)
    with pytest.raises(TypeError, match="integer"):
        _core.head((2, 3.5), 0)
    with pytest.raises(ValueError, match="width is too large"):
        _core.head((2, 1 << 70), 0)


@pytest.mark.parametrize("outputs, part", [((1,), "an output is a tuple"), (("relu",), "tuple"),
                                           (((1, None),), "str"), ((("relu", 1),), "str")])
def test_bad_outputs(outputs, part):
    with pytest.raises(TypeError) as caught:
        make_backbone(outputs=outputs)
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 62 + "\u00e9", "b" + "\u20ac" * 300, "c" + "\u00e9" * 400])
def test_names_that_are_cut_within_a_character(name):
    nodes = [("input", "input", (), {"channels": 3}),
             (name, "conv2d", ("input",), {"kernel": "kernel"})]

    def make(channels):
        kernel = np.ones((3, 3, channels, 4), np.float32)
        return make_backbone(nodes=nodes, arrays={"kernel": kernel}, outputs=((name, None),))
    layers = [layer for layer, _, _ in make(3).steps()]
    assert layers and all(name.startswith(layer) and len(layer) > 20 for layer in layers)
    with pytest.raises(GraphError) as caught:
        make(5)
    assert name[:100] in str(caught.value)


# Several interpreters and imports

def python(code):
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=HOME,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output.decode().strip(), errors.decode()


def test_importing_again_and_again():
    code, output, errors = python("""
import gc, importlib, sys, weakref
import numpy as np
import gear_transfer
gone = []
for i in range(50):
    from gear_transfer import _core
    head = _core.head((2, 3), 0)
    assert head.predict(np.zeros((4, 2), np.float32), 1).shape == (4, 3)
    del sys.modules["gear_transfer._core"], gear_transfer._core
    gone.append(weakref.ref(_core))
del _core
assert head.predict(np.zeros((4, 2), np.float32), 1).shape == (4, 3)
del head
gc.collect()
print(sum(ref() is None for ref in gone))
""")
    assert code == 0, errors
    assert output == "50"


def test_in_another_interpreter():
    """NumPy refuses some interpreters; what counts is that nothing crashes."""
    code, output, errors = python("""
import sys
try:
    from _testcapi import run_in_subinterp
except ImportError:
    run_in_subinterp = exec
import numpy as np
from gear_transfer import _core
code = '''
import sys
sys.path[:] = {!r}
try:
    from gear_transfer import _core
    import numpy
    _core.head((2, 3), 0).predict(numpy.zeros((4, 2), numpy.float32), 1)
except ImportError:
    pass
'''.format(sys.path)
for i in range(3):
    assert not run_in_subinterp(code)
print(_core.head((2, 3), 0).predict(np.zeros((4, 2), np.float32), 1).shape)
""")
    assert code == 0, errors
    assert output == "(4, 3)"
