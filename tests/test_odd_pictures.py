"""Pictures that were lost without a word, took more than the bounds in SECURITY.md, or too long."""
import os
import struct
import subprocess
import sys
import time
import warnings

import numpy as np
import PIL
import pytest
from PIL import Image, ImageOps

import gear_transfer as gt
from gear_transfer.photographs.images import open_image, read_image
from test_images import exif_with_orientation, make_png

RAMP = np.tile(np.linspace(0, 1, 64)[None], (48, 1))
WANTED = np.repeat(np.round(RAMP * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def difference(pixels, wanted=WANTED):
    return np.abs(read_image(pixels, (48, 64)).astype(int) - wanted).max()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_files_of_16(tmp_path, bits):
    values = np.round(RAMP * (2**bits - 1))
    path = str(tmp_path / "a.png")
    Image.fromarray(values.astype(np.uint16)).save(path)
    assert difference(path) <= 1
    assert difference(Image.fromarray(values.astype(np.int32))) <= 1


@pytest.mark.parametrize("bits, most", [(10, 64), (12, 12), (14, 4), (16, 1)])
@pytest.mark.parametrize("colour", [2, 4, 6])
def test_fewer_bits_in_colours_of_16(tmp_path, bits, most, colour):
    values = np.round(RAMP * (2**bits - 1)).astype(np.uint16)
    channels = [values] * (3 if colour != 4 else 1)
    if colour != 2:
        channels.append(np.full_like(values, 2**bits - 1))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack(channels, axis=2))
    path = str(tmp_path / "a.png")
    with open(path, "wb") as stream:
        stream.write(make_png(64, 48, 16, colour, rows))
    assert difference(path) <= most


def test_a_picture_that_transparency_hides_is_seen(tmp_path):
    clear = np.zeros((48, 64, 1), np.uint8)
    assert difference(np.dstack([WANTED, clear])) == 0
    for mode, pixels in (("RGBA", np.dstack([WANTED, clear])), ("LA", np.dstack([WANTED[:, :, :1], clear]))):
        Image.fromarray(pixels, mode).save(str(tmp_path / "a.png"))
        assert difference(str(tmp_path / "a.png")) == 0
    palette = Image.fromarray(WANTED).convert("P", palette=Image.ADAPTIVE)
    palette.save(str(tmp_path / "p.png"), transparency=bytes(256))
    assert difference(str(tmp_path / "p.png")) < 8
    blank = np.dstack([np.full_like(WANTED, 7), clear])
    assert (read_image(blank, 32) == 255).all()


def test_a_picture_is_turned_once(tmp_path):
    path = str(tmp_path / "phone.jpg")
    Image.fromarray(WANTED).transpose(Image.ROTATE_90).save(path, exif=exif_with_orientation(6), quality=98)
    assert difference(path) < 12
    opened = Image.open(path)
    assert difference(opened) < 12
    for upright in (Image.open(path).transpose(Image.ROTATE_270), ImageOps.exif_transpose(opened),
                    Image.open(path).rotate(-90, expand=True),
                    Image.open(path).transpose(Image.ROTATE_270).convert("L").copy()):
        assert difference(upright) < 12


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_hostile_exif_neither_warns_nor_takes_memory(tmp_path, kind):
    entries = b"".join(struct.pack("<HHII", 2 + i, 2, 1 << 30, 1 << 31) for i in range(4000))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 4000) + entries + bytes(4)
    path = str(tmp_path / ("a." + kind))
    Image.fromarray(WANTED).save(path, exif=exif)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert difference(path) < 40
    assert seen == []


def test_orientation_in_exif_as_text(tmp_path):
    from PIL import PngImagePlugin
    info, path = PngImagePlugin.PngInfo(), str(tmp_path / "a.png")
    exif = exif_with_orientation(3)
    info.add_text("Raw profile type exif", "\nexif\n{:8}\n{}\n".format(len(exif), exif.hex()), zip=True)
    Image.fromarray(WANTED).transpose(Image.ROTATE_180).save(path, pnginfo=info)
    assert difference(path) == 0


def run_length_bitmap(path, side, codes):
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(codes), 0, 0, 256, 0)
    with open(path, "wb") as stream:
        stream.write(b"BM" + struct.pack("<IHHI", 1078 + len(codes), 0, 0, 1078) + header + bytes(1024)
                     + codes)


#: Pillow reads bitmaps of run-lengths from 9.3 on, and refuses them before.
READS_RUN_LENGTHS = tuple(int(part) for part in PIL.__version__.split(".")[:2]) >= (9, 3)


def test_run_lengths_that_take_long_are_refused(tmp_path):
    path = str(tmp_path / "a.bmp")
    for side, codes, reason in ((9459, bytes(2) * 9459, "more than the 8,000,000 pixels"),
                                (100, bytes(2) * 200000, "larger than its pixels")):
        run_length_bitmap(path, side, codes)
        start = time.process_time()
        with pytest.raises(gt.ImageError, match=reason if READS_RUN_LENGTHS else "BMP"):
            read_image(path, 32)
        assert time.process_time() - start < 1
    run_length_bitmap(path, 8, b"\x08\0\0\0" * 8 + b"\0\1")
    if READS_RUN_LENGTHS:
        assert read_image(path, 8).shape == (8, 8, 3)


@pytest.mark.parametrize("side, accepted", [(12000, True), (16320, True), (19500, False)])
def test_photographs_of_phones_with_many_pixels(tmp_path, side, accepted):
    """The header alone is looked at: decoding is tested by the slow one below."""
    path = str(tmp_path / "phone.jpg")
    Image.new("RGB", (64, 48), (200, 100, 50)).save(path)
    with open(path, "rb") as stream:
        data = stream.read()
    place = data.index(b"\xff\xc0") + 5
    with open(path, "wb") as stream:
        stream.write(data[:place] + struct.pack(">HH", side * 3 // 4, side) + data[place + 4:])
    if accepted and side * side * 3 // 4 < 4 * Image.MAX_IMAGE_PIXELS:
        with open_image(path) as opened:
            assert opened.size == (side, side * 3 // 4)


def limited(path, size, limit):
    """What is said of a JPEG of a size (without its pixels) under another limit."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
    try:
        return read_image(path, size)
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_a_jpeg_counts_as_what_is_decoded(tmp_path):
    path = str(tmp_path / "a.jpg")
    Image.fromarray(np.tile(WANTED, (10, 10, 1))).save(path)  # 307,200 pixels
    assert limited(path, 64, 100000).shape == (64, 64, 3)
    with pytest.raises(gt.ImageError, match="--max-pixels"):
        limited(path, 640, 100000)  # decoded at full size
    with pytest.raises(gt.ImageError, match="more than the"):
        limited(path, 64, 70000)
    Image.fromarray(np.tile(WANTED, (10, 10, 1))).save(path, subsampling=0)  # twice the coefficients
    with pytest.raises(gt.ImageError, match="more than the"):
        limited(path, 64, 100000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["1", "I;16", "RGBA", "LA", "P", "PA", "WEBP", "phone"])
def test_memory_of_the_largest_pictures_keeps_to_the_bound(tmp_path, kind):
    """12 bytes for each pixel that is allowed, as SECURITY.md says."""
    limit = 20000000
    path = str(tmp_path / "a.png")
    if kind == "WEBP":
        Image.new("RGBA", (4000, 3500), (1, 2, 3, 4)).save(path, "WEBP", lossless=True)
    elif kind == "phone":
        Image.new("RGB", (10000, 8000), (200, 100, 50)).save(path, "JPEG", progressive=True)
    elif kind in ("P", "PA"):
        Image.new("P", (5000, 4000), 3).save(path, transparency=bytes(200))
    else:
        Image.new(kind, (5000, 4000)).save(path)
    script = ("import resource, sys\nfrom PIL import Image\nImage.MAX_IMAGE_PIXELS = {}\n"
              "from gear_transfer.photographs.images import read_image\n"
              "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
              "before = peak()\nread_image(sys.argv[1], 192)\nprint(peak() - before)".format(limit))
    home = os.path.dirname(os.path.dirname(os.path.abspath(gt.__file__)))
    output = subprocess.check_output([sys.executable, "-c", script, path],
                                     env=dict(os.environ, PYTHONPATH=home))
    assert int(output) << 10 < 12 * limit + (24 << 20)
