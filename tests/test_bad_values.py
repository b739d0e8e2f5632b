"""Values that make no sense, over the whole public interface: an error that names argument and value.

Each row of the table is a call, the argument that is wrong, the words by which the message may name
it, and bad values.
"""
import os
import sys

import matplotlib
import numpy as np
import pytest
from sklearn.utils import estimator_checks

import gear_transfer as gt

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "faults"))

import kills  # noqa: E402

matplotlib.use("Agg")

NAN, INFINITY = float("nan"), float("inf")
RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 255, (6, 32, 32, 3)).astype(np.uint8)
LABELS = ["a", "a", "b", "b", "a", "b"]
FEATURES = RANDOM.randn(12, 4).astype(np.float32)
CLASSES = ["a", "b"] * 6
PNG = kills.picture()


class Things(object):
    """What the calls are made on, built once."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.model = kills.small_model(1)
        self.saved = os.path.join(self.folder, "model.gtm")
        self.model.save(self.saved)
        self.head = gt.HeadClassifier(epochs=1, validation_fraction=0).fit(FEATURES, CLASSES)
        paths = []
        for name in LABELS:
            os.makedirs(os.path.join(self.folder, "images", name), exist_ok=True)
            paths.append(os.path.join(self.folder, "images", name, "{}.png".format(len(paths))))
            with open(paths[-1], "wb") as stream:
                stream.write(PNG)
        self.images = gt.ImageSet(paths, LABELS)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return Things(tmp_path_factory.mktemp("bad_values"))


def estimator(kind, name):
    """A call that gives one parameter to an estimator and fits it."""
    def call(things, value):
        settings = {name: value}
        if kind is gt.HeadClassifier:
            return kind(**settings).fit(FEATURES, CLASSES)
        settings.setdefault("input_size", 96)
        settings.setdefault("layer", "mixed0")
        settings.setdefault("cache", False)
        if kind is gt.TransferClassifier:
            return kind(**settings).fit(IMAGES, LABELS)
        return kind(**settings).fit().transform(IMAGES)
    return call


def load(name):
    def call(things, value):
        settings = {"layer": "mixed0", "input_size": 96}
        settings[name] = value
        return gt.Backbone.load(**settings)
    return call


WHOLE = [0, -1, 1.5, "3", None, True, NAN]
SIZES = [0, -1, 1.5, "big", (1, 2, 3), (64,), (64, -1), (64, "x"), [], NAN, 2 ** 40]
SHARES = [1, -0.1, "0.5", None, NAN, True, INFINITY]
THREADS = [0, -2, 1.5, "2", True, 5000, NAN]
LAYERS = [3, "", (), [1], ("mixed0", 3), b"mixed0", 1.5, ["mixed0", ""]]
POOLINGS = ["mean", "", 3, True, [], b"max"]
PRECISIONS = ["bf17", "", 3, None, [], "FLOAT32"]
RESIZES = ["crop", "", None, 3, []]
SEEDS = [-1, "seed", 1.5, [1]]
PATHS = [None, 3, 1.5, b"folder", ["folder"], True]

HEAD = [("hidden_layers", ["8", 8, (0,), (2.5,), (True,), (-1,), None, (4,) * 16, ("a",)]),
        ("dropout", SHARES), ("epochs", WHOLE), ("batch_size", WHOLE), ("patience", WHOLE),
        ("learning_rate", [0, -0.1, NAN, INFINITY, "fast", None, [0.1]]),
        ("optimizer", ["ADAM", "", None, 3, []]), ("momentum", SHARES),
        ("l2", [-1e-9, None, NAN, "x", INFINITY]), ("validation_fraction", SHARES),
        ("class_weight", ["balance", 3, [1, 2], 1.5]), ("calibrate", [None, 2, "yes"]),
        ("early_stopping", [None, 2, "yes"]), ("random_state", SEEDS), ("threads", THREADS)]
EXTRACTOR = [("layer", LAYERS), ("input_size", SIZES), ("pooling", POOLINGS), ("resize", RESIZES),
             ("threads", THREADS), ("precision", PRECISIONS), ("cache", [3, 1.5, b"folder", [1]]),
             ("backbone", ["nosuch", ""])]


def _table():
    """Rows: name of the call, the call, words for the argument, values."""
    rows = []
    for name, values in EXTRACTOR[:3] + EXTRACTOR[4:6]:
        rows.append(("Backbone.load", load(name), name, values))
    rows.append(("Backbone.load", load("name_or_path"), "backbone", ["nosuch", ""]))
    for name, values in HEAD:
        rows.append(("HeadClassifier", estimator(gt.HeadClassifier, name), name, values))
    for name, values in HEAD + EXTRACTOR + [("strict", [None, "yes", 2]),
                                            ("augment", [-1, 257, "4", True, 2.5, NAN])]:
        rows.append(("TransferClassifier", estimator(gt.TransferClassifier, name), name, values))
    for name, values in EXTRACTOR + [("batch_size", WHOLE), ("executor", [3, "x"])]:
        rows.append(("FeatureExtractor", estimator(gt.FeatureExtractor, name), name, values))
    rows += [
        ("read_image", lambda things, value: gt.read_image(IMAGES[0], value), "size", SIZES[:-1]),
        ("read_image", lambda things, value: gt.read_image(IMAGES[0], 8, value), "resize", RESIZES),
        ("read_image", lambda things, value: gt.read_image(value, 8), "image", PATHS),
        ("load_folder", lambda things, value: gt.load_folder(value), "folder", PATHS),
        ("load_images", lambda things, value: gt.load_images(value), "folder", PATHS),
        ("load_model", lambda things, value: gt.load_model(value), "path", PATHS),
        ("load_model", lambda things, value: gt.load_model(things.saved, threads=value), "threads",
         THREADS),
        ("save", lambda things, value: things.model.save(value), "path", PATHS),
        ("convert", lambda things, value: gt.convert(value, things.folder + "/x"), "path", PATHS),
        ("convert", lambda things, value: gt.convert(things.saved, value), "path", PATHS),
        ("convert", lambda things, value: gt.convert(
            things.saved, things.folder + "/x", preprocessing=value), "preprocessing",
         [3, "x", {"scale": 1.0}, {"scale": "x", "offset": 0.0}, {"scale": NAN, "offset": 0.0}]),
        ("make_shape", lambda things, value: gt.make_shape(value), "shape", ["star", "", None, 3]),
        ("make_shape", lambda things, value: gt.make_shape("circle", value), "size",
         [7, 0, -1, "big", None, 1.5]),
        ("make_shape", lambda things, value: gt.make_shape("circle", random_state=value),
         "random_state", SEEDS[:3]),
        ("make_shapes", lambda things, value: gt.make_shapes(things.folder + "/s", value),
         "per_class", WHOLE),
        ("make_shapes", lambda things, value: gt.make_shapes(value), "folder", PATHS),
        ("FeatureCache", lambda things, value: gt.FeatureCache(things.folder, limit=value), "limit",
         [-1, "x", None, 1.5, NAN]),
        ("FeatureCache", lambda things, value: gt.FeatureCache(value), "folder", PATHS[1:]),
        ("ImageSet", lambda things, value: gt.ImageSet(value, LABELS), "paths", [None, 3, "a.png"]),
        ("ImageSet", lambda things, value: gt.ImageSet(["a.png"], value), "labels",
         [None, 3, "a", b"a", ["a", "b"]]),
        ("TransferClassifier", estimator(gt.TransferClassifier, "group_duplicates"),
         "group_duplicates", [None, "yes", 2]),
        ("NoveltyDetector", lambda things, value: gt.NoveltyDetector(folds=value).fit(
            RANDOM.randn(40, 4).astype(np.float32), np.arange(40) % 2), "folds", [0, 1, -1, 1.5, "x", None, True]),
        ("split_images", lambda things, value: gt.split_images(things.images, validation=value),
         "validation", SHARES),
        ("split_images", lambda things, value: gt.split_images(things.images, test=value), "test",
         SHARES),
        ("find_duplicates", lambda things, value: gt.find_duplicates(
            things.images, threshold=value, cache=False), "threshold", [-1, "x", NAN, None, True]),
        ("find_duplicates", lambda things, value: gt.find_duplicates(
            things.images, threads=value, cache=False), "threads", THREADS),
        ("nearest", lambda things, value: gt.nearest(
            things.model, IMAGES[:1], k=value, among=IMAGES), "k", WHOLE),
        ("predict", lambda things, value: things.model.predict(value), "images",
         ["a.png", b"a.png", 3, None]),
        ("predict", lambda things, value: things.model.predict(value), "images",
         [np.zeros((1, 8, 8, 3)), np.zeros((2, 3, 3, 3), np.int64)]),
        ("HeadClassifier.predict", lambda things, value: things.head.predict(value), "features",
         [FEATURES[:, :3], FEATURES[:, :1]]),
        ("plot_images", lambda things, value: gt.plot_images(things.images, per_class=value),
         "per_class", WHOLE),
        ("plot_images", lambda things, value: gt.plot_images(things.images, columns=value),
         "columns", WHOLE),
        ("plot_predictions", lambda things, value: gt.plot_predictions(
            IMAGES[:2], ["a", "b"], columns=value), "columns", WHOLE),
        ("plot_predictions", lambda things, value: gt.plot_predictions(IMAGES[:2], value),
         "predictions", [None, 3, "ab", ["a"]]),
        ("plot_history", lambda things, value: gt.plot_history(value), "history",
         [None, 3, [1.0], {}]),
        ("download", lambda things, value: gt.download_official_weights(
            things.folder + "/w.h5", url=value), "https", ["http://example.org/x", "", 3, None]),
    ]
    return rows


TABLE = _table()


def names_of(value):
    """How a message may speak of a value."""
    if isinstance(value, np.ndarray):
        return [str(value.shape), str(value.dtype), "{} features".format(value.shape[-1])]
    if isinstance(value, (list, dict)) and not value:
        return [repr(value), "nothing"]
    if isinstance(value, list):
        return [repr(value), "list", "{} labels".format(len(value)), "{} predictions".format(len(value))]
    return [repr(value), type(value).__name__]


def test_the_table_is_long_enough():
    assert sum(len(row[3]) for row in TABLE) >= 300


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[
    "{}-{}-{}".format(i, row[0], row[2]) for i, row in enumerate(TABLE)])
def test_bad_values(things, number, monkeypatch):
    monkeypatch.chdir(things.folder)  # where a bad path would be taken for a relative one
    name, call, argument, values = TABLE[number]
    silent = []
    for value in values:
        try:
            call(things, value)
            silent.append((value, "no error"))
        except (TypeError, ValueError) as error:
            message = str(error)
            named = argument in message and any(text in message for text in names_of(value))
            if not named:
                silent.append((value, "{}: {}".format(type(error).__name__, message)))
        except Exception as error:
            silent.append((value, "{}: {}".format(type(error).__name__, error)))
    assert not silent, "{}, {}: {}".format(name, argument, silent)


# scikit-learn's own checks of the estimators that take images

#: Words of the error: why a check that ends in it does not apply.
DOES_NOT_APPLY = {
    "an array of images must be of type uint8": "its data are tables of numbers, not images",
    "expected a sequence of images": "its data are an object without a length",
}


def checks(made):
    """(estimator, check) of this release of scikit-learn."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        return list(estimator_checks.estimator_checks_generator(made))
    try:
        return list(estimator_checks.check_estimator(made, generate_only=True))
    except TypeError:    # before 0.23
        return [(made, estimator_checks.check_estimator)]


def reason_not_to_apply(error):
    """The reason for which a failed check does not apply, from its error or what led to it."""
    while error is not None:
        for words in DOES_NOT_APPLY:
            if words in str(error):
                return DOES_NOT_APPLY[words]
        error = error.__cause__ or error.__context__
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [gt.FeatureExtractor, gt.TransferClassifier])
def test_scikit_learns_checks(kind):
    passed = 0
    for made, check in checks(kind(cache=False)):
        try:
            check(made)
            passed += 1
        except BaseException as error:
            # Its checks of pandas and of other array libraries; not skips of ours.
            if type(error).__name__ not in ("SkipTest", "Skipped"):
                assert reason_not_to_apply(error), "{}: {!r}".format(check, error)
    assert passed >= 15 or not hasattr(estimator_checks, "estimator_checks_generator")
