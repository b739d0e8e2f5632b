"""What a report is about: photographs, and predictions that no one has seen the answer of."""
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


class Evidence(object):
    """A classifier, the photographs of a folder, and honest predictions of them.

    The predictions are those of the classifier for photographs that it was not
    trained on, where the folder has some apart; otherwise those of
    cross-validation, each from a head that was trained without the photograph
    and without its near-duplicates.

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
    validation : CrossValidation or None
        None where the predictions are those of the classifier.
    samples : FeatureSet or None
        What was cross-validated.
    method : str
        How the predictions were made, a sentence or two.
    """

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
        self._read(held)
        if held is self.images:
            self._cross_validate()
        else:
            self._predict(known, name)
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
        return self.images, None

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
        self.labels = np.array([str(label) for label in self._typed.tolist()])
        self.features = extraction.features
        self.duplicates = find_duplicates(self.paths, cache=self.model.cache,
                                          threads=self.model.threads)

    def _cross_validate(self):
        augmentation = as_augmentation(self.model.augment)
        views = None if augmentation is None else self.model.extractor_.extract_views(
            self.paths, augmentation, strict=True).features
        self.samples = FeatureSet(self.features, self._typed, self.duplicates.groups, self.paths,
                                  views)
        self.validation = cross_validate(self.samples, estimator=self.model, folds=FOLDS)
        self.classes = [str(name) for name in self.validation.classes.tolist()]
        self.probabilities = self.validation.probabilities
        self.method = (
            "Cross-validation in {} folds: each photograph was predicted by a head that was "
            "trained, with the settings of this classifier, on the other folds. Near-duplicates are "
            "always in one fold, so none was predicted by a head that knew its twin.".format(FOLDS))

    def _predict(self, classes, name):
        self.validation, self.samples, self.classes = None, None, classes
        self.probabilities = self.model.head_.predict_proba(self.features)
        self.method = ("{} in the {} predicted by the classifier, which was not trained on "
                       "them.".format(counted(len(self.paths), "photograph"), name))

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


def _common_folder(images):
    """The folder that all photographs of a set lie in."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in images.paths]
    return os.path.commonpath(folders) if folders else os.curdir
