"""Options that several commands share, and the types of their values."""
import argparse
import contextlib
import json
import os

from ..common.atomic import file_to_write
from ..errors import GearTransferError


def whole_number(text):
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more, not {}".format(value))
    return value


def image_size(text):
    """A size as '192' or, height first, '192x160'."""
    sides = [whole_number(side) for side in text.lower().split("x")]
    if len(sides) > 2:
        raise argparse.ArgumentTypeError("must be like 192 or 192x160, not {!r}".format(text))
    return sides[0] if len(sides) == 1 else tuple(sides)


def names(text):
    """One name, or several with commas between."""
    parts = [part.strip() for part in text.split(",")]
    return parts[0] if len(parts) == 1 else parts


def widths(text):
    """Whole numbers with commas between."""
    return tuple(whole_number(part) for part in text.split(","))


def add_running(parser):
    """Options about how a command runs, not about what comes out."""
    group = parser.add_argument_group("how it runs")
    group.add_argument("--threads", type=whole_number, metavar="N",
                       help="threads (default: all processors that may be used)")
    group.add_argument("--cache", metavar="FOLDER",
                       help="keep computed features here (default: the platform's cache folder; "
                            "none for a classifier that was trained without)")
    group.add_argument("--no-cache", action="store_true", help="keep no features")
    group.add_argument("--max-pixels", type=positive, metavar="MILLIONS", dest="max_pixels",
                       help="largest photograph that is read, in million pixels (default: 89; a JPEG "
                            "may have four times as many)")
    group.add_argument("-q", "--quiet", action="store_true",
                       help="no progress bars and no warnings; errors only")


def preprocessing(text):
    """The name of a usual preprocessing, or JSON of all of one."""
    from ..importers.preprocessing import resolve
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else text
        resolve(value, "it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    return value


def add_preprocessing(parser):
    """--preprocessing, of commands that read a weight file."""
    parser.add_argument("--preprocessing", type=preprocessing, metavar="WAY",
                        help="the pixels that the network was trained on: tf, caffe, torch, raw or JSON "
                             "with scale and offset (default: what the file says)")


def add_links(parser):
    """--follow-links, of commands that search folders."""
    parser.add_argument("--follow-links", action="store_true",
                        help="follow symbolic links out of the folder, such as DVC and git-annex make "
                             "to a shared store")


def cache_of(arguments):
    """The value of the parameter ``cache`` that the options ask for."""
    return False if arguments.no_cache else arguments.cache or True


def add_json(parser, default):
    """--json and the name of what is printed without it."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print JSON in place of " + default)
    return group


def load_classifier(arguments):
    """The saved classifier that the command names, to run as its options say."""
    from ..classifiers.model_file import load_model
    return load_model(arguments.model, threads=arguments.threads, verbose=0,
                      cache=False if arguments.no_cache else arguments.cache)


def positive(text):
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0, not {}".format(text))
    return value


@contextlib.contextmanager
def pixels_allowed(arguments):
    """Read photographs of up to --max-pixels, where the command has the option and it is given."""
    from PIL import Image
    before, millions = Image.MAX_IMAGE_PIXELS, getattr(arguments, "max_pixels", None)
    if millions is not None:
        Image.MAX_IMAGE_PIXELS = int(millions * 1e6)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def fraction(text):
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1, not {}".format(text))
    return value


def check_destination(path):
    """Refuse a path that cannot be written before hours of work, not after them."""
    try:
        target, _ = file_to_write(path)
    except OSError as error:
        raise GearTransferError("{}: {}".format(path, error.strerror or error))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise GearTransferError("{}: there is no folder {}".format(path, folder))
    if not os.access(folder, os.W_OK):
        raise GearTransferError("{}: the folder {} cannot be written to".format(path, folder))
