"""Models of Keras, built, saved and computed by Keras itself."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from architectures import KERAS, ODD  # noqa: E402
from architectures.measure import measure, pictures, pixels_known, spread  # noqa: E402
from gear_transfer.errors import GearTransferError  # noqa: E402
from gear_transfer.importers import load_network  # noqa: E402

L, A = keras.layers, keras.applications


def application(name, size):
    """A model of keras.applications; VGG's dense layers would take 400 MB."""
    options = dict(weights=None, input_shape=tuple(size) + (3,))
    if name.startswith("VGG"):
        return getattr(A, name)(include_top=False, pooling="avg", **options)
    return getattr(A, name)(classes=10, classifier_activation=None, **options)


def augmented():
    """Augmentation, a scale, a backbone and a head, as Keras's guide to transfer learning has it."""
    inputs = L.Input((96, 96, 3))
    x = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.1)])(inputs)
    x = L.Rescaling(1 / 127.5, offset=-1)(x)
    base = A.MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=None)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(base(x, training=False)))
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))


def turned_channels():
    """Keras's own preprocess_input for ResNet within the graph."""
    inputs = L.Input((96, 96, 3))
    base = A.ResNet50(input_shape=(96, 96, 3), include_top=False, weights=None)
    x = L.GlobalAveragePooling2D(keepdims=True)(base(A.resnet50.preprocess_input(inputs)))
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(x)))


def stacked():
    """A Sequential model of a backbone and dense layers."""
    base = A.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    model = keras.Sequential([L.Rescaling(1 / 255.0), base, L.Flatten(), L.Dense(
        16, activation="relu"), L.BatchNormalization(), L.Dense(3)])
    model.build((None, 64, 64, 3))
    return model


def two_pools():
    """Two pools of an EfficientNet side by side."""
    base = A.EfficientNetB0(include_top=False, weights=None, input_shape=(96, 96, 3))
    inputs = L.Input((96, 96, 3))
    x = base(inputs)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, L.Dense(5, activation="gelu")(L.LayerNormalization()(x)))


def many_layers():
    """One of nearly every layer, with functions and constants between them."""
    inputs = L.Input((48, 48, 3))
    x = L.Conv2D(8, 3, padding="same")(inputs / 127.5 - 1.0)
    x = L.ZeroPadding2D(2)(L.PReLU(shared_axes=[1, 2])(x))
    x = L.Cropping2D(((1, 0), (0, 1)))(L.Activation("tanh")(x))
    x = L.SeparableConv2D(12, 3, activation="elu")(x)
    y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = L.Multiply()([x, L.Conv2D(12, 1, activation="silu")(y)])
    x = L.UpSampling2D(2, interpolation="bilinear")(L.GroupNormalization(4)(x))
    x = L.MaxPooling2D(3, 2, padding="same")(L.UpSampling2D(2)(x))
    z = L.Conv2D(12, 1, activation="hard_sigmoid")(x)
    x = L.Maximum()([L.Subtract()([x, z]), z])
    x = L.Minimum()([x, L.Average()([x, z])])
    return keras.Model(inputs, L.Dense(6, activation="softplus")(L.GlobalAveragePooling2D()(x)))


def tokens():
    """Attention over the pixels of a map."""
    inputs = L.Input((32, 32, 3))
    x = L.Reshape((-1, 12))(L.Conv2D(12, 4, strides=4)(L.Rescaling(1 / 255.0)(inputs)))
    x = L.Add()([x, L.MultiHeadAttention(3, 4)(x, x)])
    x = L.Dense(10, activation="selu")(L.LayerNormalization()(x))
    return keras.Model(inputs, L.GlobalAveragePooling1D()(x))


def randomise(model):
    """Weights and statistics that are neither those of a new model nor let values grow without end."""
    random = np.random.RandomState(0)
    for weight in model.weights:
        name, shape = weight.path.rsplit("/", 1)[-1], tuple(weight.shape)
        if not np.issubdtype(np.dtype(weight.dtype), np.floating):
            continue  # counters and seeds
        if "kernel" in name:
            depthwise = len(shape) == 4 and shape[-1] == 1
            fan = np.prod(shape[:2] if depthwise else shape[:-1])
            values = random.normal(size=shape) * np.sqrt(0.8 / fan)
        elif "variance" in name:
            values = random.uniform(0.5, 1.5, size=shape)
        elif name == "gamma":
            values = random.uniform(0.7, 1.3, size=shape)
        else:
            values = random.normal(size=shape) * 0.1
        weight.assign(values.astype(np.float32))
    finish(model)


def finish(model):
    """Normalization layers compute with what they made of their statistics before."""
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
        if hasattr(layer, "layers"):
            finish(layer)


def at_odd_size(name, model):
    """The same network for an odd size, None where Keras builds it for its own size only."""
    keras.backend.clear_session()
    try:
        odd = application(name, ODD)
        odd.set_weights(model.get_weights())
    except ValueError:
        return None
    finish(odd)
    return odd


def computed(model, known, pixels):
    """Results of layers spread over the model, dict of ndarray by name."""
    names = [layer.name for layer in model.layers if layer.name in known and not isinstance(
        layer, (L.InputLayer, keras.Model, L.ZeroPadding2D, L.Dropout))]
    names = spread(names)
    features = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    values = features.predict(pixels, verbose=0)
    return dict(zip(names, values if len(names) > 1 else [values]))


def rows(name, kinds, options, folder):
    """The rows of an architecture's table, dicts."""
    library, own = name.split(":")
    keras.backend.clear_session()
    model = globals()[own]() if library == "own" else application(own, (KERAS[own][0],) * 2)
    is_raw = library == "own" or KERAS[own][1]
    randomise(model)
    models = [model] if "native" in options["sizes"] else []
    if library == "keras" and "odd" in options["sizes"]:
        models += [odd for odd in [at_odd_size(own, model)] if odd is not None]
    for kind in kinds:
        path = os.path.join(folder, "model." + kind)
        model.save(path)
        for built in models:
            size = built.input_shape[1:3]
            row = {"architecture": name, "kind": kind, "size": "{}x{}".format(*size)}
            try:
                network = load_network(path, preprocessing="raw" if is_raw else "tf")
                row["pixels"] = "known" if pixels_known(path) else "asked"
                images = pictures(size, 2, seed=2)
                given = images.astype(np.float32)
                truth = computed(built, set(network.layers), given if is_raw else given / 127.5 - 1)
                row.update(measure(network, images, truth, built is model and kind == kinds[0],
                                   options["twin"]))
            except GearTransferError as problem:
                row["wrong"] = [str(problem).replace(path, "")]
            yield row
        os.remove(path)
