"""Where weight files are, and the one download, which happens only when asked for."""
import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request

from ..common.atomic import write_whole
from ..errors import WeightsError

#: Keras's file of ImageNet weights for Inception V3 without its classifier.
OFFICIAL_NAME = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
OFFICIAL_URL = ("https://github.com/fchollet/deep-learning-models/releases/download/v0.5/"
                + OFFICIAL_NAME)
OFFICIAL_SIZE = 87910968
OFFICIAL_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"

ENVIRONMENT = "GEAR_TRANSFER_WEIGHTS"
DOWNLOAD_COMMAND = "python -m gear_transfer download"
TIMEOUT = 60.0

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


def _keras_path():
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
        named, place = "Keras's folder", _keras_path()
    place = os.path.expanduser(place)
    if os.path.isdir(place):
        place = os.path.join(place, OFFICIAL_NAME)
    if os.path.isfile(place):
        return place
    raise WeightsError(
        "the official Inception V3 weights are not at {} ({}). Places in order: path argument: {}; "
        "{}: {}; Keras's folder: {}. Give the path of {}, or download it with: {}".format(
            place, named, "not given" if path is None else path, ENVIRONMENT,
            variable or "not set", _keras_path(), OFFICIAL_NAME, DOWNLOAD_COMMAND))


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_https(url):
    if urllib.parse.urlsplit(str(url)).scheme.lower() != "https":
        raise WeightsError("refused to download over anything but https: {!r}".format(url))


def _open(url, timeout):
    return urllib.request.build_opener(_HttpsRedirects).open(url, timeout=timeout)


def official_weights_path(destination=None):
    """Where `download_official_weights` puts the file, str.

    Parameters
    ----------
    destination : str or Path, optional
        As there.

    Raises
    ------
    WeightsError
        If it is in a home folder that there is not.
    """
    destination = _keras_path() if destination is None else str(destination)
    if destination.startswith("~"):
        raise WeightsError("this user has no home folder, so that {} means nothing; say where the "
                           "weights shall lie".format(destination))
    if os.path.isdir(destination):
        destination = os.path.join(destination, OFFICIAL_NAME)
    return destination


def download_official_weights(destination=None, url=OFFICIAL_URL, opener=None):
    """Download the official Inception V3 weights, verified before they appear.

    Parameters
    ----------
    destination : str or Path, optional
        Default is where Keras keeps the file, in ``~/.keras/models``.
    url : str
        https only.
    opener : callable, optional
        ``opener(url, timeout)`` returns a response with ``read(n)``,
        ``geturl()`` and ``close()``; default is urllib.

    Returns
    -------
    str
        Path of the file, of the size and MD5 that Keras publishes. A file
        there that has them already is kept and nothing is downloaded.

    Raises
    ------
    WeightsError
        If the download fails or the file is not the expected one.
    """
    destination = official_weights_path(destination)
    _check_https(url)

    def download(stream):
        response = (opener or _open)(url, timeout=TIMEOUT)
        try:
            _check_https(response.geturl())
            _copy_verified(response, stream, url)
        finally:
            response.close()

    try:
        if is_official(destination):
            return destination
        folder = os.path.dirname(os.path.abspath(destination))
        os.makedirs(folder, exist_ok=True)
        write_whole(destination, download)
    except WeightsError:
        raise
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise WeightsError("{} could not be downloaded to {}: {}".format(url, destination, error))
    return destination


def is_official(path):
    """Whether the file exists with the published size and MD5."""
    if not os.path.isfile(path) or os.path.getsize(path) != OFFICIAL_SIZE:
        return False
    digest = hashlib.md5()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest() == OFFICIAL_MD5


def _copy_verified(response, stream, url):
    """Copy at most the expected number of bytes; raise unless size and MD5 are right."""
    digest = hashlib.md5()
    size = 0
    while True:
        block = response.read(1 << 18)
        if not block:
            break
        size += len(block)
        if size > OFFICIAL_SIZE:
            raise WeightsError("{}: sends more than the expected {} bytes".format(
                url, OFFICIAL_SIZE))
        digest.update(block)
        stream.write(block)
    if size != OFFICIAL_SIZE:
        raise WeightsError("{}: ended after {} of {} bytes".format(url, size, OFFICIAL_SIZE))
    if digest.hexdigest() != OFFICIAL_MD5:
        raise WeightsError("{}: has MD5 {}, expected {}".format(
            url, digest.hexdigest(), OFFICIAL_MD5))
