"""From images to features: decoding and the backbone in one motion."""
import collections
import contextlib

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .backbone import DEFAULT_BACKBONE, Backbone, check_threads
from .images import RESIZE_RULES
from .prefetch import iterate_batches
from .progress import progress_bar

#: What extraction gives: features (n, d) float32, the positions (n,) they belong to, and the
#: failures, a list of (position, ImageError).
Extraction = collections.namedtuple("Extraction", ["features", "positions", "failures"])


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """A scikit-learn transformer from images to the features of a backbone.

    Parameters
    ----------
    backbone : str, Path or Backbone
        As `Backbone.load` takes it, or a loaded one, whose settings then
        count instead of those below.
    layer : str or sequence of str, optional
    input_size : int or (int, int), optional
    pooling : {"average", "max"} or None
    resize : {"pad", "stretch"}
        How a photograph becomes a square, see `read_image`.
    batch_size : int
        Images decoded and run at a time.
    threads : int, optional
        Default is the number of processors this process may use.
    verbose : bool or int
        Show a progress bar.

    Attributes
    ----------
    backbone_ : Backbone
        Loaded by `fit`, which learns nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import FeatureExtractor
    >>> images = np.zeros((3, 100, 60, 3), np.uint8)
    >>> FeatureExtractor(input_size=96).fit_transform(images).shape
    (3, 768)
    """

    def __init__(self, backbone=DEFAULT_BACKBONE, layer=None, input_size=None, pooling="average",
                 resize="pad", batch_size=32, threads=None, verbose=0):
        self.backbone = backbone
        self.layer = layer
        self.input_size = input_size
        self.pooling = pooling
        self.resize = resize
        self.batch_size = batch_size
        self.threads = threads
        self.verbose = verbose

    def fit(self, X=None, y=None):
        """Load the backbone.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        FeatureExtractor
            This one.
        """
        if self.resize not in RESIZE_RULES:
            raise ValueError("resize must be 'pad' or 'stretch', not {!r}".format(self.resize))
        if isinstance(self.backbone, Backbone):
            self.backbone_ = self.backbone
        else:
            self.backbone_ = Backbone.load(self.backbone, layer=self.layer,
                                           input_size=self.input_size, pooling=self.pooling,
                                           threads=self.threads)
        return self

    def transform(self, X):
        """Features of images.

        Parameters
        ----------
        X : sequence of str, Path, PIL.Image.Image or uint8 ndarray
            As `read_image` takes them; an array (n, h, w, 3) is such a sequence.

        Returns
        -------
        ndarray of float32, shape (n, d)
            Several layers side by side; maps flattened.

        Raises
        ------
        ImageError
            For the first image that cannot be read.
        """
        return self.extract(X, strict=True).features

    def extract(self, X, strict=False):
        """Features of the images that can be read, and what is wrong with the others.

        Parameters
        ----------
        X : sequence
            As for `transform`.
        strict : bool
            Raise at the first image that cannot be read.

        Returns
        -------
        Extraction
            ``features`` float32 (n, d), ``positions`` int (n,) in X, and
            ``failures``, a list of (position, ImageError).
        """
        if not hasattr(self, "backbone_"):
            self.fit()
        backbone = self.backbone_
        X = check_images(X)
        features = np.empty((len(X), backbone.n_features), np.float32)
        positions, failures = [], []
        row = 0
        batches = iterate_batches(X, backbone.input_size, self.resize, self.batch_size,
                                  workers=check_threads(self.threads))
        with contextlib.closing(batches), progress_bar(
                len(X), "Features", "image", self.verbose) as bar:
            for indices, pixels, failed in batches:
                if failed and strict:
                    raise failed[0][1]
                features[row:row + len(indices)] = _flat(backbone.features(pixels), len(indices))
                row += len(indices)
                positions.append(indices)
                failures.extend(failed)
                bar.update(len(indices) + len(failed))
        positions = np.concatenate(positions) if positions else np.empty(0, int)
        return Extraction(features[:row], positions, failures)

    def _more_tags(self):
        return {"requires_fit": False, "X_types": ["images"], "no_validation": True}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        return tags


def check_images(X):
    """A sequence of images, as opposed to one image or one path."""
    if isinstance(X, (str, bytes)) or not hasattr(X, "__len__"):
        raise TypeError("expected a sequence of images, not {!r}".format(
            X if isinstance(X, str) else type(X).__name__))
    if isinstance(X, np.ndarray) and X.dtype != np.uint8 and X.dtype.kind not in "OU":
        raise TypeError("an array of images must be of type uint8 with values from 0 to 255, not "
                        "{}".format(X.dtype))
    if isinstance(X, np.ndarray) and X.dtype.kind == "U":
        return X.tolist()
    return X if isinstance(X, np.ndarray) else list(X)


def _flat(features, n):
    """Features of one or several layers as (n, d)."""
    if isinstance(features, list):
        return np.concatenate([part.reshape(n, -1) for part in features], axis=1)
    return features.reshape(n, -1)
