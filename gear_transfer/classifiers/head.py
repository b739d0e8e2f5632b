"""The dense head as a scikit-learn classifier on features."""
import collections
import tempfile

import numpy as np

from .. import _core
from ..common.arguments import check_float32_matrix
from ..common.caller import warn_caller
from ..common.estimator import Estimator, check_is_fitted, sklearn_view
from ..common.labels import as_labels
from ..common.progress import progress_bar
from ..common.threads import check_threads
from ..photographs.augmentation import with_views
from ..photographs.splits import held_out_indices, warn_of_lonely
from .calibration import fit_temperature
from .samples import check_features, check_samples, check_views, name_bad_value

# Of means so many deviations from zero the scaling is not folded into the weights: products with
# the features as they are would be so large that their sum lost the digits that matter.
_FAR = 1000.0

_ROWS_COPIED = 1024  # at a time

#: Keys of `history_`, named as Keras names them.
HISTORY_KEYS = ("loss", "accuracy", "val_loss", "val_accuracy")


class HeadClassifier(Estimator):
    """Fully connected layers with softmax, trained on features in the C core.

    The features are standardised for training; afterwards the scaling is
    folded into the first layer, so prediction works on features as they are.

    Parameters
    ----------
    hidden_layers : sequence of int
        Widths of hidden layers with ReLU; none by default.
    dropout : float
        Share of the hidden activations dropped in training, 0 <= dropout < 1.
    epochs : int or "auto"
        "auto" is 40, and more for few samples, so that there are 400 steps.
    batch_size : int
    learning_rate : float or "auto"
        Of the first step; falls to zero along a cosine. "auto" is 0.003 for 768
        features and more, and larger for fewer, see `automatic_learning_rate`.
    optimizer : {"adam", "sgd"}
    momentum : float
        For "sgd".
    l2 : float
        Adds l2 * sum(kernel ** 2) to the loss, as Keras does.
    validation_fraction : float
        Share of the samples held back, stratified, to report val_loss and
        val_accuracy; 0 for none.
    early_stopping : bool
        Stop when val_loss has not fallen for `patience` epochs, and return
        to the weights of the best epoch. Otherwise the last epoch counts: where
        val_loss rises again it is because the head grows too sure of itself,
        which `calibrate` makes up for, and its accuracy is the best in the end.
    patience : int
    refit : bool
        Once `history_`, the number of epochs and the temperature are known
        from the samples that `fit` held back, train the head on all samples,
        for as many epochs.
    class_weight : dict, "balanced" or None
    calibrate : bool
        Divide the logits by the temperature that suits the validation samples
        best, so that of the predictions made with 90 % confidence about 90 %
        are right. The predicted classes and `history_` stay as they are.
    random_state : int, RandomState or None
        Decides initial weights, order and validation samples. The same
        integer gives the same model bit for bit at the same number of threads,
        on the same kind of processor.
    threads : int, optional
        Default is the number of processors this process may use.
    verbose : bool or int, optional
        Show a progress bar. Default: on a terminal and in a notebook.
    precision : {"auto", "float32"}
        Of the products in training. "auto": large ones of layers with 16
        outputs or more, in large minibatches (from 256 samples on, if they
        times the weights of such layers are 15 million or more), are of
        bfloat16, with sums in float32, on processors with AVX-512 BF16,
        twice as fast, or with matrix units (AMX), more than that. Weights,
        their updates, validation and predictions are float32 in any case.

    Attributes
    ----------
    classes_ : ndarray of shape (c,)
    coefs_ : list of ndarray of float32, shape (in, out)
        Kernels for features as they are, less `offset_`.
    intercepts_ : list of ndarray of float32, shape (out,)
    offset_ : ndarray of float32, shape (in,), or None
        Subtracted from the features first. None where none of them is far from zero for how little
        it changes, which is so of what a backbone gives.
    history_ : dict of list of float
        loss, accuracy, val_loss and val_accuracy after each epoch; with samples
        held back, of the head that was trained without them.
    best_epoch_ : int
        Number of the epoch that counts, from 0 on.
    validation_indices_ : ndarray of int
        Positions of the samples that `fit` held back.
    temperature_ : float
        What the logits were divided by, 1 without calibration.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from gear_transfer import HeadClassifier
    >>> rng = np.random.RandomState(0)
    >>> X = np.concatenate([rng.randn(50, 5), rng.randn(50, 5) + 4])
    >>> y = np.repeat(["left", "right"], 50)
    >>> HeadClassifier(epochs=20).fit(X, y).score(X, y)
    1.0
    """

    _sklearn_mixins = ("ClassifierMixin",)

    def __init__(self, hidden_layers=(), dropout=0.0, epochs="auto", batch_size=32,
                 learning_rate="auto", optimizer="adam", momentum=0.9, l2=0.02,
                 validation_fraction=0.1, early_stopping=False, patience=5, class_weight=None,
                 calibrate=True, random_state=0, threads=None, verbose=None,
                 precision="auto", refit=True):
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
        self.verbose = verbose
        self.precision = precision
        self.refit = refit

    def fit(self, X, y, validation_data=None, groups=None, views=None):
        """Train the head.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features. A numpy.memmap of float32 is read where it lies, never copied into memory.
        y : array-like of shape (n,)
            Labels.
        validation_data : tuple (X, y), optional
            Samples to validate on, in place of a share of these.
        groups : array-like of shape (n,), optional
            Samples of one group, such as near-duplicates, are held back together or not at all.
        views : array-like of shape (n, v, d) or callable, optional
            Features of augmented views of each sample. They are trained on beside it; those of a
            sample that is held back are not used as long as it is. ``views(positions)`` is called
            once, with the positions of the m samples that are trained on in the end, and gives
            theirs, (m, v, d).

        Returns
        -------
        HeadClassifier
            This one.

        Raises
        ------
        ValueError
            If an argument or the data make no sense.
        """
        check_settings(self, validation_data is not None)
        if not isinstance(self.precision, str) or self.precision not in ("auto", "float32"):
            raise ValueError("precision must be 'auto' or 'float32', not {!r}".format(
                self.precision))
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X, y = check_samples(self, X, as_labels(y) if isinstance(y, (list, tuple)) else y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("a classifier needs two classes or more, found one class: {!r}".format(
                self.classes_[0]))
        seed = _seed(self.random_state)
        labels = labels.astype(np.int32)
        if views is not None and (self.refit or not callable(views)):
            everything = np.arange(len(X))
            views = check_views(views(everything) if callable(views) else views, X, everything)
        train, held_out = self._split(X, labels, validation_data, groups, seed, views)
        core = self._new_core(X.shape[1], seed)
        watch, offset = self._train(core, train, held_out, seed)
        self.history_, self.best_epoch_ = watch.history, watch.best_epoch
        self.n_iter_ = len(watch.history["loss"])
        self.temperature_ = 1.0
        if self.calibrate and held_out[0] is not None:
            self.temperature_ = fit_temperature(
                core.predict(_less(held_out[0], offset), check_threads(self.threads)), held_out[1])
        if self.refit and len(self.validation_indices_):
            core = self._new_core(X.shape[1], seed)
            _, offset = self._train(core, _to_train_on(X, labels, None, views), (None, None), seed,
                                    watch.best_epoch + 1)
        self.set_layers(_divided(core.get_layers(), self.temperature_), offset)
        return self

    def _new_core(self, n_features, seed):
        """A head to be trained.

        Without hidden layers it begins at zero: the loss has one minimum then, and of few samples
        nothing would take away what random weights are across them.
        """
        widths = (n_features,) + tuple(int(width) for width in self.hidden_layers)
        core = _core.head(widths + (len(self.classes_),), seed)
        if len(widths) == 1:
            core.set_layer(0, *[np.zeros_like(array) for array in core.get_layers()[0]])
        return core

    def _split(self, X, labels, validation_data, groups, seed, views):
        """Samples to train on, as `_to_train_on` returns them, and to validate on, (X, labels);
        (None, None) without validation.

        Only those to train on have their views beside them.
        """
        self.validation_indices_ = np.empty(0, int)
        if validation_data is not None:
            X_held, y_held = validation_data
            X_held = name_bad_value(check_float32_matrix, X_held)
            unknown = set(np.asarray(y_held).tolist()) - set(self.classes_.tolist())
            if unknown:
                raise ValueError("validation_data has the class {!r}, which is not in y".format(
                    sorted(unknown, key=str)[0]))
            labels_held = np.searchsorted(self.classes_, y_held).astype(np.int32)
            return _to_train_on(X, labels, None, views), (X_held, labels_held)
        indices = held_out_indices(labels, self.validation_fraction, seed, groups)
        if indices is None:
            if self.validation_fraction > 0:
                warn_caller(
                    "{} samples in {} classes are too few{} to hold some back for validation; "
                    "training without".format(
                        len(labels), len(self.classes_), "" if groups is None else ", or too much "
                        "alike,"), UserWarning)
            return _to_train_on(X, labels, None, views), (None, None)
        train, held = indices
        lonely = np.setdiff1d(labels, labels[held])
        warn_of_lonely(self.classes_[lonely], self.classes_[labels], "trained on, not validated")
        self.validation_indices_ = held
        return _to_train_on(X, labels, train, views), (_rows_of(X, held), labels[held])

    def _train(self, core, train, held_out, seed, most_epochs=None):
        """Run the epochs; `core` then has its final weights, scaling folded in.

        With `most_epochs` it stops after so many. Returns the watch over the epochs, and the offset
        that is not folded in, None for none.
        """
        X, labels, rows = train
        epochs = self.epochs
        if isinstance(epochs, str):
            epochs = automatic_epochs(len(labels), self.batch_size)
        threads = check_threads(self.threads)
        mean, inverse_deviation = core.standardisation(X, threads, rows)
        weights = None
        if self.class_weight is not None:
            present = np.unique(labels)
            names = self.classes_[present]
            weights = np.ones(len(self.classes_), np.float32)
            from sklearn.utils.class_weight import compute_class_weight
            weights[present] = compute_class_weight(self.class_weight, classes=names,
                                                    y=self.classes_[labels])
        with progress_bar(most_epochs or epochs, "Head", "epoch", self.verbose) as bar:
            watch = _Watch(core, self, bar, held_out[0] is not None, most_epochs)
            core.train(X, labels, rows=rows, validation_features=held_out[0],
                       validation_labels=held_out[1], mean=mean,
                       inverse_deviation=inverse_deviation, class_weights=weights,
                       epochs=epochs, batch_size=self.batch_size, optimizer=self.optimizer,
                       schedule="cosine",
                       learning_rate=automatic_learning_rate(X.shape[1])
                       if self.learning_rate == "auto" else self.learning_rate,
                       momentum=self.momentum, l2=self.l2, dropout=self.dropout, seed=seed,
                       threads=threads, callback=watch, allow_bf16=self.precision == "auto")
        watch.restore_best()
        is_far = np.abs(mean.astype(float) * inverse_deviation) > _FAR
        offset = np.where(is_far, mean, np.float32(0)) if is_far.any() else None
        core.fold_scaling(_less(mean, offset), inverse_deviation)
        return watch, offset

    def set_layers(self, layers, offset=None):
        """Give the head its weights, as `fit` and a saved model do.

        Parameters
        ----------
        layers : list of (kernel (in, out), bias (out,)), float32
        offset : ndarray of float32, shape (in,), optional
            See `offset_`.
        """
        self.offset_ = offset
        self.coefs_ = [kernel for kernel, _ in layers]
        self.intercepts_ = [bias for _, bias in layers]
        self._core_head = self._build_head()

    def first_intercept(self):
        """The bias of the first layer for features from which no `offset_` is subtracted.

        Returns
        -------
        ndarray of float32, shape (out,)
        """
        offset = getattr(self, "offset_", None)
        if offset is None:
            return self.intercepts_[0]
        shift = offset.astype(float).dot(self.coefs_[0])
        return (self.intercepts_[0] - shift).astype(np.float32)

    def _build_head(self):
        """The core's head with the fitted weights."""
        widths = tuple(kernel.shape[0] for kernel in self.coefs_) + (len(self.classes_),)
        head = _core.head(widths, 0)
        for i, (kernel, bias) in enumerate(zip(self.coefs_, self.intercepts_)):
            head.set_layer(i, kernel, bias)
        return head

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_core_head", None)
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "coefs_" in state:
            self._core_head = self._build_head()

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float32, shape (n, c)
            In the order of `classes_`.
        """
        check_is_fitted(self, "coefs_")
        X = _less(check_features(self, X), getattr(self, "offset_", None))
        return self._core_head.predict(X, check_threads(self.threads))

    def predict(self, X):
        """The most probable class.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,)
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, X, y, sample_weight=None):
        """Share of the samples that are classified rightly.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
        """
        return super(Estimator, sklearn_view(self)).score(X, y, sample_weight)


class _Watch(object):
    """Called after each epoch: keeps history and best weights, moves the bar, says when to stop."""

    def __init__(self, core, settings, bar, has_validation, most_epochs=None):
        self._core = core
        self._settings = settings
        self._bar = bar
        self._keys = HISTORY_KEYS if has_validation else HISTORY_KEYS[:2]
        self.history = collections.OrderedDict((key, []) for key in self._keys)
        self._best_loss = np.inf
        self._best_layers = None
        self._most_epochs = most_epochs
        self.best_epoch = -1

    def __call__(self, epoch, loss, accuracy, val_loss, val_accuracy):
        values = (loss, accuracy, val_loss, val_accuracy)
        for key, value in zip(self._keys, values):
            self.history[key].append(value)
        self._bar.set_postfix(collections.OrderedDict(
            (key, "{:.3f}".format(self.history[key][-1])) for key in self._keys), refresh=False)
        self._bar.update(1)
        if not self._settings.early_stopping or "val_loss" not in self.history:
            self.best_epoch = epoch
            return epoch + 1 == self._most_epochs
        if val_loss < self._best_loss or self.best_epoch < 0:
            self._best_loss, self.best_epoch = val_loss, epoch
            self._best_layers = self._core.get_layers()
        return epoch - self.best_epoch >= self._settings.patience

    def restore_best(self):
        """Bring the weights of the best epoch back, if they were kept."""
        for i, (kernel, bias) in enumerate(self._best_layers or []):
            self._core.set_layer(i, kernel, bias)


def check_settings(settings, has_validation=False):
    """Check the parameters that `HeadClassifier` and `TransferClassifier` share.

    Parameters
    ----------
    settings : HeadClassifier or TransferClassifier
    has_validation : bool
        Whether samples to validate on are given, so that none need be held back.

    Raises
    ------
    ValueError
        Naming the parameter and its value.
    """
    def whole(value):
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)

    def number(value):
        return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and (
            np.isfinite(value))

    def require(name, valid, wanted):
        if not valid:
            raise ValueError("{} must be {}, not {!r}".format(
                name, wanted, getattr(settings, name)))

    hidden = settings.hidden_layers
    require("hidden_layers", not isinstance(hidden, str) and hasattr(hidden, "__len__")
            and all(whole(width) and width > 0 for width in hidden) and len(hidden) < 16,
            "a sequence of fewer than 16 whole numbers from 1 on")
    require("epochs", whole(settings.epochs) and settings.epochs > 0
            or isinstance(settings.epochs, str) and settings.epochs == "auto",
            "a whole number from 1 on or 'auto'")
    for name in ("batch_size", "patience"):
        require(name, whole(getattr(settings, name)) and getattr(settings, name) > 0,
                "a whole number from 1 on")
    rate = settings.learning_rate
    require("learning_rate", number(rate) and rate > 0 or isinstance(rate, str) and rate == "auto",
            "a number greater than 0 or 'auto'")
    require("l2", number(settings.l2) and settings.l2 >= 0, "a number from 0 on")
    for name in ("dropout", "momentum", "validation_fraction"):
        value = getattr(settings, name)
        require(name, number(value) and 0 <= value < 1, "a number from 0 to below 1")
    require("optimizer", settings.optimizer in ("adam", "sgd"), "'adam' or 'sgd'")
    weight = settings.class_weight
    require("class_weight", weight is None or isinstance(weight, dict) or (
        isinstance(weight, str) and weight == "balanced"), "None, 'balanced' or a dict")
    for name in ("early_stopping", "calibrate", "refit"):
        require(name, isinstance(getattr(settings, name), (bool, np.bool_)), "True or False")
    require("early_stopping", not settings.early_stopping or has_validation
            or settings.validation_fraction > 0, "False where validation_fraction is 0")


def _to_train_on(X, labels, rows, views):
    """Features, labels, and which rows of the features those belong to or None for all.

    Features are only copied where views come beside them.
    """
    if views is None:
        return X, labels if rows is None else labels[rows], rows
    if rows is None:
        rows = np.arange(len(X))
    chosen = check_views(views(rows), X, rows) if callable(views) else views[rows]
    return with_views(X[rows], labels[rows], chosen) + (None,)


def _rows_of(X, rows):
    """A copy of some rows; of a matrix in a file it goes into a file that nobody else sees."""
    if not isinstance(X, np.memmap) or not len(rows):
        return X[rows]
    with tempfile.TemporaryFile() as stream:
        copy = np.memmap(stream, X.dtype, "w+", shape=(len(rows), X.shape[1]))
    for start in range(0, len(rows), _ROWS_COPIED):
        copy[start:start + _ROWS_COPIED] = X[rows[start:start + _ROWS_COPIED]]
    return copy


def _less(features, offset):
    """Features less an offset, which may be None."""
    return features if offset is None else features - offset


def _divided(layers, temperature):
    """The layers with the logits divided by a temperature."""
    kernel, bias = layers[-1]
    scale = np.float32(1.0 / temperature)
    return layers[:-1] + [(kernel * scale, bias * scale)]


def automatic_epochs(n_samples, batch_size):
    """The number of epochs that ``epochs="auto"`` stands for.

    Parameters
    ----------
    n_samples, batch_size : int

    Returns
    -------
    int
        40, or as many more as make 400 steps.
    """
    steps = -(-n_samples // batch_size)
    return max(40, -(-400 // steps))


def automatic_learning_rate(n_features):
    """The learning rate that ``learning_rate="auto"`` stands for.

    A step moves each weight by about the learning rate, and what a logit gains by
    that grows as the root of the number of features. So the rate that suits the
    features of a backbone is raised for fewer, never lowered for more.

    Parameters
    ----------
    n_features : int

    Returns
    -------
    float
    """
    return 0.003 * max(1.0, (768.0 / n_features) ** 0.5)


def _seed(random_state):
    """A seed of 63 bits from what scikit-learn accepts as random_state."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError("random_state must not be negative, not {}".format(random_state))
        return int(random_state)
    from sklearn.utils import check_random_state
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        raise ValueError("random_state must be a whole number from 0 on, a RandomState or None, "
                         "not {!r}".format(random_state)) from None
