"""gear-transfer download: the official ImageNet weights."""
from .output import write

SUMMARY = "download the official ImageNet weights of Inception V3"
DESCRIPTION = """\
Download Keras's official ImageNet weights of Inception V3 (87,910,968 bytes);
the file is checked by size and MD5 before it gets its name. Its path goes to
standard output."""
EXAMPLES = """\
examples:
  gear-transfer download
  gear-transfer download /data/weights"""


def add_arguments(parser):
    parser.add_argument("destination", nargs="?",
                        help="file or folder (default: ~/.keras/models)")


def run(arguments):
    from ..importers.weights import download_official_weights
    write("{}\n".format(download_official_weights(arguments.destination)))
    return 0
