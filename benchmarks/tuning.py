"""tune against the full grid, on real gear photographs: accuracy, time, and their ratio.

    python benchmarks/tuning.py [--write] [--keep FOLDER]

The full grid is run as one writes it by hand: for each layer (or layers tapped together) and each
input size that `tune` chooses among, all photographs are decoded and their features computed, and
each l2 is judged on them by repeated cross-validation, with as many repeats as `tune` gives its
finalists, known near-duplicates together. `tune` runs with an empty cache. A cleverer grid, which
taps all layers of a size in one pass, is timed beside it; what else the grid might cost is counted
from these times and says so.

What `tune` picks is looked up in the grid. As the best of many flatters itself on the folds that it
was chosen by, the grid's best and the picks are judged again on folds (and by heads) of seeds that
had no part in either choice. With --keep, finished pieces are remembered in FOLDER, so that a run
that was interrupted goes on from there.
"""
import argparse
import collections
import json
import os
import sys
import tempfile
import time

import numpy as np
from sklearn.base import clone

import gear_transfer as gt
import processes
import report
from gear_accuracy import groups_of
from gear_transfer.common.atomic import write_whole
from gear_transfer.features.backbone import find_backbone
from gear_transfer.importers import load_network
from gear_transfer.workbench.trials import PICKS, layer_text
from gear_transfer.workbench.tuning import DEFAULT_L2, DEFAULT_SIZES, default_layers, tapped

FOLDS = 5
REPEATS = 5
GRID_SEED, JUDGE_SEED, TUNE_SEED = 0, 50, 1000  # the first of each kind
POINTS, SHARE = 0.5, 0.1  # what is asked: so near to the grid's best, at this share of its cost

Key = collections.namedtuple("Key", ["layer", "size", "l2"])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--layers", nargs="+", metavar="LAYER[+LAYER]",
                        help="default: those that tune tries by itself")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PIXELS", default=DEFAULT_SIZES)
    parser.add_argument("--l2", nargs="+", type=float, default=DEFAULT_L2)
    parser.add_argument("--backbone", default="inception_v3",
                        help="name or weight file (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=REPEATS,
                        help="of cross-validation, in tune and in the grid (default: %(default)s)")
    parser.add_argument("--judges", type=int, default=10, metavar="SEEDS",
                        help="that judge grid and picks (default: %(default)s)")
    parser.add_argument("--tunings", type=int, default=3, metavar="SEEDS",
                        help="runs of tune, each with another sample (default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="remember finished pieces here")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    arguments.layers = default_layers(load_network(find_backbone(arguments.backbone))) if (
        arguments.layers is None) else [
            tuple(layer.split("+")) if "+" in layer else layer for layer in arguments.layers]
    return arguments


class Photographs(object):
    """The photographs, the known groups, and the settings that all share."""

    def __init__(self, arguments):
        folder = processes.shared_file(arguments.shared, "gear", "images")
        self.images = gt.load_folder(folder)
        self.groups = groups_of(self.images.paths, folder, processes.shared_file(
            arguments.shared, "gear", "groups.csv"))
        self.model = gt.TransferClassifier(arguments.backbone, cache=False)

    def features(self, layer, size):
        """Features of all photographs, computed."""
        model = clone(self.model).set_params(layer=layer, input_size=size)
        return model.make_parts()[0].fit().transform(self.images.paths)

    def judge(self, features, l2, seed):
        """Cross-validated accuracy; the seed decides folds and head."""
        samples = gt.FeatureSet(features, self.images.labels, self.groups)
        head = clone(self.model).set_params(l2=l2, random_state=seed)
        return gt.cross_validate(samples, estimator=head, folds=FOLDS, random_state=seed).accuracy


class Pieces(object):
    """Plain results of finished pieces of work, remembered in a folder if there is one."""

    def __init__(self, folder, settings):
        self._folder, self._settings = folder, settings
        if folder:
            os.makedirs(folder, exist_ok=True)

    def get(self, name, function, *arguments):
        """The result of a piece, computed now unless it is remembered with the same settings."""
        path = self._folder and os.path.join(self._folder, name.replace(" ", "_") + ".json")
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                piece = json.load(stream)
            if piece["settings"] == self._settings:
                return piece["result"]
        started = time.perf_counter()
        result = function(*arguments)
        print("{}: {:.1f} s".format(name, time.perf_counter() - started), file=sys.stderr)
        if path:
            text = json.dumps({"settings": self._settings, "result": result})
            write_whole(path, lambda stream: stream.write(text.encode("utf-8")))
        return result


def timed(function, *arguments):
    """Seconds, and the result."""
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def place_in_grid(photographs, layer, size, l2s, seeds):
    """Seconds of features and of heads, and the accuracy with each l2 and seed."""
    features_seconds, features = timed(photographs.features, layer, size)
    heads_seconds, accuracies = timed(
        lambda: [[photographs.judge(features, l2, seed) for seed in seeds] for l2 in l2s])
    return {"features": features_seconds, "heads": heads_seconds, "accuracies": accuracies}


def tuned(photographs, arguments, seed):
    """Seconds of a run with an empty cache, the picks, and what it says."""
    with tempfile.TemporaryDirectory() as cache:
        model = clone(photographs.model).set_params(cache=cache)
        seconds, tuning = timed(lambda: gt.tune(
            photographs.images, groups=photographs.groups, model=model, layers=arguments.layers,
            sizes=arguments.sizes, l2=arguments.l2, folds=FOLDS, repeats=arguments.repeats,
            random_state=seed))
    picks = [getattr(tuning, name) for name in PICKS]
    return {"seconds": seconds, "sentence": tuning.sentence(),
            "picks": [[layer_text(pick.layer), pick.input_size[0], pick.head["l2"]]
                      for pick in picks],
            "speeds": [pick.images_per_second for pick in picks]}


class Grid(object):
    """Accuracies of every layer, size and l2, and the seconds that they took."""

    def __init__(self, photographs, arguments, pieces):
        seeds = range(GRID_SEED, GRID_SEED + arguments.repeats)
        self.accuracies, self.layers = {}, {}
        self.features = self.heads = self.together = 0.0
        for size in arguments.sizes:
            for layer in arguments.layers:
                text = layer_text(layer)
                piece = pieces.get("grid {} {}".format(text, size), place_in_grid, photographs,
                                   layer, size, arguments.l2, seeds)
                self.features += piece["features"]
                self.heads += piece["heads"]
                self.layers[text] = layer
                for l2, values in zip(arguments.l2, piece["accuracies"]):
                    self.accuracies[Key(text, size, l2)] = values
            self.together += pieces.get("together {}".format(size), lambda: timed(
                photographs.features, tapped(arguments.layers), size)[0])
        self.best = max(self.accuracies, key=self.accuracy)

    def accuracy(self, key):
        return float(np.mean(self.accuracies[key]))


def judged_anew(photographs, arguments, grid, pieces, key):
    """Accuracy of a combination with each seed that had no part in the choice."""
    seeds = range(JUDGE_SEED, JUDGE_SEED + arguments.judges)
    return np.array(pieces.get("judge {} {} {:g}".format(*key), lambda: place_in_grid(
        photographs, grid.layers[key.layer], key.size, [key.l2], seeds)["accuracies"][0]))


def differences(photographs, arguments, grid, pieces, runs):
    """Rows of accuracy, and for each pick how many points it is below the grid's best on others'
    folds, a dict of lists."""
    best = judged_anew(photographs, arguments, grid, pieces, grid.best)
    rows = [["the grid's best", name(grid.best), "", percent(grid.accuracy(grid.best)), "",
             percent(best.mean()), ""]]
    below = dict((pick, []) for pick in PICKS)
    for number, run in enumerate(runs):
        for pick, place, speed in zip(PICKS, run["picks"], run["speeds"]):
            key = Key(*place)
            accuracies = judged_anew(photographs, arguments, grid, pieces, key)
            lost = 100 * (best - accuracies)
            below[pick].append(float(lost.mean()))
            rows.append([
                "tune, seed {}: {}".format(TUNE_SEED * (number + 1), pick), name(key),
                "{:.0f}".format(speed), percent(grid.accuracy(key)), "{:.2f}".format(
                    100 * (grid.accuracy(grid.best) - grid.accuracy(key))),
                percent(accuracies.mean()), "{:.2f} ± {:.2f}".format(
                    lost.mean(), lost.std(ddof=1) / np.sqrt(len(lost)))])
    return rows, below


def name(key):
    return "{} at {}, l2={:g}".format(*key)


def percent(share):
    return "{:.2f} %".format(100 * share)


def costs(grid, arguments, took):
    """Rows of seconds and how many times those of tune."""
    by_hand, once = grid.features + grid.heads, grid.heads / arguments.repeats
    rows = [["tune, cache empty", report.spread(took, "{:.1f}"), "1"]]
    return rows + [[what, "{:.1f}".format(seconds), report.spread(
        [seconds / each for each in took], "{:.1f}")] for what, seconds in [
            ("**the grid as it was run**: features of each layer and size by themselves", by_hand),
            ("of it the features", grid.features),
            ("of it the cross-validation, {} repeats".format(arguments.repeats), grid.heads),
            ("a grid of one repeat (counted)", grid.features + once),
            ("a grid with all layers of a size in one pass (passes timed, {:.1f} s)".format(
                grid.together), grid.together + grid.heads),
            ("that with one repeat (counted)", grid.together + once),
            ("a grid with features anew for each combination, as a search over a pipeline that "
             "keeps none has it (counted)", len(arguments.l2) * grid.features + grid.heads)]]


def summary(below, took, grid):
    """What is asked, and what was found."""
    share = max(took) / (grid.features + grid.heads)
    return "Asked: within {} points of the grid's best at a tenth of its cost. Found, the worst of " \
        "{} runs: best {:.2f} points below, accurate {:.2f}, on folds that neither was chosen by: " \
        "{}; {:.3f} of the cost: {}.".format(
            POINTS, len(took), max(below["best"]), max(below["accurate"]),
            "yes" if max(below["best"] + below["accurate"]) <= POINTS else "no", share,
            "yes" if share <= SHARE else "no")


def main():
    arguments = parse()
    photographs = Photographs(arguments)
    layers = [layer_text(layer) for layer in arguments.layers]
    pieces = Pieces(arguments.keep, [
        len(photographs.images), arguments.backbone, layers, list(arguments.sizes),
        list(arguments.l2), arguments.repeats, arguments.judges])
    runs = [pieces.get("tune {}".format(TUNE_SEED * (i + 1)), tuned, photographs, arguments,
                       TUNE_SEED * (i + 1)) for i in range(arguments.tunings)]
    grid = Grid(photographs, arguments, pieces)
    rows, below = differences(photographs, arguments, grid, pieces, runs)
    took = [run["seconds"] for run in runs]
    parts = [
        "{:,} photographs; {} layers ({}), {} input sizes ({}) and {} values of l2 ({}): {} "
        "combinations, each by {} repeats of cross-validation in {} folds, in one process.".format(
            len(photographs.images), len(layers), ", ".join(layers), len(arguments.sizes),
            ", ".join(map(str, arguments.sizes)), len(arguments.l2),
            ", ".join("{:g}".format(l2) for l2 in arguments.l2), len(grid.accuracies),
            arguments.repeats, FOLDS),
        summary(below, took, grid),
        report.table(["what", "which", "images a second", "accuracy in the grid",
                      "points below its best", "accuracy on other folds, {} seeds".format(
                          arguments.judges), "points below (± standard error)"], rows),
        "Seconds, and how many times those of tune:",
        report.table(["what", "seconds", "times tune"], costs(grid, arguments, took)),
        "tune's constants (sample, finalists, repeats, smoothing, 0.2 points) were chosen on these "
        "photographs, with samples and folds of other seeds.",
        "What the first run says: " + runs[0]["sentence"]]
    report.publish("tuning", "tune against the full grid (tuning.py)", parts, report.machine(),
                   arguments.write)


if __name__ == "__main__":
    main()
