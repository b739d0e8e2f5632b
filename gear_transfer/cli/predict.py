"""gear-transfer predict: photographs into class names."""
import collections
import os

from .options import add_json, add_links, add_running, load_classifier
from .output import wants_progress, write_csv, write_json_rows

SUMMARY = "predict the classes of photographs"
DESCRIPTION = """\
Predict the classes of photographs with a saved MODEL. Of a folder, all
photographs in it and below are taken. CSV with the columns path, predicted,
probability and error goes to standard output while the work is under way. A
file that cannot be read has a row with the reason, and the exit code is 3."""
EXAMPLES = """\
examples:
  gear-transfer predict gear.gtm new/axe.jpg new/tent.png
  gear-transfer predict gear.gtm photographs > predictions.csv
  gear-transfer predict gear.gtm photographs --probabilities
  gear-transfer predict gear.gtm photographs --unknown "no gear"
  gear-transfer predict gear.gtm photographs --json | jq '.[] | select(.probability < 0.5)'"""

#: Photographs whose rows come out together.
_AT_ONCE = 256


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("images", metavar="IMAGE-OR-FOLDER", nargs="+")
    add_json(parser, "CSV").add_argument("--csv", action="store_true",
                                         help="print CSV, which is the default")
    parser.add_argument("--probabilities", action="store_true",
                        help="the probability of every class, in CSV a column each")
    parser.add_argument("--unknown", nargs="?", const="none of these", metavar="NAME",
                        help="what to say of a photograph unlike all those of training (without "
                             "NAME: none of these); a column known says how usual each is")
    add_links(parser)
    add_running(parser)


def run(arguments):
    from ..common.progress import progress_bar
    model = load_classifier(arguments)
    paths, refused = find_images(arguments.images, arguments.follow_links)
    columns = ["path", "predicted", "probability", "error"]
    if arguments.probabilities:
        columns[3:3] = ["probability:{}".format(name) for name in model.classes_]
    if arguments.unknown is not None:
        columns.insert(3, "known")
    failed = [each.path for each in refused]
    with progress_bar(len(paths), "Predicting", "image", wants_progress(arguments)) as bar:
        rows = _rows(model, paths, refused, arguments, bar, failed)
        if arguments.json:
            write_json_rows(rows)
        else:
            write_csv(rows, columns)
    return 3 if failed else 0


def find_images(places, follow_links=False):
    """The images among files and in folders.

    Returns
    -------
    paths : list of str
        The files named, and what is an image in the folders.
    refused : list of SkippedFile
        What else there is in the folders.
    """
    from ..photographs.image_set import load_images
    paths, refused = [], []
    for place in places:
        if os.path.isdir(place):
            images = load_images(place, recursive=True, follow_links=follow_links)
            paths.extend(images.paths)
            refused.extend(images.skipped)
        else:
            paths.append(place)
    return paths, refused


def _rows(model, paths, refused, arguments, bar, failed):
    """A row for each path, in order; notes those that cannot be read in `failed`."""
    from ..classifiers.classifier import warn_of_failures
    failures = []
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start:start + _AT_ONCE]
        extraction = model.extractor_.extract(some)
        failures.extend(extraction.failures)
        reasons = dict((i, error.reason) for i, error in extraction.failures)
        failed.extend(some[i] for i in sorted(reasons))
        probabilities, known = model.probabilities_of(extraction), None
        if arguments.unknown is not None:
            known = model.known_scores_of(extraction)
        predicted = model.classes_from(probabilities, known, arguments.unknown)
        for i, path in enumerate(some):
            yield _row(path, predicted[i], probabilities[i], None if known is None else known[i],
                       reasons.get(i), model.classes_, arguments)
        bar.update(len(some))
    warn_of_failures(failures)  # once, however many there are
    for path, reason in refused:
        yield _row(path, None, (), None, reason, model.classes_, arguments)


def _row(path, predicted, probabilities, known, error, classes, arguments):
    each = [None if error else round(float(value), 6) for value in probabilities]
    row = collections.OrderedDict([("path", path), ("predicted", predicted),
                                   ("probability", None if error else max(each))])
    if arguments.unknown is not None:
        row["known"] = None if error else round(float(known), 6)
    row["error"] = error
    if arguments.probabilities and arguments.json:
        row["probabilities"] = None if error else collections.OrderedDict(
            zip((str(name) for name in classes), each))
    elif arguments.probabilities:
        row.update(("probability:{}".format(name), value) for name, value in zip(classes, each))
    return row
