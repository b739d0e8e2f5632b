"""Plots: what is written on them, and that they leave the session alone."""
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import colors  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402

import gear_transfer as gt  # noqa: E402
from conftest import HOME  # noqa: E402
from gear_transfer import Augmentation, Backbone, find_duplicates, learning_curve  # noqa: E402
from gear_transfer.photographs.datasets import make_shape  # noqa: E402
from gear_transfer.photographs.image_set import ImageSet  # noqa: E402
from gear_transfer.plots import (plot_activation_maps, plot_confusion_matrix,  # noqa: E402
                                 plot_duplicates, plot_history, plot_images, plot_learning_curve,
                                 plot_learning_curves, plot_predictions, plot_views)
from gear_transfer.workbench.learning_curves import LearningCurve  # noqa: E402

HISTORY = {"loss": [2.0, 1.0, 0.5, 0.4], "val_loss": [2.1, 1.2, 0.9, 1.0],
           "accuracy": [0.3, 0.6, 0.8, 0.9], "val_accuracy": [0.25, 0.5, 0.7, 0.65]}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def photographs():
    rng = np.random.RandomState(0)
    return [rng.randint(0, 255, shape).astype(np.uint8)
            for shape in ((30, 40, 3), (40, 30), (20, 20, 4), (60, 20, 3), (8, 8, 1))]


def drawn(figure):
    """Draw and return where each title, label and tick label lies, in pixels."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [text for ax in figure.axes
             for text in [ax.title, ax.xaxis.label, ax.yaxis.label]
             + [label for label, tick in zip(ax.get_xticklabels(), ax.get_xticks())
                if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
             + [label for label, tick in zip(ax.get_yticklabels(), ax.get_yticks())
                if min(ax.get_ylim()) <= tick <= max(ax.get_ylim())]]
    return [(text, text.get_window_extent(renderer)) for text in texts if text.get_text()]


def assert_nothing_is_cut_off(figure):
    box = figure.bbox
    for text, extent in drawn(figure):
        assert extent.x0 >= box.x0 - 2 and extent.x1 <= box.x1 + 2, text
        assert extent.y0 >= box.y0 - 2 and extent.y1 <= box.y1 + 2, text


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# History

def test_history_on_a_new_figure():
    loss, accuracy = plot_history(HISTORY)
    for ax, name in ((loss, "loss"), (accuracy, "accuracy")):
        training, validation, _, best = ax.get_lines()
        assert training.get_xdata().tolist() == [1, 2, 3, 4]
        assert training.get_ydata().tolist() == HISTORY[name]
        assert validation.get_ydata().tolist() == HISTORY["val_" + name]
        assert list(best.get_xdata()) == [3]
        assert ax.get_title() == name and ax.get_xlabel() == "epoch"
        assert legend(ax)[:2] == ["training", "validation"]
    assert legend(loss)[2] == "best epoch 3: 0.9"
    assert legend(accuracy)[2] == "best epoch 3: 70.0%"
    assert_nothing_is_cut_off(loss.figure)


def test_history_without_validation_or_accuracy():
    loss, = plot_history({"loss": [3, 1, 2]})
    assert legend(loss) == ["training", "best epoch 2: 1"]
    assert len(plot_history({"loss": [3.0], "accuracy": [0.5]})) == 2


def test_history_that_is_not_a_number():
    nan = float("nan")
    loss, = plot_history({"loss": [nan, nan]})
    assert legend(loss) == ["training"]
    loss, = plot_history({"loss": [nan, 2, 3]})
    assert legend(loss)[1] == "best epoch 2: 2"
    loss.figure.canvas.draw()


def test_history_on_given_axes():
    figure, ax = plt.subplots()
    assert plot_history(HISTORY, ax) is ax
    assert ax.get_title() == "loss" and figure.axes == [ax]
    _, pair = plt.subplots(1, 2)
    plot_history(HISTORY, pair)
    assert [ax.get_title() for ax in pair] == ["loss", "accuracy"]


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"accuracy": [1]}])
def test_history_needs_a_loss(history):
    with pytest.raises(ValueError, match="'loss'"):
        plot_history(history)


def test_epoch_ticks_are_whole_numbers():
    for epochs in (1, 2, 30):
        loss, = plot_history({"loss": np.linspace(2, 1, epochs)})
        loss.figure.canvas.draw()
        low, high = loss.get_xlim()
        ticks = [tick for tick in loss.get_xticks() if low <= tick <= high]
        assert ticks and all(tick == int(tick) and tick >= 1 for tick in ticks)


# Predictions

def test_titles(photographs):
    names = ["axes", "a_b", "rope", "tents", "boots"]
    axes = plot_predictions(photographs, names, [0.5, 0.999, 1, 0.25, 0.1],
                            ["axes", "a_b", "boots", "tents", "boots"])
    titles = [ax.get_title().split("\n") for ax in axes]
    assert [title[0] for title in titles] == names
    assert titles[0][1:] == ["50.0%"] and titles[1][1] == "99.9%"
    assert titles[2] == ["rope", "100.0%", "true: boots"]
    reds = [colors.to_rgb(ax.title.get_color())[0] > 0.6 for ax in axes]
    assert reds == [False, False, True, False, False]
    assert len(axes[0].figure.axes) == 5
    assert_nothing_is_cut_off(axes[0].figure)


def test_titles_without_confidence(photographs):
    axes = plot_predictions(photographs, list("abcde"), columns=2)
    assert [ax.get_title() for ax in axes] == list("abcde")
    assert len(axes[0].figure.axes) == 5
    assert_nothing_is_cut_off(axes[0].figure)


def test_titles_do_not_overlap(photographs):
    names = ["hardshell_jackets_of_the_longest_kind"] * 5
    axes = plot_predictions(photographs, names, np.full(5, 0.5), ["x"] * 5)
    boxes = [extent for text, extent in drawn(axes[0].figure) if text.get_text()[0] == "h"]
    assert len(boxes) == 5
    for left, right in zip(boxes, boxes[1:]):
        assert left.x1 < right.x0


def test_confidence_from_a_matrix(photographs):
    axes = plot_predictions(photographs[:1], ["a"], np.array([[0.25, 0.75]]))
    assert axes[0].get_title() == "a\n75.0%"


def test_dollars_are_no_mathematics(photographs):
    axes = plot_predictions(photographs[:1], [r"$\notacommand$"])
    axes[0].figure.canvas.draw()
    plot_confusion_matrix(["$a$", "$\\b$"], ["$a$", "$a$"]).figure.canvas.draw()


def test_unreadable_image_is_a_grey_tile(photographs):
    axes = plot_predictions([photographs[0], "/none.jpg"], ["a", "b"])
    assert "no such file" in axes[1].texts[0].get_text().replace("\n", " ")
    pixels = np.asarray(axes[1].images[0].get_array())
    assert (pixels == pixels[0, 0, 0]).all() and 200 < pixels[0, 0, 0] < 250
    assert axes[1].get_title() == "b" and not axes[0].texts


def test_image_set_and_given_axes(photographs):
    figure, given = plt.subplots(2, 3)
    axes = plot_predictions(photographs, list("abcde"), axes=given)
    assert list(axes) == list(given.ravel()[:5]) and len(figure.axes) == 6
    assert len(plot_predictions(ImageSet(["/none"], ["a"]), ["a"])) == 1


def test_lengths_are_checked(photographs):
    with pytest.raises(ValueError, match="5 images but 1 predictions"):
        plot_predictions(photographs, ["a"])
    with pytest.raises(ValueError, match="5 images but 2 probabilities"):
        plot_predictions(photographs, list("abcde"), [0.1, 0.2])
    with pytest.raises(ValueError, match="5 images but 1 true_labels"):
        plot_predictions(photographs, list("abcde"), true_labels=["a"])
    with pytest.raises(ValueError, match="only 1 axes"):
        plot_predictions(photographs, list("abcde"), axes=[plt.gca()])
    with pytest.raises(ValueError, match="columns"):
        plot_predictions(photographs, list("abcde"), columns=0)
    with pytest.raises(ValueError, match="no images"):
        plot_predictions([], [])
    with pytest.raises(TypeError, match="one path"):
        plot_predictions("a.jpg", ["a"])


def test_predictions_that_are_none_of_the_classes(photographs):
    axes = plot_predictions(photographs[:4], ["a", "none of these", "none of these", "?"],
                            [0.9, 0.8, 0.7, 0.6], ["a", "b", "a", "b"])
    assert [ax.get_title() for ax in axes] == [
        "a\n90.0%", "none of these\ntrue: b", "none of these\ntrue: a", "?\n60.0%\ntrue: b"]
    hues = [colors.to_rgb(ax.title.get_color()) for ax in axes]
    assert hues[1] == hues[2] and len(set(hues)) == 3
    assert max(hues[1]) == min(hues[1]) > max(hues[0])  # grey, lighter than what is known
    doubted, = plot_predictions(photographs[:1], ["a"], true_labels=["b"], truth="label")
    assert doubted.get_title() == "a\nlabel: b"
    own, = plot_predictions(photographs[:1], ["?"], [0.6], unknown="?")
    assert own.get_title() == "?" and colors.to_rgb(own.title.get_color()) == hues[1]


# Near-duplicates

def test_duplicates_side_by_side(photographs):
    shape = make_shape("circle", 80, 0)
    nearly = np.maximum(shape, 1)
    nearly[:10, :40] = 30
    images = [shape, photographs[0], shape.copy(), nearly, photographs[1],
              np.ascontiguousarray(photographs[1])]
    found = find_duplicates(images, cache=False)
    assert [group.tolist() for group in found.clusters()] == [[0, 2, 3], [4, 5]]
    axes = plot_duplicates(found)
    titles = [ax.get_title().split("\n") for ax in axes]
    assert [title[0] for title in titles] == [
        "group 1: 3 photographs", "", "", "group 2: 2 photographs", ""]
    assert [title[1] for title in titles] == ["image 0", "image 2", "image 3", "image 4", "image 5"]
    apart = found.distances[(found.pairs == 3).any(axis=1)].min()
    assert 0 < apart and titles[2][2] == "distance {:.3f}".format(apart)
    assert [title[2] for title in titles[:2]] == ["distance 0.000", "the same file"]
    assert titles[4][2] == "the same file"
    boxes = [ax.get_position() for ax in axes]
    assert boxes[0].y0 == boxes[2].y0 > boxes[3].y0 and boxes[0].x0 == boxes[3].x0
    assert_nothing_is_cut_off(axes[0].figure)
    assert len(plot_duplicates(found, most=1, columns=2)) == 2


def test_no_duplicates_and_numbers_out_of_range(photographs):
    found = find_duplicates(photographs[:2], cache=False)
    assert plot_duplicates(found)[0].texts[0].get_text() == "no near-duplicates"
    for arguments, message in ((dict(most=0), "most"), (dict(columns=1), "columns")):
        with pytest.raises(ValueError, match=message):
            plot_duplicates(found, **arguments)


# Augmented views

@pytest.mark.slow
def test_views_beside_their_photographs(photographs):
    augmentation = Augmentation(views=2, seed=5)
    axes = plot_views(photographs[:3], augmentation, input_size=(40, 48), resize="pad")
    assert axes.shape == (3, 3)
    assert [ax.get_title() for ax in axes[1]] == ["photograph", "view 1", "view 2"]
    for image, row in zip(photographs, axes):
        for view, ax in zip(augmentation.views_of(image, (40, 48)), row[1:]):
            np.testing.assert_array_equal(ax.images[0].get_array(), view)
    assert_nothing_is_cut_off(axes[0, 0].figure)
    assert plot_views(photographs[:1]).shape == (1, 5)


def test_photographs_are_shown_at_the_size_of_a_classifier_with_the_defaults(photographs):
    size = Backbone.load(quality="balanced").input_size
    maps = np.ones((1, 6, 6))
    for ax in list(plot_views(photographs[:1], 1).ravel()) + list(
            plot_activation_maps(photographs[:1], maps)):
        assert ax.images[0].get_array().shape[:2] == size
    assert plot_activation_maps(photographs[:1], maps, input_size=(40, 48))[0].images[
        0].get_array().shape[:2] == (40, 48)


def test_views_that_cannot_be_shown(photographs):
    with pytest.raises(ValueError, match="there are no images"):
        plot_views([])
    with pytest.raises(ValueError, match="augment must be 1 or more views, not 0"):
        plot_views(photographs, 0)


# Confusion matrix

def cells(ax):
    n = len(ax.get_xticks())
    return np.array([text.get_text() for text in ax.texts]).reshape(n, n).tolist()


@pytest.fixture(scope="module")
def curve():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.randn(60, 5), rng.randn(60, 5) + 1.5])
    return learning_curve(X, np.repeat(["left", "right"], 60))


def test_learning_curve(curve):
    ax = plot_learning_curve(curve)
    accuracy, _, expected = ax.lines
    assert accuracy.get_xdata().tolist() == curve.sizes.tolist()
    assert accuracy.get_ydata().tolist() == curve.accuracies().tolist()
    assert expected.get_xdata().tolist() == [2 * curve.sizes[-1]]
    assert expected.get_ydata().tolist() == [curve.expected()]
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "{:,}".format(size) for size in curve.sizes.tolist() + [2 * curve.sizes[-1]]]
    assert ax.get_title() == "more photographs " + curve.outlook()


def test_learning_curve_of_a_class(curve):
    own = plt.figure().add_subplot(1, 1, 1)
    assert plot_learning_curve(curve, "left", own) is own
    assert own.lines[0].get_ydata().tolist() == curve.accuracies("left").tolist()
    assert own.lines[0].get_label() == "recall of left"
    with pytest.raises(ValueError, match="no class 'up'"):
        plot_learning_curve(curve, "up")


NAMES = ["c{}".format(i) for i in range(10)] + [
    "a class with a long name, $ the left", "a class with a long name, $ the right"]


@pytest.fixture(scope="module")
def many_classes():
    rng = np.random.RandomState(1)
    centres, labels = 1.2 * rng.randn(12, 6), np.repeat(np.arange(12), 20)
    return learning_curve(centres[labels] + rng.randn(240, 6), np.array(NAMES)[labels])


@pytest.mark.slow
def test_learning_curves_of_all_classes(many_classes):
    axes = plot_learning_curves(many_classes)
    assert axes.shape == (12,) and len(axes[0].figure.axes) == 12
    for ax, name in zip(axes, many_classes.classes.tolist()):
        every, own, _, expected = ax.lines
        assert every.get_ydata().tolist() == many_classes.accuracies().tolist()
        assert own.get_ydata().tolist() == many_classes.accuracies(name).tolist()
        assert expected.get_ydata().tolist() == [many_classes.expected(name)]
        assert ax.get_title().endswith("n = 20; more " + many_classes.outlook(name))
        assert ax.get_xlim() == axes[0].get_xlim() and ax.get_ylim() == axes[0].get_ylim()
        low, high = many_classes.intervals(name).T
        assert ax.get_ylim()[0] <= low.min() and high.max() <= ax.get_ylim()[1]
    figure = axes[0].figure
    assert_nothing_is_cut_off(figure)
    extents = [extent for text, extent in drawn(figure) if text in [ax.title for ax in axes]]
    assert len(extents) == 12 and not any(
        a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])
    titles = [ax.get_title().split("\n")[0] for ax in axes]
    assert len(set(titles)) == 12 and "..." in titles[0] and titles[0].endswith("left")
    assert set(text.get_text() for text in figure.legends[0].get_texts()) == {
        "accuracy of all classes", "95 % interval", "recall of the class",
        "expected of twice as many"}
    shown = [any(label.get_visible() for label in ax.get_xticklabels()) for ax in axes]
    assert shown == [False] * 8 + [True] * 4


def test_learning_curves_that_are_chosen(many_classes):
    axes = plot_learning_curves(many_classes, ["c3", "c1", "c2"], columns=2)
    assert [ax.get_title().split("\n")[0] for ax in axes] == ["c3", "c1", "c2"]
    assert len(axes[0].figure.axes) == 3
    assert_nothing_is_cut_off(axes[0].figure)
    own = plt.subplots(1, 3)[1]
    assert plot_learning_curves(many_classes, ["c3", "c1"], axes=own).tolist() == own[:2].tolist()
    assert own[0].get_legend() is not None and not own[2].lines
    for arguments, named in [((["up"],), "no class 'up'"), (([],), "labels"),
                             ((None, 0), "columns"), ((None, 4, own), "12 classes but only 3 axes")]:
        with pytest.raises(ValueError, match=named):
            plot_learning_curves(many_classes, *arguments)


@pytest.mark.slow
def test_large_numbers_of_a_learning_curve_do_not_touch(many_classes):
    large = LearningCurve(many_classes.samples, 1000 * many_classes.sizes, many_classes.right)
    axes = plot_learning_curves(large)
    axes[0].figure.canvas.draw()
    texts = [label.get_text() for label in axes[-1].get_xticklabels()]
    assert texts[3] == "{:,}".format(large.sizes[3]) and texts[2] == texts[4] == ""
    extents = [label.get_window_extent() for label in axes[-1].get_xticklabels()
               if label.get_text()]
    assert len(extents) == 2 and not extents[0].overlaps(extents[1])


def test_confusion_matrix_counts():
    ax = plot_confusion_matrix(list("aabbc"), list("abbbc"))
    assert cells(ax) == [["1", "1", "0"], ["0", "2", "0"], ["0", "0", "1"]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_xlabel() == "predicted class" and ax.get_ylabel() == "true class"
    assert ax.get_title() == "4 of 5 right (80.0%)"
    right, wrong = [image.get_array() for image in ax.images[:2]]
    np.testing.assert_allclose(right.filled(-1), np.diag([1.5, 2, 2]) - 1)
    assert wrong.count() == 1 and not wrong.mask[0, 1]


def test_a_single_mistake_of_many_is_seen():
    """Next to white, and in another colour than what is right."""
    ax = plot_confusion_matrix(["a"] * 300 + ["b"], ["a"] * 299 + ["b", "b"])
    wrong = ax.images[1]
    colour = np.array(wrong.cmap(wrong.norm(wrong.get_array()[0, 1]))[:3])
    assert np.abs(colour - 1).max() > 0.3 and colour[0] > colour[2] + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("count, shown", [(41, 41), (100, 60), (1000, 60)])
def test_confusion_matrix_of_many_classes_has_a_size(count, shown):
    names = ["c{:04d}".format(i) for i in range(count)]
    wrong = names[-1:] + names[:-1]
    ax = plot_confusion_matrix(names * 3 + ["c0007"] * 5, names * 2 + wrong + ["c0009"] * 5)
    assert max(ax.figure.get_size_inches()) < 25 and not ax.texts
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == shown and labels == sorted(labels) and {"c0007", "c0009"} <= set(labels)
    assert ax.get_title().startswith("{:,} of {:,} right".format(2 * count, 3 * count + 5))
    assert ("the 60 of {:,} classes".format(count) in ax.get_title()) == (count > 60)
    ax = plot_confusion_matrix(["x" * 300, "b"], ["b", "b"])
    assert max(ax.figure.get_size_inches()) < 25


def test_confusion_matrix_shares():
    ax = plot_confusion_matrix(["a"] * 300 + ["b"], ["a"] * 299 + ["b", "b"], normalize=True)
    assert cells(ax) == [["100", "<1"], ["0", "100"]]


def test_confusion_matrix_with_given_classes():
    ax = plot_confusion_matrix(["a", "b"], ["a", "a"], classes=["c", "b", "a"])
    assert cells(ax) == [["0", "0", "0"], ["0", "0", "1"], ["0", "0", "1"]]
    with pytest.raises(ValueError, match="not among the classes: b"):
        plot_confusion_matrix(["a", "b"], ["a", "a"], classes=["a"])
    with pytest.raises(ValueError, match="2 true but 1"):
        plot_confusion_matrix(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="0 true"):
        plot_confusion_matrix([], [])


@pytest.mark.parametrize("count", [2, 12, 20])
@pytest.mark.slow
def test_confusion_matrix_is_readable(count):
    names = ["insulated_jackets_{}".format(i) for i in range(count)]
    ax = plot_confusion_matrix(names * 400, names * 399 + [names[0]] * count)
    assert_nothing_is_cut_off(ax.figure)
    renderer = ax.figure.canvas.get_renderer()
    width = ax.get_window_extent(renderer).width / count
    assert all(text.get_window_extent(renderer).width < width for text in ax.texts)
    for text, share in zip(ax.texts, np.ravel(ax.images[0].get_array().filled(0))):
        assert (sum(colors.to_rgb(text.get_color())) > 2.9) == (share > 0.9)


def test_confusion_matrix_on_given_axes():
    _, axes = plt.subplots(1, 2)
    assert plot_confusion_matrix(["a", "b"], ["a", "a"], ax=axes[1]) is axes[1]
    assert not axes[0].images


# First images

@pytest.mark.slow
def test_first_images_of_each_class():
    paths = ["/{}".format(i) for i in range(7)]
    images = ImageSet(paths, ["b", "a", "b", "a", "b", "c", "b"])
    axes = plot_images(images)
    assert [ax.get_title() for ax in axes] == ["a\n2 images", "b\n4 images", "c\n1 image"]
    axes = plot_images(images, per_class=3)
    assert [ax.get_title() for ax in axes] == [
        "a\n2 images", "", "b\n4 images", "", "", "c\n1 image"]
    assert len(axes[0].figure.axes) == 6
    assert_nothing_is_cut_off(axes[0].figure)
    with pytest.raises(ValueError, match="per_class"):
        plot_images(images, per_class=0)
    with pytest.raises(ValueError, match="no images"):
        plot_images(ImageSet([], []))


# The session

def test_module_does_not_load_matplotlib():
    code = ("import sys, gear_transfer.plots, gear_transfer.photographs.image_set, "
            "gear_transfer.photographs.datasets; "
            "assert not [m for m in ('matplotlib', 'sklearn', 'h5py') if m in sys.modules]")
    subprocess.check_call([sys.executable, "-c", code], cwd=HOME)


@pytest.mark.filterwarnings("ignore::UserWarning")  # matplotlib 3.0 on reading its own settings
def test_nothing_is_shown_and_the_backend_stays(monkeypatch, photographs):
    monkeypatch.setattr(plt, "show", None)
    monkeypatch.setattr(plt, "close", None)
    before = matplotlib.get_backend()
    settings = dict.copy(matplotlib.rcParams)
    plot_history(HISTORY)
    plot_predictions(photographs, list("abcde"))
    plot_confusion_matrix(["a", "b"], ["a", "a"])
    monkeypatch.undo()
    assert matplotlib.get_backend() == before and dict.copy(matplotlib.rcParams) == settings


@pytest.mark.slow
def test_gear(shared, tmp_path):
    from gear_transfer.photographs.image_set import load_folder, load_images

    axes = plot_images(load_folder(os.path.join(shared, "gear", "images")))
    assert len(axes) == 12 and not any(ax.texts for ax in axes)
    new = load_images(os.path.join(shared, "gear", "new_images"))
    axes = plot_predictions(new, ["axes", "carabiners", "hardshell_jackets", "rope", "tents"])
    axes[0].figure.savefig(str(tmp_path / "new.png"))
    assert os.path.getsize(str(tmp_path / "new.png")) > 10000


def test_plots_have_a_size():
    """Figures that would take the memory of the machine are refused before they are made."""
    white = np.full((2, 2, 3), 255, np.uint8)
    for call in (lambda: gt.plot_predictions([white] * 2000, ["a"] * 2000),
                 lambda: gt.plot_predictions([white] * 900, ["a"] * 900, columns=1),
                 lambda: gt.plot_views([white] * 400, augment=3)):
        with pytest.raises(ValueError, match="too large: show fewer"):
            call()
    rng = np.random.RandomState(0)
    samples = gt.FeatureSet(rng.randn(202, 2), np.repeat(np.arange(101), 2))
    curve = gt.LearningCurve(samples, np.array([50, 100]), np.ones((2, 202), bool))
    with pytest.raises(ValueError, match="101 classes are too many"):
        gt.plot_learning_curves(curve)
