"""The whole job in Keras as the sample notebook does it.

    keras_sample.py FOLDER NEW_IMAGES MODEL WEIGHTS

The steps of "04 - Transfer Learning (Keras)": ImageDataGenerator with 30 % held back, batches of
15, a frozen base, Flatten, one dense layer, Adam with 0.001, two epochs in which every photograph
goes through the base again. Inception V3 with its own input size and scaling stands in for VGG16.
"""
import sys

from stages import Stages

stages = Stages()

import keras  # noqa: E402
from keras.applications.inception_v3 import preprocess_input  # noqa: E402
from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: E402

from keras_inception import SIZE, frozen_base, most_probable, read_folder  # noqa: E402

BATCH = 15
EPOCHS = 2

folder, new_images, model_path, weights = sys.argv[1:]
stages.done("import")

base = frozen_base(weights)
stages.done("load the base")

generator = ImageDataGenerator(preprocessing_function=preprocess_input, validation_split=0.3)
training, validation = [
    generator.flow_from_directory(folder, target_size=SIZE, batch_size=BATCH,
                                  class_mode="categorical", subset=subset)
    for subset in ("training", "validation")]
classes = sorted(training.class_indices)

outputs = keras.layers.Dense(len(classes), activation="softmax")(
    keras.layers.Flatten()(base.output))
model = keras.Model(base.input, outputs)
model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.001),
              metrics=["accuracy"])
history = model.fit(training, steps_per_epoch=max(1, training.samples // BATCH),
                    validation_data=validation,
                    validation_steps=max(1, validation.samples // BATCH), epochs=EPOCHS, verbose=2)
stages.done("train, {} epochs".format(EPOCHS))

predicted = most_probable(model.predict(read_folder(new_images), verbose=0), classes)
stages.done("predict five")
model.save(model_path + ".keras")
stages.done("save")
stages.report(history.history["val_accuracy"][-1], predicted)
