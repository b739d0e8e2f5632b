"""Which models of Keras load, and how near their features are to Keras's own.

Every model is built by Keras with random weights and statistics, saved, loaded here and run in float32 on
the same pixels, at its own size and at an odd one where Keras builds that. A row is a family, a kind of
file and a size; the figure is the greatest error over some of its layers, relative to the largest
value of the layer. Needs keras with a backend: ``python benchmarks/reach_keras.py [family ...]``.
"""
import argparse
import os
import sys
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from gear_transfer.errors import GearTransferError  # noqa: E402
from gear_transfer.features.backbone import Backbone  # noqa: E402
from gear_transfer.importers import load_network  # noqa: E402

L, A = keras.layers, keras.applications

#: Greatest relative error that is allowed.
LIMIT = 1e-4
#: Layers that are compared, spread over the network.
TAPS = 8

#: Family: own size, whether it scales pixels itself. VGG's dense layers would take 400 MB.
FAMILIES = {
    "VGG16": (224, False), "VGG19": (224, False), "ResNet50": (224, False),
    "ResNet101": (224, False), "ResNet50V2": (224, False), "ResNet101V2": (224, False),
    "InceptionV3": (299, False), "InceptionResNetV2": (299, False), "Xception": (299, False),
    "MobileNet": (224, False), "MobileNetV2": (224, False), "MobileNetV3Small": (224, True),
    "MobileNetV3Large": (224, True), "DenseNet121": (224, False), "NASNetMobile": (224, False),
    "EfficientNetB0": (224, True), "EfficientNetB3": (300, True), "EfficientNetV2B0": (224, True),
    "EfficientNetV2S": (384, True), "ConvNeXtTiny": (224, True)}
ODD = 161


def application(name, size):
    options = dict(weights=None, input_shape=(size, size, 3))
    if name.startswith("VGG"):
        return getattr(A, name)(include_top=False, pooling="avg", **options)
    return getattr(A, name)(classes=10, **options)


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


USERS = [augmented, turned_channels, stacked, two_pools, many_layers, tokens]


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


def taps(model):
    """Names of layers spread over the model, the last one among them."""
    names = [layer.name for layer in model.layers
             if not isinstance(layer, (L.InputLayer, keras.Model, L.ZeroPadding2D, L.Dropout))]
    step = max(len(names) // TAPS, 1)
    return names[min(step - 1, 2)::step] + [model.layers[-1].name]


def errors(model, path, size, is_raw):
    """The greatest relative error of a file's network at a size, and how many layers it is of."""
    pixels = np.random.RandomState(1).randint(0, 256, (1, size, size, 3)).astype(np.uint8)
    preprocessing = "raw" if is_raw else "tf"
    known = set(load_network(path, preprocessing=preprocessing).layers)
    names = [name for name in dict.fromkeys(taps(model)) if name in known]
    features = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    given = pixels.astype(np.float32)
    wanted = features.predict(given if is_raw else given / 127.5 - 1, verbose=0)
    backbone = Backbone.load(path, layer=names, input_size=size, pooling=None,
                             preprocessing=preprocessing)
    ours = backbone.features(pixels)
    worst = 0.0
    for one, two in zip(wanted if len(names) > 1 else [wanted], ours):
        one = np.asarray(one, np.float64)
        error = np.abs(one - np.reshape(two, one.shape)).max() / max(np.abs(one).max(), 1e-30)
        worst = max(worst, error) if error == error else float("inf")
    return worst, len(names)


def check(name, folder):
    """Print the rows of one family; how many are wrong."""
    keras.backend.clear_session()
    users = dict((maker.__name__, maker) for maker in USERS)
    model = users[name]() if name in users else application(name, FAMILIES[name][0])
    is_raw = name in users or FAMILIES[name][1]
    randomise(model)
    models = [(model.input_shape[1], model)]
    if name in FAMILIES:
        keras.backend.clear_session()
        try:
            odd = application(name, ODD)
            odd.set_weights(model.get_weights())
            finish(odd)
            models.append((ODD, odd))
        except ValueError:
            pass  # Keras builds this family with a classifier at its own size only
    wrong = 0
    for kind in ("keras", "h5"):
        path = os.path.join(folder, "model." + kind)
        model.save(path)
        for size, built in models:
            try:
                error, count = errors(built, path, size, is_raw)
                row = "{:.1e} ({} layers)".format(error, count)
                wrong += not error <= LIMIT
            except GearTransferError as problem:
                row, wrong = str(problem).replace(path, ""), wrong + 1
            print("{:18} .{:6}{:4}  {}".format(name, kind, size, row), flush=True)
        os.remove(path)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(FAMILIES) + [maker.__name__ for maker in USERS]
    parser.add_argument("families", nargs="*", default=names, help="default: all")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        wrong = sum(check(name, folder) for name in arguments.families)
    print("{} rows over {:.0e} or refused".format(wrong, LIMIT))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
