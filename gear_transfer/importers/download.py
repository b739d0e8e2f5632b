"""The one download, which happens only when asked for."""
import hashlib
import os
import urllib.parse
import urllib.request

from ..common.atomic import write_whole
from ..errors import WeightsError
from .weights import OFFICIAL_NAME, keras_path

OFFICIAL_URL = ("https://github.com/fchollet/deep-learning-models/releases/download/v0.5/"
                + OFFICIAL_NAME)
OFFICIAL_SIZE = 87910968
OFFICIAL_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"

TIMEOUT = 60.0  # seconds


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
    destination = keras_path() if destination is None else str(destination)
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
    except (OSError, ValueError) as error:
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
