"""Features that go to a file or an array that is given."""
import os
import subprocess
import sys

import numpy as np
import pytest

from gear_transfer import FeatureExtractor, ImageError

QUICK = dict(backbone="inception_v3", layer="mixed0", input_size=75, precision="float32", verbose=0)


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).randint(0, 256, (40, 75, 75, 3)).astype(np.uint8)


def test_a_file_an_array_and_memory_hold_the_same(images, tmp_path):
    extractor = FeatureExtractor(cache=False, **QUICK)
    expected = extractor.fit_transform(images)
    path = tmp_path / "features.npy"
    mapped = extractor.transform(images, out=path)
    assert isinstance(mapped, np.memmap) and os.listdir(str(tmp_path)) == ["features.npy"]
    np.testing.assert_array_equal(np.load(str(path), allow_pickle=False), expected)
    given = np.zeros_like(expected)
    assert extractor.transform(images, out=given) is given
    np.testing.assert_array_equal(given, expected)


def test_what_is_kept_fills_a_file_too(images, tmp_path):
    from PIL import Image
    paths = [str(tmp_path / "{}.png".format(i)) for i in range(3)]
    for path, pixels in zip(paths, images):
        Image.fromarray(pixels).save(path)
    extractor = FeatureExtractor(cache=str(tmp_path / "cache"), **QUICK)
    expected = extractor.fit_transform(paths)
    np.testing.assert_array_equal(extractor.transform(paths, out=tmp_path / "a.npy"), expected)


def test_a_failure_leaves_no_file(images, tmp_path):
    path = tmp_path / "features.npy"
    path.write_text("before")
    with pytest.raises(ImageError):
        FeatureExtractor(cache=False, **QUICK).transform(
            list(images[:2]) + [str(tmp_path / "none.png")], out=path)
    assert path.read_text() == "before" and os.listdir(str(tmp_path)) == ["features.npy"]


@pytest.mark.parametrize("out", [np.zeros((40, 3), np.float32), np.zeros((40, 256)), 3])
def test_an_array_that_does_not_fit(images, out):
    with pytest.raises(ValueError, match="out must be a path or a writable float32 array of shape "):
        FeatureExtractor(cache=False, **QUICK).transform(images, out=out)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path):
    """Whole maps of 500 images, beside what 20 need."""
    script = """
import sys
import numpy as np
from gear_transfer import FeatureExtractor

def anonymous():
    with open("/proc/self/status") as stream:
        return 1024 * [int(line.split()[1]) for line in stream if line.startswith("RssAnon")][0]

images = [np.zeros((75, 75, 3), np.uint8)] * 20
extractor = FeatureExtractor(backbone="inception_v3", layer="mixed0", input_size=75, pooling=None,
                             precision="float32", cache=False, verbose=0, threads=1).fit()
first = extractor.transform(images, out=sys.argv[1])
before = anonymous()
many = extractor.transform(images * 25, out=sys.argv[1])
print(first.nbytes, many.nbytes, anonymous() - before)
"""
    output = subprocess.check_output([sys.executable, "-c", script, str(tmp_path / "f.npy")])
    first, many, grown = [int(number) for number in output.split()]
    assert many == 25 * first and grown < 0.25 * many
