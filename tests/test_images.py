"""One image: what is read, what is refused, and which pixels come out."""
import io
import os
import pathlib
import socket
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from gear_transfer.errors import ImageError
from gear_transfer.photographs.images import open_image, read_image, size_pair

WHITE = [255, 255, 255]


def four_quarters(size=64):
    """A picture without symmetry: red, green, blue and black quarters."""
    pixels = np.zeros((size, size, 3), dtype=np.uint8)
    half = size // 2
    pixels[:half, :half, 0] = 255
    pixels[:half, half:, 1] = 255
    pixels[half:, :half, 2] = 255
    return pixels


def exif_with_orientation(orientation):
    """EXIF data holding nothing but an orientation."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def png_chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data) & 0xffffffff))


def make_png(width, height, depth, colour, rows, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra
            + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))


@pytest.fixture
def save(tmp_path):
    """Save a PIL image (or bytes) under a name; the path as str comes back."""
    def _save(image, name, **options):
        path = str(tmp_path / name)
        if isinstance(image, bytes):
            with open(path, "wb") as stream:
                stream.write(image)
        else:
            image.save(path, **options)
        return path
    return _save


def refused(image, *words):
    with pytest.raises(ImageError) as caught:
        read_image(image, 32)
    for word in words:
        assert word in caught.value.reason
    return caught.value


# What comes in

@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_path_kinds(save, kind):
    path = save(Image.fromarray(four_quarters()), "a.png")
    pixels = read_image(kind(path), 64)
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, four_quarters())


def test_pil_image_is_left_as_it_was(save):
    path = save(Image.fromarray(four_quarters(256)), "a.jpg", quality=95)
    with Image.open(path) as image:
        pixels = read_image(image, 32)
        assert image.size == (256, 256) and image.mode == "RGB"
    assert np.abs(pixels.astype(int) - read_image(path, 32)).mean() < 2


def test_array_shapes():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_image(grey, 8), expected)
    np.testing.assert_array_equal(read_image(grey[:, :, None], 8), expected)
    np.testing.assert_array_equal(read_image(expected, 8), expected)
    np.testing.assert_array_equal(read_image(expected[::-1], 8), expected[::-1])
    clear = np.dstack([np.full_like(expected, 9), np.zeros((8, 8), np.uint8)])
    assert (read_image(clear, 8) == 255).all()


def test_result_is_not_the_given_array():
    pixels = four_quarters(8)
    read_image(pixels, 8)[:] = 7
    np.testing.assert_array_equal(pixels, four_quarters(8))


@pytest.mark.parametrize("array, word", [
    (np.zeros((8, 8, 3)), "uint8"),
    (np.zeros((8, 8, 2), np.uint8), "shape"),
    (np.zeros((8,), np.uint8), "shape"),
    (np.zeros((1, 8, 8, 3), np.uint8), "shape"),
    (np.zeros((0, 8, 3), np.uint8), "no pixels"),
])
def test_bad_arrays(array, word):
    assert str(array.shape) in refused(array, word).path


@pytest.mark.parametrize("image", [None, 3, 3.5, ["a.jpg"]])
def test_other_types(image):
    with pytest.raises(TypeError, match=type(image).__name__):
        read_image(image, 32)


def test_bad_size_and_rule():
    for size in (0, -1, (8, 0), "8", 8.5, (1, 2, 3), None):
        with pytest.raises(ValueError, match="size"):
            read_image(four_quarters(), size)
    with pytest.raises(ValueError, match="resize"):
        read_image(four_quarters(), 8, "fit")
    assert size_pair(np.int64(5)) == (5, 5)
    assert size_pair([3, 4]) == (3, 4)


# Formats and colour modes

@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_formats_by_content(save, format_name):
    if format_name == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    path = save(Image.fromarray(four_quarters()), "wrong_suffix.txt", format=format_name)
    assert np.abs(read_image(path, 64).astype(int) - four_quarters()).mean() < 6


@pytest.mark.parametrize("format_name", ["TIFF", "PPM", "ICO", "TGA", "PCX"])
def test_other_formats_are_refused(save, format_name):
    path = save(Image.fromarray(four_quarters()), "a.png", format=format_name)
    refused(path, "TIFF" if format_name == "TIFF" else "not a JPEG, PNG, BMP, GIF or WebP")


def test_cmyk_jpeg(save):
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    pixels = read_image(save(cmyk, "a.jpg", quality=95), 32)
    expected = np.array(cmyk.convert("RGB"))[0, 0].astype(int)
    assert np.abs(pixels[16, 16] - expected).max() < 8
    assert pixels[16, 16, 0] > 200 and pixels[16, 16, 1] < 60


def test_16_bit_grey_is_scaled(save):
    values = np.array([[0, 128, 257, 32896], [65535, 65407, 256, 514]], dtype=np.uint16)
    path = save(Image.fromarray(values), "a.png")
    pixels = read_image(path, (2, 4))
    assert pixels[:, :, 0].tolist() == [[0, 0, 1, 128], [255, 255, 1, 2]]
    assert (pixels == pixels[:, :, :1]).all()
    wide = Image.fromarray(values.astype(np.int32))
    np.testing.assert_array_equal(read_image(wide, (2, 4)), pixels)


def test_16_bit_grey_with_a_transparent_value(save):
    rows = b"".join(b"\0" + struct.pack(">HH", 1000, 20000) for _ in range(2))
    data = make_png(2, 2, 16, 0, rows, png_chunk(b"tRNS", struct.pack(">H", 1000)))
    assert read_image(save(data, "a.png"), 2)[0, :, 0].tolist() == [255, 78]


def test_1_bit(save):
    bits = np.array([[0, 1], [1, 0]], dtype=bool)
    path = save(Image.fromarray(bits.astype(np.uint8) * 255).convert("1"), "a.png")
    assert read_image(path, 2)[:, :, 1].tolist() == [[0, 255], [255, 0]]


def test_transparency_lands_on_white(save):
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[:, :, 0] = 200
    rgba[0, :, 3] = [255, 128]
    pixels = read_image(save(Image.fromarray(rgba), "a.png"), 2)
    assert pixels[0, 0].tolist() == [200, 0, 0]
    assert np.abs(pixels[0, 1].astype(int) - [227, 127, 127]).max() <= 1
    assert pixels[1, 0].tolist() == WHITE


def test_transparent_edge_does_not_bleed(save):
    """What a transparent pixel hides must not darken its neighbours when shrunk."""
    rgba = np.zeros((64, 64, 4), dtype=np.uint8)
    assert (read_image(save(Image.fromarray(rgba), "a.png"), 16) == 255).all()


def test_grey_with_alpha(save):
    image = Image.merge("LA", [Image.new("L", (4, 4), 50), Image.new("L", (4, 4), 0)])
    assert (read_image(save(image, "a.png"), 4) == 255).all()


def test_palette_with_transparency(save):
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 200, 0, 0] + [0] * 762)
    palette.putpixel((0, 0), 1)
    pixels = read_image(save(palette, "key.png", transparency=0), 4)
    assert pixels[0, 0].tolist() == [200, 0, 0] and pixels[3, 3].tolist() == WHITE
    pixels = read_image(save(palette, "table.png", transparency=b"\x00\xff"), 4)
    assert pixels[0, 0].tolist() == [200, 0, 0] and pixels[3, 3].tolist() == WHITE
    assert read_image(save(palette, "opaque.png"), 4)[3, 3].tolist() == [10, 20, 30]


def test_rgb_with_a_transparent_colour(save):
    path = save(Image.fromarray(four_quarters(4)), "a.png", transparency=(255, 0, 0))
    pixels = read_image(path, 4)
    assert pixels[0, 0].tolist() == WHITE and pixels[0, 3].tolist() == [0, 255, 0]


def test_animation_gives_its_first_frame(save):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    path = save(frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(path, 8)[4, 4].tolist() == [255, 0, 0]


def test_float_pixels_are_refused():
    refused(Image.new("F", (4, 4)), "floating-point")


# EXIF

@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation(save, orientation, name):
    upright = four_quarters(64)
    upright = np.concatenate([upright, np.full((64, 32, 3), 255, np.uint8)], axis=1)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: np.rot90(upright, 2).transpose(
            1, 0, 2), 8: np.rot90(upright, 3),
    }[orientation]
    path = save(Image.fromarray(np.ascontiguousarray(stored)), name,
                exif=exif_with_orientation(orientation))
    assert np.abs(read_image(path, (64, 96)).astype(int) - upright).mean() < 6
    with Image.open(path) as image:
        assert np.abs(read_image(image, (64, 96)).astype(int) - upright).mean() < 6


@pytest.mark.parametrize("resize", ["pad", "stretch"])
def test_exif_orientation_with_a_decoder_that_shrinks(save, resize):
    upright = np.repeat(np.repeat(four_quarters(64), 8, axis=0), 4, axis=1)  # 512 x 256
    path = save(Image.fromarray(np.ascontiguousarray(np.rot90(upright))), "a.jpg", quality=95,
                exif=exif_with_orientation(6))
    expected = read_image(np.ascontiguousarray(upright), (80, 60), resize)
    assert np.abs(read_image(path, (80, 60), resize).astype(int) - expected).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff",
                                  b"Exif\0\0junk junk", exif_with_orientation(99),
                                  exif_with_orientation(0)])
def test_damaged_exif_is_no_reason_to_refuse(save, exif):
    path = save(Image.fromarray(four_quarters()), "a.jpg", exif=exif)
    assert np.abs(read_image(path, 64).astype(int) - four_quarters()).mean() < 6


# Sizes

def test_padding_is_white_and_centred():
    black = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels = read_image(black, 80)
    assert (pixels[:20] == 255).all() and (pixels[60:] == 255).all()
    assert (pixels[20:60] == 0).all()
    assert (read_image(black, 80, "stretch") == 0).all()
    tall = read_image(black, (80, 20))
    assert (tall[:35] == 255).all() and (tall[35:45] == 0).all() and (tall[45:] == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 999)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_extreme_shapes(save, shape, name):
    path = save(Image.fromarray(np.zeros(shape + (3,), np.uint8)), name)
    for resize in ("pad", "stretch"):
        pixels = read_image(path, (48, 64), resize)
        assert pixels.shape == (48, 64, 3) and pixels.min() < 5
    if shape == (1, 3000):
        assert (read_image(path, 48)[:20] == 255).all()


def test_shrinking_decoder_keeps_the_quality(save):
    """The JPEG decoder may help to shrink, the result stays near the slow one."""
    ramp = np.add.outer(np.arange(1000), np.arange(1000)) % 256
    stripes = np.where(np.arange(1000) // 20 % 2, 255, 0) * np.ones((1000, 1), int)
    pixels = np.dstack([ramp // 2 + 60, stripes, stripes.T]).astype(np.uint8)
    path = save(Image.fromarray(pixels), "a.jpg", quality=95, subsampling=0)
    for size in (96, 128, 130, 499, 501):
        with Image.open(path) as image:
            slow = image.resize((size, size), Image.LANCZOS)
        difference = np.abs(read_image(path, size).astype(int) - np.asarray(slow))
        assert difference.mean() < 6, size


def test_jpeg_is_shrunk_while_it_is_decoded_but_not_below_the_target(save, monkeypatch):
    path = save(Image.new("RGB", (1000, 500)), "a.jpg")
    decoded = []
    load = ImageFile.ImageFile.load

    def spy(self):
        decoded.append(self.size)
        return load(self)
    monkeypatch.setattr(ImageFile.ImageFile, "load", spy)
    for size, expected in ((100, (125, 63)), (251, (500, 250)), (600, (1000, 500))):
        del decoded[:]
        read_image(path, size)
        assert decoded[0] == expected


# Bad files

def test_missing_empty_and_text_files(save, tmp_path):
    error = refused(str(tmp_path / "none.jpg"), "no such file")
    assert str(tmp_path / "none.jpg") in str(error)
    refused(save(b"", "a.jpg"), "empty")
    refused(save(b"I am text", "a.jpg"), "not a JPEG")
    refused(save(b"\0\0\0\x18ftypheic" + b"\0" * 40, "a.jpg"), "HEIC")
    refused("a\0b.jpg")


@pytest.mark.parametrize("format_name, exif", [
    ("JPEG", False), ("JPEG", True), ("PNG", False), ("BMP", False), ("GIF", False),
    ("WEBP", False)])
def test_truncated_at_every_length(tmp_path, format_name, exif):
    """No cut may do anything but succeed or raise ImageError with a reason."""
    if format_name == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    noise = np.random.RandomState(0).randint(0, 255, (24, 24, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format_name,
                                **({"exif": exif_with_orientation(6)} if exif else {}))
    whole = stream.getvalue()
    path = str(tmp_path / "cut")
    step = max(1, len(whole) // 250)
    for length in list(range(0, min(80, len(whole)))) + list(range(80, len(whole), step)):
        with open(path, "wb") as cut:
            cut.write(whole[:length])
        try:
            read_image(path, 24)
            assert length > len(whole) * 0.8
        except ImageError as error:
            assert error.path == path and error.reason and "object" not in error.reason


def test_truncated_jpeg_says_so(save):
    stream = io.BytesIO()
    Image.fromarray(four_quarters(256)).save(stream, "JPEG")
    path = save(stream.getvalue()[:len(stream.getvalue()) // 2], "a.jpg")
    with open_image(path):
        pass  # the header is whole
    refused(path, "truncated")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_flipped_bytes(tmp_path, format_name):
    if format_name == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    stream = io.BytesIO()
    Image.fromarray(four_quarters(32)).save(stream, format_name)
    whole = stream.getvalue()
    rng = np.random.RandomState(0)
    path = str(tmp_path / "flipped")
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.randint(0, min(len(whole), 400), size=3):
            damaged[place] = rng.randint(0, 256)
        with open(path, "wb") as stream:
            stream.write(bytes(damaged))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert read_image(path, 16).shape == (16, 16, 3)
        except ImageError as error:
            assert error.reason


def test_bomb_is_refused_by_its_header(save):
    data = make_png(20000, 20000, 8, 2, b"\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(save(data, "a.png"), "20000 x 20000", "MAX_IMAGE_PIXELS")
    bmp = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0)
    refused(save(bmp, "a.bmp"), "30000 x 30000")


def test_what_pillow_only_warns_of_is_refused(save, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = save(Image.new("RGB", (40, 40)), "a.png")
    refused(path, "40 x 40")
    refused(Image.new("RGB", (40, 40)), "40 x 40")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(path, 8).shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["scans", "pieces of Exif data"])
def test_jpeg_made_to_take_long_is_refused(tmp_path, kind):
    """Scans of few bytes go over all pixels: 10,000 take 14 s for 4 million of them."""
    stream = io.BytesIO()
    Image.new("L", (16, 16)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    if kind == "scans":
        place = content.rindex(b"\xff\xda")
        part = content[place:-2]
        there = content.count(b"\xff\xda\0")
    else:
        exif = exif_with_orientation(1)
        place, part, there = 2, b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif, 0
    path = str(tmp_path / "slow.jpg")
    for more, refused in ((100 - there, False), (101 - there, True)):
        with open(path, "wb") as file:
            file.write(content[:place] + more * part + content[place:])
        if refused:
            with pytest.raises(ImageError) as caught:
                read_image(path, 8)
            assert "101 " + kind in str(caught.value)
        else:
            assert read_image(path, 8).shape == (8, 8, 3)


def test_jpeg_larger_than_any_is_refused_without_being_read(save):
    path = save(Image.new("L", (16, 16)), "x.jpg")
    with open(path, "r+b") as stream:
        stream.truncate((1 << 28) + 1)
    with pytest.raises(ImageError) as caught:
        read_image(path, 8)
    assert "256 MiB" in str(caught.value)


def test_pillows_settings_stay(save):
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    read_image(save(Image.new("RGB", (40, 40)), "a.png"), 8)
    refused(save(b"x", "b.png"))
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS,
                      list(warnings.filters))


def test_out_of_memory_is_an_image_error(save, monkeypatch):
    def load(self):
        raise MemoryError
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    refused(save(Image.new("RGB", (40, 40)), "a.bmp"), "not enough memory")


def test_permission_denied(save, monkeypatch):
    path = save(Image.new("RGB", (4, 4)), "a.png")

    def no_entry(*_, **__):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, "open", no_entry)
    refused(path, "Permission denied")


# Special files

def within_seconds(seconds, function):
    """Run in a daemon thread, so that a call that blocks fails instead of hanging."""
    done = []
    thread = threading.Thread(target=lambda: done.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, "the call blocks"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_block(tmp_path):
    path = str(tmp_path / "a.jpg")
    os.mkfifo(path)
    within_seconds(60, lambda: refused(path, "named pipe"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_that_takes_the_place_of_a_file(tmp_path, save, monkeypatch):
    regular = os.stat(save(Image.new("RGB", (4, 4)), "a.png"))
    path = str(tmp_path / "a.jpg")
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: regular)
    within_seconds(60, lambda: refused(path, "named pipe"))


def test_folder_device_and_socket(tmp_path):
    folder = tmp_path / "a.jpg"
    folder.mkdir()
    refused(str(folder), "folder")
    if os.path.exists("/dev/zero"):
        refused("/dev/zero", "device")
    if hasattr(socket, "AF_UNIX"):
        here = os.getcwd()
        os.chdir(str(tmp_path))  # the name of a socket must be short
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("s.jpg")
                refused("s.jpg", "socket")
        finally:
            os.chdir(here)


def test_no_file_stays_open(save):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    good = save(Image.new("RGB", (40, 40)), "a.png")
    bad = [save(b"x", "b.png"), save(b"\xff\xd8\xff\xe0", "c.jpg"), os.path.dirname(good)]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read_image(good, 8)
        for path in bad:
            refused(path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["снимок.png", "写真 1.png", "é\u0301.png"])
def test_names_that_are_not_ascii(save, name):
    assert read_image(save(Image.new("RGB", (4, 4)), name), 4).shape == (4, 4, 3)


def test_real_photographs(shared):
    folder = os.path.join(shared, "gear", "new_images")
    for name in os.listdir(folder):
        pixels = read_image(os.path.join(folder, name), 128)
        assert 10 < pixels.mean() < 250
