"""Features by Keras on TensorFlow, in float32; see worker.py."""
from worker import serve


def build(settings):
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    import keras
    from keras_inception import frozen_base
    size = (settings["size"], settings["size"])
    base = frozen_base(settings["model"], size=size)
    tapped = keras.Model(base.input, base.get_layer(settings["layer"]).output)
    inputs = keras.Input(size + (3,), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    outputs = keras.layers.GlobalAveragePooling2D()(tapped(scaled))
    return keras.Model(inputs, outputs).predict_on_batch


serve(build)
