"""Small Keras files for the tests, written with h5py and zipfile alone."""
import io
import json
import zipfile

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


def tensor(name, call=0, number=0):
    """A tensor as Keras 3 writes it."""
    return {"class_name": "__keras_tensor__",
            "config": {"shape": [None, 8, 8, 3], "keras_history": [name, call, number]}}


def layer_3(kind, name, args=(), module="keras.layers", kwargs=None, **config):
    """One entry of a Keras 3 configuration; `args` of its one call: names, lists of names, numbers."""
    def argument(item):
        if isinstance(item, list):
            return [argument(part) for part in item]
        return tensor(item) if isinstance(item, str) else item

    config["name"] = name
    calls = [{"args": [argument(item) for item in args], "kwargs": kwargs or {}}] if args else []
    return {"module": module, "class_name": kind, "config": config, "name": name,
            "registered_name": None, "inbound_nodes": calls}


def image_3(height=8, width=8, channels=3, name="input_layer"):
    return layer_3("InputLayer", name, batch_shape=[None, height, width, channels])


def write_numbered(stream, weights, layers="layers"):
    """The weights of Keras 3: `weights` maps a path below "layers" to (layer's name, arrays)."""
    stream.create_group(layers)
    for path in sorted(weights):
        name, arrays = weights[path]
        group = stream.create_group("{}/{}/vars".format(layers, path))
        if name is not None:
            group.attrs["name"] = name
        for number, array in enumerate(arrays):
            group[str(number)] = array


def archive_weights(weights, layers="layers"):
    """The bytes of a model.weights.h5."""
    file = io.BytesIO()
    with h5py.File(file, "w") as stream:
        write_numbered(stream, weights, layers)
    return file.getvalue()


def write_archive(path, config, weights, version="3.5.0", compression=zipfile.ZIP_STORED,
                  members=()):
    """A .keras file; `weights` as for `write_numbered`, or bytes; `members` come first."""
    with zipfile.ZipFile(str(path), "w", compression) as stream:
        for name, data in members:
            stream.writestr(name, data)
        stream.writestr("metadata.json", json.dumps({"keras_version": version}))
        stream.writestr("config.json", config if isinstance(config, (str, bytes))
                        else json.dumps(config))
        stream.writestr("model.weights.h5", weights if isinstance(weights, bytes)
                        else archive_weights(weights))
    return str(path)


def small_layers_3():
    """As `small_layers`, in the words of Keras 3."""
    return [image_3(),
            layer_3("Conv2D", "conv", ["input_layer"], filters=4, kernel_size=[3, 3],
                    strides=[1, 1], padding="same", activation="relu"),
            layer_3("BatchNormalization", "norm", ["conv"], axis=-1, epsilon=0.001),
            layer_3("GlobalAveragePooling2D", "pool", ["norm"]),
            layer_3("Dropout", "drop", ["pool"], rate=0.5),
            layer_3("Dense", "top", ["drop"], units=2, activation="softmax")]


def small_numbered():
    """The weights of `small_model` in the paths of Keras 3."""
    named = dict(small_weights())
    order = {"conv": ("conv2d", ["kernel", "bias"]), "top": ("dense", ["kernel", "bias"]),
             "norm": ("batch_normalization", ["gamma", "beta", "moving_mean", "moving_variance"])}
    return dict((order[name][0], (name, [named[name][role] for role in order[name][1]]))
                for name in named)


def functional(layers, outputs=None, name="small", inputs=None):
    """A Functional model of Keras 3 as an entry or as the whole configuration."""
    config = model_config(layers, "Functional", outputs)
    config["config"]["name"] = config["name"] = name
    config["config"]["input_layers"] = [[item, 0, 0] for item in inputs or [layers[0]["name"]]]
    return config


def small_archive(path, **options):
    return write_archive(path, functional(small_layers_3()), small_numbered(), **options)
