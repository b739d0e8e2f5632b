"""A whole classifier, photographs to labels, that trains in a second."""
import numpy as np

from gear_transfer import TransferClassifier


def photographs(count, seed=0):
    """Noise of three colours, uint8 (64, 64, 3) each, and their labels."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 3
    images = []
    for label in labels:
        image = random.randint(0, 120, (64, 64, 3)).astype(np.uint8)
        image[:, :, label] += 120
        images.append(image)
    return images, np.array(["red", "green", "blue"])[labels]


def trained_model(threads=2):
    images, labels = photographs(24)
    model = TransferClassifier(layer="mixed0", input_size=64, threads=threads, cache=False,
                               epochs=5, validation_fraction=0, precision="float32")
    return model.fit(images, labels)
