"""Small Keras HDF5 files for the tests, written with h5py alone."""
import json

import h5py
import numpy as np


def layer(kind, name, inputs=(), **config):
    """One entry of a Keras 2 model_config; an input is a name or (name, call number)."""
    config["name"] = name
    inbound = [[item, 0, 0, {}] if isinstance(item, str) else [item[0], item[1], 0, {}]
               for item in inputs]
    return {"class_name": kind, "name": name, "config": config,
            "inbound_nodes": [inbound] if inbound else []}


def image(height=8, width=8, channels=3, name="input_1"):
    return layer("InputLayer", name, batch_input_shape=[None, height, width, channels])


def conv(name, source, filters=4, size=3, **config):
    settings = {"filters": filters, "kernel_size": [size, size], "strides": [1, 1],
                "padding": "same", "use_bias": False, "activation": "linear"}
    settings.update(config)
    return layer("Conv2D", name, [source], **settings)


def model_config(layers, kind="Model", outputs=None):
    settings = {"name": "small", "layers": layers}
    if kind != "Sequential":
        settings["output_layers"] = [[name, 0, 0] for name in outputs or [layers[-1]["name"]]]
    return {"class_name": kind, "config": settings}


def write_weights(group, weights, suffix=":0"):
    """`weights`: list of (layer, {weight name: array}); an empty dict for layers without."""
    group.attrs["layer_names"] = [name.encode() for name, _ in weights]
    group.attrs["keras_version"] = b"2.2.4"
    for name, arrays in weights:
        inner = group.create_group(name)
        paths = ["{}/{}{}".format(name, key, suffix) for key in sorted(arrays)]
        inner.attrs["weight_names"] = [path.encode() for path in paths]
        for key, path in zip(sorted(arrays), paths):
            inner.create_dataset(path, data=arrays[key])


def write_model(path, config, weights, **options):
    """A whole saved model; `config` a dictionary or the raw text."""
    with h5py.File(str(path), "w") as stream:
        text = config if isinstance(config, str) else json.dumps(config)
        stream.attrs["model_config"] = text.encode()
        write_weights(stream.create_group("model_weights"), weights, **options)
    return str(path)


def small_weights():
    """Weights of `small_model`."""
    random = np.random.RandomState(3)

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    return [("conv", {"kernel": normal(3, 3, 3, 4), "bias": normal(4)}),
            ("norm", {"gamma": normal(4), "beta": normal(4), "moving_mean": normal(4),
                      "moving_variance": normal(4) ** 2}),
            ("top", {"kernel": normal(4, 2), "bias": normal(2)})]


def small_layers():
    """Convolution, normalisation, pool, dropout and a dense top with softmax."""
    return [image(),
            conv("conv", "input_1", use_bias=True, activation="relu"),
            layer("BatchNormalization", "norm", ["conv"], axis=3, epsilon=0.001),
            layer("GlobalAveragePooling2D", "pool", ["norm"]),
            layer("Dropout", "drop", ["pool"], rate=0.5),
            layer("Dense", "top", ["drop"], units=2, activation="softmax")]


def small_model(path):
    return write_model(path, model_config(small_layers()), small_weights())
