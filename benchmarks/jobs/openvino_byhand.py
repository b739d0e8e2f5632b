"""The whole job with OpenVINO and scikit-learn, as one would write it by hand.

    openvino_byhand.py FOLDER NEW_IMAGES MODEL NETWORK.onnx [SIZE]

Pillow in a thread a processor, OpenVINO's own choices for throughput (bf16 where the processor has
it) on requests of four photographs, logistic regression on standardised features. The network is
given as a file that OpenVINO reads; SIZE is the side of its images, 299 if it is not given. An
expert gives a small network and its size, and the network in 8 bits where that is faster.
"""
import os
import sys

from stages import Stages

stages = Stages()

from concurrent.futures import ThreadPoolExecutor  # noqa: E402

import joblib  # noqa: E402
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

BATCH = 4

folder, new_images, model_path, network = sys.argv[1:5]
SIZE = int(sys.argv[5]) if sys.argv[5:] else 299
stages.done("import")

core = ov.Core()
model = core.read_model(network)
model.reshape([-1, SIZE, SIZE, 3])
compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
stages.done("load the network")


def read(path):
    with Image.open(path) as image:
        image.draft("RGB", (SIZE, SIZE))  # JPEG is decoded at a fraction of its size
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE)))


def read_all(paths):
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return np.stack(list(pool.map(read, paths)))


def features(images):
    """The network's global averages (n, channels)."""
    parts = {}
    queue = ov.AsyncInferQueue(compiled)
    queue.set_callback(lambda request, start: parts.update(
        {start: request.get_output_tensor(0).data.copy()}))
    for start in range(0, len(images), BATCH):
        queue.start_async([images[start:start + BATCH]], start)
    queue.wait_all()
    return np.concatenate([parts[start] for start in sorted(parts)])


classes = sorted(os.listdir(folder))
paths = [os.path.join(folder, name, file) for name in classes
         for file in sorted(os.listdir(os.path.join(folder, name)))]
labels = [os.path.basename(os.path.dirname(path)) for path in paths]
images = read_all(paths)
stages.done("read the photographs")
found = features(images)
stages.done("features")
training, held_out, training_labels, held_out_labels = train_test_split(
    found, labels, test_size=0.1, stratify=labels, random_state=0)
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
classifier.fit(training, training_labels)
accuracy = classifier.score(held_out, held_out_labels)
stages.done("train the head")
predicted = classifier.predict(features(read_all(
    [os.path.join(new_images, name) for name in sorted(os.listdir(new_images))])))
stages.done("predict five")
joblib.dump(classifier, model_path + ".joblib")
stages.done("save")
stages.report(accuracy, predicted)
