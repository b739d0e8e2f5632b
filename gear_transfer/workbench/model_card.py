"""What a classifier is and what may be expected of it, on one page of text."""
import collections
import os
import textwrap

import numpy as np

from ..common.estimator import check_is_fitted
from ..common.tables import Result, counted
from ..importers.preprocessing import to_text
from ..photographs.decoding import as_resize
from .intervals import wilson_interval

#: Classes of fewer photographs are named among the limits.
_FEW = 20
_WIDTH = 96


class ModelCard(Result):
    """The facts about a classifier; `to_dict` for programs, ``str`` for people."""

    def __init__(self, facts):
        self._facts = facts

    def to_dict(self):
        """All of it as plain values."""
        return self._facts

    def _sentences(self):
        return self._facts["limits"]

    def _rows(self):
        rows = [[name, text] for name, text in _lines(self._facts)]
        return ["what", "which"], rows

    def __str__(self):
        lines = []
        for name, text in _lines(self._facts) + [
                ("limits" if i == 0 else "", each) for i, each in enumerate(self._facts["limits"])]:
            first, indent = "{:<14} ".format(name), " " * 15
            lines += textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=indent,
                                   break_on_hyphens=False, break_long_words=False) or [first.rstrip()]
        return "\n".join(lines)

    __repr__ = __str__


def model_card(model):
    """What a classifier was trained on, how well it does, what it is for, and whose weights it has.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded.

    Returns
    -------
    ModelCard
        Shows itself as text; ``to_dict()`` gives all of it as plain values.

    Examples
    --------
    >>> print(gt.model_card(gt.load_model("gear.gtm")))         # doctest: +SKIP
    """
    check_is_fitted(model, "head_")
    backbone, classes = model.extractor_.backbone_, [str(name) for name in model.classes_]
    layers = [backbone.layer] if isinstance(backbone.layer, str) else list(backbone.layer)
    provenance = backbone.network.provenance
    facts = collections.OrderedDict()
    facts["classes"] = classes
    facts["training"] = _training(model, classes)
    facts["held_out"] = _held_out(model)
    facts["backbone"] = collections.OrderedDict([
        ("network", backbone.network.name), ("layers", layers),
        ("features", int(backbone.n_features)), ("pooling", backbone.pooling),
        ("precision", backbone.precision), ("precision_reason", backbone.precision_reason),
        ("fingerprint", backbone.fingerprint()),
        ("provenance", collections.OrderedDict(sorted(provenance.items())))])
    facts["head"] = [list(kernel.shape) for kernel in model.head_.coefs_]
    rule = as_resize(model.extractor_.resize_rule())
    facts["preprocessing"] = collections.OrderedDict([
        ("input_size", list(backbone.input_size)), ("resize", rule.rule), ("filter", rule.filter),
        ("crop", rule.crop), ("pixels", to_text(backbone.preprocessing))])
    facts["temperature"] = getattr(model.head_, "temperature_", None)
    facts["intended_use"] = ("to say which of {} a photograph like those of the training shows".format(
        counted(len(classes), "class", "classes")))
    facts["limits"] = _limits(model, facts)
    return ModelCard(facts)


def _training(model, classes):
    record, trained = model.training_record(), getattr(model, "trained_", None)
    return collections.OrderedDict([
        ("photographs", int(model.n_images_)),
        ("counts", None if trained is None else collections.OrderedDict(zip(classes, trained.counts))),
        ("day", None if trained is None else trained.day),
        ("hashes", None if record is None else len(record)),
        ("digest", None if record is None else record.digest())])


def _held_out(model):
    """Accuracy on what was held back when the head was trained, with its interval; None without."""
    rates, split = model.history_.get("val_accuracy"), model.split_
    n = 0 if split is None else int((np.asarray(split.parts) == 1).sum())
    if not rates or not n:
        return None
    right = int(round(rates[-1] * n))
    low, high = wilson_interval(right / float(n), n)
    return collections.OrderedDict([("photographs", n), ("right", right), ("accuracy", right / float(n)),
                                    ("interval", [low, high])])


def _limits(model, facts):
    """Sentences on what the classifier cannot be relied on for."""
    found = []
    if model.knows_unlike():
        found.append("A photograph of anything else gets one of these classes too, unless unknown= "
                     "(--unknown) is given; known_score says how usual a photograph is.")
    else:
        found.append("A photograph of anything else gets one of these classes too; the photographs of "
                     "the training were too few to tell.")
    counts = facts["training"]["counts"]
    few = [] if counts is None else [name for name in facts["classes"] if counts[name] < _FEW]
    if few:
        found.append("Classes of fewer than {} photographs: {}.".format(_FEW, ", ".join(few)))
    if facts["held_out"] is None:
        found.append("No photographs were held back: measure it on others ('gear-transfer evaluate').")
    else:
        found.append("The photographs held back come from the same source as the others; on those of "
                     "another camera or background accuracy may be lower. Measure it on your own "
                     "('gear-transfer evaluate').")
    return found


def _lines(facts):
    """Pairs (name, text) of all but the limits."""
    training, held, backbone = facts["training"], facts["held_out"], facts["backbone"]
    pixels, counts = facts["preprocessing"], training["counts"]
    lines = [("intended use", facts["intended_use"]),
             ("classes", ", ".join(name if counts is None else "{} ({})".format(name, counts[name])
                                   for name in facts["classes"])),
             ("trained on", counted(training["photographs"], "photograph") + (
                 "" if training["day"] is None else ", on " + training["day"]))]
    if training["hashes"] is not None:
        lines.append(("known by", "{}, together {}".format(
            counted(training["hashes"], "hash", "hashes"), training["digest"])))
    lines.append(("held out", "none" if held is None else (
        "accuracy {:.3f}, {} of {} (95 % interval {:.3f} to {:.3f})".format(
            held["accuracy"], held["right"], held["photographs"], *held["interval"]))))
    lines += [("backbone", "{} up to {}, {} features, {}".format(
        os.path.basename(backbone["network"]), ", ".join(backbone["layers"]), backbone["features"],
        backbone["precision"])), ("weights", backbone["fingerprint"])]
    lines += sorted(backbone["provenance"].items())
    way = {"pad": "padded with white", "stretch": "stretched", "crop": "cut from the middle"}
    lines.append(("photographs", "{} to {} x {} by {}; {}".format(
        way[pixels["resize"]], pixels["input_size"][0], pixels["input_size"][1], pixels["filter"],
        pixels["pixels"])))
    lines.append(("head", ", ".join("{:,} -> {:,}".format(*shape) for shape in facts["head"])))
    return lines
