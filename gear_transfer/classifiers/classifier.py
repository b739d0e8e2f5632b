"""The whole job as one scikit-learn classifier: photographs in, class names out."""
import collections

import numpy as np

from ..common.arguments import check_whole_number, is_missing
from ..common.caller import warn_caller
from ..common.estimator import Estimator, check_is_fitted
from ..common.labels import as_labels, labels_of_classes
from ..errors import DatasetError, SkippedImageWarning
from ..features.distributed import KeepsExecutor
from ..features.extractor import FeatureExtractor
from ..features.settings import DEFAULT_QUALITY
from ..photographs.augmentation import as_augmentation
from ..photographs.duplicates import group_hashes
from ..photographs.image_set import ImageSet, SkippedFile
from ..photographs.sequences import check_images
from ..photographs.splits import Split, relative_names
from .description import ShowsSummary, describe, trained_on_all
from .head import HeadClassifier, check_settings
from .novelty import KEEP, UNKNOWN, NoveltyDetector, is_unknown
from .ranking import most_probable
from .training_record import TrainingRecord, training_facts

_EXTRACTOR_PARAMETERS = ("backbone", "layer", "input_size", "pooling", "resize", "threads",
                         "precision", "cache", "verbose", "executor", "quality", "preprocessing")
HEAD_PARAMETERS = ("hidden_layers", "dropout", "epochs", "batch_size", "learning_rate",
                    "optimizer", "momentum", "l2", "validation_fraction", "early_stopping",
                    "patience", "class_weight", "calibrate", "random_state", "threads", "verbose",
                    "refit")

#: Those of the extractor that count at once after `fit`.
_RUNNING = ("cache", "threads", "verbose", "executor")

#: What a classifier was trained on: the images that could be read, a list of what `fit` was given
#: for each; their labels (n,), their features (n, d) float32, and the groups (n,) of
#: near-duplicates they belong to, or None.
TrainingPhotographs = collections.namedtuple("TrainingPhotographs",
                                             ["images", "labels", "features", "groups"])


class TransferClassifier(ShowsSummary, KeepsExecutor, Estimator):
    """A classifier of photographs: a frozen backbone and a dense head that is trained.

    Each photograph goes through the backbone once; the head is then trained on
    the features. Reading, resizing and scaling of photographs belong to the
    classifier and are the same in `fit`, in `predict` and in a loaded model.

    Parameters
    ----------
    backbone : str, Path or Backbone, optional
        See `Backbone.load`; default what `quality` says.
    layer : str or sequence of str, optional
        Tapped layer or layers; default what `quality` says.
    input_size : int or (int, int), optional
        Size to which photographs are brought; default what `quality` says.
    pooling : {"average", "max"} or None
    resize : {"pad", "stretch", "crop"}, optional
        Whether photographs become square by white borders or by stretching.
        Default is what suits the backbone, see `FeatureExtractor`.
    hidden_layers, dropout, epochs, batch_size, learning_rate, optimizer, momentum, l2
        See `HeadClassifier`.
    validation_fraction, early_stopping, patience, class_weight, calibrate, random_state, refit
        See `HeadClassifier`.
    threads : int, optional
        Default is the number of processors this process may use.
    precision : {"auto", "float32", "bf16", "int8"}
        In which the backbone runs, see `FeatureExtractor`. "float32" holds for
        the head as well, see `HeadClassifier`.
    cache : bool, str, Path or FeatureCache
        Where features are kept between runs, see `FeatureExtractor`.
    group_duplicates : bool
        Hold near-duplicates back together or not at all, see `find_duplicates`; otherwise
        the share for validation flatters itself.
    augment : int or Augmentation, optional
        Train on so many augmented views of each photograph as well (mirrored, cropped, turned,
        recoloured), or on those that an `Augmentation` describes. Their features are computed
        once and kept like others. Photographs have no views while they are held back, nor when
        they are predicted.
    strict : bool
        Raise at the first image that cannot be read, where otherwise it is
        left out, reported and listed in `skipped_`.
    verbose : bool or int, optional
        Show progress bars. Default: on a terminal and in a notebook.
    executor : concurrent.futures.Executor, optional
        Computes the features in place of this process, see `FeatureExtractor`.
    quality : {"balanced", "fast", "accurate"}
        Which backbone, layer and input size count where these are not given,
        see `Backbone.load`.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        What pixels the backbone was trained on, where its file does not say it, see
        `Backbone.load`. A saved classifier keeps it.

    Attributes
    ----------
    classes_ : ndarray of shape (c,)
    history_ : dict of list of float
        loss, accuracy, val_loss and val_accuracy after each epoch.
    skipped_ : list of SkippedFile
        Images of the last `fit` that could not be read, with the reason.
    split_ : Split
        Which photographs were trained and which validated on, and the groups kept whole.
    training_ : TrainingPhotographs or None
        The photographs of the last `fit` with their labels and features; None
        in a loaded model.
    trained_ : TrainingFacts or None
        The day of the last `fit` and how many photographs each class had; None in a model that an
        earlier release saved.
    extractor_ : FeatureExtractor
    head_ : HeadClassifier

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> folder = gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20)
    >>> images = gt.load_folder(folder)
    >>> model = gt.TransferClassifier(input_size=96).fit(images.paths, images.labels)
    >>> model.predict(images.paths[:1]).tolist()
    ['circle']
    """

    _sklearn_mixins = ("ClassifierMixin",)

    def __init__(self, backbone=None, layer=None, input_size=None, pooling="average",
                 resize=None, hidden_layers=(), dropout=0.0, epochs="auto", batch_size=32,
                 learning_rate="auto", optimizer="adam", momentum=0.9, l2=0.02,
                 validation_fraction=0.1, early_stopping=False, patience=5, class_weight=None,
                 calibrate=True, random_state=0, threads=None, precision="auto", cache=True,
                 group_duplicates=True, augment=None, strict=False, verbose=None, executor=None,
                 quality=DEFAULT_QUALITY, refit=True, preprocessing=None):
        self.backbone = backbone
        self.layer = layer
        self.input_size = input_size
        self.pooling = pooling
        self.resize = resize
        self.hidden_layers = hidden_layers
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.l2 = l2
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.random_state = random_state
        self.threads = threads
        self.precision = precision
        self.cache = cache
        self.group_duplicates = group_duplicates
        self.augment = augment
        self.strict = strict
        self.verbose = verbose
        self.executor = executor
        self.quality = quality
        self.refit = refit
        self.preprocessing = preprocessing

    def make_parts(self):
        """A new extractor and a new head with these parameters."""
        return (FeatureExtractor(**dict((name, getattr(self, name))
                                        for name in _EXTRACTOR_PARAMETERS)),
                HeadClassifier(precision="float32" if self.precision == "float32" else "auto",
                               **dict((name, getattr(self, name)) for name in HEAD_PARAMETERS)))

    def fit(self, X, y=None, validation_data=None, groups=None):
        """Compute the features of the photographs and train the head.

        Parameters
        ----------
        X : sequence of str, Path, PIL.Image.Image or uint8 ndarray; or ImageSet
            The photographs.
        y : array-like of shape (n,)
            Their labels, whose type is that of the predictions; not needed with an ImageSet.
        validation_data : ImageSet or tuple (X, y), optional
            Photographs to validate on, in place of a share of these. Default is
            the ``validation`` of an ImageSet that has one.
        groups : array-like of shape (n,), optional
            Photographs of one group are held back together or not at all, in place of
            the near-duplicates that ``group_duplicates`` finds.

        Returns
        -------
        TransferClassifier
            This one.

        Raises
        ------
        DatasetError
            If there are fewer than two classes, or too few readable images.
        ImageError
            For the first unreadable image, with ``strict``.
        ValueError, WeightsError, GraphError
            If a parameter makes no sense or the backbone cannot be loaded.
        """
        if validation_data is None and isinstance(X, ImageSet):
            validation_data = X.validation
        check_settings(self, validation_data is not None)
        for name in ("group_duplicates", "strict"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError("{} must be True or False, not {!r}".format(
                    name, getattr(self, name)))
        augmentation = as_augmentation(self.augment)
        X, y = check_labelled(X, y, "y")
        if groups is not None and np.shape(groups) != (len(X),):
            raise ValueError("{} images need as many groups, found groups of shape {}".format(
                len(X), np.shape(groups)))
        extractor, head = self.make_parts()
        extractor.fit()
        keeps_together = groups is None and validation_data is None and (
            self.group_duplicates and self.validation_fraction > 0)
        hashes = extractor.hashes(X)
        features, labels, positions, skipped = _extract_labelled(extractor, X, y, self.strict,
                                                                 hashes)
        read = [X[i] for i in positions]
        views = None if augmentation is None else _views_when_asked(extractor, read, augmentation)
        parts = np.full(len(X), -1)
        parts[positions] = 0
        hashed = [(hashes, positions)]
        if keeps_together:
            groups = group_hashes(X, hashes).groups
        groups_read = None if groups is None else np.asarray(groups)[positions]
        if validation_data is not None:
            pair = (validation_data, None) if isinstance(
                validation_data, ImageSet) else validation_data
            X_held, y_held = check_labelled(*(tuple(pair) + ("validation_data", 1)))
            hashes = extractor.hashes(X_held)
            held, held_labels, held_positions, held_skipped = _extract_labelled(
                extractor, X_held, y_held, self.strict, hashes)
            hashed.append((hashes, held_positions))
            head.fit(features, labels, validation_data=(held, held_labels), views=views)
            parts = np.concatenate([parts, np.full(len(X_held), -1)])
            parts[len(X) + held_positions] = 1
            self.split_ = Split(parts, names=relative_names(list(X) + list(X_held)))
            skipped += held_skipped
        else:
            head.fit(features, labels, groups=groups_read, views=views)
            parts[positions[head.validation_indices_]] = 1
            self.split_ = Split(parts, groups, relative_names(X))
        self.extractor_, self.head_, self.skipped_ = extractor, head, skipped
        self.classes_, self.history_ = head.classes_, head.history_
        self.n_images_, self.trained_ = len(features), training_facts(labels, self.classes_)
        self.training_ = TrainingPhotographs(read, labels, features, groups_read)
        self._novelty = None
        held = self.split_.parts == 1
        if trained_on_all(self):
            held[:] = False
        self._record = TrainingRecord.of(*(
            (hashes, places, held[first + places]) for first, (hashes, places) in zip(
                (0, len(X)), hashed)))
        return self

    def set_params(self, **parameters):
        """Change parameters of the classifier.

        Of one that is fitted or loaded, ``cache``, ``threads``, ``verbose``, ``executor`` and
        ``strict`` count at once, the others in the next `fit`.

        Parameters
        ----------
        **parameters
            By name.

        Returns
        -------
        TransferClassifier
            This one.
        """
        super().set_params(**parameters)
        self._hand_on()
        return self

    def _hand_on(self):
        """Let the parts of a fitted classifier follow what has been set since."""
        for part, names in (("extractor_", _RUNNING), ("head_", ("threads", "verbose"))):
            if part in self.__dict__:
                for name in names:
                    setattr(getattr(self, part), name, getattr(self, name))
        if "extractor_" in self.__dict__:
            self.extractor_.follow_threads()

    def _extract(self, X):
        check_is_fitted(self, "head_")
        self._hand_on()
        extraction = self.extractor_.extract(X, self.strict)
        warn_of_failures(extraction.failures)
        return extraction

    def predict_proba(self, X):
        """Probability of each class for each photograph.

        Parameters
        ----------
        X : sequence
            Photographs, as for `fit`.

        Returns
        -------
        ndarray of float32, shape (n, c)
            In the order of `classes_`; NaN for an image that cannot be read.
        """
        return self.probabilities_of(self._extract(X))

    def probabilities_of(self, extraction):
        """Probabilities (images, classes) of features computed before; NaN for an unreadable image."""
        if not len(extraction.positions):
            return np.full((len(extraction.failures), len(self.classes_)), np.nan, np.float32)
        return _in_place(extraction, self.head_.predict_proba(extraction.features))

    def known_score(self, X):
        """How usual each photograph is among those of the known classes.

        The first call fits a `NoveltyDetector` to the training photographs,
        which takes about 0.2 s for 2,000 of them; so does `save`.

        Parameters
        ----------
        X : sequence
            Photographs, as for `fit`.

        Returns
        -------
        ndarray of float64, shape (n,)
            From 0 to 1: the share of held-out training photographs that are
            at least as unlike all classes. 95 % of photographs of the known
            classes reach 0.05, pictures of other things have about 0. NaN for
            an image that cannot be read.

        Raises
        ------
        DatasetError
            If the training photographs were too few to tell.
        """
        return self.known_scores_of(self._extract(X))

    def known_scores_of(self, extraction):
        """What `known_score` says of features computed before; NaN for an unreadable image."""
        detector = self._novelty_detector()
        if not len(extraction.positions):
            return np.full(len(extraction.failures), np.nan)
        return _in_place(extraction, detector.known_score(extraction.features))

    def _novelty_detector(self):
        """The detector, fitted to the training photographs on first use."""
        if self._novelty is None:
            if self.training_ is None:
                raise DatasetError("the loaded model was trained on too few photographs to tell "
                                   "what is unlike them")
            self._novelty = NoveltyDetector().fit(self.training_.features, self.training_.labels,
                                                  self.training_.groups)
        return self._novelty

    def predict(self, X, unknown=None, keep=KEEP):
        """The most probable class of each photograph.

        Parameters
        ----------
        X : sequence
            Photographs, as for `fit`.
        unknown : str, optional
            What to say of a photograph unlike all those of training, such as
            ``"none of these"``. By default each gets a class.
        keep : float
            Share of photographs of the known classes that keep their class
            where `unknown` is given, see `known_score`.

        Returns
        -------
        ndarray of shape (n,)
            Class names. Where an image cannot be read (with ``strict`` that
            is an error) a warning names it and its place holds None, in an
            array of objects.
        """
        extraction = self._extract(X)
        probabilities = self.probabilities_of(extraction)
        if unknown is None:
            return self.classes_from(probabilities)
        return self.classes_from(probabilities, self.known_scores_of(extraction), unknown, keep)

    def predict_top_k(self, X, k=5):
        """The most probable classes of each photograph, with their probabilities.

        Parameters
        ----------
        X : sequence
            Photographs, as for `fit`.
        k : int
            How many; all where there are fewer classes.

        Returns
        -------
        list of list of Ranked
            For each photograph pairs (label, probability), the most probable first. The list of
            an image that cannot be read is empty.

        Examples
        --------
        >>> model.predict_top_k(["new/axe.jpg"], k=2)           # doctest: +SKIP
        [[Ranked(label='axes', probability=0.98), Ranked(label='tents', probability=0.01)]]
        """
        check_whole_number("k", k, 1)
        return most_probable(self.classes_, self.predict_proba(X), k)

    def seen_in_training(self, images):
        """Which photographs the classifier was trained on, or held back to watch its training.

        Measured on these it looks better than it is.

        Parameters
        ----------
        images : sequence or ImageSet

        Returns
        -------
        Seen or None
            ``trained``, bool (n,), for those that were trained on, or are nearly the same as one
            that was; ``held`` for others that were held back. None for a model that was saved by
            a release that kept no hashes.
        """
        record = self.training_record()
        if record is None:
            return None
        images = check_images(getattr(images, "paths", images))
        return record.find(self.extractor_.hashes(images))

    def training_record(self):
        """The hashes of the photographs of the training, a TrainingRecord; None without any."""
        check_is_fitted(self, "head_")
        return getattr(self, "_record", None)

    def knows_unlike(self):
        """Whether it can tell photographs unlike those of its training, see `known_score`."""
        try:
            self._novelty_detector()
        except DatasetError:
            return False
        return True

    def classes_from(self, probabilities, known_scores=None, unknown=UNKNOWN, keep=KEEP):
        """The most probable classes, given what `predict_proba` returned.

        Parameters
        ----------
        probabilities : ndarray of shape (n, c)
        known_scores : ndarray of shape (n,), optional
            What `known_score` returned; where it is less than 1 - `keep` the
            answer is `unknown`.
        unknown : str
        keep : float

        Returns
        -------
        ndarray of shape (n,)
            As `predict` returns them.
        """
        check_is_fitted(self, "head_")
        unreadable = np.isnan(probabilities).any(axis=1)
        predicted = self.classes_[np.where(np.isnan(probabilities), 0, probabilities).argmax(axis=1)]
        if known_scores is not None:
            odd = is_unknown(known_scores, keep)
            if predicted.dtype.kind != "U":
                predicted = predicted.astype(object)
            predicted = np.where(odd, unknown, predicted)
        if unreadable.any():
            predicted = predicted.astype(object)
            predicted[unreadable] = None
        return predicted

    def score(self, X, y=None, sample_weight=None):
        """Share of the readable photographs that are classified rightly.

        Parameters
        ----------
        X : sequence or ImageSet
        y : array-like of shape (n,)
            Text counts for classes that are numbers, as in the names of folders.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
        """
        from sklearn.metrics import accuracy_score
        check_is_fitted(self, "head_")
        X, y = check_labelled(X, y, "y", least=1)
        if (y.dtype.kind == "U") != (self.classes_.dtype.kind == "U"):
            y = labels_of_classes(y, self.classes_)
        extraction = self._extract(X)
        if not len(extraction.positions):
            raise DatasetError("none of the {} images can be read".format(len(y)))
        weights = None if sample_weight is None else np.asarray(sample_weight)[extraction.positions]
        return float(accuracy_score(y[extraction.positions],
                                    self.head_.predict(extraction.features),
                                    sample_weight=weights))

    def summary(self):
        """What the classifier consists of, in a few lines.

        Returns
        -------
        str
        """
        check_is_fitted(self, "head_")
        return describe(self)

    def save(self, path):
        """Write the classifier to one file that needs nothing else.

        Parameters
        ----------
        path : str or Path
            The file appears whole or not at all.

        See Also
        --------
        load_model
        """
        from .model_file import save_model
        save_model(self, path)

    def _more_tags(self):
        return {"X_types": ["images"], "no_validation": True}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        return tags


def check_labelled(X, y, name, least=2):
    """Images and their labels, checked before any image is read."""
    if isinstance(X, ImageSet):
        y = X.labels if y is None else y
        X = X.paths
    X = check_images(X)
    if y is None:
        raise ValueError("labels are missing: give {} or an ImageSet".format(name))
    if np.ndim(y) != 1 or len(y) != len(X):
        raise ValueError("{} images need as many labels, found labels of shape {}".format(
            len(X), np.shape(y)))
    # Before NumPy makes text of them.
    labels = y.tolist() if getattr(getattr(y, "dtype", None), "kind", "") == "U" else list(y)
    missing = [i for i, label in enumerate(labels) if is_missing(label)]
    if missing:
        raise ValueError("{} has no label for {} of the images, the first is number {}".format(
            name, len(missing), missing[0]))
    y = as_labels(y)
    _check_classes(y, least)
    return X, y


def _check_classes(y, least, lost=""):
    classes = sorted(set(y.tolist()), key=str)
    if len(classes) < least:
        found = "only {!r}".format(classes[0]) if classes else "none"
        raise DatasetError("a classifier needs photographs of {} classes or more, found "
                           "{}{}".format(least, found, lost))


def _in_place(extraction, values):
    """Values of the images that could be read at their places among all, NaN elsewhere."""
    n = len(extraction.positions) + len(extraction.failures)
    spread = np.full((n,) + values.shape[1:], np.nan, values.dtype)
    spread[extraction.positions] = values
    return spread


def _extract_labelled(extractor, X, y, strict, hashes=None):
    """Features, labels and positions of the images that can be read, and a list of the others."""
    extraction = extractor.extract(X, strict, hashes=hashes)
    warn_of_failures(extraction.failures)
    skipped = [SkippedFile(error.path, error.reason) for _, error in extraction.failures]
    labels = y[extraction.positions]
    lost = "; {} images cannot be read, the first is {}: {}".format(
        len(skipped), skipped[0].path, skipped[0].reason) if skipped else ""
    _check_classes(labels, 2 if len(set(y.tolist())) > 1 else 1, lost)
    return extraction.features, labels, extraction.positions, skipped


def _views_when_asked(extractor, images, augmentation):
    """A function from positions to the features of the views of those images."""
    def views_of(positions):
        return extractor.extract_views([images[i] for i in positions], augmentation,
                                       strict=True).features
    return views_of


def warn_of_failures(failures):
    """Warn once of all images that cannot be read, naming the first few."""
    if failures:
        named = "; ".join(str(error) for _, error in failures[:3])
        more = " and {} more".format(len(failures) - 3) if len(failures) > 3 else ""
        warn_caller("{} of the images are left out: {}{}".format(len(failures), named, more),
                    SkippedImageWarning)
