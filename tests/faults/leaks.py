"""Every function of the binding, and every way in which it refuses, over and over.

    python tests/faults/leaks.py [ROUNDS [NAME]]

For each of them ROUNDS times (default 10000): the resident memory must not grow by more than 1 MiB,
the number of Python's blocks of memory must not grow with the rounds, and no reference to an
argument may be kept. A line for each; the exit code is 1 after a failure. NAME is that of a group:
module, backbone (that are made), use (of a backbone) or head.
"""
import collections
import ctypes
import gc
import mmap
import os
import sys
import tempfile
import time

import numpy as np
from small import ARRAYS, NODES, make_backbone, pictures, samples

from gear_transfer import _core

LIMIT = 1 << 20
WARM_UP = 200

IMAGES = pictures(5)
FEATURES, LABELS = samples(30)


class Odd(object):
    """Fails where it is taken for a number, a sequence or an array."""

    def __array__(self, *arguments, **settings):
        raise RuntimeError("no array")

    def __index__(self):
        raise RuntimeError("no number")

    __float__ = __bool__ = __iter__ = __index__

    def __call__(self, *arguments):
        raise RuntimeError("no callback")


def change(name, **attributes):
    """The nodes with other attributes of one of them."""
    return [(node[0], node[1], node[2], dict(node[3], **attributes)) if node[0] == name else node
            for node in NODES]


def with_array(name, value):
    arrays = dict(ARRAYS)
    arrays[name] = value
    return arrays


def module_calls():
    yield "available_threads", _core.available_threads
    yield "engine_info", _core.engine_info
    yield "has_fast", lambda: _core.has_fast("bf16")
    yield "has_fast, unknown", lambda: _core.has_fast("half")
    yield "has_fast, no text", lambda: _core.has_fast(1)
    yield "int8_rounding", _core.int8_rounding
    yield "shuffle", lambda: _core.shuffle(50, 1, 2)
    yield "shuffle, negative", lambda: _core.shuffle(-1, 1, 2)
    yield "shuffle, no number", lambda: _core.shuffle(Odd(), 1, 2)
    yield "shuffle, too large", lambda: _core.shuffle(sys.maxsize, 1, 2)
    yield "infer_shapes", lambda: _core.infer_shapes(NODES, ARRAYS, 8, 8)
    yield "infer_shapes, arguments", lambda: _core.infer_shapes(1, colour=2)
    yield "infer_shapes, too small", lambda: _core.infer_shapes(NODES, ARRAYS, 0, 8)
    yield "infer_shapes, no sequence", lambda: _core.infer_shapes(1, ARRAYS, 8, 8)
    yield "infer_shapes, no size", lambda: _core.infer_shapes(NODES, ARRAYS, Odd(), 8)
    for kind in (type(make_backbone()), type(_core.head((2, 2), 0))):
        yield kind.__name__ + " made directly", kind


BAD_NODES = [
    ("not a tuple", [1]), ("short", [("input", "input")]), ("no sequence", Odd()),
    ("unknown operation", [("input", "wrong", (), {})]), ("twice", NODES[:1] + NODES[:1]),
    ("input missing", NODES[:1] + [("x", "relu", ("y",), {})]),
    ("input not a name", NODES[:1] + [("x", "relu", (1,), {})]),
    ("too many inputs", NODES[:1] + [("x", "add", ("input",) * 5000, {})]),
    ("attributes", [("input", "input", (), 1)]),
    ("array missing", change("first", kernel="nowhere")),
    ("array not a name", change("first", kernel=1)),
    ("array not hashable", change("first", kernel=[])),
    ("strides", change("first", strides=(1,))), ("strides no numbers", change(
        "first", strides=(Odd(), 1))), ("strides too large", change("first", strides=(1 << 40, 1))),
    ("strides no sequence", change("first", strides=Odd())),
    ("padding", change("first", padding="other")), ("padding short", change(
        "first", padding=(1, 1))), ("groups", change("first", groups=Odd())),
    ("epsilon", change("norm", epsilon=Odd())), ("max_value", change("relu", max_value=Odd())),
    ("count_include_padding", change("pool", count_include_padding=Odd())),
    ("channels", [("input", "input", (), {"channels": "3"})])]

BAD_ARRAYS = [
    ("no mapping", 1), ("list", with_array("mean", [0.0] * 8)),
    ("float64", with_array("mean", np.zeros(8))),
    ("scalar", with_array("mean", np.float32(1).reshape(()))),
    ("rank 5", with_array("mean", np.zeros((1,) * 5, np.float32))),
    ("length", with_array("mean", np.zeros(9, np.float32))),
    ("negative variance", with_array("variance", np.full(8, -1, np.float32))),
    ("short tuple", with_array("second/kernel", (1, 2))),
    ("scale", with_array("second/kernel", ARRAYS["second/kernel"][:1] + (Odd(), 0.0))),
    ("not bytes", with_array("second/kernel", (np.zeros((3, 3, 8, 8)), 1.0, 0.0)))]

BAD_SETTINGS = [
    ("threads", {"threads": 0}), ("threads too many", {"threads": 1 << 20}),
    ("sub_batch", {"sub_batch": -1}), ("precision", {"precision": "half"}),
    ("precision no text", {"precision": 1}), ("scale", {"scale": Odd()}),
    ("height", {"height": 0}), ("outputs", {"outputs": ()}), ("outputs list", {"outputs": []}),
    ("outputs many", {"outputs": (("relu", None),) * 65}), ("output", {"outputs": (1,)}),
    ("output layer", {"outputs": (("nowhere", None),)}), ("pooling no text", {
        "outputs": (("relu", 1),)}), ("pooling", {"outputs": (("relu", "wrong"),)}),
    ("pooling with weights", {"outputs": (("relu", "batch_norm"),)}), ("unknown", {"colour": 1})]


def mapped_kernel():
    """The first layer's kernel, as pages of a file that is mapped."""
    kernel = ARRAYS["first/kernel"]
    with tempfile.TemporaryFile() as stream:
        kernel.tofile(stream)
        stream.flush()
        pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, np.float32).reshape(kernel.shape)


def make_int8(ranges):
    backbone = make_backbone(precision="int8")
    backbone.set_ranges(ranges)
    return backbone


def backbone_calls():
    yield "backbone", make_backbone
    yield "backbone, used", lambda: make_backbone(threads=1).run(IMAGES)
    mapped = with_array("first/kernel", mapped_kernel())
    yield "backbone of a mapped file", lambda: make_backbone(arrays=mapped).run(IMAGES[:1])
    counted = change("pool", count_include_padding=True)
    yield "backbone that counts padding", lambda: make_backbone(nodes=counted)
    for name, nodes in BAD_NODES:
        yield "backbone, nodes: " + name, lambda nodes=nodes: make_backbone(nodes=nodes)
    for name, arrays in BAD_ARRAYS:
        yield "backbone, arrays: " + name, lambda arrays=arrays: make_backbone(arrays=arrays)
    for name, settings in BAD_SETTINGS:
        yield "backbone, " + name, lambda settings=settings: make_backbone(**settings)


def use_calls():
    backbone = make_backbone()
    yield "run", lambda: backbone.run(IMAGES)
    yield "run, one", lambda: backbone.run(IMAGES[:1])
    yield "run, none", lambda: backbone.run(IMAGES[:0])
    yield "run, copied", lambda: backbone.run(IMAGES[::-1, ::-1])
    read_only = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    yield "run, read only", lambda: backbone.run(read_only)
    yield "run, type", lambda: backbone.run(IMAGES.astype(np.float32))
    yield "run, rank", lambda: backbone.run(IMAGES[0])
    yield "run, shape", lambda: backbone.run(IMAGES[:, :4])
    yield "run, no array", lambda: backbone.run(Odd())
    yield "steps", backbone.steps
    yield "profile", lambda: backbone.profile(IMAGES[:2])
    calibrated = make_backbone(precision="int8")
    yield "calibrate", lambda: calibrated.calibrate(IMAGES)
    yield "calibrate, shape", lambda: calibrated.calibrate(IMAGES[0])
    yield "calibrate, too late", lambda: backbone.calibrate(IMAGES)
    unknown = make_backbone(precision="int8")
    yield "run, not calibrated", lambda: unknown.run(IMAGES)
    yield "steps, not calibrated", unknown.steps
    yield "profile, not calibrated", lambda: unknown.profile(IMAGES[:2])
    ranges = calibrated.ranges()
    yield "ranges", calibrated.ranges
    yield "set_ranges", lambda: calibrated.set_ranges(ranges)
    yield "backbone in int8", lambda: make_int8(ranges).run(IMAGES[:1])
    for name, given in [("no list", 1), ("no tuple", [1]), ("short", [("relu",)]),
                        ("no layer", [(1, 1.0, True)]), ("no number", [("relu", Odd(), True)]),
                        ("no truth", [("relu", 1.0, Odd())]), ("NaN", [("relu", np.nan, True)])]:
        yield "set_ranges, " + name, lambda given=given: calibrated.set_ranges(given)
    yield "profile, count", lambda: backbone.profile(IMAGES)


def head_calls():
    head = _core.head((6, 4, 3), 0)
    kernel, bias = np.zeros((6, 4), np.float32), np.zeros(4, np.float32)
    bad = np.full(FEATURES.shape, np.nan, np.float32)
    held_out = {"validation_features": FEATURES, "validation_labels": LABELS}
    yield "head", lambda: _core.head((6, 4, 3), 0)
    for widths in ((), (1,), (1, 0), (1, Odd()), (1 << 70, 2), (1 << 62, 1 << 62), (2,) * 20,
                   [2, 2]):
        yield "head, widths {}".format(widths), lambda widths=widths: _core.head(widths, 0)
    yield "head, seed", lambda: _core.head((6, 3), Odd())
    yield "head, no memory", lambda: _core.head((1 << 30, 1 << 30), 0)
    yield "train", lambda: head.train(FEATURES, LABELS)
    yield "train, everything", lambda: head.train(
        FEATURES, LABELS, mean=np.zeros(6), inverse_deviation=np.ones(6), class_weights=np.ones(3),
        callback=lambda *values: values[0] == 0, **held_out)
    yield "train on some rows", lambda: head.train(FEATURES, LABELS[:20], rows=np.arange(20))
    yield "standardisation", lambda: head.standardisation(FEATURES, 2)
    yield "standardisation of some rows", lambda: head.standardisation(FEATURES, 1, np.arange(9))
    yield "train, callback fails", lambda: head.train(FEATURES, LABELS, callback=Odd())
    yield "train, answer fails", lambda: head.train(FEATURES, LABELS, callback=lambda *_: Odd())
    yield "train, callback trains", lambda: head.train(
        FEATURES, LABELS, callback=lambda *_: head.train(FEATURES, LABELS))
    for name, use in [
            ("predict", lambda: head.predict(FEATURES, 1)), ("get_layers", head.get_layers),
            ("loss_gradient", lambda: head.loss_gradient(FEATURES, LABELS)),
            ("fold_scaling", lambda: head.fold_scaling(None, None)),
            ("set_layer", lambda: head.set_layer(0, kernel, bias))]:
        yield name + ", while training", lambda use=use: head.train(
            FEATURES, LABELS, callback=lambda *_: use())
    for name, use in [("train", head.train), ("predict", head.predict),
                      ("loss_gradient", head.loss_gradient), ("fold_scaling", head.fold_scaling),
                      ("standardisation", head.standardisation), ("set_layer", head.set_layer), ("get_layers", head.get_layers)]:
        yield name + ", arguments", lambda use=use: use(1, colour=2)
    for name, value in [("mean", np.zeros(5)), ("inverse_deviation", np.zeros((6, 1))),
                        ("class_weights", np.full(3, -1.0)), ("optimizer", "other"),
                        ("schedule", "other"), ("learning_rate", -1.0), ("threads", 0),
                        ("epochs", Odd()), ("colour", 1), ("validation_features", FEATURES),
                        ("mean", Odd()), ("mean", np.full(6, np.inf))]:
        yield "train, " + name, lambda pair=(name, value): head.train(
            FEATURES, LABELS, **dict([pair]))
    for name, pair in [("features", (FEATURES[:, :5], LABELS)), ("rank", (FEATURES[0], LABELS)),
                       ("labels", (FEATURES, LABELS[1:])), ("label", (FEATURES, LABELS + 1)),
                       ("type", (FEATURES, FEATURES[:, 0])), ("NaN", (bad, LABELS)),
                       ("no array", (Odd(), LABELS)), ("no labels", (FEATURES, Odd()))]:
        yield "train, " + name, lambda pair=pair: head.train(*pair)
        yield "loss_gradient, " + name, lambda pair=pair: head.loss_gradient(*pair)
    yield "loss_gradient", lambda: head.loss_gradient(FEATURES, LABELS)
    yield "loss_gradient, colour", lambda: head.loss_gradient(FEATURES, LABELS, colour=1)
    yield "predict", lambda: head.predict(FEATURES, 2)
    yield "predict, logits", lambda: head.predict(FEATURES.astype(float), 1, logits=True)
    for name, array in [("width", FEATURES[:, :2]), ("NaN", bad), ("none", FEATURES[:0]),
                        ("no array", Odd()), ("type", FEATURES.astype(complex))]:
        yield "predict, " + name, lambda array=array: head.predict(array, 1)
    yield "predict, threads", lambda: head.predict(FEATURES, 0)
    for name, rows in [("beyond", np.array([0, 30])), ("negative", np.array([-1, 0])),
                       ("no integers", np.zeros(2)), ("narrow", np.zeros(2, np.int32)),
                       ("rank", np.zeros((1, 2), int)), ("no array", Odd()),
                       ("none", np.zeros(0, int))]:
        yield "train, rows: " + name, lambda rows=rows: head.train(FEATURES, LABELS[:2], rows=rows)
        yield "standardisation, rows: " + name, lambda rows=rows: head.standardisation(
            FEATURES, 1, rows)
    for name, array in [("width", FEATURES[:, :2]), ("NaN", bad), ("no array", Odd()),
                        ("rank", FEATURES[0])]:
        yield "standardisation, " + name, lambda array=array: head.standardisation(array, 1)
    yield "standardisation, threads", lambda: head.standardisation(FEATURES, 0)
    yield "fold_scaling", lambda: head.fold_scaling(np.zeros(6), np.ones(6))
    yield "fold_scaling, none", lambda: head.fold_scaling(None, None)
    yield "fold_scaling, length", lambda: head.fold_scaling(np.zeros(6), np.ones(5))
    yield "fold_scaling, no array", lambda: head.fold_scaling(Odd(), None)
    yield "fold_scaling, infinite", lambda: head.fold_scaling(np.full(6, np.inf), None)
    yield "get_layers", head.get_layers
    yield "set_layer", lambda: head.set_layer(0, kernel, bias)
    yield "set_layer, kernel only", lambda: head.set_layer(0, kernel, None)
    for name, values in [("index", (2, kernel, bias)), ("kernel", (0, kernel.T, bias)),
                         ("bias", (0, kernel, bias[1:])), ("NaN", (0, kernel + np.nan, bias)),
                         ("no array", (0, Odd(), bias)), ("no bias", (0, kernel, Odd()))]:
        yield "set_layer, " + name, lambda values=values: head.set_layer(*values)


GROUPS = collections.OrderedDict([("module", module_calls), ("backbone", backbone_calls),
                                  ("use", use_calls), ("head", head_calls)])


def calls(group=None):
    """(name, call) of all, or of one group."""
    for name in [group] if group else GROUPS:
        for item in GROUPS[name]():
            yield item


def must_succeed(name):
    return "," not in name and not name.endswith("directly")


def attempt(call):
    """Call it; the type of what it raised, or None."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None


trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)


def resident():
    """Bytes of memory in use, after what can be given back was."""
    gc.collect()
    trim(0)
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def references():
    """Counts of references to the arguments that the calls share."""
    shared = [NODES, ARRAYS, IMAGES, FEATURES, LABELS, _core]
    shared += NODES + list(ARRAYS.values()) + [node[3] for node in NODES]
    return [sys.getrefcount(item) for item in shared]


def measure(call, rounds):
    """(what it raises, growth in bytes, blocks and references kept)."""
    raised = attempt(call)
    for _ in range(min(WARM_UP, rounds)):
        attempt(call)
    counts, before = references(), resident()
    blocks = sys.getallocatedblocks()
    for _ in range(rounds):
        attempt(call)
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    kept = sum(abs(a - b) for a, b in zip(references(), counts))
    return raised, resident() - before, blocks, kept


def main(rounds=10000, group=None):
    start = time.time()
    failed, outcomes, largest = 0, collections.Counter(), 0
    for name, call in calls(group):
        raised, growth, blocks, kept = measure(call, rounds)
        if growth > LIMIT or blocks > rounds // 2:  # a cache that filled up, or a leak: that goes on
            raised, growth, blocks, kept = measure(call, rounds)
        bad = (growth > LIMIT or blocks > rounds // 2 or kept > 0 or raised == "SystemError"
               or (raised is not None and must_succeed(name)))
        failed += bad
        outcomes[raised or "success"] += 1
        largest = max(largest, growth)
        print("{:<44} {:<16} {:>8} KiB {:>4} blocks {:>4} references{}".format(
            name[:44], raised or "success", growth // 1024, blocks, kept, "  BAD" if bad else ""))
    print("{} calls, {} rounds each: {}; largest growth {} KiB, {} bad; {:.0f} s".format(
        sum(outcomes.values()), rounds, dict(outcomes), largest // 1024, failed,
        time.time() - start))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*[int(sys.argv[1])] + sys.argv[2:3]) if len(sys.argv) > 1 else main())
