"""Photographs and classes join a fitted classifier; those it was trained on need not be there."""
import collections

import numpy as np

from ..common.labels import labels_of_classes
from ..errors import DatasetError
from ..photographs.augmentation import as_augmentation
from ..photographs.duplicates import groups_of_hashes
from ..photographs.image_set import ImageSet
from ..photographs.splits import Split, relative_names
from .classifier import TrainingPhotographs
from .description import trained_on_all
from .kept_features import KeptFeatures, TrainingFeatures, known_features
from .labelled import check_labelled, extract_labelled
from .training_record import TrainingRecord, join_records, training_facts

#: How many photographs joined a classifier, how many of those given it had, and how many of these
#: have another label now.
Added = collections.namedtuple("Added", ["new", "known", "relabelled"])

_Part = collections.namedtuple("_Part", ["images", "features", "labels", "record", "names"])


def grow(model, images, labels):
    """Train the head of a classifier with photographs more, see `TransferClassifier.add`."""
    known, record = known_features(model), getattr(model, "_record", None)
    if known is None or record is None:
        raise DatasetError(
            "the model was saved without the features of its training photographs, so that none "
            "can join them: train it again on all photographs, and save it with "
            "keep_features=True ('gear-transfer train --keep-features')")
    if as_augmentation(model.augment) is not None:
        raise DatasetError("views of the training photographs are not kept, so that none can join "
                           "a model with augment={!r}: train it again on all photographs, or "
                           "without augment".format(model.augment))
    given = _given(images, labels, known)
    model._hand_on()
    old = np.concatenate([known.labels, known.held_labels])
    for _, y in given:
        old = old.astype(np.promote_types(old.dtype, y.dtype))  # names may be longer
    before, new, skipped, found = old.copy(), [], [], {}
    for X, y in given:
        part, again, lost = _newcomers(model, record, X, y)
        new.append(part)
        skipped += lost
        found.update(again)
    for row, label in found.items():
        old[row] = label
    count = len(known.labels)
    known = known._replace(labels=old[:count], held_labels=old[count:])
    _train(model, known, new, record)
    model.skipped_ = skipped
    model.added_ = Added(sum(len(part.labels) for part in new), len(found),
                         int((old != before).sum()))


def _given(images, labels, known):
    """The photographs that join those trained on, and those that join the ones given apart.

    A list of one or two pairs of images and labels in the type of those known.
    """
    def in_type(y):
        text = known.labels.dtype.kind == "U"
        return y if (y.dtype.kind == "U") == text else labels_of_classes(
            y, np.unique(known.labels))

    X, y = check_labelled(images, labels, "labels", 1)
    given = [(X, in_type(y))]
    validation = images.validation if isinstance(images, ImageSet) else None
    if validation is not None and len(validation):
        X_held, y_held = check_labelled(validation, None, "labels", 1)
        given.append((X_held, in_type(y_held)))
        if not len(known.held_labels):
            # The classifier holds a share back by itself.
            given = [(list(X) + list(X_held), np.concatenate([each for _, each in given]))]
    return given


def _newcomers(model, record, X, y):
    """Photographs that the record has not, labels by their row of those it has, and those skipped."""
    extractor = model.extractor_
    hashes = extractor.hashes(X)
    features, labels, positions, skipped = extract_labelled(extractor, X, y, model.strict, hashes)
    everything = TrainingRecord.of((hashes, positions, np.zeros(len(positions))))
    rows = record.rows_of(everything)
    new = rows < 0
    names = relative_names(X)
    part = _Part([X[i] for i in positions[new]], features[new], labels[new],
                 everything.subset(new),
                 [None if names is None else names[i] for i in positions[new]])
    return part, dict(zip(rows[~new].tolist(), labels[~new].tolist())), skipped


def _train(model, known, new, record):
    """Fit a head to all photographs, and let the classifier follow it."""
    count, apart = len(known.labels), len(known.held_labels) > 0
    records = [record.subset(slice(0, count)), new[0].record, record.subset(slice(count, None))]
    features = np.concatenate([known.features, new[0].features])
    labels = np.concatenate([known.labels, new[0].labels])
    held = known.held_features, known.held_labels
    if len(new) > 1:
        held = tuple(np.concatenate(pair) for pair in zip(held, new[1][1:3]))
        records.append(new[1].record)
    everything = join_records(records)
    groups = _groups(model, known, everything, len(labels), apart)
    head = model.make_parts()[1]
    if apart:
        head.fit(features, labels, validation_data=held)
    else:
        head.fit(features, labels, groups=groups)
    parts = np.zeros(len(everything), int)
    parts[len(labels):] = 1
    parts[head.validation_indices_] = 1
    model.split_ = Split(parts, groups, _names(model.split_, new, count, parts))
    model.head_, model.classes_, model.history_ = head, head.classes_, head.history_
    model.n_images_ = len(labels)
    model.trained_ = training_facts(labels, head.classes_)
    everything.held = np.zeros(len(parts), np.uint8)
    if not trained_on_all(model):
        everything.held[parts == 1] = 1
    model._record, model._novelty = everything, None
    if model.training_ is not None:
        model.training_ = TrainingPhotographs(list(model.training_.images) + new[0].images, labels,
                                              features, groups)
        model._held = held
    else:
        model._kept = KeptFeatures.of(TrainingFeatures(
            features, labels, groups, known.groups_given, *held), head.classes_)


def _groups(model, known, record, count, apart):
    """The groups of the photographs to train on, as `fit` finds them among all."""
    if known.groups_given:
        return np.concatenate([known.groups, known.groups.max() + 1
                               + np.arange(count - len(known.groups))])
    if apart or not model.group_duplicates or not model.validation_fraction > 0:
        return None
    return groups_of_hashes(record.bits, [row.tobytes() for row in record.contents])


def _names(split, new, count, parts):
    """Names of the photographs in the order of the record; None where one held back has none."""
    rows = np.flatnonzero(split.parts >= 0)
    old = [None if split.names is None else split.names[i] for i in rows]
    names = old[:count] + new[0].names + old[count:] + (new[1].names if len(new) > 1 else [])
    return None if any(names[i] is None for i in np.flatnonzero(parts == 1)) else names
