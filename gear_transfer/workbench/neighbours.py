"""Why it thinks so: the training photographs most like a photograph."""
import collections

import numpy as np

from ..common.estimator import check_is_fitted
from ..errors import DatasetError
from ..photographs.image_set import ImageSet

#: The k photographs most like each of n, the nearest first: images, a list of n lists; labels
#: (n, k); distances (n, k), from 0 for the same features to 1 for features without any in common.
Neighbours = collections.namedtuple("Neighbours", ["images", "labels", "distances"])


def nearest(model, images, k=5, among=None):
    """The training photographs whose features are most like those of photographs.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded.
    images : sequence of n images
        Photographs, as for `TransferClassifier.predict`.
    k : int
        How many for each; as many as there are, if those are fewer.
    among : ImageSet, optional
        The photographs to look among. Default is those of the last `fit`. A
        loaded model has none, as they would make its file larger with every
        photograph; with the feature cache those it was trained on cost little.

    Returns
    -------
    Neighbours
        ``images``, a list of n lists of k; ``labels`` (n, k); ``distances``
        (n, k), one minus the cosine between the features.

    Raises
    ------
    DatasetError
        If there are no photographs to look among.
    ImageError
        For the first image that cannot be read.
    ValueError
        If `k` is not a whole number from 1 on.

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> images = gt.load_folder(gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20))
    >>> model = gt.TransferClassifier(input_size=96).fit(images)
    >>> gt.nearest(model, images.paths[:1], k=3).labels.shape
    (1, 3)
    """
    from sklearn.neighbors import NearestNeighbors

    check_is_fitted(model, "head_")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError("k must be a whole number from 1 on, not {!r}".format(k))
    known, labels, features = _photographs(model, among)
    k = min(int(k), len(known))
    index = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(features)
    wanted = model.extractor_.transform(images)
    if not len(wanted):
        return Neighbours([], np.empty((0, k), labels.dtype), np.empty((0, k)))
    distances, places = index.kneighbors(wanted)
    return Neighbours([[known[i] for i in row] for row in places], labels[places],
                      np.maximum(distances, 0.0))


def _photographs(model, among):
    """Images, labels and features of the photographs to look among."""
    if among is None:
        if model.training_ is None:
            raise DatasetError("a loaded model does not hold its training photographs: give "
                               "among=, an ImageSet such as load_folder returns")
        return model.training_[:3]
    if not isinstance(among, ImageSet) or not len(among):
        raise DatasetError("among must be an ImageSet with one image or more, not {!r}".format(
            among))
    extraction = model.extractor_.extract(among.paths)
    if not len(extraction.positions):
        raise DatasetError("none of the {} images of among can be read".format(len(among)))
    return ([among.paths[i] for i in extraction.positions], among.labels[extraction.positions],
            extraction.features)
