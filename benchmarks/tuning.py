"""tune against the full grid, on real gear photographs: accuracy, time, and their ratio.

    python benchmarks/tuning.py [--write] [--sizes 96 128 --layers mixed3 mixed4 --l2 0.005]

The full grid judges every layer, input size and l2 by cross-validation on all photographs, known
near-duplicates together. Its cost is counted in three ways: as a search over a pipeline has it,
features computed for each combination; as one writes it by hand, features of each layer and size
computed by themselves and once for all l2; and at its cheapest, all layers of a size in one pass.
Of the first only the features of one l2 are computed, and counted for each. The picks of `tune`,
which has a cache of its own, are looked up in the grid: so both are judged on the same folds. As
the best of a grid flatters itself, the folds and the heads of other seeds, which had no part in the
choice, judge both again.
"""
import argparse
import tempfile
import time

import numpy as np
from sklearn.base import clone

import gear_transfer as gt
import processes
import report
from gear_accuracy import groups_of
from gear_transfer.tuning import DEFAULT_L2, DEFAULT_SIZES

FOLDS = 5


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--layers", nargs="+", metavar="LAYER", default=[
        "mixed{}".format(i) for i in range(11)], help="default: mixed0 to mixed10")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PIXELS", default=DEFAULT_SIZES)
    parser.add_argument("--l2", nargs="+", type=float, default=DEFAULT_L2)
    parser.add_argument("--backbone", help="name or weight file (default: the official weights)")
    parser.add_argument("--seeds", type=int, default=2, help="that judge (default: %(default)s)")
    parser.add_argument("--tunings", type=int, default=3,
                        help="runs of tune, each with another sample (default: %(default)s)")
    report.add_write_option(parser)
    return parser.parse_args()


class Photographs(object):
    """The photographs, the known groups, and the settings that all share."""

    def __init__(self, arguments):
        folder = processes.shared_file(arguments.shared, "gear", "images")
        self.images = gt.load_folder(folder)
        self.groups = groups_of(self.images.paths, folder, processes.shared_file(
            arguments.shared, "gear", "groups.csv"))
        self.model = gt.TransferClassifier(
            arguments.backbone or processes.official_weights(arguments.shared), cache=False)

    def features(self, **settings):
        """Extraction of all photographs, and the width of each layer."""
        model = clone(self.model).set_params(**settings)
        extractor = model._parts()[0].fit()
        features = extractor.transform(self.images.paths)
        return features, [int(np.prod(shape)) for shape in extractor.backbone_.shapes]

    def judge(self, features, l2, seed):
        """Cross-validated accuracy; the seed decides folds and head."""
        samples = gt.FeatureSet(features, self.images.labels, self.groups)
        head = clone(self.model).set_params(l2=l2, random_state=seed)
        return gt.cross_validate(samples, estimator=head, folds=FOLDS, random_state=seed).accuracy


class Grid(object):
    """Accuracy of every layer, size, l2 and seed, and the seconds that it took."""

    def __init__(self, photographs, arguments):
        self.accuracy = {}
        self.together = self.apart = self.heads = 0.0
        for size in arguments.sizes:
            seconds, (features, widths) = timed(
                photographs.features, layer=tuple(arguments.layers), input_size=size)
            self.together += seconds
            parts = np.split(features, np.cumsum(widths)[:-1], axis=1)
            for layer, part in zip(arguments.layers, parts):
                self.apart += timed(photographs.features, layer=layer, input_size=size)[0]
                for l2 in arguments.l2:
                    for seed in range(arguments.seeds):
                        seconds, self.accuracy[layer, size, l2, seed] = timed(
                            photographs.judge, np.ascontiguousarray(part), l2, seed)
                        self.heads += seconds / arguments.seeds

    def best(self, seed):
        """The key, without its seed, that is the most accurate with a seed."""
        return max((key for key in self.accuracy if key[3] == seed), key=self.accuracy.get)[:3]


def timed(function, *arguments, **keywords):
    """Seconds, and the result."""
    started = time.perf_counter()
    result = function(*arguments, **keywords)
    return time.perf_counter() - started, result


def tuned(photographs, arguments, seed):
    """Seconds of a run with an empty cache, and the Tuning."""
    with tempfile.TemporaryDirectory() as cache:
        model = clone(photographs.model).set_params(cache=cache)
        return timed(gt.tune, photographs.images, groups=photographs.groups, model=model,
                     layers=arguments.layers, sizes=arguments.sizes, l2=arguments.l2, folds=FOLDS,
                     random_state=seed)


def key_of(trial):
    return trial.layer, trial.input_size[0], trial.head["l2"]


def accuracies(grid, key, arguments):
    """Accuracy with each seed, as text."""
    return ["{:.4f}".format(grid.accuracy[key + (seed,)]) for seed in range(arguments.seeds)]


def name(key):
    return "{} at {}, l2={:g}".format(*key)


def main():
    arguments = parse()
    photographs = Photographs(arguments)
    runs = [tuned(photographs, arguments, seed) for seed in range(arguments.tunings)]
    grid = Grid(photographs, arguments)
    seeds = range(arguments.seeds)
    rows = [["the grid's best of seed {}".format(seed), name(grid.best(seed)), ""]
            + accuracies(grid, grid.best(seed), arguments) + [""] for seed in seeds]
    for number, (seconds, tuning) in enumerate(runs):
        for pick in ("accurate", "best", "fast"):
            key = key_of(getattr(tuning, pick))
            lost = [grid.accuracy[grid.best(seed) + (seed,)] - grid.accuracy[key + (seed,)]
                    for seed in seeds]
            rows.append(["tune, sample {}: {}".format(number, pick), name(key), "{:.0f}".format(
                getattr(tuning, pick).images_per_second)] + accuracies(grid, key, arguments)
                + ["{:.2f}".format(100 * np.mean(lost))])
    header = ["what", "which", "images a second"] + [
        "accuracy, seed {}".format(seed) for seed in seeds] + ["points below the grid's best, mean"]
    took = [seconds for seconds, _ in runs]
    again = len(arguments.l2) * grid.apart + grid.heads
    by_hand, cheapest = grid.apart + grid.heads, grid.together + grid.heads
    costs = [["tune", report.spread(took, "{:.1f}"), "1"]]
    costs += [[what, "{:.1f}".format(seconds), report.spread(
        [seconds / each for each in took], "{:.1f}")] for what, seconds in [
            ("full grid, features computed for each combination", again),
            ("full grid, features of each layer and size by themselves", by_hand),
            ("full grid, all layers of a size in one pass", cheapest),
            ("features of each layer and size by themselves", grid.apart),
            ("features, all layers of a size in one pass", grid.together),
            ("cross-validation of all heads", grid.heads)]]
    n = [len(values) for values in (arguments.layers, arguments.sizes, arguments.l2)]
    explanation = (
        "{:,} photographs, {} layers, {} input sizes and {} values of l2: {} combinations, {} "
        "folds. The best of a seed is so by the folds of that seed, which flatters it; tune "
        "chooses by the folds of the seed of its sample. tune's rules and numbers (sample, "
        "finalists, one standard error, two points) were chosen with this grid in view, on these "
        "photographs.".format(*[len(photographs.images)] + n + [int(np.prod(n)), FOLDS]))
    report.publish("tuning", "tune against the full grid (tuning.py)",
                   [explanation, report.table(header, rows),
                    "Seconds, and how many times those of tune:",
                    report.table(["what", "seconds", "times tune"], costs)]
                   + [tuning.sentence() for _, tuning in runs[:1]],
                   report.machine(), arguments.write)


if __name__ == "__main__":
    main()
