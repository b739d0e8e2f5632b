"""Augmented views: the same everywhere, for training only, computed once, kept with the model."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from gear_transfer import (Augmentation, FeatureExtractor, FeatureSet, HeadClassifier, ImageError,
                           ModelFileError, TransferClassifier, compute_features, cross_validate,
                           load_folder, load_model, make_shapes, read_image)
from gear_transfer.features.distributed import extract_chunk, make_task
from gear_transfer.importers.native import read_network, write_network

QUICK = dict(layer="mixed0", input_size=96, epochs=4, precision="float32", threads=1)
STILL = dict(flip=False, crop=0, colour=0, rotation=0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augmentation") / "shapes"
    return load_folder(make_shapes(folder, per_class=8, size=96, random_state=4))


@pytest.fixture(scope="module")
def fitted(shapes, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return TransferClassifier(augment=Augmentation(views=2, rotation=5), cache=cache,
                              **QUICK).fit(shapes)


def photograph():
    """White, with a dark thing at the upper left."""
    pixels = np.full((80, 80, 3), 255, np.uint8)
    pixels[10:40, 5:20] = (40, 90, 200)
    return pixels


# What a view is

def test_a_view_without_any_change_is_the_photograph():
    for size, resize in ((64, "pad"), ((48, 80), "pad"), ((48, 80), "stretch")):
        plain = read_image(photograph(), size, resize)
        view, = Augmentation(views=1, **STILL).views_of(photograph(), size, resize)
        np.testing.assert_array_equal(view, plain)


def test_views_differ_and_stay_what_they_are(shapes, tmp_path):
    augmentation = Augmentation(views=5)
    views = augmentation.views_of(shapes.paths[0], 96)
    assert views.shape == (5, 96, 96, 3) and views.dtype == np.uint8
    assert len(set(view.tobytes() for view in views)) == 5
    copy = str(tmp_path / "other name.jpg")
    shutil.copy(shapes.paths[0], copy)
    np.testing.assert_array_equal(augmentation.views_of(copy, 96), views)
    np.testing.assert_array_equal(Augmentation(views=3).views_of(copy, 96), views[:3])
    for other in (Augmentation(views=5, seed=1).views_of(copy, 96),
                  augmentation.views_of(shapes.paths[1], 96)):
        assert not any(np.array_equal(*pair) for pair in zip(other, views))


def test_the_draws_are_those_of_any_machine():
    draws = Augmentation(seed=3)._draws(b"content", 1)
    assert len(draws) == 8
    np.testing.assert_allclose(draws, [0.555757, 0.651272, 0.826873, 0.422640, 0.647716, 0.386353,
                                       0.207434, 0.423462], atol=1e-6)


@pytest.mark.parametrize("kind", ["array", "PIL"])
def test_pictures_in_memory_have_the_views_of_their_pixels(kind):
    pixels = photograph()
    image = pixels if kind == "array" else Image.fromarray(pixels)
    np.testing.assert_array_equal(Augmentation().views_of(image, 64),
                                  Augmentation().views_of(pixels.copy(), 64))


def test_each_change_does_what_it_says():
    plain = read_image(photograph(), 80)

    def views(**settings):
        return Augmentation(views=24, **dict(STILL, **settings)).views_of(photograph(), 80)

    mirrored = [np.array_equal(view, plain[:, ::-1]) for view in views(flip=True)]
    unchanged = [np.array_equal(view, plain) for view in views(flip=True)]
    assert sum(mirrored) + sum(unchanged) == 24 and 4 <= sum(mirrored) <= 20
    for view in views(crop=0.4):  # the thing only grows, up to 1 / (1 - 0.4) along each axis
        dark = (view[:, :, 0] < 150).sum() / 450.0
        assert dark <= 1.05 / 0.6 ** 2
    means = [view[25, 12].astype(float) for view in views(colour=0.5)]
    assert np.ptp(means, axis=0).min() > 20
    assert all(np.ptp(view[60:].reshape(-1, 3), axis=0).max() == 0 for view in views(colour=0.5))
    for view in views(rotation=15):
        rows, columns = np.nonzero(view[:, :, 0] < 150)
        assert abs(len(rows) - 450) < 25
        angle = np.degrees(np.arctan2(rows.mean() - 39.5, columns.mean() - 39.5)
                           - np.arctan2(24.5 - 39.5, 12.0 - 39.5))
        assert abs((angle + 180) % 360 - 180) < 16
        assert (view[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()


def test_what_cannot_be_read_is_named(tmp_path):
    path = str(tmp_path / "cut.jpg")
    Image.fromarray(photograph()).save(path)
    with open(path, "r+b") as stream:
        stream.truncate(300)
    with pytest.raises(ImageError, match="cut.jpg"):
        Augmentation().views_of(path, 64)


@pytest.mark.parametrize("settings, message", [
    (dict(views=0), "views of an Augmentation must be a whole number from 1 to 256, not 0"),
    (dict(views=2.5), "views"), (dict(views=True), "views"), (dict(seed=-1), "seed"),
    (dict(crop=0.6), "crop of an Augmentation must be a number from 0 to 0.5, not 0.6"),
    (dict(colour="red"), "colour"), (dict(rotation=float("nan")), "rotation"),
    (dict(flip=1), "flip of an Augmentation must be True or False, not 1")])
def test_settings_that_make_no_sense(settings, message, shapes):
    with pytest.raises(ValueError, match=message):
        TransferClassifier(augment=Augmentation(**settings), **QUICK).fit(shapes)


@pytest.mark.parametrize("augment", [-1, 257, True, 2.0, "4", {"views": 4}])
def test_augment_is_a_number_or_an_augmentation(augment, shapes):
    with pytest.raises(ValueError, match="augment must be None, a number of views up to 256 or an"):
        TransferClassifier(augment=augment, **QUICK).fit(shapes)


# Features of views

def test_features_of_views_are_those_of_their_pixels_and_kept(shapes, tmp_path, monkeypatch):
    augmentation = Augmentation(views=3)
    extractor = FeatureExtractor(cache=tmp_path / "cache", batch_size=4,
                                 **dict((name, QUICK[name]) for name in (
                                     "layer", "input_size", "precision", "threads")))
    some = shapes.paths[::6]
    found = extractor.extract_views(some, augmentation)
    assert found.features.shape == (4, 3, extractor.backbone_.n_features)
    for path, features in zip(some, found.features):
        direct = extractor.transform(augmentation.views_of(path, 96))
        np.testing.assert_allclose(features, direct, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("gear_transfer.photographs.augmentation.read_picture", None)
    np.testing.assert_array_equal(extractor.extract_views(some[::-1], 3).features[::-1],
                                  found.features)
    for other in (Augmentation(views=3, seed=1), Augmentation(views=2)):
        with pytest.raises(TypeError):
            extractor.extract_views(some, other)
    monkeypatch.undo()
    plain = extractor.transform(some)
    assert plain.shape == (4, extractor.backbone_.n_features)


def test_a_broken_photograph_among_views(shapes, tmp_path):
    broken = str(tmp_path / "broken.png")
    with open(broken, "wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
    extractor = FeatureExtractor(layer="mixed0", input_size=96, precision="float32", cache=False)
    found = extractor.extract_views([shapes.paths[0], broken, shapes.paths[1]], 2)
    assert found.positions.tolist() == [0, 2] and found.features.shape[:2] == (2, 2)
    assert [position for position, _ in found.failures] == [1]
    nothing = extractor.extract_views([broken], 2)
    assert nothing.features.shape == (0, 2, extractor.backbone_.n_features)
    with pytest.raises(ImageError, match="broken.png"):
        extractor.extract_views([broken], 2, strict=True)
    with pytest.raises(ValueError, match="augment must be 1 or more views, not 0"):
        extractor.extract_views(shapes.paths, 0)


def test_workers_make_the_same_views(shapes):
    extractor = FeatureExtractor(cache=False, batch_size=4, layer="mixed0", input_size=96,
                                 precision="float32", threads=1).fit()
    augmentation, some = Augmentation(views=2), shapes.paths[:6]
    task = make_task(extractor.backbone_, "pad", 4, 1, None, augmentation)
    indices, features, failures = extract_chunk(task, some)
    assert indices.tolist() == list(range(6)) and failures == []
    here = extractor.extract_views(some, augmentation).features
    np.testing.assert_array_equal(features.reshape(here.shape), here)


# Training with views

def test_only_what_is_trained_on_has_views():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.randn(30, 4), rng.randn(30, 4) + 3]).astype(np.float32)
    y = np.repeat(["left", "right"], 30)
    views = (X[:, None] + 0.1 * rng.randn(60, 3, 4)).astype(np.float32)
    head = HeadClassifier(epochs=3, refit=False).fit(X, y, groups=np.arange(60), views=views)
    held = head.validation_indices_
    assert len(held) == 6
    train = np.setdiff1d(np.arange(60), held)
    by_hand = HeadClassifier(epochs=3, refit=False).fit(
        np.concatenate([X[train], views[train].reshape(-1, 4)]),
        np.concatenate([y[train], np.repeat(y[train], 3)]), validation_data=(X[held], y[held]))
    np.testing.assert_array_equal(head.coefs_[0], by_hand.coefs_[0])
    assert head.history_ == by_hand.history_
    spoilt = views.copy()
    spoilt[held] = 1e6
    other = HeadClassifier(epochs=3, refit=False).fit(X, y, groups=np.arange(60), views=spoilt)
    np.testing.assert_array_equal(other.coefs_[0], head.coefs_[0])


def test_views_can_be_asked_for_when_it_is_known_what_is_trained_on():
    rng = np.random.RandomState(0)
    X, y = rng.randn(40, 4).astype(np.float32), np.arange(40) % 2
    views = rng.randn(40, 2, 4).astype(np.float32)
    asked = []

    def views_of(positions):
        asked.append(positions.tolist())
        return views[positions]

    for settings, data in ((dict(refit=False), None), (dict(), None), (dict(), (X[:6], y[:6])),
                           (dict(validation_fraction=0), None)):
        del asked[:]
        head = HeadClassifier(epochs=3, **settings).fit(X, y, validation_data=data, views=views_of)
        whole = HeadClassifier(epochs=3, **settings).fit(X, y, validation_data=data, views=views)
        np.testing.assert_array_equal(head.coefs_[0], whole.coefs_[0])
        assert head.history_ == whole.history_ and head.temperature_ == whole.temperature_
        held = head.validation_indices_ if "refit" in settings else []  # else trained on in the end
        assert [sorted(positions) for positions in asked] == [
            np.setdiff1d(np.arange(40), held).tolist()]
    with pytest.raises(ValueError, match=r"views must have the shape \(36, v, 4\), not \(3, 2, 4\)"):
        HeadClassifier(epochs=1, refit=False).fit(X, y, views=lambda positions: views[:3])
    views[39, 1, 2] = np.nan
    with pytest.raises(ValueError, match="views must be finite; those of sample 39 are not"):
        HeadClassifier(epochs=1, validation_fraction=0).fit(X, y, views=views_of)


@pytest.mark.parametrize("shape", [(10, 3), (9, 2, 3), (10, 2, 4)])
def test_views_must_fit_the_samples(shape):
    X, y = np.eye(10, 3), np.arange(10) % 2
    with pytest.raises(ValueError, match=r"views must have the shape \(10, v, 3\), not"):
        HeadClassifier(epochs=1).fit(X, y, views=np.zeros(shape))
    with pytest.raises(ValueError, match=r"views must have the shape \(10, v, 3\), not"):
        FeatureSet(X, y, views=np.zeros(shape))


def test_views_are_finite():
    X, y = np.eye(10, 3), np.arange(10) % 2
    views = np.zeros((10, 2, 3))
    views[4, 1, 2] = np.inf
    with pytest.raises(ValueError, match="views must be finite; those of sample 4 are not"):
        HeadClassifier(epochs=1).fit(X, y, views=views)


def test_no_view_straddles_the_folds_of_cross_validation():
    """Views that give the label away help only if they are trained on beside their sample."""
    rng = np.random.RandomState(1)
    X, y = rng.randn(80, 6), np.arange(80) % 2
    # Each view is its sample exactly: a view in another fold would be the answer.
    views = np.repeat(X[:, None], 4, axis=1)
    result = cross_validate(FeatureSet(X, y, views=views), estimator=HeadClassifier(epochs=20))
    assert result.probabilities.shape == (80, 2) and 0.25 < result.accuracy < 0.75
    from sklearn.neighbors import KNeighborsClassifier
    nearest = cross_validate(FeatureSet(X, y, views=views),
                             estimator=KNeighborsClassifier(n_neighbors=1))
    plain = cross_validate(FeatureSet(X, y), estimator=KNeighborsClassifier(n_neighbors=1))
    np.testing.assert_array_equal(nearest.predicted, plain.predicted)


def test_the_whole_job_with_views(shapes, fitted, tmp_path):
    plain = TransferClassifier(cache=fitted.cache, **QUICK).fit(shapes)
    np.testing.assert_array_equal(fitted.training_.features, plain.training_.features)
    np.testing.assert_array_equal(fitted.split_.parts, plain.split_.parts)
    assert not np.array_equal(fitted.head_.coefs_[0], plain.head_.coefs_[0])
    assert "and 2 views of each" in fitted.summary()
    samples = compute_features(shapes, fitted)
    assert samples.views.shape == (24, 2, samples.features.shape[1])
    assert "2 views of each" in repr(samples)
    assert samples.subset([20, 1]).views.shape[0] == 2
    np.testing.assert_array_equal(samples.subset([20, 1]).views, samples.views[[20, 1]])
    assert compute_features(shapes, plain).views is None
    again = HeadClassifier(epochs=4, threads=1).fit(
        samples.features, samples.labels, groups=fitted.training_.groups, views=samples.views)
    np.testing.assert_array_equal(again.coefs_[0], fitted.head_.coefs_[0])


# The only group of triangles cannot be divided, of which a warning tells.
@pytest.mark.filterwarnings("ignore:1 class with one photograph")
def test_no_view_is_made_of_a_photograph_that_is_held_back(shapes, tmp_path, monkeypatch):
    """Near-duplicates of the held-back ones neither, and the model is that of all views, bit for
    bit."""
    for number, path in enumerate(shapes.paths[::5]):  # each has a copy, with other bytes
        picture = Image.open(path).convert("RGB")
        picture.putpixel((0, 0), (250, 250, 250 - number))
        folder = tmp_path / "shapes" / shapes.labels[5 * number]
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(str(folder / "copy{}.png".format(number)))
        shutil.copy(path, str(folder))
    images, viewed = load_folder(tmp_path / "shapes"), []
    views_of = Augmentation.views_of
    monkeypatch.setattr(Augmentation, "views_of", lambda self, image, *settings, **named: (
        viewed.append(image), views_of(self, image, *settings, **named))[1])
    settings = dict(QUICK, cache=tmp_path / "cache", augment=2, validation_fraction=0.3,
                    refit=False)
    model = TransferClassifier(**settings).fit(images)
    held = [path for path, part in zip(images.paths, model.split_.parts) if part == 1]
    assert held and len(viewed) == len(images.paths) - len(held)
    assert sorted(viewed) == sorted(set(images.paths) - set(held))
    assert len(model.training_.features) == len(images.paths)  # the plain ones are all there
    del viewed[:]
    samples = compute_features(images, model)  # any may be trained on: the others are made now
    assert sorted(viewed) == sorted(held)
    whole = HeadClassifier(epochs=4, threads=1, validation_fraction=0.3, refit=False).fit(
        samples.features, samples.labels, groups=model.training_.groups, views=samples.views)
    np.testing.assert_array_equal(whole.coefs_[0], model.head_.coefs_[0])
    assert whole.history_ == model.history_
    assert whole.temperature_ == model.head_.temperature_
    del viewed[:]
    again = TransferClassifier(**settings).fit(images)
    np.testing.assert_array_equal(again.head_.coefs_[0], model.head_.coefs_[0])
    assert viewed == []
    given = TransferClassifier(**settings).fit(images, validation_data=shapes)
    assert given.split_.parts.tolist().count(1) == len(shapes.paths) and viewed == []


def test_the_settings_are_kept_with_the_model(fitted, shapes, tmp_path):
    path = str(tmp_path / "model.gtm")
    fitted.save(path)
    loaded = load_model(path)
    assert loaded.augment.to_dict() == fitted.augment.to_dict()
    np.testing.assert_array_equal(loaded.predict(shapes.paths[:4]),
                                  fitted.predict(shapes.paths[:4]))
    network = read_network(path)
    settings = json.loads(network.extra["classifier"])
    for augment in ({"views": 2}, dict(settings["parameters"]["augment"], views=0),
                    dict(settings["parameters"]["augment"], flip="yes"), 4):
        changed = json.loads(json.dumps(settings))
        changed["parameters"]["augment"] = augment
        network.extra = {"classifier": json.dumps(changed)}
        write_network(path, network)
        with pytest.raises(ModelFileError, match="augment is missing or damaged"):
            load_model(path)
    del settings["parameters"]["augment"]  # as earlier releases wrote it
    network.extra = {"classifier": json.dumps(settings)}
    write_network(path, network)
    assert load_model(path).augment is None


def test_a_grid_search_may_vary_the_views():
    model = TransferClassifier(augment=Augmentation())
    model.set_params(augment__views=7)
    assert model.augment.views == 7 and model.get_params()["augment__crop"] == 0.2
