"""From images to features: decoding and the backbone in one motion."""
import collections
import contextlib
import json
import time

import numpy as np

from .. import _core
from ..common.arguments import is_path
from ..common.cache import FEATURES_VERSION, feature_key, open_cache
from ..common.estimator import Estimator, in_container
from ..common.progress import progress_bar
from ..common.threads import check_threads, deferred_interrupts
from ..errors import ImageError
from ..photographs.augmentation import as_augmentation
from ..photographs.hashes import ImageHashes, KnownContents, image_hashes
from ..photographs.decoding import RESIZE_RULES
from ..photographs.images import centred_on_white, read_picture
from ..photographs.sequences import check_images
from .backbone import Backbone
from .destination import destination
from .distributed import KeepsExecutor, check_executor, iterate_chunks, make_task
from .extraction import iterate_features
from .precision import SAMPLE_SIZE, choice_from_text, choice_to_text, fast_precisions
from .settings import DEFAULT_QUALITY, default_resize, resize_rule

#: What extraction gives: features (n, d) float32, the positions (n,) they belong to, and the
#: failures, a list of (position, ImageError).
Extraction = collections.namedtuple("Extraction", ["features", "positions", "failures"])


class FeatureExtractor(KeepsExecutor, Estimator):
    """A scikit-learn transformer from images to the features of a backbone.

    Parameters
    ----------
    backbone : str, Path or Backbone, optional
        As `Backbone.load` takes it, default what `quality` says; or a loaded one, whose settings then
        count instead of those below.
    layer : str or sequence of str, optional
    input_size : int or (int, int), optional
    pooling : {"average", "max"} or None
    resize : {"pad", "stretch", "crop"}, optional
        How a photograph becomes a square, see `read_image`; by the filter,
        and for "crop" the part, that the network's preprocessing says.
        Default is what suits the backbone: "stretch" for the EfficientNets of
        the package, "pad" for others; ``resize_`` says it once fitted.
    batch_size : int
        Images decoded and run at a time.
    threads : int, optional
        Default is the number of processors this process may use.
    precision : {"auto", "float32", "bf16", "int8"}
        See `Backbone.load`. What is to be decided or learned from photographs
        is so from 16 of them, the same whatever their order and names.
    cache : bool, str, Path or FeatureCache
        Where features of files are kept, by the files' content and all that
        decides the features: True for the platform's cache folder, False for
        nowhere, or a folder.
    verbose : bool or int, optional
        Show a progress bar. Default: on a terminal and in a notebook.
    quality : {"balanced", "fast", "accurate"}
        Which backbone, layer and input size count where these are not given,
        see `Backbone.load`.
    preprocessing : {"tf", "caffe", "torch", "raw"} or dict, optional
        What pixels the backbone was trained on, where its file does not say it,
        see `Backbone.load`.
    executor : concurrent.futures.Executor, optional
        Computes the features in place of this process: a process pool, Dask's
        ``client.get_executor()``, mpi4py's. Chunks of paths go out, which the
        workers must be able to read; each loads the backbone once, and runs it
        with ``threads`` threads or else its share of the processors. The
        precision is decided here, for all.

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
    (3, 1392)
    """

    _sklearn_mixins = ("TransformerMixin",)

    def __init__(self, backbone=None, layer=None, input_size=None, pooling="average",
                 resize=None, batch_size=32, threads=None, precision="auto", cache=True,
                 verbose=None, executor=None, quality=DEFAULT_QUALITY, preprocessing=None):
        self.backbone = backbone
        self.layer = layer
        self.input_size = input_size
        self.pooling = pooling
        self.resize = resize
        self.batch_size = batch_size
        self.threads = threads
        self.precision = precision
        self.cache = cache
        self.verbose = verbose
        self.executor = executor
        self.quality = quality
        self.preprocessing = preprocessing

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
        if hasattr(X, "tocsr"):
            check_images(X)  # an error at once, not only in transform
        if self.resize is not None and self.resize not in RESIZE_RULES:
            raise ValueError("resize must be 'pad', 'stretch', 'crop' or None, not {!r}".format(
                self.resize))
        check_executor(self.executor)
        if isinstance(self.backbone, Backbone):
            self.backbone_ = self.backbone
        else:
            self.backbone_ = Backbone.load(self.backbone, layer=self.layer,
                                           input_size=self.input_size, pooling=self.pooling,
                                           threads=self.threads, precision=self.precision,
                                           quality=self.quality,
                                           preprocessing=self.preprocessing)
        self.resize_ = self.resize or default_resize(self.backbone_.network)
        return self

    def transform(self, X, out=None):
        """Features of images.

        Parameters
        ----------
        X : sequence of str, Path, PIL.Image.Image or uint8 ndarray
            As `read_image` takes them; an array (n, h, w, 3) is such a sequence.
        out : str, Path or float32 ndarray of shape (n, d), optional
            Where the features go, so that memory stays as it is however many images there are: a
            file for numpy.load, by custom named .npy, which appears whole or not at all, or an array
            such as a numpy.memmap.

        Returns
        -------
        ndarray of float32, shape (n, d)
            Several layers side by side; maps flattened.

        Raises
        ------
        ImageError
            For the first image that cannot be read.
        """
        if out is None:
            return in_container(self, X, self.extract(X, strict=True).features)
        if not hasattr(self, "backbone_"):
            self.fit()
        with destination(out, (len(check_images(X)), self.backbone_.n_features)) as features:
            return self._extract(X, True, out=features).features

    def fit_transform(self, X, y=None, **fit_params):
        """Load the backbone and compute the features of images, see `transform`."""
        return self.fit(X, y, **fit_params).transform(X)

    def extract(self, X, strict=False, hashes=None):
        """Features of the images that can be read, and what is wrong with the others.

        Parameters
        ----------
        X : sequence
            As for `transform`.
        strict : bool
            Raise at the first image that cannot be read.
        hashes : ImageHashes, optional
            What `hashes` returned for X; sees the images that are decoded here:
            not those in the cache, nor those that an executor reads.

        Returns
        -------
        Extraction
            ``features`` float32 (n, d), ``positions`` int (n,) in X, and
            ``failures``, a list of (position, ImageError).
        """
        return self._extract(X, strict, hashes=hashes)

    def extract_views(self, X, augment, strict=False):
        """Features of augmented views of the images, and what is wrong with unreadable ones.

        They are kept in the cache like others, by the settings of the augmentation.

        Parameters
        ----------
        X : sequence
            As for `transform`.
        augment : int or Augmentation
            A number of views, or all settings.
        strict : bool
            Raise at the first image that cannot be read.

        Returns
        -------
        Extraction
            As of `extract`, with ``features`` float32 (n, views, d).
        """
        augmentation = as_augmentation(augment)
        if augmentation is None:
            raise ValueError("augment must be 1 or more views, not {!r}".format(augment))
        extraction = self._extract(X, strict, augmentation)
        return extraction._replace(features=extraction.features.reshape(
            len(extraction.positions), augmentation.views, self.backbone_.n_features))

    def resize_rule(self):
        """``resize_`` with the filter and the crop that the network says, as `read_image` takes it."""
        return resize_rule(self.backbone_.network, self.resize_)

    def follow_threads(self):
        """Let ``threads``, if it was set after `fit`, count for the backbone.

        One that was given as a `Backbone` keeps its own.
        """
        if not isinstance(self.backbone, Backbone):
            self.backbone_ = self.backbone_.with_threads(self.threads)

    def _extract(self, X, strict, augmentation=None, hashes=None, out=None):
        """Features of images or, with an augmentation, those of all views in one row."""
        if not hasattr(self, "backbone_"):
            self.fit()
        self.follow_threads()
        X = check_images(X)
        with progress_bar(len(X), "Features" if augmentation is None else "Views", "image",
                          self.verbose) as bar:
            cache, contents = open_cache(self.cache), self._contents(X, hashes)
            self._choose_precision(X, contents, cache)
            work = _Work(X, self.backbone_.n_features * (1 if augmentation is None
                                                            else augmentation.views),
                         cache, self._keys(contents, augmentation), out)
            with work:
                missing = work.take_known()
                bar.update(len(X) - len(missing))
                self._fill(work, X, missing, contents, (strict, augmentation, hashes, bar))
        return work.result()

    def _fill(self, work, X, missing, contents, settings):
        """Compute the features that are missing."""
        strict, augmentation, hashes, bar = settings
        known = KnownContents([contents[i] for i in missing])
        batches = self._compute(
            X[missing] if isinstance(X, np.ndarray) else [X[i] for i in missing], augmentation,
            hashes and (lambda i, picture: hashes.see(int(missing[i]), picture)),
            known if work.is_kept else None)
        with contextlib.closing(batches):
            for indices, features, failed in batches:
                if failed and strict:
                    raise failed[0][1]
                changed = set(missing[i] for i in list(known.changed))
                work.add(missing[indices], features, changed)
                if hashes is not None:
                    hashes.forget(changed)
                work.failures.extend((int(missing[i]), error) for i, error in failed)
                bar.update(len(indices) + len(failed))

    def hashes(self, X):
        """Difference hashes of images, to be filled by `extract` with ``hashes=``.

        Parameters
        ----------
        X : sequence
            As for `transform`.

        Returns
        -------
        ImageHashes
        """
        return ImageHashes(X, self.cache, self.threads, self.backbone_.input_size,
                           self.resize_rule(), self.verbose)

    def get_feature_names_out(self, input_features=None):
        """Names of the features: the layer and a number, such as mixed4_17.

        With this, scikit-learn's ``set_output`` works.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of object, shape (d,)
        """
        if not hasattr(self, "backbone_"):
            self.fit()
        backbone = self.backbone_
        layers = (backbone.layer,) if isinstance(backbone.layer, str) else backbone.layer
        return np.array(["{}_{}".format(layer, i) for layer, shape in zip(layers, backbone.shapes)
                         for i in range(int(np.prod(shape)))], dtype=object)

    def _compute(self, images, augmentation, see, contents):
        """Iterator over (indices, features, failures), from here or from the executor."""
        backbone = self.backbone_
        # As long as no photograph could be read to decide on the precision, all is done here.
        if self.executor is not None and backbone.is_settled:
            task = make_task(backbone, self.resize_rule(), self.batch_size, self.threads, self.executor,
                             augmentation)
            return iterate_chunks(self.executor, task, images, contents)
        return iterate_features(backbone, images, self.resize_rule(), self.batch_size,
                                check_threads(self.threads), augmentation, see, contents)

    def _contents(self, X, hashes):
        """Hash of the content of each image that is a file, else None."""
        if hashes is not None:
            return [content if is_path(image) else None
                    for image, content in zip(X, hashes.contents)]
        files = [i for i, image in enumerate(X) if is_path(image)]
        contents = [None] * len(X)
        for i, content in zip(files, image_hashes([X[i] for i in files],
                                                  check_threads(self.threads))):
            contents[i] = content
        return contents

    def _choose_precision(self, X, contents, cache):
        """Let the backbone decide on its precision with a sample of X, if that is still open."""
        backbone = self.backbone_
        if backbone.is_settled or not len(X):
            return
        places = sample_places(contents)
        known = [contents[i] for i in places[:SAMPLE_SIZE]]
        key = None
        if cache is not None and all(known):
            settings = json.dumps([self._settings(), fast_precisions(), _core.int8_rounding()])
            key = feature_key(b"".join(known), settings)
            text = cache.get_choice(key)
            choice = None if text is None else choice_from_text(text)
            if choice is not None:
                backbone.settle(choice)
                return
        watched = KnownContents(contents)
        sample = self._read_sample(X, places, watched)
        if sample:
            backbone.choose_precision(np.stack(sample))
            if key is not None and not watched.changed:
                cache.put_choice(key, choice_to_text(backbone.choice))

    def _read_sample(self, X, places, contents):
        """The pixels of the first images of those places that can be read."""
        sample = []
        for i in places:
            if len(sample) == SAMPLE_SIZE:
                break
            with contextlib.suppress(ImageError):
                size = self.backbone_.input_size
                picture = read_picture(X[i], size, self.resize_rule(), contents.watch(i))
                sample.append(centred_on_white(picture, size))
        return sample

    def _settings(self):
        """All but the photograph and the precision that decides its features."""
        backbone = self.backbone_
        return [backbone.fingerprint(), backbone.layer, backbone.input_size, backbone.pooling,
                self.resize_rule(), FEATURES_VERSION]

    def _keys(self, contents, augmentation):
        """The key of each image in the cache, None where it has none."""
        settings = [self._settings(), self.backbone_.rounding()]
        if augmentation is not None:
            settings.append(augmentation.to_dict())
        settings = json.dumps(settings, sort_keys=True)
        return [content and feature_key(content, settings) for content in contents]

    def _more_tags(self):
        return {"requires_fit": False, "X_types": ["images"], "no_validation": True}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        return tags


class _Work(object):
    """The features of one extraction while they come in; keeps them in the cache on the way.

    Leaving its block, also by an exception, keeps what was computed so far.
    """

    KEEP_EVERY = 1.0  # seconds
    _AT_ONCE = 1024  # images that are looked up in the cache

    def __init__(self, X, length, cache, keys, out=None):
        self.failures = []
        self._features = np.empty((len(X), length), np.float32) if out is None else out
        self._done = np.zeros(len(X), bool)
        self._cache, self._keys = cache if any(keys) else None, keys
        self._unkept = []
        self._kept_at = time.time()

    @property
    def is_kept(self):
        """Whether anything is to be kept in a cache."""
        return self._cache is not None

    def take_known(self):
        """Fill in what the cache has; the positions of the others."""
        if self._cache is not None:
            for start in range(0, len(self._keys), self._AT_ONCE):
                keys = self._keys[start:start + self._AT_ONCE]
                known = self._cache.get([key for key in keys if key], self._features.shape[1])
                for i, key in enumerate(keys, start):
                    if key in known:
                        self._features[i] = known[key]
                        self._done[i] = True
        return np.flatnonzero(~self._done)

    def add(self, positions, features, changed=()):
        """Take the features of the images at `positions`, and keep them unless they `changed`."""
        self._features[positions] = features
        self._done[positions] = True
        if self._cache is not None:
            self._unkept.extend(i for i in positions if self._keys[i] and i not in changed)
            if time.time() - self._kept_at > self.KEEP_EVERY:
                self._keep()

    def _keep(self):
        if self._cache.put([self._keys[i] for i in self._unkept], self._features[self._unkept]):
            self._unkept = []  # otherwise it may be possible later
        self._kept_at = time.time()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            self._keep_rest()
        except KeyboardInterrupt:  # it may have come before the writing began
            self._keep_rest()
            raise

    def _keep_rest(self):
        if self._unkept:
            with deferred_interrupts():
                self._keep()
            self._cache.trim()

    def result(self):
        """What was extracted, as an Extraction."""
        done = np.flatnonzero(self._done)
        features = self._features if len(done) == len(self._done) else self._features[done]
        return Extraction(features, done, sorted(self.failures, key=lambda failure: failure[0]))


def sample_places(contents):
    """Where to look first for images that stand for all.

    Those of the smallest hashes of content: a fair sample that is the same
    for the same photographs in any order, and hardly changes as photographs
    are added. Images without a hash are taken from all over.

    Parameters
    ----------
    contents : sequence of bytes or None

    Returns
    -------
    list of int
        Positions, no content twice.
    """
    hashed = dict((content, i) for i, content in reversed(list(enumerate(contents))) if content)
    if hashed:
        return [hashed[content] for content in sorted(hashed)]
    return np.unique(np.linspace(0, len(contents) - 1, SAMPLE_SIZE).astype(int)).tolist()


