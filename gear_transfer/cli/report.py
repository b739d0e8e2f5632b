"""gear-transfer report: one HTML page about a classifier and its photographs."""
from .options import add_running, check_destination, load_classifier
from .output import wants_progress, write

SUMMARY = "write a page about a classifier and its photographs"
DESCRIPTION = """\
Write one self-contained HTML page about a saved MODEL and the photographs of
FOLDER, which has one sub-folder for each class, or train/ with val/ and test/
beside it: the data, the curves of training, accuracy, each class, what was taken
for what, and the photographs with the greatest loss. The page's path goes to
standard output."""
EXAMPLES = """\
examples:
  gear-transfer report gear.gtm gear_images gear.html
  gear-transfer report gear.gtm gear_images gear.html --title "Climbing gear, autumn" """


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("folder", metavar="FOLDER", help="labelled photographs")
    parser.add_argument("page", metavar="PAGE", help="the file to write, by custom *.html")
    parser.add_argument("--title", help="title of the page")
    add_running(parser)


def run(arguments):
    from ..reporting import report
    check_destination(arguments.page)
    model = load_classifier(arguments)
    model.extractor_.set_params(verbose=wants_progress(arguments))
    write("{}\n".format(report(model, arguments.folder, arguments.page, title=arguments.title)))
    return 0
