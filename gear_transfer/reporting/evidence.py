"""What a report is about: photographs, and predictions that no one has seen the answer of."""
import collections
import os

import numpy as np

from ..classifiers.classifier import TransferClassifier
from ..common.labels import labels_of_classes
from ..common.tables import counted
from ..errors import DatasetError
from ..photographs.augmentation import as_augmentation
from ..photographs.duplicates import find_duplicates
from ..photographs.image_set import ImageSet, SkippedFile, load_folder
from ..workbench.evaluation import check_target, cross_validate
from ..workbench.feature_set import FeatureSet
from ..workbench.intervals import verdict, wilson_interval

FOLDS = 5

#: A second figure beside the accuracy: what it measures, the share that is right, of how many
#: photographs, and its 95 % interval.
Figure = collections.namedtuple("Figure", ["name", "accuracy", "number", "interval"])


class Evidence(object):
    """A classifier, the photographs of a folder, and honest predictions of them.

    The predictions are those of the classifier itself where the folder has photographs for that:
    those in test/ or val/, or most of all, that were not in its training, nor a near-duplicate of
    them. Otherwise they are those of cross-validation, each from a head that was trained without
    the photograph and without its near-duplicates.

    Parameters
    ----------
    model : TransferClassifier
        Fitted.
    folder : str, Path or ImageSet
    target : float

    Attributes
    ----------
    model : TransferClassifier
    images : ImageSet
        All photographs, those to train on where the folder is split.
    root : str
        The folder.
    skipped : list of SkippedFile
    unreadable : list of SkippedFile
        Those of them that should have been predicted.
    seen : int or None
        How many photographs of the part that is measured on were in the training, or have a
        near-duplicate there; None where the model does not tell.
    duplicates : Duplicates
        Among the photographs that are predicted, in the order of ``paths``.
    paths : list of str
        The n photographs that are predicted.
    labels : ndarray of str, shape (n,)
    features : ndarray of float32, shape (n, d)
    classes : list of str
    probabilities : ndarray of float, shape (n, c)
    predicted : ndarray of str, shape (n,)
    right : ndarray of bool, shape (n,)
    losses : ndarray of float, shape (n,)
        Minus the logarithm of the probability of the true class.
    interval : (float, float)
        In which the accuracy lies with 95 % confidence.
    target : float
    measures : {"classifier", "recipe"}
        Whose accuracy it is: that of the classifier itself, or that of heads trained as it was.
    other : Figure or None
        The other of these two, where there are photographs to measure it on.
    validation : CrossValidation or None
        None where there was none.
    samples : FeatureSet or None
        What was cross-validated.
    method : str
        How the predictions were made, in a few sentences.
    """

    measures, other, seen = "recipe", None, None

    def __init__(self, model, folder, target):
        if not isinstance(model, TransferClassifier) or not hasattr(model, "head_"):
            raise TypeError("model must be a fitted TransferClassifier or the path of a saved one, "
                            "not {!r}".format(model))
        check_target(target, required=True)
        self.model, self.target = model, target
        self.images = folder if isinstance(folder, ImageSet) else load_folder(folder)
        self.root = _common_folder(self.images) if isinstance(folder, ImageSet) else str(folder)
        known = [str(name) for name in model.classes_.tolist()]
        unknown = sorted(set(str(name) for name in self.images.classes) - set(known))
        if unknown:
            raise DatasetError("the classifier does not know the class {!r} of this folder; it "
                               "knows {}".format(unknown[0], ", ".join(known)))
        held, name = self._held_out()
        self.validation = self.samples = None
        self._read(held)
        new, watched = self._find_new(held is self.images.validation)
        # Of a folder that is not split, the classifier is measured if most of it is new to it.
        is_apart = held is not self.images or self.seen is not None and 2 * new.sum() > len(new)
        if is_apart and new.any():
            self._measure_classifier(known, name, new, watched)
        else:
            self._measure_recipe(new, watched)
        self.predicted = np.array(self.classes)[self.probabilities.argmax(axis=1)]
        self.right = self.predicted == self.labels
        places = [self.classes.index(label) for label in self.labels.tolist()]
        own = self.probabilities[np.arange(len(places)), places]
        self.losses = -np.log(np.maximum(own, 1e-12))
        self.interval = wilson_interval(self.accuracy, len(set(self.duplicates.groups.tolist())))

    def _held_out(self):
        """The photographs to predict, and the name of their folder."""
        for part, name in ((self.images.test, "test folder"),
                           (self.images.validation, "validation folder")):
            if part is not None:
                return part, name
        return self.images, "folder"

    def _read(self, held):
        """Features and near-duplicates of the photographs that can be read."""
        extraction = self.model.extractor_.extract(held.paths)
        self.unreadable = [SkippedFile(error.path, error.reason)
                           for _, error in extraction.failures]
        self.skipped = self.images.skipped + self.unreadable
        if not len(extraction.positions):
            raise DatasetError("none of the {} photographs can be read".format(len(held)))
        self.paths = [held.paths[i] for i in extraction.positions]
        self._typed = labels_of_classes(held.labels[extraction.positions], self.model.classes_)
        self.features = extraction.features
        self._label()

    def _label(self):
        self.labels = np.array([str(label) for label in self._typed.tolist()])
        self.duplicates = find_duplicates(self.paths, cache=self.model.cache,
                                          threads=self.model.threads)

    def _find_new(self, may_watch):
        """Which photographs the classifier may be measured on, bool (n,), all where that is not
        known; and which it was held back from.

        Those held back count as well where they are for that, in the validation folder.
        """
        seen = self.model.seen_in_training(self.paths)
        if seen is None:
            return np.ones(len(self.paths), bool), np.zeros(len(self.paths), bool)
        new = ~seen.trained if may_watch else ~(seen.trained | seen.held)
        self.seen = int((~new).sum())
        return new, seen.held

    def _measure_recipe(self, new, watched):
        """Cross-validate, and say how the classifier does on what is new to it."""
        self.measures = "recipe"
        try:
            self._cross_validate()
        except DatasetError as error:
            if not self.seen:
                raise
            raise DatasetError(
                "{:,} of the {:,} photographs, or near-duplicates of them, were in the training of "
                "this classifier, and they cannot be cross-validated ({}); give photographs that "
                "are new to it".format(self.seen, len(self.paths), error)) from error
        self.classes = [str(name) for name in self.validation.classes.tolist()]
        self.probabilities = self.validation.probabilities
        self.method = (
            "Cross-validation of the recipe in {} folds: each photograph was predicted by a head "
            "that was trained, with the settings of this classifier, on the other folds. "
            "Near-duplicates are always in one fold, so none was predicted by a head that knew its "
            "twin. ".format(FOLDS))
        if self.seen is None:
            self.method += ("Whether the classifier itself was trained on these photographs is not "
                            "known: its file was saved by an earlier release.")
            return
        self.method += (
            "The classifier itself had {:,} of these {:,} photographs, or near-duplicates of them, "
            "in its training, so that its own predictions of them prove nothing.".format(
                self.seen, len(self.paths)))
        for name, chosen in (("the classifier, on photographs new to it", new),
                             ("the classifier, on photographs held back in its training", watched)):
            if chosen.any():
                right = self.model.head_.predict(self.features[chosen]) == self._typed[chosen]
                self.other = _figure(name, right, self.duplicates.groups[chosen])
                break

    def _cross_validate(self):
        augmentation = as_augmentation(self.model.augment)
        views = None if augmentation is None else self.model.extractor_.extract_views(
            self.paths, augmentation, strict=True).features
        self.samples = FeatureSet(self.features, self._typed, self.duplicates.groups, self.paths,
                                  views)
        self.validation = cross_validate(self.samples, estimator=self.model, folds=FOLDS)

    def _measure_classifier(self, classes, name, new, watched):
        """Let the classifier predict what is new to it; cross-validate where nothing is apart."""
        self.measures, self.classes = "classifier", classes
        everything = len(new)
        if not new.all():
            self.paths = [path for path, is_new in zip(self.paths, new) if is_new]
            self.features, self._typed = self.features[new], self._typed[new]
            self._label()
        self.probabilities = self.model.head_.predict_proba(self.features)
        self.method = "{} in the {} predicted by the classifier itself. ".format(
            counted(len(self.paths), "photograph"),
            name + (" was" if len(self.paths) == 1 else " were"))
        if self.seen is None:
            self.method += ("Whether it was trained on some of them is not known: its file was "
                            "saved by an earlier release.")
        elif self.seen:
            self.method += (
                "The other {:,} of {:,} are left out, because they, or near-duplicates of them, "
                "were in its training.".format(self.seen, everything))
        elif not watched.any():
            self.method += "Neither they nor near-duplicates of them were in its training."
        if (new & watched).any():
            self.method += ("It was not trained on them, but {} held back to watch its training, so "
                            "it may do a little worse on others.".format(
                                counted(int((new & watched).sum()), "was", "were")))
        if name == "folder":
            try:
                self._cross_validate()
            except DatasetError:  # too few of a class
                self.samples = None
                return
            self.other = _figure("the recipe, cross-validated on them", self.validation.right,
                                 self.duplicates.groups)

    @property
    def accuracy(self):
        """Share of the photographs that were predicted rightly."""
        return float(self.right.mean())

    @property
    def verdict(self):
        """Whether the target is reached: "met", "not met" or "not proven"."""
        return verdict(self.interval, self.target)

    def name_of(self, path):
        """A path as it is shown: relative to the folder."""
        relative = os.path.relpath(str(path), self.root)
        return str(path) if relative.startswith(os.pardir) else relative


def _figure(name, right, groups):
    """A Figure, near-duplicates counted once in its interval."""
    accuracy = float(right.mean())
    return Figure(name, accuracy, len(right), wilson_interval(accuracy, len(np.unique(groups))))


def _common_folder(images):
    """The folder that all photographs of a set lie in."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in images.paths]
    return os.path.commonpath(folders) if folders else os.curdir
