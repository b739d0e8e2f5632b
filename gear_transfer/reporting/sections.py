"""The sections of a report, each a function from the evidence to HTML.

A section for which there is nothing to say gives an empty text and is left out.
"""
import numpy as np

from ..classifiers.description import description_table, training_text
from ..common.tables import counted, percent
from ..photographs.augmentation import as_augmentation
from ..photographs.images import read_image
from ..plots import plot_history, plot_learning_curve
from ..plots.maps import covered
from ..workbench.learning_curves import learning_curve
from ..workbench.maps import activation_map, map_extent
from ..workbench.neighbours import nearest
from ..workbench.suspects import find_label_suspects
from . import parts
from .evidence import FOLDS
from .pictures import drawing

PER_CLASS = 4  # photographs shown
MOST_PICTURES = 120  # of all classes, so that the page stays small
MOST_CLASSES = 40  # of the confusion matrix
MOST_NAMES = 50
CLUSTERS = 6  # groups of near-duplicates
TOP_LOSSES = 18
SUSPECTS = 18
GRID = 27
MAPS = 18
VIEWS = 5  # of a photograph
AUGMENTED = 2  # photographs whose views are shown
NEIGHBOURS = 5
NEAREST = 5
PAIRS = 12  # of classes that are taken for each other
PER_PAIR = 8


def facts(evidence):
    """The figures to look at first."""
    low, high = evidence.interval
    verdict = evidence.verdict
    alike = sum(len(cluster) for cluster in evidence.duplicates.clusters())
    rows = [
        ("photographs", "{:,}".format(len(evidence.images)),
         counted(len(evidence.images.classes), "class", "classes"), ""),
        ("with near-duplicates", "{:,}".format(alike), counted(
            len(evidence.duplicates), "group"), ""),
        ("accuracy of the classifier" if evidence.measures == "classifier"
         else "accuracy of the recipe, cross-validated",
         percent(evidence.accuracy), "{:,} of {:,} right; 95 % interval {:.1f} to "
         "{:.1f} %".format(int(evidence.right.sum()), len(evidence.right), 100 * low, 100 * high),
         ""),
        ("target of {:g} %".format(100 * evidence.target), verdict, "by that interval",
         {"met": "good", "not met": "bad"}.get(verdict, "open"))]
    if evidence.other is not None:
        low, high = evidence.other.interval
        rows.append((evidence.other.name, percent(evidence.other.accuracy), "of {}; 95 % interval "
                     "{:.1f} to {:.1f} %".format(counted(evidence.other.number, "photograph"),
                                                 100 * low, 100 * high), ""))
    return parts.facts(rows)


def data(evidence):
    """Counts, a few photographs of each class, what was left out."""
    images = evidence.images
    counts = images.counts()
    most = max(counts.values())
    per_class = max(1, min(PER_CLASS, MOST_PICTURES // len(counts)))
    cards = []
    for place, (name, number) in enumerate(counts.items()):
        chosen = _spread(np.flatnonzero(images.labels == name), per_class)
        pictures = [parts.picture(images.paths[i], evidence.name_of(images.paths[i]))
                    for i in (chosen if place < MOST_PICTURES else ())]
        cards.append(parts.card(name, number, pictures, number / most))
    return parts.cards(cards) + _skipped(evidence) + _duplicates(evidence)


def _spread(indices, most):
    """Up to `most` of the indices, evenly spaced."""
    chosen = np.linspace(0, len(indices) - 1, min(most, len(indices)))
    return indices[chosen.astype(int)]


def _skipped(evidence):
    if not evidence.skipped:
        return parts.paragraph("No file was left out.")
    shown = [(evidence.name_of(path), reason) for path, reason in evidence.skipped[:MOST_NAMES]]
    if len(evidence.skipped) > MOST_NAMES:
        shown.append(("and", "{:,} more".format(len(evidence.skipped) - MOST_NAMES)))
    return parts.folded("{} left out".format(counted(
        len(evidence.skipped), "file was", "files were")), parts.names(shown))


def _duplicates(evidence):
    """Photographs that show the same, those with different labels first."""
    clusters = evidence.duplicates.clusters()
    if not clusters:
        return parts.paragraph("No photograph has a near-duplicate.")
    html = "<h3>Near-duplicates</h3>" + parts.paragraph(
        evidence.duplicates.sentence())
    across = evidence.duplicates.across(evidence.labels)
    if across:
        html += parts.paragraph("{} of them {} photographs of different classes; one label may be "
                                "wrong.".format(len(across), "has" if len(across) == 1 else "have"))
    inside = [cluster for cluster in clusters
              if len(set(evidence.labels[cluster].tolist())) == 1]
    return html + parts.cards([_cluster_card(evidence, cluster)
                                     for cluster in (across + inside)[:CLUSTERS]])


def _cluster_card(evidence, cluster):
    names = sorted(set(evidence.labels[cluster].tolist()))
    pictures = [parts.picture(evidence.paths[i], evidence.name_of(evidence.paths[i]))
                for i in cluster[:PER_CLASS]]
    return parts.card(", ".join(names), len(cluster), pictures)


def split(evidence):
    """How the photographs were divided for measuring, and for the training of this classifier."""
    html = parts.paragraph(evidence.method)
    rows = [(name, len(images)) for name, images in (
        ("training", evidence.images), ("validation", evidence.images.validation),
        ("test", evidence.images.test)) if images is not None]
    if len(rows) > 1:
        html += parts.table("Photographs of each part", ["part", "photographs"], rows)
    return html + parts.paragraph("This classifier itself was trained on {}.".format(
        training_text(evidence.model)))


def training(evidence):
    """Loss and accuracy after each epoch."""
    history = evidence.model.history_
    if not len(history.get("loss", ())):
        return ""
    last = ", ".join("{} {:.3f}".format(key.replace("val_", "validation "), values[-1])
                     for key, values in history.items() if len(values))
    charts = [drawing(lambda ax: plot_history(history, ax), (4.8, 3.4), parts.escape_html(
        "Loss after each epoch; at the end {}".format(last)))]
    if "accuracy" in history:
        def draw(ax):
            from matplotlib.figure import Figure
            plot_history(history, [Figure().add_subplot(1, 1, 1), ax])

        charts.append(drawing(draw, (4.8, 3.4), parts.escape_html(
            "Accuracy after each epoch; at the end {}".format(last))))
    return parts.paragraph("Training of this classifier's head, {}. At the end: {}.".format(
        counted(len(history["loss"]), "epoch"), last)) + (
            "<div class=\"charts\">{}</div>".format("".join(charts))) + _views(evidence)


def _views(evidence):
    """Some of the augmented views that were trained on."""
    model, augmentation = evidence.model, as_augmentation(evidence.model.augment)
    if augmentation is None:
        return ""
    html = parts.paragraph("It was trained on {} of each photograph as well, such as these.".format(
        counted(augmentation.views, "augmented view")))
    size, resize = model.extractor_.backbone_.input_size, model.extractor_.resize_rule()
    for i in _one_of_each(evidence)[:AUGMENTED]:
        name = evidence.name_of(evidence.paths[i])
        figures = [parts.tile(evidence.paths[i], "photograph", described=name)]
        views = augmentation.views_of(evidence.paths[i], size, resize)[:VIEWS]
        figures += [parts.tile(view, "view {}".format(number), described="view {} of {}".format(
            number, name)) for number, view in enumerate(views, 1)]
        html += parts.tiles(figures, "row")
    return html


def each_class(evidence):
    """Precision, recall and F1 of each class."""
    from sklearn.metrics import precision_recall_fscore_support
    precision, recall, f1, support = precision_recall_fscore_support(
        evidence.labels, evidence.predicted, labels=evidence.classes, zero_division=0)
    rows = [(name, "{:,}".format(support[i]), percent(recall[i]), percent(precision[i]),
             "{:.3f}".format(f1[i])) for i, name in enumerate(evidence.classes)]
    return parts.paragraph(
        "Recall is the share of a class's photographs that were recognised; precision is the "
        "share of the photographs given this class that belong to it.") + parts.table(
            "Precision and recall", ["class", "number", "recall", "precision", "F1"], rows)


def more_photographs(evidence):
    """Whether more photographs would help, of each class."""
    if evidence.samples is None:
        return ""
    curve = learning_curve(evidence.samples, estimator=evidence.model, folds=FOLDS)
    chart = drawing(lambda ax: plot_learning_curve(curve, ax=ax), (5.2, 3.6), "Accuracy of {} with {:,} "
                    "photographs and of {} with {:,}".format(
                        percent(curve.accuracies()[0]), curve.sizes[0],
                        percent(curve.accuracies()[-1]), curve.sizes[-1]))
    rows = [(name, *(percent(value) for value in curve.accuracies(label)),
             percent(curve.expected(label)), curve.outlook(label))
            for name, label in [("all", None)] + [(str(each), each) for each in curve.classes]]
    header = ["class"] + ["{:,}".format(size) for size in curve.sizes] + ["twice", "more"]
    return parts.paragraph(
        "The accuracy after training on an eighth, a quarter, half and all of the photographs of "
        "the other folds, and what to expect of twice as many as there are now. More photographs "
        "{}.".format(curve.outlook())) + (
            "<div class=\"charts\">{}</div>".format(chart)) + parts.table(
                "Accuracy by the photographs trained on; of a class, its recall", header, rows)


def confusion(evidence):
    """What was taken for what."""
    from sklearn.metrics import confusion_matrix
    counts = confusion_matrix(evidence.labels, evidence.predicted, labels=evidence.classes)
    html = ""
    if len(evidence.classes) <= MOST_CLASSES:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [[name] + [parts.matrix_cell(counts[i, j], shares[i, j], i == j)
                          for j in range(len(counts))]
                for i, name in enumerate(evidence.classes)]
        html = parts.paragraph("A row for each true class, a column for each predicted one.")
        html += parts.table("Confusion matrix", ["true class"] + evidence.classes, rows,
                            kind="matrix")
    return html + _confused_pairs(evidence, counts)


def _confused_pairs(evidence, counts):
    """The classes that are taken for each other most, with photographs."""
    wrong = counts - np.diag(np.diag(counts))
    order = [pair for pair in np.argsort(-wrong, axis=None, kind="mergesort") if wrong.flat[pair]]
    if not order:
        return parts.paragraph("No photograph was taken for another class.")
    html, single = "", []
    for pair in order[:PAIRS]:
        row, column = np.unravel_index(pair, wrong.shape)
        true, taken = evidence.classes[row], evidence.classes[column]
        chosen = np.flatnonzero((evidence.labels == true) & (evidence.predicted == taken))
        if len(chosen) == 1:
            single.extend(chosen)
            continue
        chosen = chosen[np.argsort(-evidence.losses[chosen])]
        html += "<h3>{}</h3>".format(parts.escape_html("{} taken for {}: {:,} of {:,}".format(
            true, taken, wrong[row, column], counts[row].sum())))
        html += parts.tiles([confused_tile(evidence, i) for i in chosen[:PER_PAIR]])
    single.sort(key=lambda i: -evidence.losses[i])
    if single:
        html += "<h3>Once each</h3>" + parts.tiles(
            [prediction_tile(evidence, i) for i in single])
    if len(order) > PAIRS:
        html += parts.paragraph("And {} of classes.".format(counted(
            len(order) - PAIRS, "more pair", "more pairs")))
    return html


def top_losses(evidence):
    """The photographs that surprised the classifier most."""
    chosen = np.argsort(-evidence.losses, kind="mergesort")[:TOP_LOSSES]
    return parts.paragraph(
        "The photographs whose true class was given the least probability: the hard ones, the "
        "unusual ones, and those that lie in the wrong folder.") + parts.tiles(
            [prediction_tile(evidence, i) for i in chosen])


def suspects(evidence):
    """Photographs whose label may be wrong."""
    if evidence.validation is None:
        return ""
    found = find_label_suspects(evidence.validation)
    if not len(found):
        return parts.paragraph("No label looks wrong.")
    chosen = list(zip(found.positions, found.suggested.tolist()))[:SUSPECTS]
    return parts.paragraph(
        "Photographs that look as if they belonged to another class than that of their folder "
        "({} of {}, by confident learning). Look at them: some lie in the wrong folder, others are "
        "only hard.".format("{:,}".format(len(found)), "{:,}".format(len(evidence.labels)))) + (
            parts.tiles([parts.tile(
                evidence.paths[i], evidence.labels[i],
                ["looks like {}".format(other), evidence.name_of(evidence.paths[i])],
                described="{}, labelled {}, looks like {}".format(
                    evidence.name_of(evidence.paths[i]), evidence.labels[i], other))
                for i, other in chosen]))


def grid(evidence):
    """Predictions of photographs picked at random."""
    chosen = np.random.RandomState(0).permutation(len(evidence.labels))[:GRID]
    return parts.paragraph("Photographs picked at random, each with its predicted class.") + (
        parts.tiles([prediction_tile(evidence, i) for i in chosen]))


def maps(evidence):
    """Where in the photographs the classifier sees the class that it predicts."""
    model, shown = evidence.model, _one_of_each(evidence)
    paths, labels = [evidence.paths[i] for i in shown], [evidence.labels[i] for i in shown]
    try:
        found = activation_map(model, paths)
    except ValueError:  # hidden layers or max pooling: a logit is no sum over places
        return ""
    backbone, extent = model.extractor_.backbone_, map_extent(model)
    figures = []
    for path, label, values, name in zip(paths, labels, found, model.predict(paths).tolist()):
        pixels = read_image(path, backbone.input_size, model.extractor_.resize_rule())
        figures.append(parts.tile(
            covered(pixels, values, extent), name,
            wrong=None if str(name) == label else "in fact {}".format(label),
            described="{}, where it looks like {}".format(evidence.name_of(path), name)))
    return parts.paragraph(
        "Red is what speaks for the class that the classifier predicts (class activation maps). A "
        "layer in the middle of the network looks at small parts, and at what is around them.") + (
            parts.tiles(figures))


def _one_of_each(evidence):
    """Positions of a photograph of each class, of the first classes where there are many."""
    return [int(np.flatnonzero(evidence.labels == name)[0])
            for name in sorted(set(evidence.labels.tolist()))[:MAPS]]


def neighbours(evidence):
    """The photographs most like those that surprised the classifier most."""
    chosen = np.argsort(-evidence.losses, kind="mergesort")[:NEIGHBOURS]
    found = nearest(evidence.model, [evidence.paths[i] for i in chosen], NEAREST + 1,
                    evidence.images)
    html = ""
    for row, i in enumerate(chosen):
        others = [(image, label) for image, label in zip(found.images[row], found.labels[row])
                  if image != evidence.paths[i]][:NEAREST]
        figures = [prediction_tile(evidence, i)] + [parts.tile(
            image, label, described="{}, {}".format(evidence.name_of(image), label))
            for image, label in others]
        html += parts.tiles(figures, "row")
    return parts.paragraph(
        "Each row: one of the top losses, and the photographs{} whose features are most like its "
        "own, with their classes.".format(
            " of training" if evidence.images.test is not None
            or evidence.images.validation is not None else "")) + html


def prediction_tile(evidence, i):
    """One photograph with its prediction."""
    return parts.tile(
        evidence.paths[i], evidence.predicted[i], [percent(evidence.probabilities[i].max())],
        None if evidence.right[i] else "in fact {}".format(evidence.labels[i]),
        "{}, predicted {}, in fact {}".format(evidence.name_of(evidence.paths[i]),
                                              evidence.predicted[i], evidence.labels[i]))


def confused_tile(evidence, i):
    """One photograph below a heading that names its true and its predicted class."""
    return parts.tile(
        evidence.paths[i], percent(evidence.probabilities[i].max()), kind="wrong",
        described="{}, predicted {}, in fact {}".format(
            evidence.name_of(evidence.paths[i]), evidence.predicted[i], evidence.labels[i]))


def classifier(evidence):
    """What the classifier consists of."""
    from .. import _core
    version, instructions = _core.engine_info()
    return parts.table("Parts and training", *description_table(evidence.model), kind="prose") + (
        parts.paragraph("Computed with oneDNN {} and the instructions {}.".format(
            version, instructions)))


#: Title and function of each section, in order.
SECTIONS = (
    ("The data", data), ("The split", split), ("Training", training), ("Each class", each_class),
    ("More photographs", more_photographs),
    ("What is taken for what", confusion), ("Top losses", top_losses),
    ("Labels to check", suspects), ("Predictions", grid), ("Where it looks", maps),
    ("The most alike", neighbours), ("The classifier", classifier))
