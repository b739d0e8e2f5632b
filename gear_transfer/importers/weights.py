"""Where weight files are."""
import os

from ..errors import WeightsError

#: Keras's file of ImageNet weights for Inception V3 without its classifier.
OFFICIAL_NAME = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"

ENVIRONMENT = "GEAR_TRANSFER_WEIGHTS"
DOWNLOAD_COMMAND = "python -m gear_transfer download"

#: The backbone that comes with the package; see PROVENANCE.md beside it.
BACKBONE_FILE = "inception_v3_mixed7.gtw"
BACKBONE_LAYER = "mixed7"
BACKBONE_PROVENANCE = {
    "source": "npm package nsfwjs 4.4.0, dist/models/inception_v3",
    "licence": "MIT, copyright (c) 2019 Infinite Red, Inc.; see LICENSE-backbone.txt",
    "notes": "8-bit values per tensor as published. conv2d_1 to conv2d_55 are those of the "
             "ImageNet network; from conv2d_56 on they were fine-tuned for another task, the "
             "moderation of images. Not Keras's official ImageNet weights.",
}


def default_backbone_path():
    """Path of the backbone that comes with the package, str."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(package, "data", BACKBONE_FILE)


def make_default_backbone(source, destination=None):
    """Make the backbone file of the package again, byte for byte.

    Parameters
    ----------
    source : str or Path
        The weights of nsfwjs 4.4.0 in the layout of `OFFICIAL_NAME`.
    destination : str or Path, optional
        Default is the file in the package.

    Returns
    -------
    str
        Path of the file written.
    """
    from .convert import convert

    destination = default_backbone_path() if destination is None else str(destination)
    convert(source, destination, layer=BACKBONE_LAYER, name="inception_v3",
            provenance=BACKBONE_PROVENANCE)
    return destination


def keras_path():
    """Where Keras keeps the file, str."""
    return os.path.join(os.path.expanduser("~"), ".keras", "models", OFFICIAL_NAME)


def find_official_weights(path=None):
    """Path of the official Inception V3 weights; nothing is ever downloaded.

    Looked at in this order: `path`; the environment variable
    GEAR_TRANSFER_WEIGHTS; ``~/.keras/models``. The first two may name the
    file or a folder that holds it, and what they name must exist.

    Parameters
    ----------
    path : str or Path, optional

    Returns
    -------
    str

    Raises
    ------
    WeightsError
        With the places looked at and the command that downloads the file.
    """
    variable = os.environ.get(ENVIRONMENT)
    if path is not None:
        named, place = "the path given", str(path)
    elif variable:
        named, place = "the environment variable " + ENVIRONMENT, variable
    else:
        named, place = "Keras's folder", keras_path()
    place = os.path.expanduser(place)
    if os.path.isdir(place):
        place = os.path.join(place, OFFICIAL_NAME)
    if os.path.isfile(place):
        return place
    raise WeightsError(
        "the official Inception V3 weights are not at {} ({}). Places in order: path argument: {}; "
        "{}: {}; Keras's folder: {}. Give the path of {}, or download it with: {}".format(
            place, named, "not given" if path is None else path, ENVIRONMENT,
            variable or "not set", keras_path(), OFFICIAL_NAME, DOWNLOAD_COMMAND))
