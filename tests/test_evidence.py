"""Why a prediction: activation maps, nearest training photographs, mistakes, and their pictures."""
import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402

from gear_transfer import (Backbone, DatasetError, TransferClassifier, activation_map,  # noqa: E402
                           load_folder, load_model, make_shapes, map_extent, nearest)
from gear_transfer.plots import plot_activation_maps, plot_misclassified, plot_nearest  # noqa: E402

QUICK = dict(layer="mixed0", input_size=96, epochs=4, cache=False, precision="float32")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence") / "shapes"
    return load_folder(make_shapes(folder, per_class=8, size=96, random_state=3))


@pytest.fixture(scope="module")
def fitted(shapes):
    return TransferClassifier(**QUICK).fit(shapes)


# Activation maps

@pytest.mark.parametrize("settings", [
    {}, dict(pooling=None), dict(layer=("mixed1", "mixed0")), dict(input_size=(80, 112)),
    dict(layer=("mixed0", "mixed3")), dict(layer=("mixed3", "mixed0"), pooling=None)])
def test_the_mean_of_a_map_and_the_bias_are_the_logit(shapes, settings):
    model = TransferClassifier(**dict(QUICK, **settings)).fit(shapes)
    some = shapes.paths[::5]
    maps = np.stack([activation_map(model, some, name) for name in model.classes_])
    assert maps.dtype == np.float32 and maps.shape[:2] == (3, len(some)) and maps.ndim == 4
    logits = maps.mean(axis=(2, 3), dtype=np.float64).T + model.head_.intercepts_[0]
    features = model.extractor_.transform(some).astype(np.float64)
    expected = features.dot(model.head_.coefs_[0]) + model.head_.intercepts_[0]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    predicted = model.predict(some)
    np.testing.assert_array_equal(activation_map(model, some),
                                  activation_map(model, some, predicted))


def test_coarse_maps_are_interpolated_to_the_finest(shapes):
    """Each layer's part keeps its mean; between the centres of two places it goes evenly."""
    from gear_transfer.workbench.maps import _enlarged
    coarse = np.array([[[0.0, 4.0], [8.0, 12.0]]])
    fine = _enlarged(coarse, (4, 4))
    np.testing.assert_allclose(fine[0, 0], [0, 1, 3, 4])
    np.testing.assert_allclose(fine[0, :, 0], [0, 2, 6, 8])
    assert abs(fine.mean() - coarse.mean()) < 1e-12
    odd = _enlarged(np.random.RandomState(0).rand(3, 5, 3), (9, 7))
    assert odd.shape == (3, 9, 7)
    np.testing.assert_allclose(odd.mean(axis=(1, 2)),
                               np.random.RandomState(0).rand(3, 5, 3).mean(axis=(1, 2)))


def test_where_logits_are_no_sum_over_places(shapes, fitted):
    for settings, message in [(dict(hidden_layers=(4,)), r"hidden_layers=\(\), not \(4,\)"),
                              (dict(pooling="max"), "with 'max'")]:
        model = TransferClassifier(**dict(QUICK, **settings)).fit(shapes)
        with pytest.raises(ValueError, match=message):
            activation_map(model, shapes.paths[:1])
    with pytest.raises(ValueError, match="no class 'hexagon', only circle"):
        activation_map(fitted, shapes.paths[:1], "hexagon")
    with pytest.raises(ValueError, match="2 images but 1 classes"):
        activation_map(fitted, shapes.paths[:2], ["circle"])
    assert len(activation_map(fitted, [])) == 0


def test_the_map_lies_where_a_mark_is_seen(fitted):
    """A single bright pixel changes the places around it the most."""
    left, top, right, bottom = map_extent(fitted)
    assert 0 < left < 0.2 and left == top and 0.8 < right < 1 and right == bottom
    backbone = Backbone.load(layer="mixed0", input_size=96, pooling=None)
    plain = np.zeros((1, 96, 96, 3), np.uint8)
    for row, column in ((30, 60), (70, 40)):
        marked = plain.copy()
        marked[0, row - 2:row + 3, column - 2:column + 3] = 255
        change = np.abs(backbone.features(marked) - backbone.features(plain)).sum(axis=(0, 3))
        height, width = change.shape
        weight = change / change.sum()
        x = left + (weight.sum(axis=0).dot(np.arange(width)) + 0.5) / width * (right - left)
        y = top + (weight.sum(axis=1).dot(np.arange(height)) + 0.5) / height * (bottom - top)
        assert abs(x - (column + 0.5) / 96) < 0.06 and abs(y - (row + 0.5) / 96) < 0.06


def test_plot_of_maps():
    grey = np.full((40, 40, 3), 115, np.uint8)
    pale = 178  # at 0.55 of the distance from white
    maps = np.zeros((2, 4, 4))
    maps[0, 1, 3], maps[1] = 5.0, -3.0
    axes = plot_activation_maps([grey, grey], maps, ["a", "b"], (0, 0, 1, 1), 40)
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    covered, untouched = (np.asarray(ax.images[0].get_array()).astype(int) for ax in axes)
    assert (untouched == pale).all()
    assert (covered[30:] == pale).all() and (covered[:, :20] == pale).all()
    reddest = np.unravel_index((covered[:, :, 0] - covered[:, :, 2]).argmax(), (40, 40))
    assert 10 <= reddest[0] < 20 and 30 <= reddest[1] < 40
    moved = plot_activation_maps([grey], maps[:1], None, (0.25, 0.25, 0.75, 0.75), 40)
    moved = np.asarray(moved[0].images[0].get_array()).astype(int)
    reddest = np.unravel_index((moved[:, :, 0] - moved[:, :, 2]).argmax(), (40, 40))
    assert 15 <= reddest[0] < 20


def test_white_has_no_share_in_a_map():
    picture = np.full((40, 40, 3), 255, np.uint8)
    picture[15:25, 10:30] = (10, 60, 200)
    for values in (np.ones((1, 4, 4)), np.arange(16.0).reshape(1, 4, 4)):
        axes = plot_activation_maps([picture], values, input_size=40)
        shown = np.asarray(axes[0].images[0].get_array()).astype(int)
        thing = (picture < 255).any(axis=2)
        assert (shown[~thing] == 255).all()
        assert (shown[15:25, 20:30, 0] > shown[15:25, 20:30, 2] + 50).all()


def test_more_evidence_is_redder_on_dark_and_on_light_things():
    maps = np.repeat(np.linspace(0, 1, 9)[None, :], 9, axis=0)[None]
    for level in (10, 90, 180):
        picture = np.full((90, 90, 3), level, np.uint8)
        shown = np.asarray(plot_activation_maps([picture], maps, input_size=90)[0].images[
            0].get_array()).astype(int)[45]
        grey, redness = shown[0], shown[:, 0] - shown[:, 1]
        assert grey.max() - grey.min() <= 1  # no evidence, no colour
        assert (np.diff(redness[5:85]) >= -1).all() and redness[85] > 120


def test_padding_and_blank_pictures_stay_white():
    picture = np.full((40, 40, 3), 255, np.uint8)
    picture[15:25, 10:30] = (10, 60, 200)
    axes = plot_activation_maps([picture[:, :20]], np.ones((1, 4, 4)), input_size=40,
                                resize="pad")
    shown = np.asarray(axes[0].images[0].get_array()).astype(int)
    assert (shown[:, :10] == 255).all() and (shown[:, 30:] == 255).all()
    blank = plot_activation_maps([np.full((9, 9, 3), 255, np.uint8)], np.ones((1, 2, 2)))
    assert (np.asarray(blank[0].images[0].get_array()) == 255).all()


def test_plots_of_maps_that_do_not_fit():
    white = np.full((40, 40, 3), 255, np.uint8)
    maps = np.zeros((2, 4, 4))
    axes = plot_activation_maps(["/none.jpg"], maps[:1])
    assert "no such file" in axes[0].texts[0].get_text().replace("\n", " ")
    for arguments, message in [(([white], maps), "1 images but 2 maps"),
                               (([white, white], maps, ["a"]), "2 images but 1 titles"),
                               (([white], maps[0][:1]), "must have the shape"),
                               (([], maps[:0]), "no images")]:
        with pytest.raises(ValueError, match=message):
            plot_activation_maps(*arguments)


# Neighbours

def test_nearest_training_photographs(shapes, fitted, tmp_path):
    found = nearest(fitted, shapes.paths[3:5], k=4)
    assert [row[0] for row in found.images] == shapes.paths[3:5]
    features = fitted.extractor_.transform(shapes.paths)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = 1 - unit[3:5].dot(unit.T)
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :4], atol=1e-5)
    truth = dict(zip(shapes.paths, shapes.labels))
    assert [[truth[path] for path in row] for row in found.images] == found.labels.tolist()
    assert nearest(fitted, shapes.paths[:1], k=99).distances.shape == (1, 24)
    assert nearest(fitted, []).images == []
    fitted.save(tmp_path / "model.gtm")
    loaded = load_model(tmp_path / "model.gtm")
    with pytest.raises(DatasetError, match="among="):
        nearest(loaded, shapes.paths[:1])
    again = nearest(loaded, shapes.paths[3:5], k=4, among=shapes)
    assert again.images == found.images and again.labels.tolist() == found.labels.tolist()
    with pytest.raises(DatasetError, match="must be an ImageSet"):
        nearest(fitted, shapes.paths[:1], among=shapes.paths)
    for k in (0, 1.5, True):
        with pytest.raises(ValueError, match="k must be"):
            nearest(fitted, shapes.paths[:1], k=k)


def test_plot_of_neighbours(shapes, fitted):
    found = nearest(fitted, shapes.paths[:2], k=3)
    axes = plot_nearest(shapes.paths[:2], ["circle", "square"], found)
    assert axes.shape == (2, 4)
    assert [ax.get_title() for ax in axes[:, 0]] == ["predicted:\ncircle", "predicted:\nsquare"]
    for row, name in enumerate(["circle", "square"]):
        for ax, label, distance in zip(axes[row, 1:], found.labels[row], found.distances[row]):
            assert ax.get_title() == "{}\ndistance {:.3f}".format(label, distance)
            assert (ax.title.get_color() == "#C00000") == (label != name)
    with pytest.raises(ValueError, match="1 images but 2 neighbours"):
        plot_nearest(shapes.paths[:1], ["circle"], found)


# Mistakes

def test_misclassified(shapes):
    paths, truth = shapes.paths[:5], ["a", "b", "c", "d", "e"]
    axes = plot_misclassified(paths, ["a", "x", "y", "d", "z"], truth, [1, 0.5, 0.9, 1, 0.7])
    assert [ax.get_title() for ax in axes] == [
        "y\n90.0%\ntrue: c", "z\n70.0%\ntrue: e", "x\n50.0%\ntrue: b"]
    axes = plot_misclassified(paths, list("vwxyz"), truth, most=2)
    assert [ax.get_title() for ax in axes] == ["v\ntrue: a", "w\ntrue: b"]
    axes = plot_misclassified(paths, truth, truth)
    assert axes[0].texts[0].get_text() == "all 5 right" and not axes[0].images
    with pytest.raises(ValueError, match="5 images but 4 true_labels"):
        plot_misclassified(paths, truth, truth[1:])
    with pytest.raises(ValueError, match="most must be"):
        plot_misclassified(paths, truth, truth, most=0)
    with pytest.raises(ValueError, match="no images"):
        plot_misclassified([], [], [])
