"""gear-transfer tune: which layer, which input size, which regularisation."""
from .options import (add_json, add_links, add_preprocessing, add_running, cache_of, image_size,
                      whole_number)
from .output import wants_progress, write, write_csv, write_json

SUMMARY = "find the layer, input size and regularisation that suit some photographs"
DESCRIPTION = """\
Try layers, input sizes and regularisations on the photographs of FOLDER, by
cross-validation with near-duplicates on one side: all on a sample, the most
promising on all photographs, the best of those several times. The choice and why,
and a table of accuracy and speed, go to standard output. 'train --tune' does the
same and trains what is chosen."""
EXAMPLES = """\
examples:
  gear-transfer tune gear_images
  gear-transfer tune gear_images --layers mixed4,mixed3+mixed5 --sizes 128,192 --csv > tried.csv
  gear-transfer tune gear_images --json | jq .best"""


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", help="the photographs")
    add_json(parser, "text").add_argument("--csv", action="store_true",
                                          help="print the whole table as CSV")
    parser.add_argument("--backbone", metavar="NAME",
                        help="name or weight file of the network (default: both EfficientNets of "
                             "the package)")
    add_preprocessing(parser)
    parser.add_argument("--layers", type=_list_of(_layer), metavar="NAME[,NAME+NAME]",
                        help="layers to try, with a plus those tapped together (default: the ends "
                             "of all blocks, and two pairs)")
    parser.add_argument("--sizes", type=_list_of(image_size), metavar="PIXELS[,PIXELS]",
                        help="input sizes to try, such as 128,192x160 (default: 96 to 299)")
    parser.add_argument("--l2", type=_list_of(float), metavar="L2[,L2]",
                        help="regularisations to try (default: 0.002 to 0.05)")
    parser.add_argument("--folds", type=whole_number, help="of cross-validation (default: 5)")
    parser.add_argument("--seed", type=int, dest="random_state", metavar="SEED")
    parser.add_argument("--strict", action="store_true",
                        help="a photograph that cannot be read is an error")
    add_links(parser)
    add_running(parser)


def run(arguments):
    from ..classifiers.classifier import TransferClassifier
    from ..photographs.image_set import load_folder
    from ..workbench.tuning import tune
    given = dict((name, getattr(arguments, name)) for name in
                 ("layers", "sizes", "l2", "folds", "random_state")
                 if getattr(arguments, name) is not None)
    settings = dict((name, getattr(arguments, name)) for name in ("backbone", "threads", "preprocessing")
                    if getattr(arguments, name) is not None)
    model = TransferClassifier(cache=cache_of(arguments), strict=arguments.strict, **settings)
    images = load_folder(arguments.folder, strict=arguments.strict,
                         follow_links=arguments.follow_links)
    tuning = tune(images, model=model, verbose=wants_progress(arguments), **given)
    if arguments.json:
        write_json(tuning.to_dict())
    elif arguments.csv:
        rows = tuning.rows()
        write_csv(rows, list(rows[0]))
    else:
        write("{}\n".format(tuning))
    return 0


def _layer(text):
    names = tuple(text.split("+"))
    return names if len(names) > 1 else text


def _list_of(kind):
    """The type of an option with values of some kind, commas between."""
    def parse(text):
        return [kind(part.strip()) for part in text.split(",")]
    parse.__name__ = "list"  # which argparse names in "invalid list value"
    return parse
