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


def uncached():
    return gt.TransferClassifier(cache=False)


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
RESIZES = ["fit", "", None, 3, []]
FOLDS = [0, 1, -1, 1.5, "x", None, True]
SEEDS = [-1, "seed", 1.5, [1]]
PATHS = [None, 3, 1.5, b"folder", ["folder"], True]

HEAD = [("hidden_layers", ["8", 8, (0,), (2.5,), (True,), (-1,), None, (4,) * 16, ("a",)]),
        ("dropout", SHARES), ("epochs", WHOLE), ("batch_size", WHOLE), ("patience", WHOLE),
        ("learning_rate", [0, -0.1, NAN, INFINITY, "fast", None, [0.1]]),
        ("optimizer", ["ADAM", "", None, 3, []]), ("momentum", SHARES),
        ("l2", [-1e-9, None, NAN, "x", INFINITY]), ("validation_fraction", SHARES),
        ("class_weight", ["balance", 3, [1, 2], 1.5]), ("calibrate", [None, 2, "yes"]),
        ("early_stopping", [None, 2, "yes"]), ("random_state", SEEDS), ("threads", THREADS)]
PREPROCESSINGS = [3, "x", {"scale": 1.0}, {"scale": "x", "offset": 0.0},
                  {"scale": NAN, "offset": 0.0}]
EXTRACTOR = [("layer", LAYERS), ("input_size", SIZES), ("pooling", POOLINGS), ("resize", [each for each in RESIZES if each is not None]),
             ("threads", THREADS), ("precision", PRECISIONS), ("cache", [3, 1.5, b"folder", [1]]),
             ("quality", ["best", "", 2, 1, ["fast"]]), ("backbone", ["nosuch", ""]),
             ("preprocessing", PREPROCESSINGS)]


def _table():
    """Rows: name of the call, the call, words for the argument, values."""
    rows = []
    for name, values in EXTRACTOR[:3] + EXTRACTOR[4:6] + EXTRACTOR[7:8]:
        rows.append(("Backbone.load", load(name), name, values))
    rows.append(("Backbone.load", load("preprocessing"), "preprocessing", PREPROCESSINGS))
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
         PREPROCESSINGS),
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
        ("split_images", lambda things, value: gt.split_images(things.images, random_state=value),
         "random_state", SEEDS),
        ("TransferClassifier", estimator(gt.TransferClassifier, "quality"), "quality",
         ["best", "", 3, []]),
        ("TransferClassifier", estimator(gt.TransferClassifier, "augment"), "augment",
         ["many", -1, 1.5, NAN, [1]]),
        ("cross_validate", lambda things, value: gt.cross_validate(FEATURES, CLASSES, folds=value),
         "folds", FOLDS),
        ("cross_validate", lambda things, value: gt.cross_validate(
            FEATURES, CLASSES, folds=2, target=value), "target", [-0.1, 1.5, "x", NAN, True]),
        ("learning_curve", lambda things, value: gt.learning_curve(FEATURES, CLASSES, folds=value),
         "folds", FOLDS),
        ("tune", lambda things, value: gt.tune(things.images, folds=value, model=uncached()),
         "folds", FOLDS),
        ("tune", lambda things, value: gt.tune(things.images, sizes=[value], model=uncached()),
         "size", [0, -1, "a", 1.5]),
        ("tune", lambda things, value: gt.tune(things.images, l2=[value], model=uncached()), "l2",
         [-1, "a", NAN]),
        ("compute_features", lambda things, value: gt.compute_features(value), "images",
         [None, 3, "a.png"]),
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

TABLE_OF_NUMBERS = "fits or applies it to a table of numbers, and is refused: images are wanted"
NO_LENGTH = "fits it to an object without a length, and is refused: a sequence of images is wanted"

#: Words of the refusal, by the reason.
REFUSALS = {TABLE_OF_NUMBERS: "an array of images must be of type uint8",
            NO_LENGTH: "expected a sequence of images"}

#: The checks that do not apply, each with its reason.
NOT_FOR_IMAGES = dict((name, TABLE_OF_NUMBERS) for name in (
    "check_dict_unchanged", "check_estimators_dtypes", "check_estimators_pickle",
    "check_f_contiguous_array_estimator", "check_fit_idempotent", "check_fit_score_takes_y",
    "check_methods_sample_order_invariance", "check_methods_subset_invariance",
    "check_pipeline_consistency"))
NOT_FOR_EXTRACTOR = dict(NOT_FOR_IMAGES, **dict((name, TABLE_OF_NUMBERS) for name in (
    "check_transformer_general", "check_transformer_preserve_dtypes",
    "check_transformers_unfitted_stateless")))
NOT_FOR_CLASSIFIER = dict(NOT_FOR_IMAGES, check_classifier_data_not_an_array=NO_LENGTH, **dict(
    (name, TABLE_OF_NUMBERS) for name in (
        "check_class_weight_classifiers", "check_classifiers_classes", "check_classifiers_one_label",
        "check_classifiers_train", "check_dont_overwrite_parameters", "check_estimators_fit_returns_self",
        "check_estimators_overwrite_params", "check_fit2d_1feature", "check_fit2d_1sample",
        "check_fit_check_is_fitted", "check_positive_only_tag_during_fit",
        "check_readonly_memmap_input")))


def messages(error):
    """The text of an error and of what led to it."""
    found = []
    while error is not None:
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, exceptions", [(gt.FeatureExtractor, NOT_FOR_EXTRACTOR),
                                              (gt.TransferClassifier, NOT_FOR_CLASSIFIER)])
def test_scikit_learns_checks(kind, exceptions):
    if not hasattr(estimator_checks, "estimator_checks_generator"):
        # Before 1.6 it leaves out most of its checks itself, as the tag X_types has no tables.
        estimator_checks.check_estimator(kind(cache=False))
        return
    results = estimator_checks.check_estimator(kind(cache=False), expected_failed_checks=exceptions,
                                               on_skip=None)
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    failed = [result for result in results if result["status"] == "xfail"]
    assert len(passed) >= 20 and not set(passed) & set(exceptions)
    for result in failed:
        name = result["check_name"]
        assert REFUSALS[exceptions[name]] in messages(result["exception"]), name
