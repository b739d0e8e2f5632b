"""The whole job in Keras, features computed once.

    keras_features.py FOLDER NEW_IMAGES MODEL WEIGHTS

Keras's own reader of folders on TensorFlow's threads, global average pooling, and a dense layer
that is trained on the features of 70 % of the photographs.
"""
import sys

from stages import Stages

stages = Stages()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.applications.inception_v3 import preprocess_input  # noqa: E402

from keras_inception import SIZE, frozen_base, most_probable, read_folder  # noqa: E402

BATCH = 32
EPOCHS = 20

folder, new_images, model_path, weights = sys.argv[1:]
stages.done("import")

base = frozen_base(weights, pooling="avg")
stages.done("load the base")

sets = keras.utils.image_dataset_from_directory(
    folder, image_size=SIZE, batch_size=BATCH, label_mode="int", validation_split=0.3,
    subset="both", seed=0, shuffle=True)
classes = sets[0].class_names


def features_and_labels(images):
    """Features (n, 2048) and labels (n,) of a set, each photograph read once."""
    parts = [(base.predict_on_batch(preprocess_input(pixels.numpy())), labels.numpy())
             for pixels, labels in images.prefetch(2)]
    return [np.concatenate(column) for column in zip(*parts)]


training = features_and_labels(sets[0])
validation = features_and_labels(sets[1])
stages.done("features")

head = keras.Sequential([keras.Input((training[0].shape[1],)),
                         keras.layers.Dense(len(classes), activation="softmax")])
head.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(0.001),
             metrics=["accuracy"])
history = head.fit(*training, validation_data=tuple(validation), batch_size=BATCH, epochs=EPOCHS,
                   verbose=0)
stages.done("train the head, {} epochs".format(EPOCHS))

model = keras.Model(base.input, head(base.output))
predicted = most_probable(model.predict(read_folder(new_images), verbose=0), classes)
stages.done("predict five")
model.save(model_path + ".keras")
stages.done("save")
stages.report(history.history["val_accuracy"][-1], predicted)
