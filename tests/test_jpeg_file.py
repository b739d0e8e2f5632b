"""JPEG files are read as far as need be, and those made to take long are refused."""
import io
import os
import struct
import time

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from gear_transfer.photographs.hashes import ImageHashes
from gear_transfer.photographs.images import open_image, read_image

SCAN = b"\xff\xda\0"


def jpeg(size, **options):
    stream = io.BytesIO()
    Image.new("L", size, 200).save(stream, "JPEG", **options)
    return stream.getvalue()


def of_scans(count, size=(16, 16)):
    """A JPEG of so many scans; all but the first few are the last one again."""
    content = jpeg(size, progressive=True)
    place = content.rindex(SCAN)
    return (content[:place] + (count - content.count(SCAN)) * content[place:-2] + content[place:])


@pytest.fixture
def write(tmp_path):
    def _write(content, name="a.jpg"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)
    return _write


@pytest.fixture
def bytes_read(monkeypatch):
    """A list that takes how many bytes each reading of a file that is opened gave."""
    counts = []

    class Counted(io.FileIO):
        def readinto(self, buffer):
            counts.append(super().readinto(buffer))
            return counts[-1]

        def readall(self):
            data = super().readall()
            counts.append(len(data))
            return data

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: io.BufferedReader(
        Counted(descriptor, mode)))
    return counts


def test_opening_reads_the_header_alone(write, bytes_read):
    noise = np.random.RandomState(0).randint(0, 256, (1400, 1400, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", quality=95)
    size = len(stream.getvalue())
    path = write(stream.getvalue())
    assert size > 2000000
    with open_image(path) as opened:
        assert opened.size == (1400, 1400)
        assert 0 < sum(bytes_read) < 20000
    del bytes_read[:]
    read_image(path, 128)
    assert size - 65536 < sum(bytes_read) < size + 20000  # each byte once, but for the header


def test_listing_reads_headers_alone(tmp_path, bytes_read):
    """A folder of large photographs is listed as quickly as one of small ones."""
    for name in ("axes", "boots"):
        (tmp_path / name).mkdir()
        with open(str(tmp_path / name / "a.jpg"), "wb") as stream:
            stream.write(jpeg((40, 40)) + b"\0" * 3000000)
    assert len(gt.load_folder(tmp_path)) == 2
    assert sum(bytes_read) < 40000


@pytest.mark.parametrize("before", [1, 2])
def test_scan_that_begins_in_one_read_and_goes_on_in_the_next(write, before):
    """Pillow reads 65,536 bytes at a time; the last scan lies across the first border."""
    for count, is_refused in ((100, False), (101, True)):
        content = of_scans(count)
        comment = 65536 - before - content.rindex(SCAN)
        content = (content[:2] + b"\xff\xfe" + struct.pack(">H", comment - 2)
                   + b" " * (comment - 4) + content[2:])
        assert content.rindex(SCAN) == 65536 - before and content.count(SCAN) == count
        path = write(content)
        if is_refused:
            with pytest.raises(gt.ImageError) as caught:
                read_image(path, 8)
            assert "at least 101 scans, more than the 100 allowed" in str(caught.value)
        else:
            assert read_image(path, 8).shape == (8, 8, 3)


def test_many_scans_are_refused_before_they_are_decoded(write):
    """All of them would take 14 s; the header tells nothing of them."""
    path = write(of_scans(10000, (2000, 2000)))
    with open_image(path) as opened:
        assert opened.size == (2000, 2000)
    start = time.process_time()
    with pytest.raises(gt.ImageError) as caught:
        read_image(path, 2000)
    assert time.process_time() - start < 2
    assert caught.value.path == path and "scans, more than the 100 allowed" in caught.value.reason


@pytest.mark.slow
def test_header_of_countless_parts_is_refused(write):
    """Pillow would take minutes and gigabytes for 256 MiB of empty comments."""
    content = jpeg((16, 16))
    assert read_image(write(content[:2] + 1000 * b"\xff\xfe\0\2" + content[2:]), 8).shape
    with pytest.raises(gt.ImageError) as caught:
        with open_image(write(content[:2] + 400000 * b"\xff\xfe\0\2" + content[2:])):
            pass
    assert "steps through its header, more than the 1,000,000 allowed" in str(caught.value)


def test_refused_while_decoding_is_left_out_as_any_other(write, tmp_path):
    """It is listed; what decodes it says why it is left out, with the path."""
    images = gt.load_folder(gt.make_shapes(tmp_path / "shapes", per_class=3, size=72))
    path = write(of_scans(5000), os.path.join("shapes", "circle", "slow.jpg"))
    images = gt.load_folder(tmp_path / "shapes")
    assert path in images.paths and images.skipped == []
    place = images.paths.index(path)
    settings = dict(layer="mixed2", input_size=64, cache=False)
    extractor = gt.FeatureExtractor(**settings)
    for found in (extractor.extract(images.paths), extractor.extract_views(images.paths, 2)):
        (i, error), = found.failures
        assert (i, error.path) == (place, path) and "scans, more than" in error.reason
    (i, error), = ImageHashes(images.paths).complete()[2]
    assert (i, error.path) == (place, path) and "scans, more than" in error.reason
    with pytest.warns(gt.SkippedImageWarning, match="scans, more than"):
        model = gt.TransferClassifier(epochs=2, **settings).fit(images)
    assert [skipped.path for skipped in model.skipped_] == [path]
    with pytest.warns(gt.SkippedImageWarning, match="scans, more than"):
        assert model.predict(images.paths)[place] is None
    with pytest.raises(gt.ImageError, match="scans, more than"):
        model.set_params(strict=True).fit(images)
