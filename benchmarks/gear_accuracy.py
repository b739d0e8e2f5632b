"""Held-out accuracy on real gear photographs, with the classifier's defaults.

    python benchmarks/gear_accuracy.py [--write] [--layers mixed3 mixed4 --sizes 128 192]

Four folds that keep near-duplicates on one side. The features are computed once, and for each
fold a head is trained with the parameters that TransferClassifier has by default. Two forms of
the photographs: as published, and 128 x 128 padded with white as the hack's notebook 01-DataPrep
makes them; every named quality, the default one in several precisions. The five new photographs are predicted by a head trained on all.
"""
import argparse
import csv
import os
import tempfile

import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

import gear_transfer as gt
import processes
import report
from gear_transfer.features.backbone import Backbone
from gear_transfer.features.settings import DEFAULT_QUALITY, QUALITIES

FOLDS = 4
HACK_SIZE = (128, 128)

#: What is asked of the defaults, for each form of the photographs.
BARS = {"as published": 0.97, "128 x 128, padded white": 0.965}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--seeds", type=int, default=6, metavar="N",
                        help="how many seeds of split and head (default: %(default)s)")
    parser.add_argument("--photographs", type=int, metavar="N",
                        help="only about N photographs, to try the script (default: all)")
    parser.add_argument("--backbone",
                        help="name or weight file (default: what each quality says)")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16", "auto"],
                        help="of the default quality; the others in auto (default: %(default)s)")
    parser.add_argument("--layers", nargs="+", metavar="LAYER",
                        help="also a table over these layers")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PIXELS",
                        help="and these input sizes")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    if bool(arguments.layers) != bool(arguments.sizes):
        parser.error("give --layers and --sizes together")
    return arguments


def defaults(kind, **changes):
    """An estimator with the values that TransferClassifier has by default for its parameters.

    All but the cache: what is measured is computed.
    """
    parameters = gt.TransferClassifier(cache=False, **changes).get_params(deep=False)
    return kind(**dict((name, parameters[name]) for name in kind().get_params(deep=False)
                       if name in parameters))


def resize_as_the_hack(path, destination):
    """Shrink until it fits, paste in the middle of white: 01-DataPrep's resize_image."""
    with Image.open(path) as image:
        image.thumbnail(HACK_SIZE, Image.LANCZOS)
        square = Image.new("RGB", HACK_SIZE, (255, 255, 255))
        corner = tuple(int((HACK_SIZE[i] - image.size[i]) / 2) for i in range(2))
        mask = image.getchannel("A") if image.mode == "RGBA" else None
        square.paste(image, corner, mask=mask)
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    square.save(destination)


def resized(paths, root, folder):
    """Paths of resized copies, in `folder` as the originals are in `root`."""
    copies = [os.path.join(folder, os.path.relpath(path, root)) for path in paths]
    for path, copy in zip(paths, copies):
        resize_as_the_hack(path, copy)
    return copies


def groups_of(paths, images_folder, groups_file):
    """Number of the group of near-duplicates of each photograph."""
    with open(groups_file, newline="", encoding="utf-8") as stream:
        groups = dict((row["file"], int(row["group"])) for row in csv.DictReader(stream))
    return np.array([groups[os.path.relpath(path, images_folder).replace(os.sep, "/")]
                     for path in paths])


def fold_accuracies(features, labels, groups, seed):
    """Held-out accuracy of each fold, the seed deciding folds and head."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    accuracies = []
    for train, held_out in folds.split(features, labels, groups):
        head = defaults(gt.HeadClassifier, random_state=seed).fit(features[train], labels[train])
        accuracies.append(head.score(features[held_out], labels[held_out]))
    return accuracies


def new_images_right(features, labels, new_features, truth):
    """How many of the new photographs a head trained on all gets right."""
    head = defaults(gt.HeadClassifier).fit(features, labels)
    return sum(p == t for p, t in zip(head.predict(new_features), truth))


def layers_table(forms, labels, groups, arguments):
    """Accuracy, seed 0, over layers and input sizes; all layers of a size in one pass."""
    rows = []
    for form, paths in forms.items():
        for size in arguments.sizes:
            extractor = defaults(gt.FeatureExtractor, backbone=arguments.backbone,
                                 layer=tuple(arguments.layers), input_size=size)
            features = extractor.fit().transform(paths)
            widths = [int(np.prod(shape)) for shape in extractor.backbone_.shapes]
            parts = np.split(features, np.cumsum(widths)[:-1], axis=1)
            rows.append([form, str(size)] + ["{:.3f}".format(np.mean(fold_accuracies(
                np.ascontiguousarray(part), labels, groups, 0))) for part in parts])
    return report.table(["photographs", "input size"] + arguments.layers, rows)


def main():
    arguments = parse()
    images_folder = processes.shared_file(arguments.shared, "gear", "images")
    new_folder = processes.shared_file(arguments.shared, "gear", "new_images")
    images = gt.load_folder(images_folder)
    if arguments.photographs is not None:
        images = images.subset(slice(None, None, max(1, len(images) // arguments.photographs)))
    labels = images.labels
    groups = groups_of(images.paths, images_folder,
                       processes.shared_file(arguments.shared, "gear", "groups.csv"))
    new_paths = gt.load_images(new_folder).paths
    truth = [os.path.splitext(os.path.basename(path))[0].split("_", 1)[1] for path in new_paths]
    with tempfile.TemporaryDirectory() as temporary:
        published, small = BARS
        forms = {published: images.paths,
                 small: resized(images.paths, images_folder, os.path.join(temporary, "images"))}
        new_forms = {published: new_paths,
                     small: resized(new_paths, new_folder, os.path.join(temporary, "new"))}
        rows = []
        settings = [(DEFAULT_QUALITY, precision) for precision in arguments.precisions] + [
            (quality, "auto") for quality in QUALITIES if quality != DEFAULT_QUALITY]
        for form, paths in forms.items():
            for quality, precision in settings:
                extractor = defaults(gt.FeatureExtractor, backbone=arguments.backbone,
                                     precision=precision, quality=quality).fit()
                features = extractor.transform(paths)
                by_seed = [fold_accuracies(features, labels, groups, seed)
                           for seed in range(arguments.seeds)]
                right = new_images_right(features, labels, extractor.transform(new_forms[form]),
                                         truth)
                rows.append([
                    form, quality, "{} ({})".format(extractor.backbone_.precision, precision),
                    " ".join("{:.3f}".format(value) for value in by_seed[0]),
                    "{:.4f}".format(np.mean(by_seed[0])), "{:.4f}".format(np.mean(by_seed)),
                    "{:.3f}".format(BARS[form]), "{} of {}".format(right, len(truth))])
        parts = [report.table(["photographs", "quality", "precision", "4 folds, seed 0", "mean, seed 0",
                               "mean, {} seeds".format(arguments.seeds), "bar",
                               "new photographs right (bar: all)"], rows)]
        if arguments.layers:
            parts += ["Mean of 4 folds, seed 0, over tapped layers and input sizes:",
                      layers_table(forms, labels, groups, arguments)]

    loaded = [Backbone.load(arguments.backbone, quality=quality) for quality in QUALITIES]
    qualities = "; ".join("{} {}, {} at {} x {}".format(
        quality, each.name, each.layer if isinstance(each.layer, str) else " and ".join(each.layer),
        *each.input_size) for quality, each in zip(QUALITIES, loaded))
    explanation = (
        "{:,} photographs of {} classes in {:,} groups of near-duplicates, each group on one side "
        "of a split. {}; and the head with TransferClassifier's defaults, which holds back a "
        "share of the training photographs for validation.".format(
            len(images), len(images.classes), len(set(groups.tolist())), qualities))
    report.publish("gear_accuracy", "Held-out accuracy on gear (gear_accuracy.py)",
                   [explanation] + parts, report.machine(), arguments.write)


if __name__ == "__main__":
    main()
