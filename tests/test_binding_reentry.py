"""Code of the caller that runs while the binding reads its arguments or trains."""
import gc
import math
import operator
import os
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from conftest import ROOT
from gear_transfer import _core

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))

from small import ARRAYS, make_backbone, pictures, samples  # noqa: E402

FEATURES, LABELS = samples(64)


# Objects that are borrowed from what code alters

class Clearing(object):
    """Empties what it stands in and counts who holds it then."""

    def __init__(self, *values):
        self.values, self.place, self.holders = values, None, None

    def clear(self):
        self.place.clear()
        self.holders = sys.getrefcount(self)

    def __iter__(self):
        self.clear()
        return iter(self.values)

    def __float__(self):
        self.clear()
        return 0.5

    def __index__(self):
        self.clear()
        return 1

    def __bool__(self):
        self.clear()
        return True


def holders_in_python(convert, *values):
    """How many hold such an object while a function in C of one argument converts it."""
    items = [Clearing(*values)]
    items[0].place = items
    kept = weakref.ref(items[0])
    holders = []
    items[0].clear = lambda: (items.clear(), holders.append(sys.getrefcount(kept())))
    convert(items[0])
    return holders[0]


@pytest.mark.parametrize("name, convert, values", [
    ("strides", [].extend, (1, 1)), ("dilations", [].extend, (1, 1)),
    ("pool_size", [].extend, (1, 1)), ("padding", [].extend, (0, 0, 0, 0)),
    ("epsilon", math.sqrt, ()), ("max_value", math.sqrt, ()), ("groups", operator.index, ()),
    ("count_include_padding", operator.truth, ())])
def test_attributes_are_held_while_they_are_read(name, convert, values):
    item = Clearing(*values)
    attributes = {name: item}
    item.place, kept, holders = attributes, weakref.ref(item), []
    item.clear = lambda: (attributes.clear(), holders.append(sys.getrefcount(kept())))
    op = "clip" if name == "max_value" else "max_pool"
    nodes = [("input", "input", (), {"channels": 3}), ("layer", op, ("input",), attributes)]
    del item
    _core.infer_shapes(nodes, {}, 8, 8)
    assert holders == [holders_in_python(convert, *values)]
    assert kept() is None


class Remembered(np.ndarray):
    """Of which weak references can be made."""


class Emptying(object):
    """Features that empty every dictionary with those labels before they are read."""

    def __init__(self, labels):
        self.labels, self.alive = labels, None

    def __array__(self, *unused, **also_unused):
        for item in gc.get_objects():
            if type(item) is dict and item.get("labels") is self.labels():
                item.clear()
        self.alive = self.labels() is not None
        return FEATURES


@pytest.mark.parametrize("call", ["train", "loss_gradient"])
def test_keywords_are_held_while_they_are_read(call):
    """Before Python 3.9 they can be the caller's own dictionary."""
    labels = LABELS.copy().view(Remembered)
    features = Emptying(weakref.ref(labels))
    keywords = {"features": features, "labels": labels}
    del labels
    getattr(_core.head((6, 3), 0), call)(**keywords)
    assert features.alive and not keywords


class EmptyingArrays(object):
    """Arrays that nobody else holds; empties every list that has the last one."""

    def __init__(self):
        self.given = []

    def __getitem__(self, name):
        for item in gc.get_objects():
            if type(item) is list and self.given and any(
                    element is self.given[-1]() for element in item):
                del item[:]
        assert all(array() is not None for array in self.given)
        value = ARRAYS[name]
        if isinstance(value, tuple):
            return (value[0].copy(),) + value[1:]
        array = value.copy().view(Remembered)
        self.given.append(weakref.ref(array))
        return array


def test_arrays_are_held_while_others_are_read():
    arrays = EmptyingArrays()
    images = pictures(3)
    results = make_backbone(arrays=arrays).run(images)
    assert len(arrays.given) == 5
    for ours, plain in zip(results, make_backbone().run(images)):
        np.testing.assert_array_equal(ours, plain)


# Arrays that are altered

def settings(**changes):
    given = {"features": FEATURES, "labels": LABELS.copy(), "epochs": 4,
             "rows": np.arange(64), "mean": np.zeros(6, np.float32),
             "inverse_deviation": np.ones(6, np.float32), "class_weights": np.ones(3, np.float32),
             "validation_features": FEATURES, "validation_labels": LABELS.copy()}
    given.update(changes)
    return given


def train(alter=None, **given):
    """The weights and losses of a training in which a callback alters an array."""
    head, losses = _core.head((6, 3), 0), []

    def callback(*numbers):
        losses.append(numbers)
        if alter is not None:
            given[alter][...] = 2
    head.train(callback=callback, **given)
    return [losses] + [array for layer in head.get_layers() for array in layer]


@pytest.mark.parametrize("name", ["labels", "rows", "mean", "inverse_deviation", "class_weights",
                                  "validation_labels"])
def test_a_callback_alters_what_was_checked(name):
    for ours, plain in zip(train(name, **settings()), train(**settings())):
        np.testing.assert_array_equal(ours, plain)


class Flattening(np.ndarray):
    """Flattens what is made of it."""

    def __array_finalize__(self, other):
        if ARMED and self.ndim == 2:
            self.shape = (self.size,)


ARMED = []


def armed(call):
    ARMED.append(True)
    try:
        return call()
    finally:
        del ARMED[:]


def test_no_code_of_a_subclass_runs():
    head = _core.head((6, 3), 0)
    odd = FEATURES.astype(np.float64).view(Flattening)
    np.testing.assert_array_equal(armed(lambda: head.predict(odd, 1)), head.predict(FEATURES, 1))
    kernel = np.zeros((3, 6), np.float32).T.view(Flattening)
    armed(lambda: head.set_layer(0, kernel, None))
    assert not head.get_layers()[0][0].any()


def test_weights_of_a_subclass_that_flattens_copies():
    nodes = [("input", "input", (), {"channels": 1}),
             ("pool", "global_average_pool", ("input",), {}),
             ("dense", "dense", ("pool",), {"kernel": "kernel"})]
    arrays = {"kernel": np.zeros((1, 10), np.float32)[:, ::2].view(Flattening)}
    assert armed(lambda: _core.infer_shapes(nodes, arrays, 8, 8))[2] == (1, 1, 5)


def test_a_class_that_calls_itself_mmap():
    """Pages of a mapped file are given back after use; other memory would be zeroed by that."""
    kernel = np.ones((3, 3, 64, 256), np.float32)
    lent = np.frombuffer(type("mmap.mmap", (bytes,), {})(kernel.tobytes()), np.float32)
    nodes = [("input", "input", (), {"channels": 64}),
             ("c", "conv2d", ("input",), {"kernel": "k"})]
    backbone = _core.backbone(nodes, {"k": lent.reshape(kernel.shape)}, 8, 8, (("c", None),), 1, 1,
                              1.0, 0.0, "float32")
    backbone.run(np.ones((1, 8, 8, 64), np.uint8))
    assert (lent == 1).all()


# A head that is put to use in between

class Busy(object):
    """An array that begins a training of the head before it is read."""

    def __init__(self, head, array):
        self.head, self.array, self.ends, self.epochs = head, array, False, 0

    def callback(self, *unused):
        self.epochs += 1
        return self.ends

    def train(self):
        random = np.random.RandomState(0)
        self.head.train(random.normal(0, 1, (2000, 6)).astype(np.float32),
                        (np.arange(2000) % 3).astype(np.int32), epochs=10 ** 6,
                        callback=self.callback)

    def __array__(self, *unused, **also_unused):
        self.thread = threading.Thread(target=self.train)
        self.thread.start()
        while self.epochs < 3:
            time.sleep(0.001)
        return self.array

    def end(self):
        self.ends = True
        self.thread.join()


@pytest.mark.parametrize("array, call", [
    (FEATURES, lambda head, busy: head.train(busy, LABELS)),
    (FEATURES, lambda head, busy: head.loss_gradient(busy, LABELS)),
    (FEATURES, lambda head, busy: head.predict(busy, 1)),
    (np.zeros((6, 3), np.float32), lambda head, busy: head.set_layer(0, busy, None)),
    (np.zeros(3, np.float32), lambda head, busy: head.set_layer(0, np.zeros((6, 3)), busy)),
    (np.zeros(6, np.float32), lambda head, busy: head.fold_scaling(busy, None))])
def test_a_training_that_begins_while_arguments_are_read(array, call):
    head = _core.head((6, 3), 0)
    busy = Busy(head, array)
    try:
        with pytest.raises(RuntimeError, match="in use by another thread"):
            call(head, busy)
    finally:
        busy.end()
    head.predict(FEATURES, 1)


def test_weights_are_copied_at_one_moment():
    """The collector can run code whenever something is made."""
    head = _core.head((6, 4, 3), 0)
    shapes = [(6, 4), (4, 3)]

    def set_all(value):
        for layer, shape in enumerate(shapes):
            head.set_layer(layer, np.full(shape, value, np.float32),
                           np.full(shape[1], value, np.float32))
    values = iter(range(1, 10 ** 6))

    def collected(phase, unused):
        if phase == "stop":
            set_all(next(values))
    set_all(0)
    threshold = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        copies = [head.get_layers() for _ in range(50)]
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)
    for layers in copies:
        assert len(set(number for layer in layers for array in layer for number in array.flat)) == 1

