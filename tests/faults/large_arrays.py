"""Arrays of more than 2^31 elements: the right answer.

    python tests/faults/large_arrays.py

Images that all are views of one, more than 2^31 bytes of them, through a small network; features
of more than 2^31 numbers through a head. Needs about 3 GB for the first and 10 GB for the second,
which is left out where less is free. The exit code is 1 after a wrong answer.
"""
import sys
import time

import numpy as np
from small import ARRAYS, NODES

from gear_transfer import _core

EDGE = 1024
COUNT = 700  # x 1024 x 1024 x 3 > 2^31


def free_memory():
    """Bytes that can be had."""
    with open("/proc/meminfo") as stream:
        lines = dict(line.split(":") for line in stream)
    return int(lines["MemAvailable"].split()[0]) * 1024


def images():
    """COUNT views of one image."""
    few = np.random.RandomState(0).randint(0, 256, (1, EDGE, EDGE, 3)).astype(np.uint8)
    many = np.broadcast_to(few[0], (COUNT,) + few.shape[1:])
    backbone = _core.backbone(NODES[:1], ARRAYS, EDGE, EDGE, (("input", "global_max_pool"),), 2, 4,
                              1.0, 0.0, "float32")
    start = time.time()
    result = backbone.run(many)[0]
    good = many.size > 1 << 31 and np.array_equal(
        result, np.broadcast_to(backbone.run(few)[0], result.shape))
    print("{} bytes of images: {}; {:.1f} s".format(
        many.size, "the right answer" if good else "WRONG", time.time() - start))
    return good


def features():
    """More than 2^31 numbers, where only the last row differs from the others."""
    width, rows = 1 << 16, (1 << 15) + 1
    if free_memory() < 12 << 30:
        print("features of more than 2^31 numbers: left out, less than 12 GB of memory is free")
        return True
    start = time.time()
    head = _core.head((width, 3), 0)
    few = np.random.RandomState(0).normal(0, 1, (2, width)).astype(np.float32)
    many = np.empty((rows, width), np.float32)
    many[:] = few[0]
    many[-1] = few[1]
    result = head.predict(many, 2)
    wanted = head.predict(few, 1)
    good = many.size > 1 << 31 and np.allclose(result[:-1], wanted[0], atol=1e-5) and np.allclose(
        result[-1], wanted[1], atol=1e-5)
    many[-1, 5] = np.nan
    try:
        head.predict(many, 2)
        good = False
    except ValueError as error:
        good = good and "row {}, column 5 is NaN".format(rows - 1) in str(error)
    print("{} features: {}; {:.1f} s".format(
        many.size, "the right answer" if good else "WRONG", time.time() - start))
    return good


if __name__ == "__main__":
    sys.exit(0 if images() and features() else 1)
