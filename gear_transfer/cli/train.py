"""gear-transfer train: a folder of photographs into a saved classifier."""
import collections

from .options import (add_json, add_links, add_preprocessing, add_running, cache_of,
                      check_destination, image_size, names, whole_number, widths)
from .output import complain, skipped_facts, wants_progress, write, write_json

SUMMARY = "train a classifier on a folder of photographs"
DESCRIPTION = """\
Train a classifier on FOLDER and save it as MODEL, one file that needs nothing
else. FOLDER has one sub-folder for each class, or train/ with val/ and test/
beside it, each with one sub-folder for each class. A summary goes to standard
output.

With --from OLD the photographs of FOLDER, of classes old and new, join those of
a classifier that was trained with --keep-features; MODEL is then OLD itself
unless it is given."""
EXAMPLES = """\
examples:
  gear-transfer train gear_images gear.gtm
  gear-transfer train gear_images gear.gtm --quality fast
  gear-transfer train gear_images gear.gtm --layer mixed5 --input-size 299 --epochs 60
  gear-transfer train gear_images gear.gtm --tune
  gear-transfer train gear_images gear.gtm --keep-features
  gear-transfer train --from gear.gtm more_photographs
  gear-transfer train gear_images gear.gtm --hidden-layers 128 --dropout 0.3 --json > gear.json"""

#: Options that are parameters of TransferClassifier, which has their defaults and checks.
_PARAMETERS = ("backbone", "quality", "layer", "input_size", "pooling", "resize", "precision",
               "preprocessing",
               "hidden_layers", "dropout", "epochs", "batch_size", "learning_rate", "optimizer",
               "l2", "validation_fraction", "early_stopping", "patience", "class_weight",
               "random_state", "threads", "augment", "strict")

#: Those of them that may be given when photographs join a classifier.
_WHEN_JOINING = ("threads", "strict")


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", help="the photographs")
    parser.add_argument("model", metavar="MODEL", nargs="?",
                        help="the file to write, by custom *.gtm; with --from that file by default")
    parser.add_argument("--from", dest="base", metavar="OLD",
                        help="let the photographs join those of this saved classifier")
    parser.add_argument("--keep-features", action="store_true",
                        help="save the features of the photographs too, 2 bytes a number, so that "
                             "others can join them later with --from")
    add_json(parser, "the summary")
    group = parser.add_argument_group("features")
    group.add_argument("--backbone", metavar="NAME", help="name or weight file of the network")
    group.add_argument("--quality", choices=("fast", "balanced", "accurate"),
                       help="sets layer and input size (default: balanced)")
    group.add_argument("--layer", type=names, metavar="NAME[,NAME]",
                       help="layers to tap (default: what --quality says)")
    group.add_argument("--input-size", type=image_size, metavar="PIXELS",
                       help="size of the images, such as 192 or 192x160, height first (default: "
                            "what --quality says)")
    group.add_argument("--pooling", choices=("average", "max"), help="default: average")
    group.add_argument("--resize", choices=("pad", "stretch", "crop"), help="default: what suits the backbone")
    group.add_argument("--precision", help="auto (the default), float32 and so on")
    add_preprocessing(group)
    group = parser.add_argument_group("head", "Defaults are those of TransferClassifier.")
    group.add_argument("--hidden-layers", type=widths, metavar="N[,N]",
                       help="widths of hidden layers (default: none)")
    group.add_argument("--dropout", type=float)
    group.add_argument("--epochs", type=whole_number)
    group.add_argument("--batch-size", type=whole_number)
    group.add_argument("--learning-rate", type=float)
    group.add_argument("--optimizer", choices=("adam", "sgd"), help="default: adam")
    group.add_argument("--l2", type=float)
    group.add_argument("--validation-fraction", type=float, metavar="SHARE",
                       help="share of the photographs held back, where FOLDER has no val/")
    group.add_argument("--early-stopping", action="store_true",
                       help="stop when the validation loss no longer falls")
    group.add_argument("--patience", type=whole_number, help="epochs to wait for that")
    group.add_argument("--class-weight", choices=("balanced",))
    group.add_argument("--augment", type=whole_number, metavar="VIEWS",
                       help="train on so many augmented views of each photograph as well")
    group.add_argument("--seed", type=int, dest="random_state", metavar="SEED")
    parser.add_argument("--tune", nargs="?", const="best", choices=("best", "fast", "accurate"),
                        help="find layer, input size and l2 first, among those given where some "
                             "are, see 'gear-transfer tune'; take the best (the default), the "
                             "fastest within two points, or the most accurate")
    parser.add_argument("--strict", action="store_true",
                        help="a photograph that cannot be read is an error")
    add_links(parser)
    add_running(parser)
    parser.set_defaults(refuse=parser.error)


def run(arguments):
    from ..classifiers.classifier import TransferClassifier
    from ..importers.native import check_native_ending
    from ..photographs.image_set import load_folder
    given = dict((name, getattr(arguments, name)) for name in _PARAMETERS
                 if getattr(arguments, name) is not None)
    _check_usage(arguments, given)
    check_native_ending(arguments.model)
    check_destination(arguments.model)
    base = None if arguments.base is None else _base(arguments)
    images = load_folder(arguments.folder, strict=arguments.strict,
                         follow_links=arguments.follow_links,
                         least_classes=2 if base is None else 1)
    tuning = None
    if base is not None:
        model = base.add(images)
    else:
        model = TransferClassifier(cache=cache_of(arguments), verbose=wants_progress(arguments),
                                   keep_features=arguments.keep_features, **given)
        if arguments.tune:
            tuning = _tuned(arguments, model, images)
            model = tuning.classifier(arguments.tune)
            model.keep_features = arguments.keep_features
        model.fit(images)
    model.save(arguments.model)
    skipped = images.skipped + model.skipped_
    if images.skipped and not arguments.quiet:
        complain("warning: {} files are left out: {}".format(len(images.skipped), "; ".join(
            "{}: {}".format(*each) for each in images.skipped[:3])))
    test = None if images.test is None else model.score(images.test)
    if arguments.json:
        write_json(_description(arguments, model, test, skipped, tuning))
    else:
        if base is not None:
            write("{:<12} {:,} photographs; {:,} were known, {:,} of them have another label "
                  "now\n".format("added", *model.added_))
        if tuning is not None:
            write("{:<12} {}\n".format("tuned", tuning.sentence()))
        write(model.summary() + "\n")
        if test is not None:
            write("{:<12} accuracy {:.3f} on {:,} photographs\n".format(
                "tested", test, len(images.test)))
    return 0


def _check_usage(arguments, given):
    """Complete what follows from --from, and refuse what makes no sense with it; exit code 2."""
    if arguments.base is None:
        if arguments.model is None:
            arguments.refuse("the following arguments are required: MODEL")
        return
    if arguments.model is None:
        arguments.model = arguments.base
    fixed = sorted(set(name for name in given if given[name] is not False) - set(_WHEN_JOINING))
    if arguments.tune:
        fixed.append("tune")
    if fixed:
        arguments.refuse("argument --{}: not allowed with --from, which takes over the settings of "
                         "the classifier".format(fixed[0].replace("_", "-")))


def _base(arguments):
    """The saved classifier that photographs are to join."""
    from ..classifiers.model_file import load_model
    model = load_model(arguments.base, threads=arguments.threads,
                       verbose=wants_progress(arguments),
                       cache=False if arguments.no_cache else arguments.cache)
    model.strict = arguments.strict
    return model


def _tuned(arguments, model, images):
    """What `tune` finds, for what was not given."""
    from ..workbench.tuning import tune
    given = {}
    if arguments.layer is not None:
        given["layers"] = [arguments.layer] if isinstance(
            arguments.layer, str) else arguments.layer
    if arguments.input_size is not None:
        given["sizes"] = [arguments.input_size]
    if arguments.l2 is not None:
        given["l2"] = [arguments.l2]
    return tune(images, model=model, verbose=wants_progress(arguments), **given)


def _description(arguments, model, test, skipped, tuning):
    from ..classifiers.description import kept_bytes, trained_on_all
    backbone = model.extractor_.backbone_
    added = getattr(model, "added_", None)
    return collections.OrderedDict([
        ("model", arguments.model),
        ("classes", model.classes_),
        ("images", model.n_images_),
        ("trained_on", model.n_images_ if trained_on_all(model) else len(model.split_.training)),
        ("backbone", backbone.name),
        ("layer", backbone.layer),
        ("input_size", backbone.input_size),
        ("precision", backbone.precision),
        ("precision_reason", backbone.precision_reason),
        ("tuning", None if tuning is None else tuning.to_dict()),
        ("added", None if added is None else added._asdict()),
        ("kept_bytes", kept_bytes(model) if model.keep_features else 0),
        ("history", collections.OrderedDict(model.history_)),
        ("test_accuracy", test),
        ("skipped", skipped_facts(skipped)),
    ])
