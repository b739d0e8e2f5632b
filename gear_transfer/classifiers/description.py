"""What a fitted classifier consists of, in text and for notebooks."""
import os

import numpy as np

from ..common.estimator import sklearn_view
from ..common.tables import counted, html_table
from ..photographs.augmentation import as_augmentation


def describe(model):
    """A fitted classifier in a few lines, see `TransferClassifier.summary`."""
    lines = ["{:<12} {:<48} {:>12}".format(*row) for row in [
        ("part", "what it does", "parameters")] + _parts(model)]
    lines += ["{:<12} {}".format(*row) for row in _facts(model)]
    return "\n".join(lines)


def describe_html(model):
    """The same as a table of HTML."""
    return html_table(*description_table(model))


def description_table(model):
    """Header and rows of the table, the reason for the precision included."""
    reason = "precision", model.extractor_.backbone_.precision_reason, ""
    return ["part", "what it does", "parameters"], (
        _parts(model) + [fact + ("",) for fact in _facts(model)] + [reason])


def _parts(model):
    """A row (part, what it does, parameters) for each part, from pixels to probabilities."""
    backbone, head = model.extractor_.backbone_, model.head_
    layer = backbone.layer if isinstance(backbone.layer, str) else ", ".join(backbone.layer)
    frozen = sum(int(np.prod(array.shape)) for array in backbone.network.arrays.values())
    rows = [("photographs", "{} to {} x {}".format(
        {"pad": "padded with white", "stretch": "stretched",
         "crop": "cut from the middle"}[model.extractor_.resize_],
        *backbone.input_size), "")]
    rows.append(("backbone", "{} up to {}, frozen".format(
        os.path.basename(backbone.name), layer),
                 "{:,}".format(frozen)))
    rows.append(("features", "{:,} ({} pooling), {}".format(
        backbone.n_features, backbone.pooling or "no", backbone.precision), ""))
    for i, kernel in enumerate(head.coefs_):
        last = i + 1 == len(head.coefs_)
        rows.append(("dense", "{:,} -> {:,}, {}".format(
            kernel.shape[0], kernel.shape[1], "softmax" if last else "ReLU"),
            "{:,}".format(kernel.size + kernel.shape[1])))
    return rows


def _facts(model):
    """Rows (name, text) about the classes and the training."""
    augmentation = as_augmentation(model.augment)
    views = "" if augmentation is None else " and {} of each".format(
        counted(augmentation.views, "view"))
    last = ", ".join("{} {:.3f}".format(key, values[-1])
                     for key, values in model.history_.items() if values)
    facts = [("classes", ", ".join(str(name) for name in model.classes_)),
             ("trained on", "{}{}, {} epochs: {}".format(
                 training_text(model), views, len(model.history_["loss"]), last))]
    if getattr(model, "keep_features", False):
        facts.append(("kept", "features of {} for others to join, {:.1f} MB of the file".format(
            counted(len(model.split_.training) + len(model.split_.validation), "photograph"),
            kept_bytes(model) / 1e6)))
    return facts


def kept_bytes(model):
    """Bytes that the features of the training photographs take in the file of a classifier."""
    used = len(model.split_.training) + len(model.split_.validation)
    return 2 * used * model.extractor_.backbone_.n_features


def training_text(model):
    """How many photographs a fitted classifier was trained on, and how many were held back."""
    split = getattr(model, "split_", None)
    if split is None or not len(split.validation):
        return counted(model.n_images_, "photograph")
    held = len(split.validation)
    trained = len(split.training)
    if trained_on_all(model):
        return "{:,} photographs ({:,} of them held back until the epochs were chosen)".format(
            trained + held, held)
    return "{:,} of {:,} photographs ({:,} held back to watch the training)".format(
        trained, trained + held, held)


def trained_on_all(model):
    """Whether those that were held back were trained on in the end, which ``refit`` asks for.

    It does not where photographs to validate on were given apart.
    """
    split = model.split_
    return bool(getattr(model, "refit", False)) and (
        len(split.training) + len(split.validation) == model.n_images_)


class ShowsSummary(object):
    """A classifier that notebooks show by its summary once it is fitted.

    Before, they show what scikit-learn shows of an estimator.
    """

    def _repr_html_(self):
        if hasattr(self, "head_"):
            return describe_html(self)
        diagram = getattr(super(ShowsSummary, sklearn_view(self)), "_repr_html_", None)
        return None if diagram is None else diagram()

    def _repr_mimebundle_(self, **options):
        html = self._repr_html_()
        bundle = {"text/plain": repr(self)}
        return bundle if html is None else dict(bundle, **{"text/html": html})
