"""What the jobs that train a head have in common: one epoch on the same features.

    head_NAME.py SAMPLES FEATURES CLASSES BATCH EPOCHS THREADS

The arithmetic is the same for all: standardised features in an order drawn anew for each epoch, a
dense layer with softmax, cross-entropy with an L2 penalty on the kernel, Adam with 0.001, float32.
"""
import json
import resource
import sys
import time

import numpy as np

L2 = 0.005
RATE = 0.001

#: Rows that are drawn; the features are these over and over.
DRAWN = 10000


def settings():
    """SAMPLES, FEATURES, CLASSES, BATCH, EPOCHS and THREADS."""
    return [int(text) for text in sys.argv[1:]]


def make(samples, width, classes):
    """Features float32 (samples, width) and labels int64 (samples,)."""
    random = np.random.RandomState(0)
    drawn = random.standard_normal((min(DRAWN, samples), width)).astype(np.float32) * 3 + 1
    features = np.empty((samples, width), np.float32)
    for start in range(0, samples, len(drawn)):
        part = features[start:start + len(drawn)]
        part[:] = drawn[:len(part)]
    return features, np.arange(samples) % classes


def report(fit, predict, **more):
    """Time both calls, and the memory up to the end of the first; print the last line of output."""
    started = time.perf_counter()
    fit()
    fitted = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    started = time.perf_counter()
    predict()
    print(json.dumps(dict(more, fit=fitted, predict=time.perf_counter() - started,
                          peak_mb=peak_mb)))
