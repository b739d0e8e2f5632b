"""gear-transfer download: the official ImageNet weights."""
from .options import add_json
from .output import file_facts, write, write_json

SUMMARY = "download the official ImageNet weights of Inception V3"
DESCRIPTION = """\
Download Keras's official ImageNet weights of Inception V3 (87,910,968 bytes);
the file is checked by size and MD5 before it gets its name. Its path goes to
standard output, or with --json its path, size, SHA-256, MD5, address, and whether it
was downloaded: a file that is there already and is the right one is kept."""
EXAMPLES = """\
examples:
  gear-transfer download
  gear-transfer download /data/weights
  gear-transfer download --json | jq -r .sha256"""


def add_arguments(parser):
    parser.add_argument("destination", nargs="?",
                        help="file or folder (default: ~/.keras/models)")
    add_json(parser, "the path")


def run(arguments):
    from ..importers import download
    path = download.official_weights_path(arguments.destination)
    was_there = arguments.json and download.is_official(path)
    if not was_there:
        path = download.download_official_weights(arguments.destination)
    if arguments.json:
        facts = file_facts(path)
        facts["md5"] = download.OFFICIAL_MD5
        facts["url"] = download.OFFICIAL_URL
        facts["downloaded"] = not was_there
        write_json(facts)
    else:
        write("{}\n".format(path))
    return 0
