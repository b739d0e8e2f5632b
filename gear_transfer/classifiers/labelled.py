"""Photographs and their labels, checked; and the features of those that can be read."""
import numpy as np

from ..common.arguments import is_missing
from ..common.caller import warn_caller
from ..common.labels import as_labels
from ..errors import DatasetError, SkippedImageWarning
from ..photographs.image_set import ImageSet, SkippedFile
from ..photographs.sequences import check_images


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


def extract_labelled(extractor, X, y, strict, hashes=None):
    """Features, labels and positions of the images that can be read, and a list of the others."""
    extraction = extractor.extract(X, strict, hashes=hashes)
    warn_of_failures(extraction.failures)
    skipped = [SkippedFile(error.path, error.reason) for _, error in extraction.failures]
    labels = y[extraction.positions]
    lost = "; {} images cannot be read, the first is {}: {}".format(
        len(skipped), skipped[0].path, skipped[0].reason) if skipped else ""
    _check_classes(labels, 2 if len(set(y.tolist())) > 1 else 1, lost)
    return extraction.features, labels, extraction.positions, skipped


def warn_of_failures(failures):
    """Warn once of all images that cannot be read, naming the first few."""
    if failures:
        named = "; ".join(str(error) for _, error in failures[:3])
        more = " and {} more".format(len(failures) - 3) if len(failures) > 3 else ""
        warn_caller("{} of the images are left out: {}{}".format(len(failures), named, more),
                    SkippedImageWarning)
