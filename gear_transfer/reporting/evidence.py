"""What a report is about: photographs, and predictions that no one has seen the answer of."""
import os

import numpy as np

from ..classifier import TransferClassifier
from ..errors import DatasetError
from ..image_set import ImageSet, SkippedFile, load_folder

FOLDS = 5


class Evidence(object):
    """A classifier, the photographs of a folder, and honest predictions of them.

    The predictions are those of the classifier for photographs that it was not
    trained on, where the folder has some apart; otherwise those of
    cross-validation, each from a head that was trained without the photograph.

    Parameters
    ----------
    model : TransferClassifier
        Fitted.
    folder : str, Path or ImageSet

    Attributes
    ----------
    images : ImageSet
        All photographs, those to train on where the folder is split.
    skipped : list of SkippedFile
    paths : list of str
        The n photographs that are predicted.
    labels : ndarray of str, shape (n,)
    features : ndarray of float32, shape (n, d)
    classes : list of str
    probabilities : ndarray of float, shape (n, c)
    predicted : ndarray of str, shape (n,)
    losses : ndarray of float, shape (n,)
        Minus the logarithm of the probability of the true class.
    method : str
        How the predictions were made, a sentence or two.
    """

    def __init__(self, model, folder):
        if not isinstance(model, TransferClassifier) or not hasattr(model, "head_"):
            raise TypeError("model must be a fitted TransferClassifier or the path of a saved one, "
                            "not {!r}".format(model))
        self.model = model
        self.images = folder if isinstance(folder, ImageSet) else load_folder(folder)
        self.root = _common_folder(self.images) if isinstance(folder, ImageSet) else str(folder)
        known = [str(name) for name in model.classes_.tolist()]
        unknown = sorted(set(self.images.classes) - set(known))
        if unknown:
            raise DatasetError("the classifier does not know the class {!r} of this folder; it "
                               "knows {}".format(unknown[0], ", ".join(known)))
        held, name = self._held_out()
        extraction = model.extractor_.extract(held.paths)
        self.skipped = self.images.skipped + [
            SkippedFile(error.path, error.reason) for _, error in extraction.failures]
        if not len(extraction.positions):
            raise DatasetError("none of the {} photographs can be read".format(len(held)))
        self.paths = [held.paths[i] for i in extraction.positions]
        self.labels = held.labels[extraction.positions]
        self.features = extraction.features
        if held is self.images:
            self._cross_validate()
        else:
            self.classes = known
            self.probabilities = model.head_.predict_proba(self.features)
            self.method = ("The {} photographs in {} were predicted by the classifier, which was "
                           "not trained on them.".format(len(self.paths), name))
        self.predicted = np.array(self.classes)[self.probabilities.argmax(axis=1)]
        own = self.probabilities[np.arange(len(self.labels)),
                                 np.searchsorted(self.classes, self.labels)]
        self.losses = -np.log(np.maximum(own, 1e-12))

    def _held_out(self):
        """The photographs to predict, and the name of their folder."""
        for part, name in ((self.images.test, "the test folder"),
                           (self.images.validation, "the validation folder")):
            if part is not None:
                return part, name
        return self.images, None

    def _cross_validate(self):
        from sklearn.base import clone
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        head = clone(self.model.head_).set_params(verbose=0, validation_fraction=0.0,
                                                  early_stopping=False)
        self.classes = sorted(set(self.labels.tolist()))
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        self.probabilities = cross_val_predict(head, self.features, self.labels, cv=splitter,
                                               method="predict_proba")
        self.method = (
            "{} folds of cross-validation: each photograph was predicted by a head that was "
            "trained, with the settings of this classifier, on photographs of the other folds "
            "only.".format(FOLDS))

    @property
    def right(self):
        """Which predictions are right, ndarray of bool, shape (n,)."""
        return self.predicted == self.labels

    def name_of(self, path):
        """A path as it is shown: relative to the folder."""
        relative = os.path.relpath(str(path), self.root)
        return str(path) if relative.startswith(os.pardir) else relative


def _common_folder(images):
    """The folder that all photographs of a set lie in."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in images.paths]
    return os.path.commonpath(folders) if folders else os.curdir
