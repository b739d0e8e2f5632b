"""Inception V3 in Keras with the weights of a file, and predictions of a folder of images."""
import os

import keras
import numpy as np
from keras.applications.inception_v3 import preprocess_input

SIZE = (299, 299)


def frozen_base(weights, pooling=None, size=SIZE):
    """The network without its classifier, not to be trained."""
    base = keras.applications.InceptionV3(weights=None, include_top=False, pooling=pooling,
                                          input_shape=size + (3,))
    base.load_weights(weights)
    base.trainable = False
    return base


def read_folder(folder):
    """The images of a folder, sorted by name, as the network wants them."""
    images = [keras.utils.img_to_array(keras.utils.load_img(os.path.join(folder, name),
                                                            target_size=SIZE))
              for name in sorted(os.listdir(folder))]
    return preprocess_input(np.stack(images))


def most_probable(probabilities, classes):
    """Class names of the largest probabilities."""
    return [classes[index] for index in np.argmax(probabilities, axis=1)]
