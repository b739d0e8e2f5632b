"""What the workers have in common: settings in, requests answered one line of JSON each.

A worker script calls `serve` with a function that takes the settings and returns another, from
uint8 images (n, height, width, 3) to their features (n, d). Settings: images (the npz with
images_uint8), size, batch, threads, and what the engine needs: model, layer, mode, precision.
"""
import json
import os
import sys
import time


def serve(build):
    """Answer requests until there are no more.

    {"calls": n}: run the batch n times; {"seconds": all of them, "processor_seconds": of all threads}.
    {"save": path}: write the features of the batch there, as npy.
    {"check": path, "key": name or null}: {"error": the largest difference from the features in that
    npz or npy, relative to the largest of them, "cosine": the least of an image}.
    """
    settings = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):
        # The same processors for every engine, before it looks how many there are.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:settings["threads"]])
    # Whatever an engine prints shall not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        features = build(settings)
    except NotImplementedError as error:
        answer(unable=str(error))
        return
    images = _batch(settings)
    features(images)
    answer(ready=True)
    for line in sys.stdin:
        answer(**_reply(json.loads(line), features, images))


def _batch(settings):
    """A batch of the photographs, over and over, the upper left corner if the size is smaller."""
    import numpy as np
    with np.load(settings["images"]) as stored:
        images = stored["images_uint8"]
    chosen = np.arange(settings["batch"]) % len(images)
    return np.ascontiguousarray(images[chosen, :settings["size"], :settings["size"]])


def _reply(request, features, images):
    import numpy as np
    if "calls" in request:
        started, processor = time.perf_counter(), time.process_time()
        for _ in range(request["calls"]):
            features(images)
        return {"seconds": time.perf_counter() - started,
                "processor_seconds": time.process_time() - processor}
    if "save" in request:
        np.save(request["save"], features(images))
        return {}
    stored = np.load(request["check"])
    expected = stored if request["key"] is None else stored[request["key"]]
    expected = expected[np.arange(len(images)) % len(expected)]
    found = np.asarray(features(images), np.float64)
    cosines = (found * expected).sum(axis=1) / (
        np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1))
    return {"error": float(abs(found - expected).max() / abs(expected).max()),
            "cosine": float(cosines.min())}
