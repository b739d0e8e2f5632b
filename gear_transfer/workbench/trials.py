"""What was tried for layer, size and head, and which of it to take."""
import collections
import os

from ..common.tables import Result, counted, percent, plain
from .intervals import standard_error

#: One combination and how it did: layer, a str or a tuple of those tapped together; input_size,
#: height and width in pixels; head, a dict of parameters; photographs, how many were held out in
#: turn; repeats, how many times, each with other folds; accuracy and its 95 % interval;
#: images_per_second, reading included, by itself on this machine; features of one image; parameters
#: of the backbone up to the layer; right, the share of the repeats in which each photograph was
#: predicted rightly; backbone, the name or path it was loaded by.
Trial = collections.namedtuple("Trial", [
    "layer", "input_size", "head", "photographs", "repeats", "accuracy", "interval",
    "images_per_second", "features", "parameters", "right", "backbone"])
Trial.__new__.__defaults__ = (None,)

#: Names of the trials that stand out.
PICKS = ("best", "fast", "accurate")

_FAST = 0.02  # of accuracy, that "fast" may cost
_MOST_LOST = 0.002  # that "best" may cost
_ROWS_SHOWN = 15


def choose(trials, n_groups, most_lost=None):
    """The trials that stand out among those of the same photographs.

    Parameters
    ----------
    trials : sequence of Trial
    n_groups : int
        Near-duplicates count once.
    most_lost : float, optional
        Accuracy that "best" may cost, were the standard error larger.

    Returns
    -------
    dict of str to Trial
        See `Tuning`.
    """
    accurate = max(trials, key=lambda trial: (trial.accuracy, trial.images_per_second))

    def fastest(most_lost):
        return max((trial for trial in trials
                    if accurate.accuracy - trial.accuracy <= most_lost(trial) + 1e-12),
                   key=lambda trial: (trial.images_per_second, trial.accuracy))

    def within_error(trial):
        error = standard_error(accurate.right, trial.right, n_groups)
        return error if most_lost is None else min(error, most_lost)

    return {"accurate": accurate, "fast": fastest(lambda trial: _FAST),
            "best": fastest(within_error)}


class Tuning(Result):
    """Layers, input sizes and heads, how accurate and how fast each is, and the choice.

    Attributes
    ----------
    trials : list of Trial
        Those judged on all photographs first, each with every head; then those that a sample was
        enough for. The most accurate first.
    finalists : list of Trial
        The picks are chosen among these: what was judged on all photographs, each layer and size
        with its most accurate head, by all repeats of cross-validation.
    accurate : Trial
        The most accurate of those.
    best : Trial
        The fastest that is less accurate than that by no more than the standard error of the
        difference over the photographs, and by no more than 0.2 points (the one-standard-error
        rule, T. Hastie, R. Tibshirani and J. Friedman, "The elements of statistical learning",
        2009, section 7.10, for cost in place of complexity).
    fast : Trial
        The fastest that is less accurate by no more than two points.
    model : TransferClassifier
        Whose other settings were used.
    """

    def __init__(self, trials, n_groups, model):
        self.trials = sorted(trials, key=lambda trial: (
            -trial.photographs, -trial.accuracy, -trial.images_per_second))
        self.model = model
        most = max(trial.repeats for trial in self.judged)
        self.finalists = [trial for trial in self.judged if trial.repeats == most]
        chosen = choose(self.finalists, n_groups, _MOST_LOST)
        self.accurate, self.best, self.fast = [
            chosen[name] for name in ("accurate", "best", "fast")]

    @property
    def _names_backbones(self):
        return len(set(trial.backbone for trial in self.trials)) > 1

    def _place(self, trial):
        """Layer and size in words, after the backbone where there are several."""
        return ("{}: ".format(os.path.basename(trial.backbone)) if self._names_backbones else "") \
            + place(trial)

    @property
    def judged(self):
        """The trials on all photographs, a list of Trial."""
        return [trial for trial in self.trials if trial.photographs == self.trials[0].photographs]

    def parameters(self, pick="best"):
        """What a pick sets of a TransferClassifier, a dict.

        Parameters
        ----------
        pick : {"best", "fast", "accurate"} or Trial
        """
        if isinstance(pick, str) and pick in PICKS:
            pick = getattr(self, pick)
        if not isinstance(pick, Trial):
            raise ValueError("pick must be 'best', 'fast', 'accurate' or one of the trials, not "
                             "{!r}".format(pick))
        parameters = dict(pick.head, layer=pick.layer, input_size=pick.input_size)
        if pick.backbone is not None:
            parameters["backbone"] = pick.backbone
        return parameters

    def classifier(self, pick="best"):
        """A classifier with those parameters, to be fitted; the others are those of `model`.

        Parameters
        ----------
        pick : {"best", "fast", "accurate"} or Trial

        Returns
        -------
        TransferClassifier
            Its `fit` on the same photographs finds the features of the picks in the cache.
        """
        from sklearn.base import clone
        return clone(self.model).set_params(**self.parameters(pick))

    def picks(self, trial):
        """The names of the picks that a trial is, a list of str."""
        return [name for name in PICKS if getattr(self, name) is trial]

    def sentence(self):
        """The choice and why, in plain words, str."""
        best, accurate = self.best, self.accurate
        low, high = best.interval
        text = ("Take {} with {}. It got {} of the photographs right (95 % interval {} to {}) and "
                "takes {} images a second".format(
                    self._place(best), _head_text(best.head), percent(best.accuracy), percent(low),
                    percent(high), _speed_text(best)))
        if best is accurate:
            return text + ": nothing that was tried got more right, and nothing faster came close."
        return text + (". The most accurate, {} with {}, got {} right at {} images a second: so "
                       "small a difference, {:.2f} points, may be chance.".format(
                           self._place(accurate), _head_text(accurate.head), percent(accurate.accuracy),
                           _speed_text(accurate), 100 * (accurate.accuracy - best.accuracy)))

    def __repr__(self):
        return "<Tuning: {} of {}, best {}, accuracy {:.4f}>".format(
            counted(len(self.trials), "trial"),
            counted(len(set((t.backbone, t.layer, t.input_size) for t in self.trials)), "layer and size",
                    "layers and sizes"), self._place(self.best), self.best.accuracy)

    def _sentences(self):
        sentences = [self.sentence()]
        fewest = self.trials[-1].photographs
        if fewest < self.trials[0].photographs:
            sentences.append(
                "The first {} were judged on all {:,} photographs, the best head of each layer and "
                "size {}; for the others {:,} were enough.".format(
                    counted(len(self.judged), "trial"), self.trials[0].photographs,
                    counted(self.best.repeats, "time"), fewest))
        hidden = len(self.trials) - _ROWS_SHOWN
        if hidden > 0:
            sentences.append("{} more are in rows() and to_pandas().".format(hidden))
        return sentences

    def rows(self):
        """The table, for CSV: a list of OrderedDict of plain values, one a trial."""
        return [collections.OrderedDict(
            [("pick", " ".join(self.picks(trial)))]
            + ([("backbone", trial.backbone)] if self._names_backbones else [])
            + [("layer", layer_text(trial.layer)),
             ("input_size", size_text(trial.input_size))]
            + sorted(plain(trial.head).items())
            + [("accuracy", trial.accuracy), ("low", trial.interval[0]),
               ("high", trial.interval[1]), ("photographs", trial.photographs),
               ("repeats", trial.repeats),
               ("images_per_second", trial.images_per_second), ("features", trial.features),
               ("parameters", trial.parameters)]) for trial in self.trials]

    def _rows(self):
        rows = self.rows()[:_ROWS_SHOWN]
        return ([name.replace("_", " ") for name in rows[0]],
                [[_cell(name, value) for name, value in row.items()] for row in rows])

    def to_pandas(self):
        """All trials as a pandas DataFrame; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas
        return pandas.DataFrame(self.rows())

    def to_dict(self):
        """The choice, why, and all trials as plain values."""
        return collections.OrderedDict(
            [("sentence", self.sentence())]
            + [(name, plain(self.parameters(name))) for name in PICKS] + [("trials", self.rows())])


def place(trial):
    """Layer and size in words: mixed3+mixed4 at 192 x 192."""
    return "{} at {} x {}".format(layer_text(trial.layer), *trial.input_size)


def layer_text(layer):
    """A layer as the command line takes it, layers tapped together joined by a plus."""
    return layer if isinstance(layer, str) else "+".join(layer)


def size_text(size):
    """A size as the command line takes it: 192, or 192x160, height first."""
    return str(size[0]) if size[0] == size[1] else "{}x{}".format(*size)


def _head_text(head):
    return ", ".join("{}={}".format(name, plain(value)) for name, value in sorted(head.items()))


def _speed_text(trial):
    speed = trial.images_per_second
    return "{:,.0f}".format(speed) if speed >= 10 else "{:.2g}".format(speed)


def _cell(name, value):
    """What a table shows of a value: shares with decimals, anything else as it is written."""
    if name == "images_per_second":
        return int(round(value)) if value >= 10 else value
    is_share = name in ("accuracy", "low", "high")
    return value if is_share or isinstance(value, int) else str(value)
