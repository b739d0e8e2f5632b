"""gear-transfer evaluate: how well a saved classifier does on labelled photographs."""
import collections

import numpy as np

from ..common.labels import labels_of_classes
from ..common.tables import text_table
from ..errors import DatasetError
from ..workbench.intervals import verdict, wilson_interval
from .options import add_json, add_links, add_running, fraction, load_classifier
from .output import (complain, complain_of_unreadable, unreadable_files, wants_progress, write,
                     write_csv, write_json)

SUMMARY = "measure a classifier on labelled photographs"
DESCRIPTION = """\
Measure a saved MODEL on the photographs of FOLDER, which has one sub-folder for
each class: accuracy with its 95 % confidence interval (Wilson), precision and
recall of each class, and what was taken for what. Of a folder with train/, val/
and test/, test/ is used, or val/ where there is no test/. Photographs of the
training are noticed: the accuracy without them stands beside that with them. With
--target the exit code is 4 unless the whole interval, of photographs that are new to
the classifier, lies at or above the target, otherwise 3 when some photographs cannot
be read."""
EXAMPLES = """\
examples:
  gear-transfer evaluate gear.gtm held_out
  gear-transfer evaluate gear.gtm gear_images --part train
  gear-transfer evaluate gear.gtm held_out --csv > per_class.csv
  gear-transfer evaluate gear.gtm held_out --target 0.9 --json | jq .verdict"""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("folder", metavar="FOLDER", help="labelled photographs")
    parser.add_argument("--part", choices=("train", "validation", "test"),
                        help="which part of a folder that is split")
    parser.add_argument("--target", type=fraction, metavar="ACCURACY",
                        help="say whether this accuracy is met, not met or not proven")
    add_json(parser, "text").add_argument("--csv", action="store_true",
                                          help="print the table of classes as CSV")
    add_links(parser)
    add_running(parser)


def run(arguments):
    model = load_classifier(arguments)
    images = _part(arguments.folder, arguments.part, arguments.follow_links)
    _take_over_names(images, model.classes_)
    labels = _known_labels(images, model.classes_, arguments)
    model.set_params(verbose=wants_progress(arguments))
    predicted = model.predict(images.paths)
    readable = np.array([each is not None for each in predicted.tolist()])
    if not readable.any():
        raise DatasetError("none of the {} images in {!r} can be read".format(
            len(images), arguments.folder))
    found = _measure(labels[readable], predicted[readable].astype(model.classes_.dtype),
                     model.classes_, arguments.target)
    refused = unreadable_files(images.skipped)
    complain_of_unreadable(refused, arguments.quiet)
    found["unreadable"] = [path for path, good in zip(images.paths, readable) if not good] + [
        each.path for each in refused]
    _look_for_training(found, model, np.array(images.paths)[readable],
                       predicted[readable] == labels[readable], arguments)
    if arguments.json:
        write_json(found)
    elif arguments.csv:
        write_csv(found["classes"], list(found["classes"][0]))
    else:
        write(_text(found))
    if arguments.target is not None and found["verdict"] != "met":
        return 4
    return 3 if found["unreadable"] else 0


def _part(folder, part, follow_links):
    """The images of the part that was asked for, or of the best one that there is."""
    from ..photographs.image_set import load_folder
    images = load_folder(folder, follow_links=follow_links, least_classes=1)
    if part == "train":
        return images
    if part is not None:
        chosen = getattr(images, part)
        if chosen is None:
            raise DatasetError("{!r} has no folder of {} images".format(folder, part))
        return chosen
    return images.test or images.validation or images


def _take_over_names(images, classes):
    """Call the classes as the model does, where names differ in their form of Unicode alone."""
    from ..photographs.image_set import normal_name
    known = dict((normal_name(str(name)), str(name)) for name in classes.tolist())
    images.labels = np.array([known.get(normal_name(label), label)
                              for label in images.labels.tolist()])
    images.classes = sorted(set(images.labels.tolist()))


def _known_labels(images, classes, arguments):
    """The labels, as the model has them."""
    known = [str(name) for name in classes.tolist()]
    unknown = [name for name in images.classes if name not in known]
    if unknown:
        raise DatasetError("{!r} has the class {!r}, which {} does not know; it knows {}".format(
            arguments.folder, unknown[0], arguments.model, ", ".join(sorted(known))))
    return labels_of_classes(images.labels, classes)


def _measure(labels, predicted, classes, target):
    """Accuracy with its interval, a row for each class, and the confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
    accuracy = float((labels == predicted).mean())
    interval = wilson_interval(accuracy, len(labels))
    measures = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    return collections.OrderedDict([
        ("images", len(labels)),
        ("accuracy", accuracy),
        ("interval", interval),
        ("target", target),
        ("verdict", None if target is None else verdict(interval, target)),
        ("classes", [collections.OrderedDict(zip(
            ("class", "images", "precision", "recall", "f1"),
            (name, int(count), float(precision), float(recall), float(f1))))
            for name, precision, recall, f1, count in zip(classes.tolist(), *measures)]),
        ("confusion", confusion_matrix(labels, predicted, labels=classes)),
    ])


def _look_for_training(found, model, paths, right, arguments):
    """Say of how many photographs of the training the accuracy is, and what it is without them.

    The verdict is by those that are new.
    """
    seen = model.seen_in_training(paths.tolist())
    found["seen_in_training"] = found["accuracy_on_new"] = found["interval_on_new"] = None
    if seen is None:
        complain("warning: whether the classifier was trained on some of these photographs is not "
                 "known: its file was saved by an earlier release")
        return
    new = ~(seen.trained | seen.held)
    found["seen_in_training"] = int((~new).sum())
    if new.all():
        return
    if new.any():
        found["accuracy_on_new"] = float(right[new].mean())
        found["interval_on_new"] = wilson_interval(found["accuracy_on_new"], int(new.sum()))
    if arguments.target is not None:
        found["verdict"] = verdict(found["interval_on_new"], arguments.target) if (
            new.any()) else "not proven"
    if not arguments.quiet:
        complain("warning: {:,} of these {:,} photographs, or near-duplicates of them, were in the "
                 "training of this classifier, {}".format(
                     len(new) - int(new.sum()), len(new), "which looks better on them than it is"
                     if new.any() else "so that this accuracy says nothing about others; measure "
                     "on photographs that are new, or with 'gear-transfer report'"))


def _text(found):
    low, high = found["interval"]
    lines = ["accuracy {:.3f} on {:,} photographs, 95 % interval {:.3f} to {:.3f} (Wilson)".format(
        found["accuracy"], found["images"], low, high)]
    if found["accuracy_on_new"] is not None:
        lines.append("accuracy {:.3f} on the {:,} that are new to the classifier, 95 % interval "
                     "{:.3f} to {:.3f}".format(
                         found["accuracy_on_new"], found["images"] - found["seen_in_training"],
                         *found["interval_on_new"]))
    if found["target"] is not None:
        lines.append("target {}: {}".format(found["target"], found["verdict"]))
    if found["unreadable"]:
        lines.append("left out, because they cannot be read: {}".format(len(found["unreadable"])))
    rows = [list(row.values()) for row in found["classes"]]
    lines += ["", text_table(list(found["classes"][0]), rows), ""]
    names = [str(row[0]) for row in rows]
    matrix = np.array(found["confusion"])
    mistakes = sorted((-matrix[i, j], names[i], names[j]) for i, j in zip(*np.nonzero(matrix))
                      if i != j)
    lines += ["{} of {} taken for {}".format(-count, true, taken)
              for count, true, taken in mistakes] or ["no mistakes"]
    return "\n".join(lines) + "\n"
