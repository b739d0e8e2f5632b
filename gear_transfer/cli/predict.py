"""gear-transfer predict: photographs into class names."""
import collections
import os

from .options import add_json, add_links, add_running, load_classifier, whole_number
from .output import wants_progress, write_csv, write_json_lines, write_json_rows
from .stream import Photograph, iterate_input

SUMMARY = "predict the classes of photographs"
DESCRIPTION = """\
Predict the classes of photographs with a saved MODEL. Of a folder, all
photographs in it and below are taken; '-' reads paths from standard input, one a
line. CSV with the columns path, predicted, probability and error goes to standard
output while the work is under way. A file that cannot be read has a row with the
reason, and the exit code is 3."""
EXAMPLES = """\
examples:
  gear-transfer predict gear.gtm new/axe.jpg new/tent.png
  gear-transfer predict gear.gtm photographs > predictions.csv
  gear-transfer predict gear.gtm photographs --probabilities
  gear-transfer predict gear.gtm photographs --top-k 3
  gear-transfer predict gear.gtm photographs --unknown "no gear"
  gear-transfer predict gear.gtm photographs --json | jq '.[] | select(.probability < 0.5)'
  find photographs -name '*.jpg' | gear-transfer predict gear.gtm - --json-lines
  base64 -w 0 axe.jpg | gear-transfer predict gear.gtm - --base64 --json-lines"""

#: Photographs that go through the network together, at most and in the first round.
_AT_ONCE = 256
_FIRST = 4


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("images", metavar="IMAGE-OR-FOLDER", nargs="+",
                        help="files and folders; '-' for paths from standard input, each of which is "
                             "answered as it comes")
    group = add_json(parser, "CSV")
    group.add_argument("--csv", action="store_true", help="print CSV, which is the default")
    group.add_argument("--json-lines", action="store_true",
                       help="print a JSON object for each photograph, one a line")
    parser.add_argument("--base64", action="store_true",
                        help="the lines of standard input are image files in base64, not paths; they are "
                             "called -:1, -:2 and so on")
    parser.add_argument("--probabilities", action="store_true",
                        help="the probability of every class, in CSV a column each")
    parser.add_argument("--top-k", type=whole_number, metavar="K",
                        help="the K most probable classes; in CSV as columns predicted:2, probability:2 "
                             "and so on, in JSON as a list top")
    parser.add_argument("--unknown", nargs="?", const="none of these", metavar="NAME",
                        help="what to say of a photograph unlike all those of training (without "
                             "NAME: none of these); a column known says how usual each is")
    add_links(parser)
    add_running(parser)


def run(arguments):
    from ..common.progress import progress_bar
    if arguments.base64 and "-" not in arguments.images:
        raise ValueError("--base64 says what comes from standard input: give '-' in place of a path")
    model = load_classifier(arguments)
    refused, failed = [], []
    photographs = find_images(arguments.images, refused, arguments.follow_links, arguments.base64)
    with progress_bar(None, "Predicting", "image", wants_progress(arguments)) as bar:
        rows = _rows(model, photographs, refused, arguments, bar, failed)
        if arguments.json:
            write_json_rows(rows)
        elif arguments.json_lines:
            write_json_lines(rows)
        else:
            write_csv(rows, _columns(model, arguments))
    return 3 if failed else 0


def _columns(model, arguments):
    columns = ["path", "predicted", "probability"]
    if arguments.unknown is not None:
        columns.append("known")
    for place in range(2, min(arguments.top_k or 1, len(model.classes_)) + 1):
        columns += ["predicted:{}".format(place), "probability:{}".format(place)]
    if arguments.probabilities:
        columns += ["probability:{}".format(name) for name in model.classes_]
    return columns + ["error"]


def find_images(places, refused, follow_links=False, base64=False):
    """The images among files, in folders and from standard input, each as soon as it is found.

    Parameters
    ----------
    places : sequence of str
        Files, folders, and "-" for standard input.
    refused : list
        Receives a SkippedFile for what else there is in the folders.
    follow_links : bool
        Follow symbolic links out of the folders.
    base64 : bool
        Lines of standard input are images, not paths.

    Yields
    ------
    Photograph or None
        None where nobody knows when the next one comes.
    """
    from ..photographs.image_set import iterate_images
    for place in places:
        if place == "-":
            for photograph in iterate_input(base64):
                yield photograph
        elif os.path.isdir(place):
            for path in iterate_images(place, refused, follow_links=follow_links):
                yield Photograph(path, path, None)
        else:
            yield Photograph(place, place, None)


def _in_rounds(photographs):
    """Lists of photographs: few at first, so that the first row comes at once, then many."""
    some, most = [], min(_FIRST, _AT_ONCE)
    for photograph in photographs:
        if photograph is not None:
            some.append(photograph)
        if some and (photograph is None or len(some) == most):
            yield some
            some, most = [], min(2 * most, _AT_ONCE)
    if some:
        yield some


def _rows(model, photographs, refused, arguments, bar, failed):
    """A row for each photograph, in order; notes those that cannot be read in `failed`."""
    from ..classifiers.classifier import warn_of_failures
    failures, done = [], 0
    for some in _in_rounds(photographs):
        for row in _round(model, some, arguments, failures):
            if row["error"] is not None:
                failed.append(row["path"])
            yield row
        done += len(some)
        bar.update(len(some))
    bar.total = done  # known now
    warn_of_failures(failures)  # once, however many there are
    for path, reason in refused:
        failed.append(path)
        yield _row(path, None, (), None, reason, model, arguments)


def _round(model, some, arguments, failures):
    """The rows of photographs that go through the network together."""
    usable = [each for each in some if each.error is None]
    extraction = model.extractor_.extract([each.image for each in usable])
    failures.extend(extraction.failures)
    reasons = dict((i, error.reason) for i, error in extraction.failures)
    probabilities, known = model.probabilities_of(extraction), None
    if arguments.unknown is not None:
        known = model.known_scores_of(extraction)
    predicted = model.classes_from(probabilities, known, arguments.unknown)
    place = 0
    for each in some:
        if each.error is not None:
            yield _row(each.name, None, (), None, each.error, model, arguments)
            continue
        yield _row(each.name, predicted[place], probabilities[place],
                   None if known is None else known[place], reasons.get(place), model, arguments)
        place += 1


def _row(path, predicted, probabilities, known, error, model, arguments):
    row = collections.OrderedDict([
        ("path", path), ("predicted", predicted),
        ("probability", None if error else round(float(max(probabilities)), 6))])
    if arguments.unknown is not None:
        row["known"] = None if error else round(float(known), 6)
    row["error"] = error
    as_csv = not (arguments.json or arguments.json_lines)
    if arguments.top_k is not None:
        from ..classifiers.ranking import most_probable
        top = [] if error else most_probable(model.classes_, probabilities[None], arguments.top_k)[0]
        row.update(_top_columns(top) if as_csv else {"top": [
            collections.OrderedDict([("class", each.label), ("probability", round(each.probability, 6))])
            for each in top]})
    if arguments.probabilities:
        each = [None] * len(model.classes_) if error else [round(float(value), 6)
                                                           for value in probabilities]
        named = collections.OrderedDict(zip((str(name) for name in model.classes_), each))
        row.update(("probability:{}".format(name), named[name]) for name in named) if as_csv else (
            row.update(probabilities=None if error else named))
    return row


def _top_columns(top):
    """What stands in columns for the second class and those after it."""
    cells = {}
    for place, each in enumerate(top[1:], 2):
        cells["predicted:{}".format(place)] = each.label
        cells["probability:{}".format(place)] = round(each.probability, 6)
    return cells
