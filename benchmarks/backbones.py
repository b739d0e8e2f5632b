"""Accuracy and cost of backbones, layers and sizes: what the named settings were chosen by.

    python benchmarks/backbones.py [--write] [--sets ants gear] [--candidates lite0:head:224:int8]

Photographs of insects and flowers in 5 folds, gear in 4 folds that keep near-duplicates on one side,
as published and after the hack's padding to 128 x 128. For each candidate the features are computed
once, in float32 unless it says otherwise, and kept in --keep; heads with TransferClassifier's defaults are judged on them, with
--logistic beside them scikit-learn's StandardScaler and LogisticRegression, C by cross-validation,
and with --flip the mean of the probabilities of each photograph and its mirror image. A candidate
may join several backbones: lite0:head:224,lite2:head:260. Seconds are those of the processor for one image.
"""
import argparse
import hashlib
import os
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gear_transfer as gt
import processes
import report
from gear_accuracy import defaults, groups_of
from gear_transfer.features.settings import QUALITIES, default_resize
from gear_transfer.photographs.images import read_image

SETS = {"ants": ("photos", "hymenoptera"), "flowers": ("photos", "flowers"),
        "gear": ("gear", "images"), "gear128": ("gear", "images")}
SHORT = {"lite0": "efficientnet_lite0", "lite2": "efficientnet_lite2", "inception": "inception_v3"}
CANDIDATES = [
    "lite0:block10+head:160", "lite0:head:224", "lite0:block10+head:224", "lite0:block10+head:256",
    "lite0:block10+head:256:bf16", "lite0:block10+head:256:int8", "lite0:block10+head:288",
    "lite2:head:260", "lite2:block14+block19+head:260", "lite2:block14+block19+head:288",
    "lite2:block14+block19+head:288:bf16", "lite2:block14+block19+head:288:int8",
    "inception:mixed3+mixed4:128", "inception:mixed3+mixed5:224"]
LEAST_COSINE = 0.999
VERSION = 2  # of how photographs become pixels


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--candidates", nargs="+", metavar="BACKBONE:LAYER[+LAYER]:SIZE[:PRECISION]",
                        default=CANDIDATES)
    parser.add_argument("--seeds", type=int, default=2, help="of folds (default: %(default)s)")
    parser.add_argument("--photographs", type=int, metavar="N",
                        help="only about N of each set, to try the script (default: all)")
    parser.add_argument("--logistic", action="store_true", help="logistic regression beside")
    parser.add_argument("--flip", action="store_true", help="mirrored views beside")
    parser.add_argument("--keep", default="/tmp/gear_transfer_backbones", metavar="FOLDER",
                        help="keep features here (default: %(default)s)")
    report.add_write_option(parser)
    return parser.parse_args()


class Photographs(object):
    """One set, its labels and its folds."""

    def __init__(self, name, arguments):
        self.name = name
        folder = processes.shared_file(arguments.shared, *SETS[name])
        images = gt.load_folder(folder)
        if arguments.photographs:
            images = images.subset(slice(None, None,
                                         max(1, len(images) // arguments.photographs)))
        self.paths, self.labels = images.paths, images.labels
        self.groups = groups_of(images.paths, folder, processes.shared_file(
            arguments.shared, "gear", "groups.csv")) if name.startswith("gear") else None

    def folds(self, seed):
        if self.groups is None:
            return StratifiedKFold(5, shuffle=True, random_state=seed).split(self.labels, self.labels)
        return StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(
            self.labels, self.labels, self.groups)

    def pixels(self, path, backbone):
        image = read_image(path, 128) if self.name == "gear128" else path
        return read_image(image, backbone.input_size, default_resize(backbone.network))


def features_of(photographs, part, mirrored, keep):
    """Features of all photographs and processor seconds an image, from the file if it is there."""
    name, layers, size, precision = (part + ":float32").split(":")[:4]
    backbone = gt.Backbone.load(SHORT.get(name, name), layer=tuple(layers.split("+")),
                                input_size=int(size), threads=1, precision=precision)
    key = hashlib.sha256(repr([backbone.fingerprint(), part, mirrored, photographs.name, VERSION,
                               photographs.paths]).encode("utf-8")).hexdigest()
    path = os.path.join(keep, key + ".npz")
    if not os.path.exists(path):
        parts, seconds = [], 0.0
        for start in range(0, len(photographs.paths), 32):
            pixels = np.stack([photographs.pixels(each, backbone)
                               for each in photographs.paths[start:start + 32]])
            if mirrored:
                pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            begun = time.process_time()
            parts.append(np.concatenate(backbone.features(pixels), axis=1))
            seconds += time.process_time() - begun
        os.makedirs(keep, exist_ok=True)
        np.savez(path, features=np.concatenate(parts), seconds=seconds / len(photographs.paths))
    with np.load(path, allow_pickle=False) as file:
        return file["features"], float(file["seconds"])


def joined(photographs, candidate, mirrored, keep):
    found = [features_of(photographs, part, mirrored, keep) for part in candidate.split(",")]
    return np.concatenate([each for each, _ in found], axis=1), sum(each for _, each in found)


def accuracy(photographs, features, make, seeds, mirrored=None):
    """Mean held-out accuracy over the seeds."""
    found = []
    for seed in range(seeds):
        right = np.zeros(len(features), bool)
        for train, held in photographs.folds(seed):
            model = make(seed).fit(features[train], photographs.labels[train])
            probabilities = model.predict_proba(features[held])
            if mirrored is not None:
                probabilities = probabilities + model.predict_proba(mirrored[held])
            right[held] = model.classes_[probabilities.argmax(axis=1)] == photographs.labels[held]
        found.append(right.mean())
    return float(np.mean(found))


def own_head(seed):
    return defaults(gt.HeadClassifier, random_state=seed)


def logistic(seed):
    return make_pipeline(StandardScaler(), LogisticRegressionCV(
        Cs=[1e-4, 1e-3, 1e-2, 1e-1], cv=3, max_iter=200))


def row(candidate, sets, arguments):
    accuracies, seconds = [], []
    for photographs in sets:
        features, cost = joined(photographs, candidate, False, arguments.keep)
        seconds.append(cost)
        mirrored = joined(photographs, candidate, True, arguments.keep)[0] if arguments.flip else None
        values = [accuracy(photographs, features, own_head, arguments.seeds)]
        if arguments.flip:
            values.append(accuracy(photographs, features, own_head, arguments.seeds, mirrored))
        if arguments.logistic:
            values.append(accuracy(photographs, features, logistic, arguments.seeds))
        accuracies.append(" / ".join("{:.4f}".format(value) for value in values))
    return [candidate] + accuracies + ["{:.1f}".format(1e3 * np.median(seconds))]


def stored_against_float32(sets, arguments):
    """Rows: the worst cosine between features of the packaged and of the published weights."""
    rows = []
    for name in ("efficientnet_lite0", "efficientnet_lite2"):
        source = processes.shared_file(arguments.shared, "weights", name + ".safetensors")
        backbones = [gt.Backbone.load(path, layer="head", threads=1) for path in (name, source)]
        worst = 1.0
        for photographs in sets:
            for start in range(0, len(photographs.paths), 32):
                pixels = np.stack([photographs.pixels(each, backbones[0])
                                   for each in photographs.paths[start:start + 32]])
                ours, known = [each.features(pixels).astype(float) for each in backbones]
                worst = min(worst, ((ours * known).sum(axis=1) / np.linalg.norm(ours, axis=1)
                                    / np.linalg.norm(known, axis=1)).min())
        rows.append([name, "{:.5f}".format(worst), "yes" if worst >= LEAST_COSINE else "no"])
    return rows


def main():
    arguments = parse()
    warnings.simplefilter("ignore")
    sets = [Photographs(name, arguments) for name in arguments.sets]
    rows = [row(candidate, sets, arguments) for candidate in arguments.candidates]
    kinds = ["our head"] + ["mirrored views"] * arguments.flip + ["logistic"] * arguments.logistic
    parts = [
        "Held-out accuracy ({}), {} seeds; processor milliseconds an image, one thread, "
        "without reading. The named settings: {}.".format(" / ".join(kinds), arguments.seeds, "; ".join(
            "{}: {} {} at {}".format(name, setting.backbone, "+".join(setting.layer),
                                     setting.input_size[0]) for name, setting in QUALITIES.items())),
        report.table(["candidate"] + arguments.sets + ["ms an image"], rows),
        "Features of the packaged weights against the published float32 ones, head, native size:",
        report.table(["backbone", "worst cosine", "at least {}".format(LEAST_COSINE)],
                     stored_against_float32(sets, arguments))]
    report.publish("backbones", "Backbones, layers and sizes (backbones.py)", parts,
                   report.machine(), arguments.write)


if __name__ == "__main__":
    main()
