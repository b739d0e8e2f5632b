"""Which layer, which input size, which head: tried where it is cheap, judged where it matters."""
import collections
import re
import time

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from ..classifiers.classifier import HEAD_PARAMETERS, TransferClassifier
from ..classifiers.head import check_settings
from ..classifiers.labelled import check_labelled, warn_of_failures
from ..common.arguments import check_list, check_whole_number, is_path
from ..common.progress import no_automatic_bars, progress_bar
from ..errors import GraphError
from ..features.backbone import Backbone, default_name, find_backbone
from ..features.settings import default_resize, named_layers, resize_rule
from ..importers import load_network
from ..importers.network import needed_nodes
from ..importers.weights import PACKAGED
from ..photographs.duplicates import find_duplicates
from ..photographs.image_set import load_folder
from ..photographs.images import read_image
from ..photographs.splits import lonely_classes, warn_of_lonely
from .evaluation import cross_validate
from .feature_set import ALONE, FeatureSet
from .intervals import sign_test, wilson_interval
from .trials import PICKS, Trial, Tuning, choose, layer_text, place, size_text

#: What is tried where nothing else is said, of one backbone, and of each where several are tried.
DEFAULT_SIZES = (96, 128, 160, 192, 224, 299)
SIZES_OF_EACH = (160, 224, 288)
DEFAULT_L2 = (0.002, 0.005, 0.02, 0.05)

_LEAST_OF_A_CLASS = 10  # photographs in the sample, if there are as many
_LEVEL = 0.05  # of the test whether a layer is worse than another
_TIMED = 16  # photographs
_MOST_JOINS = 8


def tune(images, labels=None, groups=None, layers=None, sizes=None, l2=DEFAULT_L2, heads=None,
         model=None, folds=5, repeats=5, sample=400, finalists=4, random_state=0, verbose=None,
         backbones=None):
    """Find the backbone, the layer, the input size and the head that suit some photographs.

    At first a sample of the photographs goes through the backbone, once for each size, with all
    layers tapped, and each layer is judged by cross-validation. A layer that is significantly
    worse than the best (sign test, 5 %) at two sizes in succession is not tried at larger ones.
    Then the picks of the sample (see `Tuning`) and the most accurate others, `finalists` in all,
    are judged on all photographs, with every head; the most accurate head of each once more with
    other folds, until it has all `repeats`. That is successive halving (K. Jamieson and A.
    Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016) in
    three rounds. Near-duplicates are always on one side of a split.

    All features are kept in the cache of `model`, so another call, and a fit of what is chosen,
    compute none again; after an interrupt the next call goes on from there.

    Parameters
    ----------
    images : ImageSet, folder (str or Path), or sequence of images
        As `load_folder` and `TransferClassifier.fit` take them.
    labels : array-like of shape (n,), optional
        For a sequence.
    groups : array-like of shape (n,), optional
        Photographs of one group are in one fold. Default: those of `find_duplicates`.
    layers : sequence of str or tuple of str, optional
        A tuple are layers tapped together. Default: the ends of the blocks, mixed0 and so on of an
        Inception V3, the last ones of another network, and the layers of the named qualities, see
        `Backbone.load`.
    sizes : sequence of int or (int, int), optional
        Input sizes. Default: 96, 128, 160, 192, 224 and 299, those that the network can take; 160,
        224 and 288 where several backbones are tried.
    l2 : sequence of float
        Regularisations of the head.
    heads : dict of str to sequence, optional
        More parameters of the head, each with the values to try, as scikit-learn's
        ParameterGrid takes them.
    model : TransferClassifier, optional
        For all other settings, fitted or not. Default: one with the default settings. Views that
        its ``augment`` asks for are only made in a fit of what is chosen.
    folds : int
        Of cross-validation.
    repeats : int
        Of cross-validation, each with other folds, of what the picks are chosen among.
    sample : int
        Photographs for the first round; a class has 10 at least, if there are as many.
    finalists : int
        Layers and sizes that are judged on all photographs.
    random_state : int
        Decides sample and folds.
    verbose : bool or int, optional
        Show progress bars. Default: on a terminal and in a notebook.
    backbones : sequence of str or Path, optional
        Names or weight files, see `Backbone.load`. Default: the ``backbone`` of `model`; where it has
        none and no `layers` are given, the EfficientNets of the package.

    Returns
    -------
    Tuning

    Raises
    ------
    DatasetError
        If a class has too few photographs that differ.
    GraphError
        If a layer does not exist or a size does not fit.
    ValueError, TypeError
        If an argument makes no sense.

    Examples
    --------
    >>> import tempfile
    >>> import gear_transfer as gt
    >>> folder = gt.make_shapes(tempfile.mkdtemp() + "/shapes", per_class=20)
    >>> tuning = gt.tune(folder, layers=["mixed0", "mixed2"], sizes=[75, 96])
    >>> tuning.best.layer in ("mixed0", "mixed2")
    True
    >>> model = tuning.classifier().fit(gt.load_folder(folder))
    """
    for name, value, least in (("folds", folds, 2), ("repeats", repeats, 1), ("sample", sample, 1),
                               ("finalists", finalists, 1)):
        check_whole_number(name, value, least)
    model = _checked_model(model)
    grid = _head_grid(model, l2, heads)
    candidates = _all_candidates(model, backbones, layers, sizes)
    folder = load_folder(images, verbose=verbose) if is_path(images) else images
    images, labels = check_labelled(folder, labels, "labels")
    if groups is None:
        groups = find_duplicates(images, cache=model.cache, threads=model.threads,
                                 verbose=verbose).groups
    elif np.shape(groups) != (len(images),):
        raise ValueError("{} images need as many groups, found groups of shape {}".format(
            len(images), np.shape(groups)))
    warn_of_lonely(lonely_classes(labels, groups), np.asarray(labels), ALONE)
    judge = _Judge(model, images, labels, np.asarray(groups), folds, random_state, verbose)
    places = sample_places(labels, judge.groups, sample, random_state)
    head = dict((name, getattr(model, name)) for name in grid[0])
    tried = [trial for each in candidates.values() for trial in _screen(judge, each, places, head)]
    chosen = choose_finalists(tried, len(np.unique(judge.groups[places])), finalists)
    judged = [trial for finalist in chosen for trial in _judge_on_all(
        judge, candidates[finalist.backbone], finalist, grid, repeats)]
    others = [trial for trial in tried if not any(trial is finalist for finalist in chosen)]
    return Tuning(judged + others, len(np.unique(judge.groups)), model)


def _checked_model(model):
    if model is not None and not isinstance(model, TransferClassifier):
        raise TypeError("model must be a TransferClassifier, not a {}".format(
            type(model).__name__))
    model = clone(TransferClassifier() if model is None else model)
    if isinstance(model.backbone, Backbone):
        raise ValueError("model.backbone must be a name or a path, as a loaded Backbone has its "
                         "layer and its size already, not {!r}".format(model.backbone))
    return model


def _head_grid(model, l2, heads):
    """The heads to try, a list of dict, each checked."""
    if heads is not None and not isinstance(heads, dict):
        raise TypeError("heads must be a dict of parameters of the head and the values to try, not "
                        "{!r}".format(heads))
    values = dict((name, check_list("heads[{!r}]".format(name), given))
                  for name, given in (heads or {}).items())
    values.setdefault("l2", check_list("l2", l2))
    for name, given in values.items():
        if name not in HEAD_PARAMETERS or not given:
            raise ValueError("heads must have one value or more for parameters of the head ({}), "
                             "not {!r} for {!r}".format(", ".join(HEAD_PARAMETERS), given, name))
    grid = list(ParameterGrid(values))
    for setting in grid:
        check_settings(clone(model).set_params(**setting))
    return grid


def _all_candidates(model, backbones, layers, sizes):
    """_Candidates of each backbone, an OrderedDict by its name or path."""
    if backbones is None:
        if model.backbone is not None:
            backbones = [model.backbone]
        elif layers is not None:
            given = [layer for layer in check_list("layers", layers)
                     if isinstance(layer, (str, tuple, list))]
            backbones = [default_name(tapped(given) if given else None, model.quality)]
        else:
            backbones = [name for name in PACKAGED if name.startswith("efficientnet")]
    elif not check_list("backbones", backbones):
        raise ValueError("backbones must name one backbone or more, not {!r}".format(backbones))
    names = tapped(str(name) for name in backbones)
    default_sizes = DEFAULT_SIZES if len(names) == 1 else SIZES_OF_EACH
    return collections.OrderedDict((name, _Candidates(model, name, layers, sizes, default_sizes))
                                   for name in names)


class _Candidates(object):
    """The layers and sizes of a backbone to try, checked before any photograph is read."""

    def __init__(self, model, name, layers, sizes, default_sizes):
        self._model = model
        self.name = name
        self._network = load_network(find_backbone(self.name), preprocessing=model.preprocessing)
        self.layers = (default_layers(self._network) if layers is None
                       else check_list("layers", layers))
        if not self.layers:
            raise ValueError("layers must name one layer or more, not {!r}".format(layers))
        self.layers = [layer if isinstance(layer, str) else tuple(check_list("layers", layer))
                       for layer in self.layers]
        if sizes is None:
            sizes = [size for size in default_sizes if self._fits(size)] or [None]
        elif not check_list("sizes", sizes):
            raise ValueError("sizes must have one input size or more, not {!r}".format(sizes))
        found = set(self.backbone(tapped(self.layers), size).input_size for size in sizes)
        self.sizes = sorted(found, key=lambda size: (size[0] * size[1], size))

    def _fits(self, size):
        try:
            self.backbone(tapped(self.layers), size)
        except GraphError:
            # Raises what is no matter of size.
            needed_nodes(self._network.nodes, tapped(self.layers))
            return False
        return True

    def backbone(self, layer, size):
        """A backbone tapped at one layer, a str, or several, a tuple."""
        model = self._model
        return Backbone.from_network(self._network, self.name, layer, size, model.pooling,
                                     model.threads, model.precision)

    def parameters(self, layer):
        """Number of parameters of the backbone up to a layer or several."""
        return sum(int(np.prod(array.shape))
                   for array in self._network.upto(layer).arrays.values())


def tapped(layers):
    """The names of layers of which some are tapped together, each once: tuple of str."""
    names = collections.OrderedDict()
    for layer in layers:
        for name in (layer,) if isinstance(layer, str) else layer:
            names[name] = None
    return tuple(names)


def default_layers(network):
    """The layers to try: the ends of the blocks, where branches meet.

    Parameters
    ----------
    network : Network

    Returns
    -------
    list of str or tuple of str
        mixed0 and so on of an Inception V3, the last 3 blocks and the head of an EfficientNet, and
        layers tapped together; of another network the last 8 layers that add or concatenate, or
        the layer that `Backbone.load` takes.
    """
    mixed = [name for name in network.layers if re.match("mixed[0-9]+$", name)]
    joins = [node.name for node in network.nodes if node.op in ("add", "concat")]
    blocks = [name for name in network.layers if re.match("block[0-9]+$|head$", name)]
    together = named_layers(network)
    return mixed + blocks[-4:] + together or joins[-_MOST_JOINS:] or [
        Backbone.from_network(network, network.name).layer]


class _Judge(object):
    """The photographs, and how accurate a head is on features of them."""

    def __init__(self, model, images, labels, groups, folds, random_state, verbose):
        self.model, self.images, self.labels, self.groups = model, images, labels, groups
        self._folds, self._random_state, self.verbose = folds, random_state, verbose
        self._warned = False

    def extract(self, backbone, places):
        """An Extraction of the photographs at some places, with the positions among all."""
        extractor = self.model.make_parts()[0].set_params(backbone=backbone, verbose=self.verbose)
        extraction = extractor.fit().extract([self.images[i] for i in places], self.model.strict)
        if not self._warned and len(places) == len(self.images):
            warn_of_failures(extraction.failures)
            self._warned = True
        return extraction._replace(positions=np.asarray(places)[extraction.positions])

    def samples(self, extraction, features=None):
        """The FeatureSet of an extraction, or of some of its features."""
        samples = FeatureSet(extraction.features if features is None else features,
                             self.labels[extraction.positions], self.groups[extraction.positions])
        samples.told_of_lonely = True  # once for all trials is enough
        return samples

    def judge(self, trial, samples, repeats=1):
        """The trial after so many repeats of cross-validation in all."""
        estimator = clone(self.model).set_params(**trial.head)
        with no_automatic_bars(True):  # those of the search are enough
            rounds = [cross_validate(samples, estimator=estimator, folds=self._folds,
                                     random_state=self._random_state + i).right
                      for i in range(trial.repeats, repeats)]
        right = (trial.repeats * trial.right + np.sum(rounds, axis=0)) / repeats
        accuracy = float(right.mean())
        return trial._replace(
            photographs=len(samples), repeats=repeats, accuracy=accuracy, right=right,
            interval=wilson_interval(accuracy, len(np.unique(samples.groups))))


def sample_places(labels, groups, n, seed):
    """A sample in which classes keep their proportion and groups are whole.

    Parameters
    ----------
    labels, groups : ndarray of shape (n_all,)
    n : int
        About so many; a class has 10 at least, if there are as many. All, where that would spare
        less than a third.
    seed : int

    Returns
    -------
    ndarray of int
        Positions, in order.
    """
    labels = np.unique(labels, return_inverse=True)[1].ravel()
    groups = np.unique(groups, return_inverse=True)[1].ravel()
    counts = np.bincount(labels)
    wanted = np.maximum(np.ceil(counts * (n / len(labels))),
                        np.minimum(counts, _LEAST_OF_A_CLASS)).astype(int)
    if 3 * wanted.sum() > 2 * len(labels):
        return np.arange(len(labels))
    chosen = np.zeros(len(labels), bool)
    members = np.split(np.argsort(groups, kind="mergesort"), np.cumsum(np.bincount(groups))[:-1])
    for group in np.random.RandomState(seed).permutation(len(members)):
        if (wanted[labels[members[group]]] > 0).any():
            chosen[members[group]] = True
            np.subtract.at(wanted, labels[members[group]], 1)
    return np.flatnonzero(chosen)


def _screen(judge, candidates, places, head):
    """A Trial for each size and layer on a sample, with one head."""
    layers, former, trials = list(candidates.layers), set(), []
    for size in candidates.sizes:
        names = tapped(layers)
        backbone = candidates.backbone(names, size)
        extraction = judge.extract(backbone, places)
        if not len(extraction.positions):
            raise extraction.failures[0][1]
        speeds = dict(zip(names, images_per_second(
            backbone, [judge.images[i] for i in extraction.positions],
            resize_rule(backbone.network,
                        judge.model.resize or default_resize(backbone.network)))))
        widths = [int(np.prod(shape)) for shape in backbone.shapes]
        parts = dict(zip(names, np.split(extraction.features, np.cumsum(widths)[:-1], axis=1)))
        tried = []
        with progress_bar(len(layers), "{} x {}".format(*size), "layer", judge.verbose) as bar:
            for layer in layers:
                own = tapped([layer])
                features = np.concatenate([parts[name] for name in own], axis=1)
                trial = Trial(layer, size, head, 0, 0, 0.0, None, min(speeds[name] for name in own),
                              features.shape[1], candidates.parameters(layer), 0.0, candidates.name)
                tried.append(judge.judge(trial, judge.samples(extraction, features)))
                bar.update(1)
        worse = worse_layers(tried)
        layers = [layer for layer in layers if layer not in worse & former]
        former = worse
        trials += tried
    return trials


def worse_layers(trials):
    """The layers that are significantly worse than the best of some trials, a set."""
    best = max(trials, key=lambda trial: trial.accuracy).right
    return set(trial.layer for trial in trials if sign_test(
        int((best > trial.right).sum()), int((trial.right > best).sum())) < _LEVEL)


def images_per_second(backbone, images, resize):
    """How many images a second each tapped layer would take if it were the only one.

    The backbone is timed as a whole, the share of each layer comes from the times of the steps
    that lead to it. Reading is counted in.

    Parameters
    ----------
    backbone : Backbone
        Tapped at a tuple of layers.
    images : sequence
    resize : {"pad", "stretch", "crop"} or Resize

    Returns
    -------
    list of float
    """
    places = np.linspace(0, len(images) - 1, min(_TIMED, len(images))).astype(int)
    start = time.perf_counter()
    pixels = np.stack([read_image(images[i], backbone.input_size, resize) for i in places])
    reading = (time.perf_counter() - start) / len(pixels) / backbone.threads
    running = min(_seconds(backbone, pixels) for _ in range(3)) / len(pixels)
    steps = backbone.profile(pixels, repeats=3)
    whole = sum(step.seconds for step in steps)
    speeds = []
    for layer in backbone.layer:
        names = set(backbone.network.upto(layer).layers)
        share = sum(step.seconds for step in steps if step.layer in names) / whole
        speeds.append(1 / (reading + running * share))
    return speeds


def _seconds(backbone, pixels):
    start = time.perf_counter()
    backbone.features(pixels)
    return time.perf_counter() - start


def choose_finalists(trials, n_groups, most):
    """The picks of some trials, then the most accurate others, those first that none dominates.

    All by the accuracies that `smoothed` gives them.

    Parameters
    ----------
    trials : list of Trial
    n_groups : int
        See `choose`.
    most : int

    Returns
    -------
    list of Trial
    """
    smooth = smoothed(trials)

    def is_dominated(trial):
        return any(other.images_per_second > trial.images_per_second
                   and other.accuracy >= trial.accuracy for other in smooth)

    picks = choose(smooth, n_groups)
    ranked = [picks[name] for name in PICKS] + sorted(smooth, key=lambda trial: (
        is_dominated(trial), -trial.accuracy, -trial.images_per_second))
    chosen = []
    for trial in ranked:
        if not any(trial is other for other in chosen):
            chosen.append(trial)
    return [trial for each in chosen[:most] for trial, same in zip(trials, smooth) if same is each]


def smoothed(trials):
    """The trials, each accuracy half way to what its layer and its size have on the whole.

    The accuracy of one layer at one size on a sample errs by more than neighbours differ. All of
    them together tell more of it: a two-way analysis without interaction is fitted by least
    squares, and each is drawn towards the fit (B. Efron and C. Morris, "Data analysis using Stein's
    estimator and its generalizations", 1975).

    Parameters
    ----------
    trials : list of Trial

    Returns
    -------
    list of Trial
    """
    design = np.concatenate([
        np.equal.outer(places, np.unique(places)) for places in (
            np.unique(["{} {}".format(trial.backbone, layer_text(trial.layer)) for trial in trials],
                      return_inverse=True)[1],
            np.unique([size_text(trial.input_size) for trial in trials], return_inverse=True)[1])],
        axis=1).astype(float)
    accuracies = np.array([trial.accuracy for trial in trials])
    fit = design.dot(np.linalg.pinv(design).dot(accuracies))
    return [trial._replace(accuracy=float(accuracy))
            for trial, accuracy in zip(trials, (accuracies + fit) / 2)]


def _judge_on_all(judge, candidates, finalist, grid, repeats):
    """A Trial for each head, on the features that a classifier would compute, the best repeated."""
    backbone = candidates.backbone(finalist.layer, finalist.input_size)
    samples = judge.samples(judge.extract(backbone, np.arange(len(judge.images))))
    fresh = finalist._replace(repeats=0, right=0.0)
    with progress_bar(len(grid) + 1, place(finalist), "head", judge.verbose) as bar:
        trials = []
        for head in grid:
            trials.append(judge.judge(fresh._replace(head=head), samples))
            bar.update(1)
        best = max(range(len(grid)), key=lambda i: trials[i].accuracy)
        trials[best] = judge.judge(trials[best], samples, repeats)
        bar.update(1)
    return trials
