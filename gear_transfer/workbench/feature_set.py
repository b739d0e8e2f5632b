"""Features of labelled photographs, computed once for all that is then asked of them."""
import numpy as np
from sklearn.base import clone

from ..classifiers.classifier import TransferClassifier
from ..classifiers.head import HeadClassifier
from ..common.labels import as_labels
from ..common.tables import counted
from ..errors import DatasetError
from ..photographs.augmentation import as_augmentation, with_views
from ..photographs.duplicates import group_hashes
from ..photographs.splits import lonely_classes, relative_names, warn_of_lonely


#: What follows for classes of one photograph where each is held out in turn.
ALONE = "held out, there is nothing of them to train on, so they count as mistakes"


class FeatureSet(object):
    """Features, labels and groups of near-duplicates of photographs.

    Parameters
    ----------
    features : array-like of shape (n, d)
    labels : array-like of shape (n,)
    groups : array-like of shape (n,), optional
        Samples of one group are never on both sides of a split.
    paths : sequence of n str, optional
        The photographs.
    views : array-like of shape (n, v, d), optional
        Features of augmented views of each photograph: they are trained on where it is, and
        never predicted.

    Attributes
    ----------
    features : ndarray of float32, shape (n, d)
    labels : ndarray, shape (n,)
    groups : ndarray, shape (n,), or None
    paths : list of str, or None
    views : ndarray of float32, shape (n, v, d), or None
    classes : ndarray
        The different labels, sorted.
    told_of_lonely : bool
        Whether somebody has been warned of classes that cannot be divided.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import FeatureSet
    >>> FeatureSet(np.zeros((4, 8)), ["axe", "axe", "tent", "tent"])
    <FeatureSet: 4 samples of 2 classes, 8 features>
    """

    def __init__(self, features, labels, groups=None, paths=None, views=None):
        self.features = np.ascontiguousarray(features, dtype=np.float32)
        self.labels = as_labels(labels)
        self.groups = None if groups is None else np.asarray(groups)
        self.paths = None if paths is None else [str(path) for path in paths]
        self.views = None if views is None else np.ascontiguousarray(views, dtype=np.float32)
        if self.features.ndim != 2 or self.labels.shape != (len(self.features),):
            raise ValueError("features must have the shape (n, d) and labels (n,), not {} and "
                             "{}".format(self.features.shape, self.labels.shape))
        for name, values in (("groups", self.groups), ("paths", self.paths)):
            if values is not None and len(values) != len(self.labels):
                raise ValueError("{} samples need as many {}, not {}".format(
                    len(self.labels), name, len(values)))
        if self.views is not None and (self.views.ndim != 3
                                       or self.views.shape[::2] != self.features.shape):
            raise ValueError("views must have the shape ({}, v, {}), not {}".format(
                len(self), self.features.shape[1], self.views.shape))
        if not np.isfinite(self.features).all():
            raise ValueError("features must be finite; sample {} is not".format(
                int(np.flatnonzero(~np.isfinite(self.features).all(axis=1))[0])))
        self.told_of_lonely = False
        self.classes = np.unique(self.labels)
        if len(self.classes) < 2:
            raise DatasetError("two classes or more are needed, found {}".format(
                "only {!r}".format(str(self.classes[0])) if len(self.classes) else "none"))

    def __len__(self):
        return len(self.labels)

    def subset(self, indices):
        """A new FeatureSet of some of the samples.

        Parameters
        ----------
        indices : sequence of int or bool mask of shape (n,)
        """
        positions = np.arange(len(self))[indices]
        return FeatureSet(self.features[positions], self.labels[positions],
                          None if self.groups is None else self.groups[positions],
                          None if self.paths is None else [self.paths[i] for i in positions],
                          None if self.views is None else self.views[positions])

    def names(self):
        """Files relative to the folder they have in common, or "sample 0" and so on."""
        return (relative_names(self.paths) if self.paths else None) or [
            "sample {}".format(i) for i in range(len(self))]

    def __repr__(self):
        groups = "" if self.groups is None else " in {} of near-duplicates".format(
            counted(len(np.unique(self.groups)), "group"))
        views = "" if self.views is None else ", {} of each".format(
            counted(self.views.shape[1], "view"))
        return "<FeatureSet: {} of {}{}, {}{}>".format(
            counted(len(self), "sample"), counted(len(self.classes), "class", "classes"), groups,
            counted(self.features.shape[1], "feature"), views)


def compute_features(images, model=None, groups=None, augment=None):
    """Features of photographs, with the groups of near-duplicates among them.

    Parameters
    ----------
    images : ImageSet
        Photographs that cannot be read are left out with a warning.
    model : TransferClassifier, optional
        Whose backbone and preparation of photographs to use, fitted or not. Default: one with
        the default settings.
    groups : array-like of shape (n,), optional
        Default: those of `find_duplicates`.
    augment : int or Augmentation, optional
        Compute the features of augmented views as well, for training. Default: what the model
        is trained with; 0 for none.

    Returns
    -------
    FeatureSet
    """
    from ..classifiers.labelled import warn_of_failures
    if not hasattr(images, "paths"):
        raise TypeError("images must be an ImageSet, as load_folder gives it, not {!r}".format(images))
    model = TransferClassifier() if model is None else model
    extractor = getattr(model, "extractor_", None)
    if extractor is None:
        extractor = model.make_parts()[0].fit()
    hashes = extractor.hashes(images.paths) if groups is None else None
    extraction = extractor.extract(images.paths, model.strict, hashes=hashes)
    warn_of_failures(extraction.failures)
    if hashes is not None:
        groups = group_hashes(images.paths, hashes).groups
    positions = extraction.positions
    paths = [images.paths[i] for i in positions]
    augmentation = as_augmentation(model.augment if augment is None else augment)
    views = None if augmentation is None else extractor.extract_views(
        paths, augmentation, strict=True).features
    return FeatureSet(extraction.features, np.asarray(images.labels)[positions],
                      np.asarray(groups)[positions], paths, views)


def warn_of_lonely_in(samples):
    """Warn, once for a FeatureSet, of classes that cannot be held out while others train."""
    if not samples.told_of_lonely:
        samples.told_of_lonely = True
        warn_of_lonely(lonely_classes(samples.labels, samples.groups), samples.labels, ALONE)


def as_feature_set(samples, labels=None, groups=None):
    """What functions on features accept, as a FeatureSet.

    Parameters
    ----------
    samples : FeatureSet, ImageSet or array-like of shape (n, d)
    labels, groups : array-like of shape (n,), optional
        For an array; for an ImageSet only groups.

    Returns
    -------
    FeatureSet
    """
    if isinstance(samples, FeatureSet):
        if labels is not None or groups is not None:
            raise ValueError("a FeatureSet has labels and groups of its own; give none")
        return samples
    if hasattr(samples, "paths") and hasattr(samples, "labels"):
        return compute_features(samples, groups=groups)
    if labels is None:
        raise ValueError("labels are missing: give labels= or a FeatureSet")
    return FeatureSet(samples, labels, groups)


def head_of(estimator):
    """A new, unfitted classifier on features, silent.

    Parameters
    ----------
    estimator : TransferClassifier, HeadClassifier or another scikit-learn classifier, or None
        Of a TransferClassifier only the head counts; None is one with the defaults.

    Returns
    -------
    estimator
        Any validation share of a head that does nothing but report is trained on as well.
    """
    if estimator is None:
        estimator = TransferClassifier()
    head = estimator.make_parts()[1] if isinstance(estimator, TransferClassifier) else clone(estimator)
    if not hasattr(head, "predict_proba"):
        raise TypeError("the estimator must be a classifier with predict_proba, not {!r}".format(
            type(estimator).__name__))
    if isinstance(head, HeadClassifier):
        head.set_params(verbose=0)
        if not head.early_stopping:
            head.set_params(validation_fraction=0.0)
    return head


def fit_head(head, samples, positions):
    """Fit a copy of a classifier on some of the samples, groups kept whole where it validates.

    Views of those samples are trained on as well.
    """
    head = clone(head)
    X, y = samples.features[positions], samples.labels[positions]
    views = None if samples.views is None else samples.views[positions]
    if not isinstance(head, HeadClassifier):
        return head.fit(*with_views(X, y, views))
    return head.fit(X, y, groups=None if samples.groups is None else samples.groups[positions],
                    views=views)
