"""gear-transfer check: whether this installation works, and what a folder would cost."""
import collections

from .options import add_json, add_preprocessing, whole_number
from .output import write, write_json

SUMMARY = "test the installation, and estimate time and memory for a folder"
DESCRIPTION = """\
Test the installation: processor, threads, libraries, a picture whose features are
known, the precision that would be chosen, image formats, the head and the cache.
With --backbone only
that file is looked at: what pixels its network is given, and why. With FOLDER also an estimate of the time and memory that its photographs would take,
from a few of them. Each line begins with 'ok', 'wrong' or, where it only informs,
'-'. The exit code is 1 when something is wrong."""
EXAMPLES = """\
examples:
  gear-transfer check
  gear-transfer check gear_images
  gear-transfer check --backbone model.h5
  gear-transfer check --json | jq .ok"""


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="photographs")
    parser.add_argument("--threads", type=whole_number, metavar="N",
                        help="threads (default: all processors that may be used)")
    parser.add_argument("--backbone", metavar="FILE", help="name or weight file of a network")
    add_preprocessing(parser)
    add_json(parser, "lines of text")


def run(arguments):
    from .checkup import check_backbone, check_installation, estimate
    findings = (check_installation(arguments.threads) if arguments.backbone is None
                else check_backbone(arguments.backbone, arguments.preprocessing))
    cost = estimate(arguments.folder, arguments.threads) if arguments.folder else None
    if arguments.json:
        write_json(collections.OrderedDict([
            ("ok", all(each.ok is not False for each in findings)),
            ("findings", [each._asdict() for each in findings]),
            ("estimate", cost and cost._asdict())]))
    else:
        for name, ok, detail in findings:
            state = {True: "ok", False: "wrong", None: "-"}[ok]
            write("{:<6} {:<16} {}\n".format(state, name, detail))
        if cost:
            write(_sentence(arguments.folder, cost) + "\n")
    return 1 if any(each.ok is False for each in findings) else 0


def _sentence(folder, cost):
    return ("{}: {:,} photographs, about {:.0f} a second in {}: {} to compute the features of all, "
            "{:.0f} MB of memory at most".format(
                folder, cost.images, cost.images_per_second, cost.precision,
                _duration(cost.seconds), cost.peak_memory / 1e6))


def _duration(seconds):
    if seconds < 120:
        return "{:.3g} s".format(seconds)
    return "{:.0f} min".format(seconds / 60) if seconds < 7200 else "{:.1f} h".format(seconds / 3600)
