"""gear-transfer report: one HTML page about a classifier and its photographs."""
import collections

from .options import add_json, add_links, add_running, check_destination, fraction, load_classifier
from .output import (complain_of_unreadable, file_facts, skipped_facts, unreadable_files,
                     wants_progress, write, write_json)

SUMMARY = "write a page about a classifier and its photographs"
DESCRIPTION = """\
Write one self-contained HTML page about a saved MODEL and the photographs of
FOLDER, which has one sub-folder for each class, or train/ with val/ and test/
beside it: the data, the curves of training, accuracy, each class, what was taken
for what, and the photographs with the greatest loss. The page's path goes to
standard output, or with --json its path, size and SHA-256, those of the model, the
fingerprint of its backbone, and what was found. The exit code is 4 unless the whole
interval of the accuracy lies at or above a --target that is given, otherwise 3 when
some photographs cannot be read, which the page lists."""
EXAMPLES = """\
examples:
  gear-transfer report gear.gtm gear_images gear.html
  gear-transfer report gear.gtm gear_images gear.html --title "Climbing gear, autumn"
  gear-transfer report gear.gtm gear_images gear.html --json | jq .accuracy"""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("folder", metavar="FOLDER", help="labelled photographs")
    parser.add_argument("page", metavar="PAGE", help="the file to write, by custom *.html")
    parser.add_argument("--title", help="title of the page")
    parser.add_argument("--target", type=fraction, metavar="ACCURACY",
                        help="say whether this accuracy is met (default: 0.9, whatever comes out)")
    add_json(parser, "the path")
    add_links(parser)
    add_running(parser)


def run(arguments):
    from ..reporting.evidence import Evidence
    from ..reporting.page import TARGET, check_page, write_page
    check_page(arguments.page)
    check_destination(arguments.page)
    model = load_classifier(arguments)
    model.set_params(verbose=wants_progress(arguments))
    target = TARGET if arguments.target is None else arguments.target
    folder = arguments.folder
    if arguments.follow_links:
        from ..photographs.image_set import load_folder
        folder = load_folder(folder, follow_links=True)
    evidence = Evidence(model, folder, target)
    write_page(evidence, arguments.page, arguments.title)
    unreadable = unreadable_files(evidence.skipped)
    complain_of_unreadable(unreadable, arguments.quiet)
    if arguments.json:
        write_json(_description(arguments, evidence))
    else:
        write("{}\n".format(arguments.page))
    if arguments.target is not None and evidence.verdict != "met":
        return 4
    return 3 if unreadable else 0


def _description(arguments, evidence):
    from ..workbench.suspects import find_label_suspects
    facts = file_facts(arguments.page)
    facts.update(collections.OrderedDict([
        ("model", file_facts(arguments.model)),
        ("fingerprint", evidence.model.extractor_.backbone_.fingerprint()),
        ("folder", arguments.folder),
        ("classes", evidence.classes),
        ("images", len(evidence.paths)),
        ("accuracy", evidence.accuracy),
        ("interval", evidence.interval),
        ("target", evidence.target),
        ("verdict", evidence.verdict),
        ("measures", evidence.measures),
        ("seen_in_training", evidence.seen),
        ("other", None if evidence.other is None else evidence.other._asdict()),
        ("method", evidence.method),
        ("groups_of_duplicates", len(evidence.duplicates.clusters())),
        ("suspects", None if evidence.validation is None
         else len(find_label_suspects(evidence.validation))),
        ("skipped", skipped_facts(evidence.skipped)),
    ]))
    return facts
