"""A table of odd and bad files, and what becomes of each: pixels, or the reason it is left out."""
import io
import os
import resource
import socket
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image, features

import gear_transfer as gt
from gear_transfer.errors import ImageError
from gear_transfer.photographs.images import read_image
from test_images import exif_with_orientation, make_png, png_chunk

#: Before Pillow 10 few BMP files can be opened.
OLD_PILLOW = int(PIL.__version__.split(".")[0]) < 10
RED, WHITE, GREY = (200, 30, 30), (255, 255, 255), (100, 100, 100)


def picture(size=(24, 16), colour=RED):
    return Image.new("RGB", size, colour)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


JPEG, PNG, GIF, BMP = (encoded(picture(), kind) for kind in ("JPEG", "PNG", "GIF", "BMP"))
NOISE = Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3)).astype(np.uint8))
NOISY = dict((kind, encoded(NOISE, kind)) for kind in ("JPEG", "PNG", "GIF", "BMP"))


def palette(**options):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0] + list(RED) + [0] * 762)
    return encoded(image, "PNG", **options)


def bmp_header(width, height, bits=24, compression=0):
    return struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)


def jpeg_of(width, height):
    """JPEG with other sides in its header."""
    place = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:place] + struct.pack(">HH", height, width) + JPEG[place + 4:]


def gif_of(width, height):
    return GIF[:6] + struct.pack("<HH", width, height) + GIF[10:]


def with_comment(size):
    """A PNG with a text chunk of that many bytes, compressed to nearly nothing."""
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * size))
    return PNG[:33] + text + PNG[33:]


def grey(depth, value):
    """A PNG of 4 x 4 grey pixels of that many bits."""
    bits = "{:0{}b}".format(value, depth) * 4
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return make_png(4, 4, depth, 0, (b"\0" + row) * 4)


def animation(kind):
    frames = [picture((8, 8), colour) for colour in (RED, (0, 0, 255))]
    if kind == "GIF":
        frames = [frame.quantize(2) for frame in frames]  # else old Pillow takes colours for the web
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


RGBA = np.dstack([np.full((8, 8, 3), RED, np.uint8), np.zeros((8, 8), np.uint8)])

#: name of the file: (content, colour in the middle or words of the reason).
TABLE = {
    # As they should be, under any name
    "plain.jpg": (JPEG, RED), "plain.png": (PNG, RED), "plain.gif": (GIF, RED),
    "plain.bmp": (BMP, RED), "png_called.jpg": (PNG, RED), "jpeg_called.png": (JPEG, RED),
    "gif_called.bmp": (GIF, RED), "no_suffix": (JPEG, RED), "UPPER.JPG": (JPEG, RED),
    "text_called_so.txt": (PNG, RED), "two words.png": (PNG, RED), "\u5199\u771f.png": (PNG, RED),
    "e\u0301.png": (PNG, RED), "-dash.png": (PNG, RED), "new\nline.png": (PNG, RED),
    # Modes
    "cmyk.jpg": (encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
    "grey.jpg": (encoded(Image.new("L", (16, 16), 100), "JPEG"), GREY),
    "progressive.jpg": (encoded(picture(), "JPEG", progressive=True), RED),
    "grey1.png": (grey(1, 1), WHITE), "grey2.png": (grey(2, 3), WHITE),
    "grey4.png": (grey(4, 15), WHITE), "grey8.png": (grey(8, 100), GREY),
    "grey16.png": (grey(16, 25700), GREY), "palette.png": (palette(), RED),
    "palette_clear.png": (palette(transparency=1), WHITE),
    "palette_table.png": (palette(transparency=b"\xff\x00"), WHITE),
    "rgba_clear.png": (encoded(Image.fromarray(RGBA), "PNG"), WHITE),
    "grey_alpha.png": (encoded(Image.new("LA", (8, 8), (100, 255)), "PNG"), GREY),
    "interlaced.png": (make_png(1, 1, 8, 2, b"\0" + bytes(RED)).replace(
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1))), RED),
    "animated.gif": (animation("GIF"), RED), "animated.png": (animation("PNG"), RED),
    # Sides
    "one_pixel.png": (encoded(picture((1, 1)), "PNG"), RED),
    "one_pixel.jpg": (encoded(picture((1, 1)), "JPEG"), RED),
    "tall.png": (encoded(picture((1, 30000)), "PNG"), RED),
    "wide.png": (encoded(picture((30000, 1)), "PNG"), RED),
    "tall.jpg": (encoded(picture((1, 30000)), "JPEG"), RED),
    # What comes with the pixels
    "rotated.jpg": (encoded(picture(), "JPEG", exif=exif_with_orientation(6)), RED),
    "mirrored.png": (encoded(picture(), "PNG", exif=exif_with_orientation(5)), RED),
    "exif_cut.jpg": (encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff"), RED),
    "exif_beyond.jpg": (encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"), RED),
    "orientation99.jpg": (encoded(picture(), "JPEG", exif=exif_with_orientation(99)), RED),
    "bytes_behind.jpg": (JPEG + b"x" * 1000, RED), "bytes_behind.png": (PNG + b"PK\3\4", RED),
    "comment.png": (with_comment(1000), RED),
    # Text chunks that expand
    "text_bomb.png": (with_comment(4 << 20), "damaged"),
    # Sides that are claimed
    "bomb.png": (make_png(60000, 60000, 8, 2, b"\0"), "60000 x 60000 pixels"),
    "bomb1.png": (make_png(100000, 100000, 1, 0, b"\0"), "100000 x 100000 pixels"),
    "bomb.bmp": (bmp_header(30000, 30000), "30000 x 30000 pixels"),
    "bomb_rle.bmp": (bmp_header(30000, 30000, 8, 1), "" if OLD_PILLOW else "30000 x 30000 pixels"),
    "bomb.jpg": (jpeg_of(65000, 65000), "65000 x 65000 pixels"),
    "bomb.gif": (gif_of(65000, 65000), "65000 x 65000 pixels"),
    "no_width.png": (make_png(0, 5, 8, 2, b"\0"), ""),
    "negative.bmp": (bmp_header(-5, 5), ""), "depth99.bmp": (bmp_header(4, 4, 99), "kind"),
    # Missing rows within a whole stream stay black, a picture larger than its screen is read
    "few_rows.png": (make_png(500, 500, 8, 2, b"\0" * 1501), (0, 0, 0)),
    "small_screen.gif": (gif_of(5, 0), RED),
    # Cut and damaged
    "empty.jpg": (b"", "empty"), "three_bytes.jpg": (JPEG[:3], "header"),
    "cut.jpg": (NOISY["JPEG"][:1500], "truncated"), "cut.png": (NOISY["PNG"][:1500], "truncated"),
    "cut.gif": (NOISY["GIF"][:1500], "truncated"), "cut.bmp": (NOISY["BMP"][:1500], "truncated"),
    "signature.png": (PNG[:8], "header"), "signature.gif": (b"GIF89a", "header"),
    "wrong_checksum.png": (PNG[:29] + b"\0\0\0\0" + PNG[33:], ""),
    "no_data.png": (PNG[:33] + png_chunk(b"IEND", b""), ""),
    "zeros.jpg": (b"\0" * 4096, "not a JPEG"), "ones.png": (b"\xff" * 4096, "not a JPEG"),
    # Other kinds of files
    "text.jpg": (b"I am text", "not a JPEG"), "page.png": (b"<html><body>", "not a JPEG"),
    "script.gif": (b"#!/bin/sh\nrm -rf /\n", "not a JPEG"), "drawing.png": (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
    "document.jpg": (b"%PDF-1.7\n", "PDF"), "phone.jpg": (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
    "new.png": (b"\0\0\0\x18ftypavif" + b"\0" * 40, "HEIC, AVIF"),
    "scan.jpg": (encoded(picture(), "TIFF"), "TIFF"), "icon.png": (encoded(picture(), "ICO"), "not"),
    "plain.ppm": (encoded(picture(), "PPM"), "not a JPEG"), "old.pcx": (
        encoded(picture(), "PCX"), "not a JPEG"), "post.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not"),
    "archive.png": (b"PK\3\4" + b"\0" * 60, "not a JPEG"),
}
if features.check("webp"):
    TABLE["plain.webp"] = (encoded(picture(), "WEBP", lossless=True), RED)
    TABLE["clear.webp"] = (encoded(Image.fromarray(RGBA), "WEBP", lossless=True), WHITE)
    TABLE["animated.webp"] = (animation("WEBP"), RED)
    TABLE["cut.webp"] = (encoded(NOISE, "WEBP")[:900], "")


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60


@pytest.mark.parametrize("name", sorted(TABLE))
def test_outcome(tmp_path, name):
    content, expected = TABLE[name]
    path = str(tmp_path / name)
    with open(path, "wb") as stream:
        stream.write(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged EXIF data
        if isinstance(expected, str):
            with pytest.raises(ImageError) as caught:
                read_image(path, 16)
            assert caught.value.path == path and expected in caught.value.reason
            assert len(caught.value.reason) > 10 and "object at" not in caught.value.reason
        else:
            pixels = read_image(path, 16, "stretch")
            assert np.abs(pixels[8, 8].astype(int) - expected).max() < 12
            assert np.abs(read_image(path, (16, 20))[8, 10].astype(int) - expected).max() < 12 or (
                "tall" in name or "wide" in name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All of the table in class "odd", with what is no regular file; good pictures in "good"."""
    root = tmp_path_factory.mktemp("table") / "data"
    odd, good = root / "odd", root / "good"
    for place in (odd, good, odd / ".ipynb_checkpoints", odd / "deeper" / ".hidden"):
        place.mkdir(parents=True)
    for name in TABLE:
        with open(str(odd / name), "wb") as stream:
            stream.write(TABLE[name][0])
    for i in range(4):
        picture(colour=(0, 0, 50 * i)).save(str(good / "{}.png".format(i)))
    for hidden in (odd / ".hidden.png", odd / ".ipynb_checkpoints" / "a.png", good / "Thumbs.db",
                   odd / "deeper" / ".hidden" / "a.png"):
        hidden.write_bytes(PNG)
    outside = root.parent / "outside.png"
    outside.write_bytes(PNG)
    os.mkfifo(str(odd / "pipe.jpg"))
    for target, name in ((outside, "away.png"), ("nowhere", "broken.png"), ("round.png", "round.png"),
                         ("..", "loop"), ("/dev/zero", "zero.png"), ("plain.png", "inside.png")):
        os.symlink(str(target), str(odd / name))
    here = os.getcwd()
    os.chdir(str(odd))  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.png")
        with open(b"undecodable\xff.png", "wb") as stream:
            stream.write(PNG)
    finally:
        os.chdir(here)
    return root


LEFT_OUT = {"pipe.jpg": "named pipe", "away.png": "out of the folder", "broken.png": "nowhere",
            "round.png": "itself", "loop": "link", "zero.png": "out of the folder",
            "socket.png": "socket"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated", "ignore:Image appears")
def test_one_bad_file_never_ends_a_run(folder):
    """Finding, decoding and running: each good file is there, each other one has its reason."""
    images = gt.load_folder(folder)
    left_out = dict((os.path.basename(path), reason) for path, reason in images.skipped)
    for name, words in LEFT_OUT.items():
        assert words in left_out.pop(name), name
    extractor = gt.FeatureExtractor(layer="mixed0", input_size=75, precision="float32", cache=False)
    extraction = extractor.extract(images.paths)
    for position, error in extraction.failures:
        assert error.path == images.paths[position]
        left_out[os.path.basename(error.path)] = error.reason
    for name, reason in left_out.items():
        assert isinstance(TABLE[name][1], str) and TABLE[name][1] in reason, name
    good = [name for name in TABLE if not isinstance(TABLE[name][1], str)]
    assert len(left_out) + len(good) == len(TABLE)
    assert len(extraction.positions) == len(good) + 4 + 2  # and inside.png, undecodable
    assert np.isfinite(extraction.features).all()
    assert not any("hidden" in path or "checkpoint" in path for path in images.paths)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_unreadable_file(tmp_path):
    """Nobody is kept from reading as root, so the reading is done by somebody else."""
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(ImageError, match="Permission denied"):
            read_image(str(path), 16)
        return
    with pytest.raises(ImageError, match="Permission denied"):
        os.seteuid(65534)
        try:
            read_image(str(path), 16)
        finally:
            os.seteuid(0)


@pytest.mark.slow
def test_memory_of_a_picture_just_small_enough(tmp_path):
    """20 million pixels in a small file: 4 bytes each, twice, and what the interpreter takes."""
    paths = [str(tmp_path / kind) for kind in ("PNG", "GIF", "JPEG")]
    for path in paths:
        kind = os.path.basename(path)
        Image.new("L" if kind == "GIF" else "RGB", (5000, 4000), 7).save(path, kind)
        assert os.path.getsize(path) < 1 << 20
    script = ("import resource, sys\nfrom gear_transfer.photographs.images import read_image\n"
              "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
              "before = peak()\nfor path in sys.argv[1:]:\n    read_image(path, 192)\n"
              "print(peak() - before)")
    home = os.path.dirname(os.path.dirname(os.path.abspath(gt.__file__)))
    output = subprocess.check_output([sys.executable, "-c", script] + paths,
                                     env=dict(os.environ, PYTHONPATH=home))
    assert int(output) << 10 < 8 * 20000000 + (16 << 20)


def test_bombs_take_no_memory(tmp_path):
    """What is refused by its header is refused before memory is taken for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in TABLE:
        if name.startswith("bomb"):
            (tmp_path / name).write_bytes(TABLE[name][0])
            with pytest.raises(ImageError, match=TABLE[name][1]):
                read_image(str(tmp_path / name), 16)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
