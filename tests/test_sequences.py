"""One picture is never taken for many: what counts as several images, wherever images go."""
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from gear_transfer import ImageError, read_image
from gear_transfer.photographs.prefetch import iterate_batches
from gear_transfer.photographs.sequences import MissingImage, check_images

PHOTO = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data") / "shapes")
    return gt.load_folder(gt.make_shapes(folder, per_class=8, size=64))


@pytest.fixture(scope="module")
def model(images):
    return gt.TransferClassifier("inception_v3", layer="mixed0", input_size=96, epochs=3,
                                 cache=False).fit(images)


ONE_PICTURE = {
    "rgb": PHOTO, "grey": PHOTO[:, :, 0], "grey, 3-d": PHOTO[:, :, :1], "a row": PHOTO[0, :, 0],
    "rgba": np.dstack([PHOTO, PHOTO[:, :, :1]]), "narrow": PHOTO[:, :3], "rows": list(PHOTO),
    "pil": Image.fromarray(PHOTO), "path": "a.jpg", "Path": pathlib.Path("a.jpg"), "bytes": b"a.jpg",
    "float": PHOTO[None] / 255.0, "floats": [PHOTO / 255.0], "int": PHOTO[None].astype(int),
    "channels first": PHOTO[None].transpose(0, 3, 1, 2), "set": {"a.jpg"}, "dict": {"path": ["a.jpg"]},
    "channels first in a list": [PHOTO.transpose(2, 0, 1)], "bool": PHOTO[None] > 3,
    "number": ["a.jpg", 3], "nested": [["a.jpg"]]}


def callers(model):
    """Everything that takes several images."""
    return {
        "predict": model.predict, "predict_proba": model.predict_proba,
        "known_score": model.known_score, "score": lambda X: model.score(X, ["circle"] * len(X)),
        "fit": lambda X: gt.TransferClassifier().fit(X, ["a", "b"] * 20),
        "transform": model.extractor_.transform, "extract": model.extractor_.extract,
        "extract_views": lambda X: model.extractor_.extract_views(X, 1),
        "activation_map": lambda X: gt.activation_map(model, X),
        "nearest": lambda X: gt.nearest(model, X), "find_duplicates": gt.find_duplicates,
        "plot_predictions": lambda X: gt.plot_predictions(X, ["a"] * 40),
        "plot_views": gt.plot_views, "iterate_batches": lambda X: iterate_batches(X, 32),
        "plot_activation_maps": lambda X: gt.plot_activation_maps(X, np.zeros((40, 2, 2))),
        "plot_misclassified": lambda X: gt.plot_misclassified(X, ["a"] * 40, ["b"] * 40)}


NAMES = ["predict", "predict_proba", "known_score", "score", "fit", "transform", "extract", "extract_views",
         "activation_map", "nearest", "find_duplicates", "plot_predictions", "plot_views",
         "iterate_batches", "plot_activation_maps", "plot_misclassified"]


@pytest.mark.parametrize("kind", sorted(ONE_PICTURE))
def test_what_is_no_sequence_of_images_is_refused_everywhere(model, kind):
    assert sorted(callers(model)) == sorted(NAMES)
    for name, call in callers(model).items():
        with pytest.raises(TypeError):
            call(ONE_PICTURE[kind])
            pytest.fail("{} took {}".format(name, kind))


@pytest.mark.parametrize("kind, message", [
    ("rgb", r"give \[image\], image\[None\]"), ("rows", "rows of one picture"),
    ("float", "type uint8"), ("floats", "image number 0 .* type uint8"),
    ("channels first", r"transpose\(0, 2, 3, 1\)"), ("number", "image number 1 must be a path"),
    ("channels first in a list", r"transpose\(1, 2, 0\)"), ("set", "no order")])
def test_the_error_says_what_to_do(kind, message):
    with pytest.raises(TypeError, match=message):
        check_images(ONE_PICTURE[kind])


def test_the_backbone_refuses_one_picture(model):
    backbone = model.extractor_.backbone_
    for pixels in (np.zeros((96, 96, 3), np.uint8), np.zeros((1, 3, 96, 96), np.uint8)):
        with pytest.raises(ValueError, match="shape"):
            backbone.features(pixels)
    with pytest.raises(TypeError, match="uint8"):
        backbone.features(np.zeros((1, 96, 96, 3)))


def test_several_pictures_in_any_container_are_the_same(model):
    expected = model.predict_proba([PHOTO, PHOTO[::-1]])
    stack = np.stack([PHOTO, PHOTO[::-1]])
    for several in (stack, tuple(stack), [Image.fromarray(each) for each in stack]):
        np.testing.assert_array_equal(model.predict_proba(several), expected)
    grey = stack[:, :, :, :1]
    np.testing.assert_array_equal(model.predict_proba(grey), model.predict_proba(
        [each[:, :, 0] for each in grey]))


@pytest.mark.slow
def test_an_image_set_goes_wherever_paths_go(model, images):
    for name, call in callers(model).items():
        if name in ("fit", "score", "plot_predictions", "plot_activation_maps", "plot_misclassified",
                    "iterate_batches", "find_duplicates", "plot_views"):
            continue
        given, wanted = call(images), call(images.paths)
        if name in ("extract", "extract_views"):
            given, wanted = given.features, wanted.features
        elif name == "nearest":
            given, wanted = given.distances, wanted.distances
        np.testing.assert_array_equal(given, wanted, err_msg=name)
    assert model.score(images) == model.score(images, images.labels)
    assert len(gt.plot_predictions(images, images.labels)) == len(images)
    assert len(gt.find_duplicates(images).groups) == len(images)


@pytest.mark.parametrize("bad", ["a\0.jpg", "\ud800.jpg", None, float("nan"), np.float32("nan")])
def test_a_bad_path_among_good_ones_is_left_out_with_its_name(model, images, bad):
    given = images.paths[:2] + [bad] + images.paths[2:3]
    with pytest.warns(gt.SkippedImageWarning, match="number 2|cannot be a path"):
        predicted = model.predict(given)
    assert predicted[2] is None
    assert predicted[[0, 1, 3]].tolist() == model.predict(images.paths[:3]).tolist()
    with pytest.raises(gt.ImageError):
        model.extractor_.transform(given)
    assert gt.find_duplicates(given).groups.max() >= 1
    with pytest.warns(gt.SkippedImageWarning):
        fitted = gt.TransferClassifier(input_size=96, epochs=2, cache=False).fit(
            images.paths + [bad], images.labels.tolist() + ["circle"])
    assert len(fitted.skipped_) == 1 and fitted.n_images_ == len(images)


def test_a_missing_value_says_where(images):
    assert isinstance(check_images([images.paths[0], None])[1], MissingImage)
    assert "number 1" in str(check_images([images.paths[0], None])[1].error())


# What files hold

def content_of(path):
    with open(path, "rb") as stream:
        return stream.read()


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
@pytest.mark.parametrize("suffix, settings", [("jpg", {"quality": 90}), ("png", {}), ("bmp", {}),
                                              ("webp", {"lossless": True})])
def test_bytes_are_read_as_their_file_is(tmp_path, wrap, suffix, settings):
    path = str(tmp_path / "picture.") + suffix
    pixels = np.random.RandomState(0).randint(0, 256, (50, 70, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **settings)
    assert (read_image(wrap(content_of(path)), 32) == read_image(path, 32)).all()


def test_open_files_are_read_from_where_they_stand(tmp_path):
    path = str(tmp_path / "picture.png")
    Image.new("RGB", (9, 9), "red").save(path)
    with open(path, "rb") as stream:
        (tmp_path / "two").write_bytes(b"before" + stream.read())
    with open(str(tmp_path / "two"), "rb") as stream:
        stream.read(6)
        assert (read_image(stream, 9) == [255, 0, 0]).all()


def test_bytes_and_files_answer_alike(model, images):
    paths = images.paths[:4]
    contents = [content_of(path) for path in paths]
    expected = model.predict_proba(paths)
    assert (model.predict_proba(contents) == expected).all()
    assert (model.predict_proba([contents[0], paths[1], io.BytesIO(contents[2]), paths[3]])
            == expected).all()
    assert (model.extractor_.transform(contents) == model.extractor_.transform(paths)).all()


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"), (b"nothing", "not a JPEG, PNG"), (b"\xff\xd8\xff\xe0", "damaged or cut short")])
def test_bytes_that_are_no_picture(model, content, words):
    with pytest.raises(ImageError) as caught:
        read_image(content, 32)
    assert "({} bytes)".format(len(content)) in str(caught.value)
    assert words in str(caught.value)
    with pytest.warns(gt.SkippedImageWarning, match=words):
        assert model.predict([content]).tolist() == [None]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_open_files_go_wherever_paths_go(model, images, name):
    call = callers(model)[name]
    if name.startswith(("fit", "plot_activation", "plot_misclassified", "plot_predictions")):
        call([io.BytesIO(content_of(path)) for path in (images.paths * 2)[:40]])
    else:
        call([io.BytesIO(content_of(path)) for path in images.paths[:6]])


def test_a_file_open_for_text(tmp_path):
    (tmp_path / "text").write_text("text")
    with open(str(tmp_path / "text")) as stream, pytest.raises(TypeError) as caught:
        read_image(stream, 9)
    assert "mode 'rb'" in str(caught.value)


def test_the_content_of_one_picture_is_no_sequence(model):
    with pytest.raises(TypeError) as caught:
        model.predict(b"\xff\xd8\xff")
    assert "give [image]" in str(caught.value)
