"""The workbench on real gear photographs: duplicates, accuracy, suspects, and the time each takes.

    python benchmarks/workbench.py [--write]

Features are computed once; the groups of near-duplicates known for these photographs are the
truth that the ones found are held against. Each section is a function that gives paragraphs and
tables; SECTIONS lists them.
"""
import argparse
import statistics
import tempfile
import time

import numpy as np

import gear_transfer as gt
import processes
import report
from gear_accuracy import groups_of
from gear_transfer.classifiers.novelty import KEEP

FOLDS = 5
TARGET = 0.9
FLIPPED = 0.03
MOST_SECONDS = 5


class Material(object):
    """The photographs, their known groups and their features, in a cache of its own."""

    def __init__(self, arguments, cache):
        self.rounds, self.seeds, self.cache = arguments.rounds, arguments.seeds, cache
        folder = processes.shared_file(arguments.shared, "gear", "images")
        self.images = gt.load_folder(folder)
        self.known = groups_of(self.images.paths, folder, processes.shared_file(
            arguments.shared, "gear", "groups.csv"))
        model = gt.TransferClassifier(cache=cache)
        self.samples = gt.compute_features(self.images, model, groups=self.known)

    def timed(self, function):
        """Seconds of each round, and the result of the last."""
        seconds = []
        for _ in range(self.rounds):
            started = time.perf_counter()
            result = function()
            seconds.append(time.perf_counter() - started)
        return seconds, result


def pairs_together(groups):
    """How many pairs of photographs have the same group."""
    counts = np.unique(groups, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def duplicates(material):
    """What `find_duplicates` finds, held against the known groups."""
    cold, found = material.timed(lambda: gt.find_duplicates(material.images, cache=False))
    gt.find_duplicates(material.images, cache=material.cache)
    warm, _ = material.timed(lambda: gt.find_duplicates(material.images, cache=material.cache))
    names, counts = np.unique(material.known, return_counts=True)
    several = names[counts > 1]
    torn = sum(len(set(found.groups[material.known == name].tolist())) > 1 for name in several)
    both = pairs_together(["{} {}".format(*pair) for pair in zip(material.known, found.groups)])
    straddling = []
    for seed in range(material.seeds):
        split = gt.split_images(material.images, groups=found.groups, random_state=seed)
        naive = gt.split_images(material.images, groups=np.arange(len(found.groups)),
                                random_state=seed)
        straddling.append((len(split.straddling(material.known)),
                           len(naive.straddling(material.known))))
    ours, theirs = [statistics.mean(column) for column in zip(*straddling)]
    rows = [
        ["photographs in groups of two or more", sum(len(c) for c in found.clusters())],
        ["groups of two or more (known)", "{} ({})".format(len(found), len(several))],
        ["byte for byte the same, photographs", sum(
            len(c) for c in found.clusters(exact=True))],
        ["known groups that are torn apart", "{} of {}".format(torn, len(several))],
        ["pairs of known groups that are together (recall)", "{:.3f}".format(
            both / pairs_together(material.known))],
        ["pairs together that are in a known group (precision)", "{:.3f}".format(
            both / pairs_together(found.groups))],
        ["groups whose photographs are of different classes", len(
            found.across(material.images.labels))],
        ["known groups that straddle 80/20, with the groups found", "{:.1f}".format(ours)],
        ["known groups that straddle 80/20, stratified only", "{:.1f}".format(theirs)],
        ["seconds, hashes computed", report.spread(cold)],
        ["seconds, hashes in the cache", report.spread(warm)]]
    return ["Near-duplicates; straddling is the mean of {} seeds. Hash, linkage and threshold were "
            "chosen on these same photographs and known groups, so recall and torn groups flatter "
            "themselves; other photographs have not been tried.".format(material.seeds),
            report.table(["find_duplicates", "value"], rows)]


def times(material):
    """Accuracy, learning curve, label suspects and unknown threshold, and the time each takes."""
    samples, rows = material.samples, []
    for name, function, says in [
            ("cross-validation, {} folds".format(FOLDS),
             lambda: gt.cross_validate(samples, folds=FOLDS, target=TARGET), first_sentence),
            ("learning curve", lambda: gt.learning_curve(samples, folds=FOLDS), first_sentence),
            ("label suspects", lambda: gt.find_label_suspects(samples), first_sentence),
            ("unknown threshold", lambda: gt.NoveltyDetector().fit(
                samples.features, samples.labels, samples.groups),
             lambda detector: "{:.0%} of those held out are nearer than {:.3g}".format(
                 KEEP, np.interp(KEEP, np.linspace(0, 1, len(detector.quantiles_)),
                                 detector.quantiles_)))]:
        seconds, result = material.timed(function)
        rows.append([name, report.spread(seconds),
                     "yes" if statistics.median(seconds) < MOST_SECONDS else "no", says(result)])
    return ["From features of {:,} photographs that are there, known near-duplicates together; "
            "seconds, medians (smallest to largest) of {} rounds:".format(
                len(samples), material.rounds),
            report.table(["what", "seconds", "under {} s".format(MOST_SECONDS), "what it says"],
                         rows)]


def first_sentence(result):
    """What a result of the workbench says first."""
    return result._sentences()[0]


def suspects(material):
    """How many labels that were flipped on purpose are found."""
    labels, n = material.samples.labels, len(material.samples)
    rows = []
    for seed in range(material.seeds):
        rng = np.random.RandomState(seed)
        flipped = rng.choice(n, int(round(FLIPPED * n)), replace=False)
        wrong = labels.copy()
        for i in flipped:
            wrong[i] = rng.choice(material.samples.classes[material.samples.classes != labels[i]])
        found = gt.find_label_suspects(gt.FeatureSet(
            material.samples.features, wrong, material.known, material.samples.paths))
        rows.append([str(seed), str(len(flipped)), str(np.isin(
            found.ranking[:len(flipped)], flipped).sum()), str(len(found)), str(
                np.isin(found.positions, flipped).sum())])
    return ["{:.0%} of the labels are flipped to another class at random:".format(FLIPPED),
            report.table(["seed", "flipped", "found in as many top ranks", "named suspects",
                          "flipped among them"], rows)]


SECTIONS = [duplicates, times, suspects]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        material = Material(arguments, cache)
        parts = ["{:,} photographs of {} classes, {:,} known groups.".format(
            len(material.images), len(material.images.classes), len(set(material.known.tolist())))]
        for section in SECTIONS:
            parts += section(material)
    report.publish("workbench", "The workbench on gear (workbench.py)", parts, report.machine(),
                   arguments.write)


if __name__ == "__main__":
    main()
