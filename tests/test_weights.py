"""Finding weight files, and the download with an opener in place of the network."""
import hashlib
import io
import os
import urllib.request

import pytest

from gear_transfer.errors import WeightsError
from gear_transfer.importers import download, weights

CONTENT = b"the weights " * 1000


class Response(io.BytesIO):
    def __init__(self, content, url):
        super().__init__(content)
        self.url = url

    def geturl(self):
        return self.url


class Opener(object):
    """Stands for the network; remembers what was asked for."""

    def __init__(self, content=CONTENT, final_url="https://example.org/final"):
        self.content = content
        self.final_url = final_url
        self.calls = 0

    def __call__(self, url, timeout):
        self.calls += 1
        assert url.startswith("https://") and timeout > 0
        if isinstance(self.content, Exception):
            raise self.content
        return Response(self.content, self.final_url)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A home folder of its own, and the expected file made small."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)
    monkeypatch.setattr(download, "OFFICIAL_SIZE", len(CONTENT))
    monkeypatch.setattr(download, "OFFICIAL_MD5", hashlib.md5(CONTENT).hexdigest())
    return home


def test_what_is_known_of_the_official_file(monkeypatch):
    monkeypatch.undo()
    assert download.OFFICIAL_MD5 == "bcbd6486424b2319ff4ef7d526e38f63"
    assert download.OFFICIAL_URL.startswith("https://")


def test_order_of_places(monkeypatch, home, tmp_path):
    keras = home / ".keras" / "models"
    keras.mkdir(parents=True)
    (keras / weights.OFFICIAL_NAME).write_bytes(b"k")
    assert weights.find_official_weights() == str(keras / weights.OFFICIAL_NAME)
    named = tmp_path / "named.h5"
    named.write_bytes(b"e")
    monkeypatch.setenv(weights.ENVIRONMENT, str(named))
    assert weights.find_official_weights() == str(named)
    given = tmp_path / weights.OFFICIAL_NAME
    given.write_bytes(b"g")
    assert weights.find_official_weights(given) == str(given)
    assert weights.find_official_weights(tmp_path) == str(given)
    for missing in (given, named):
        missing.unlink()
    for call in (lambda: weights.find_official_weights(given), weights.find_official_weights):
        with pytest.raises(WeightsError):    # what is named must be there, no falling back
            call()


def test_not_found_says_where_and_what_to_do(home):
    with pytest.raises(WeightsError) as caught:
        weights.find_official_weights()
    for part in (weights.ENVIRONMENT, str(home), "python -m gear_transfer download"):
        assert part in str(caught.value)
    assert list(home.iterdir()) == []


def test_download(home):
    opener = Opener()
    path = download.download_official_weights(opener=opener)
    assert path == str(home / ".keras" / "models" / weights.OFFICIAL_NAME)
    with open(path, "rb") as stream:
        assert stream.read() == CONTENT
    assert weights.find_official_weights() == path
    assert os.listdir(os.path.dirname(path)) == [weights.OFFICIAL_NAME]
    download.download_official_weights(opener=opener)
    assert opener.calls == 1    # what is there already is not fetched again


def test_download_into_a_folder_and_over_a_wrong_file(tmp_path):
    wrong = tmp_path / weights.OFFICIAL_NAME
    wrong.write_bytes(b"wrong")
    assert download.download_official_weights(tmp_path, opener=Opener()) == str(wrong)
    assert wrong.read_bytes() == CONTENT


@pytest.mark.parametrize("opener, part", [
    (Opener(CONTENT[:-1]), "ended after"),
    (Opener(CONTENT + b"x"), "more than"),
    (Opener(b"x" + CONTENT[1:]), "MD5"),
    (Opener(b""), "ended after 0"),
    (Opener(final_url="http://example.org/final"), "https"),
    (Opener(OSError("no route")), "no route"),
])
def test_a_failed_download_leaves_nothing(tmp_path, opener, part):
    folder = tmp_path / "target"
    with pytest.raises(WeightsError) as caught:
        download.download_official_weights(str(folder / "w.h5"), opener=opener)
    assert part in str(caught.value)
    assert os.listdir(str(folder)) == []


def test_a_failed_download_keeps_what_was_there(tmp_path):
    target = tmp_path / "w.h5"
    target.write_bytes(b"older")
    with pytest.raises(WeightsError):
        download.download_official_weights(str(target), opener=Opener(b"bad"))
    assert target.read_bytes() == b"older"
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("url", ["http://example.org/w", "file:///etc/passwd", "ftp://x/y", "w"])
def test_https_only(tmp_path, url):
    opener = Opener()
    with pytest.raises(WeightsError, match="https"):
        download.download_official_weights(str(tmp_path / "w.h5"), url=url, opener=opener)
    assert opener.calls == 0


def test_redirects_to_https_only():
    handler = download._HttpsRedirects()
    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(WeightsError):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/b")
    following = handler.redirect_request(request, None, 302, "Found", {}, "https://x.org/b")
    assert following.full_url == "https://x.org/b"
