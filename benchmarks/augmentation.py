"""Whether augmented views help: held-out accuracy on gear with and without them.

    python benchmarks/augmentation.py [--write]

Four folds that keep known near-duplicates on one side; the photographs of the other folds train,
all of them or only so many of each class, drawn at random. Photographs that are held out have no
views. The settings of the views are the defaults.
"""
import argparse
import tempfile
import time

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

import gear_accuracy
import gear_transfer as gt
import processes
import report

PER_CLASS = (5, 20, None)


def some_of_each(labels, positions, count, rng):
    """At most `count` of the positions of each class."""
    positions = rng.permutation(positions)
    kept = [positions[labels[positions] == name][:count] for name in np.unique(labels)]
    return np.sort(np.concatenate(kept))


def accuracies(samples, seeds, per_class):
    """Mean accuracy of each seed's folds: columns without views, and with 1, 2 and so on."""
    counts = view_counts(samples)
    head = gear_accuracy.defaults(gt.HeadClassifier, validation_fraction=0.0)
    rows = []
    for seed in range(seeds):
        rng = np.random.RandomState(seed)
        right = np.zeros((len(counts), len(samples)), bool)
        folds = StratifiedGroupKFold(gear_accuracy.FOLDS, shuffle=True, random_state=seed)
        for train, held in folds.split(samples.features, samples.labels, samples.groups):
            train = some_of_each(samples.labels, train, per_class, rng)
            for row, count in enumerate(counts):
                head.fit(samples.features[train], samples.labels[train],
                         views=samples.views[train, :count] if count else None)
                right[row, held] = head.predict(samples.features[held]) == samples.labels[held]
        rows.append(right.mean(axis=1))
    return np.array(rows)


def view_counts(samples):
    """None, half and all of the views."""
    views = samples.views.shape[1]
    return sorted({0, views // 2, views})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--views", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    folder = processes.shared_file(arguments.shared, "gear", "images")
    images = gt.load_folder(folder)
    groups = gear_accuracy.groups_of(images.paths, folder, processes.shared_file(
        arguments.shared, "gear", "groups.csv"))
    with tempfile.TemporaryDirectory() as cache:
        model = gt.TransferClassifier(cache=cache)
        gt.compute_features(images, model, groups)
        started = time.perf_counter()
        samples = gt.compute_features(images, model, groups, augment=arguments.views)
        computing = time.perf_counter() - started
        started = time.perf_counter()
        samples = gt.compute_features(images, model, groups, augment=arguments.views)
        again = time.perf_counter() - started
    started = time.perf_counter()
    gear_accuracy.defaults(gt.HeadClassifier).fit(samples.features, samples.labels,
                                                  views=samples.views)
    training = time.perf_counter() - started
    counts = view_counts(samples)
    rows = []
    for per_class in PER_CLASS:
        values = accuracies(samples, arguments.seeds, per_class)
        gains = values[:, -1] - values[:, 0]
        rows.append(["all" if per_class is None else str(per_class)]
                    + ["{:.4f}".format(value) for value in values.mean(axis=0)]
                    + ["{:+.4f} ({:+.4f} to {:+.4f})".format(
                        gains.mean(), gains.min(), gains.max())])
    explanation = (
        "Features of {} views of each of {:,} photographs: {:.1f} s, {:.2f} s when they are in the "
        "cache; training on all of them: {:.1f} s. Mean accuracy of {} folds and {} seeds, known "
        "near-duplicates together:".format(arguments.views, len(images), computing, again,
                                           training, gear_accuracy.FOLDS, arguments.seeds))
    table = report.table(["photographs of each class"] + [
        "{} views".format(count) if count else "without" for count in counts]
        + ["gain (smallest to largest of the seeds)"], rows)
    report.publish("augmentation", "Augmented views (augmentation.py)", [explanation, table],
                   report.machine(), arguments.write)


if __name__ == "__main__":
    main()
