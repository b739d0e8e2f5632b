"""The report: one page that needs nothing else, says what is so, and can be read by everybody."""
import html.parser
import os
import re
import shutil
import stat

import numpy as np
import pytest
from PIL import Image

import gear_transfer as gt
from gear_transfer.reporting import page as report_page
from gear_transfer.reporting.evidence import Evidence

VOID = ("meta", "img", "br", "wbr", "path", "use", "rect", "link")
ODD_CLASS = "<b>\"axes\" & 'ropes'"
ODD_FILE = b"caf\xe9.jpg"


class Page(html.parser.HTMLParser):
    """A page taken apart: elements with attributes, text, and tags that are not closed rightly."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self.headings, self.faults, self.open = [], [], [], [], []
        with open(path, "rb") as stream:
            self.source = stream.read().decode("utf-8")
        self.feed(self.source)
        self.faults += self.open
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append("/" + tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if self.open and re.match("h[1-6]$", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shapes; one class and one file have odd names, two files cannot be used."""
    place = gt.make_shapes(str(tmp_path_factory.mktemp("report") / "shapes"), per_class=12)
    os.rename(os.path.join(place, "circle"), os.path.join(place, ODD_CLASS))
    first = os.path.join(place, ODD_CLASS, "circle001.jpg")
    os.rename(os.fsencode(first), os.path.join(os.fsencode(os.path.dirname(first)), ODD_FILE))
    with open(os.path.join(place, "square", "<script>.txt"), "w") as stream:
        stream.write("no picture")
    with open(os.path.join(place, "square", "square001.jpg"), "r+b") as stream:
        stream.truncate(700)
    return place


@pytest.fixture(scope="module")
def images(folder):
    return gt.load_folder(folder)


@pytest.fixture(scope="module")
def model(images):
    with pytest.warns(gt.SkippedImageWarning):
        return gt.TransferClassifier(input_size=96, precision="float32").fit(images)


@pytest.fixture(scope="module")
def path(model, images, tmp_path_factory):
    target = str(tmp_path_factory.mktemp("page") / "report.html")
    assert gt.report(model, images, target) == target
    return target


@pytest.fixture(scope="module")
def page(path):
    return Page(path)


# The page

@pytest.mark.slow
def test_page_is_well_formed_and_small(path, page):
    assert page.faults == []
    assert page.source.startswith("<!DOCTYPE html>\n<html lang=\"en\">")
    assert "$" not in re.sub(r"data:[^\"]*", "", page.source)
    assert 20000 < os.path.getsize(path) < 3000000
    assert stat.S_ISREG(os.stat(path).st_mode) and len(os.listdir(os.path.dirname(path))) == 1


@pytest.mark.slow
def test_nothing_is_loaded_and_nothing_runs(page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "base", "form"), tag
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), attributes
    styles = page.source[page.source.index("<style>"):page.source.index("</style>")]
    assert "url(" not in styles and "@import" not in styles
    policy = [each["content"] for each in page.all("meta")
              if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.slow
def test_everybody_can_read_it(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert len(page.all("img")) > 30
    assert all(image["alt"].strip() for image in page.all("img"))
    assert all(figure["aria-label"].strip() for figure in page.all("svg"))
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    anchors = [link["href"][1:] for link in page.all("a")]
    named = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(anchors) >= 7 and set(anchors) <= set(named)
    assert {"width=device-width, initial-scale=1", "light dark"} <= set(
        each.get("content") for each in page.all("meta"))


def _luminance(colour):
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_stands_out_in_light_and_dark(page):
    """The least contrast that WCAG 2.1 asks of text is 4.5."""
    themes = re.findall(r":root \{(.*?)\}", page.source, flags=re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
        for ink in ("ink", "faint", "link", "good", "bad", "open"):
            for paper in ("paper", "card"):
                lights = sorted(_luminance(colours[name]) + 0.05 for name in (ink, paper))
                assert lights[1] / lights[0] >= 4.5, (ink, paper)


def test_curves_follow_the_theme(page):
    drawings = page.source.split("<svg")[1:]
    assert len(drawings) >= 2
    for text in drawings:
        text = text[:text.index("</svg>")]
        assert not re.search("#[0-9a-f]{6}[;\"]", text), "a colour that does not follow the theme"
        assert "<text" in text and "currentColor" in text and "<style" not in text


def test_names_are_escaped(page):
    assert ODD_CLASS in page.text and ODD_CLASS not in page.source
    assert "caf?.jpg" in " ".join(image["alt"] for image in page.all("img"))
    assert os.path.join("square", "<script>.txt") in page.text


# What it says

def test_counts_and_what_was_left_out(page, images):
    assert [name for level, name in page.headings if level == 3][0].startswith("<b>")
    assert "36 photographs" in page.text and "12 photographs" in page.text
    assert "2 files were left out" in page.text
    assert "<script>.txt: it is not a JPEG, PNG, BMP, GIF or WebP image" in page.text
    assert "square001.jpg: the file is truncated" in page.text


def test_predictions_are_honest(model, images, monkeypatch):
    """A head that has the photograph's label by heart gains nothing from it."""
    shuffled = gt.ImageSet(images.paths, np.random.RandomState(0).permutation(images.labels))
    with pytest.warns(gt.SkippedImageWarning):
        by_heart = gt.TransferClassifier(input_size=96, precision="float32", l2=0.0,
                                         validation_fraction=0.0, epochs=100).fit(shuffled)
    with pytest.warns(gt.SkippedImageWarning):
        assert by_heart.score(shuffled) > 0.95
    evidence = Evidence(by_heart, shuffled, 0.9)
    assert evidence.right.mean() < 0.7
    assert Evidence(model, images, 0.9).right.mean() > 0.8


def test_evidence(model, images):
    evidence = Evidence(model, images, 0.9)
    assert len(evidence.paths) == len(evidence.labels) == len(images) - 1 == 35
    assert evidence.classes == images.classes
    assert np.allclose(evidence.probabilities.sum(axis=1), 1, atol=1e-5)
    i = 7
    place = evidence.classes.index(evidence.labels[i])
    assert evidence.losses[i] == pytest.approx(-np.log(evidence.probabilities[i, place]))
    assert evidence.predicted[i] == evidence.classes[evidence.probabilities[i].argmax()]
    assert evidence.name_of(images.paths[-1]) == os.path.join("triangle", "triangle012.jpg")


def test_top_losses_come_first(model, images, page):
    evidence = Evidence(model, images, 0.9)
    worst = evidence.paths[int(evidence.losses.argmax())]
    section = page.source[page.source.index("id=\"top-losses\""):]
    first = re.search(r'alt="([^"]*)"', section).group(1)
    assert html.unescape(first).startswith(evidence.name_of(worst).encode(
        "utf-8", "replace").decode("utf-8"))


def test_accuracy_comes_with_an_interval_and_a_verdict(model, images, page):
    evidence = Evidence(model, images, 0.9)
    low, high = evidence.interval
    assert 0 < low < evidence.accuracy == evidence.right.mean() <= high
    assert "{:.1f} to {:.1f} %".format(100 * low, 100 * high) in page.text
    assert "target of 90 % {} by that interval".format(evidence.verdict) in page.text
    assert Evidence(model, images, low / 2).verdict == "met"


@pytest.mark.slow
def test_near_duplicates_are_shown_and_kept_together(model, images, tmp_path, path):
    place = str(tmp_path / "doubled")
    shutil.copytree(os.path.dirname(os.path.dirname(images.paths[-1])), place)
    shutil.copy(os.path.join(place, "square", "square002.jpg"),
                os.path.join(place, "triangle", "strange.jpg"))
    evidence = Evidence(model, place, 0.9)
    twins = [evidence.paths.index(os.path.join(place, *name)) for name in (
        ("square", "square002.jpg"), ("triangle", "strange.jpg"))]
    assert len(set(evidence.validation.folds[twins])) == 1
    page = Page(gt.report(model, place, str(tmp_path / "page.html")))
    assert "photographs of different classes; one label may be wrong." in page.text
    assert "strange.jpg" in " ".join(image["alt"] for image in page.all("img"))


@pytest.mark.slow
def test_suspects_maps_and_neighbours(model, images, tmp_path):
    labels = images.labels.copy()
    labels[-1] = images.classes[1]
    wrong = gt.ImageSet(images.paths, labels)
    page = Page(gt.report(model, wrong, str(tmp_path / "page.html")))
    headings = [text for level, text in page.headings if level == 2]
    assert headings == [
        "The data", "The split", "Training", "Each class", "More photographs", "What is taken for what", "Top losses",
        "Labels to check", "Predictions", "Where it looks", "The most alike", "The classifier"]
    alts = [image["alt"] for image in page.all("img")]
    suspect = os.path.join("triangle", "triangle012.jpg") + ", labelled square, looks like triangle"
    assert suspect in alts
    section = page.source[page.source.index("id=\"labels-to-check\""):page.source.index(
        "id=\"predictions\"")]
    assert "<span>" + os.path.join("triangle", "triangle012.jpg") + "</span>" in section
    assert sum("where it looks like" in alt for alt in alts) == 3
    rows = [each for each in page.all("ul") if each.get("class") == "tiles row"]
    assert len(rows) == 5


@pytest.mark.slow
def test_whether_more_photographs_would_help(model, images, page):
    evidence = Evidence(model, images, 0.9)
    curve = gt.learning_curve(evidence.samples, estimator=model)
    assert "More photographs {}.".format(curve.outlook()) in page.text
    row = " ".join("{:.1f} %".format(100 * value) for value in curve.accuracies("square"))
    assert "square {} {:.1f} % {}".format(
        row, 100 * curve.expected("square"), curve.outlook("square")) in page.text


@pytest.mark.slow
def test_augmented_training_is_measured_with_its_views(images, tmp_path):
    with pytest.warns(gt.SkippedImageWarning):
        model = gt.TransferClassifier(input_size=96, precision="float32", augment=2,
                                      epochs=5).fit(images)
    evidence = Evidence(model, images, 0.9)
    assert evidence.samples.views.shape[:2] == (35, 2)
    page = Page(gt.report(model, images, str(tmp_path / "page.html")))
    assert "trained on 2 augmented views of each photograph" in page.text
    assert sum(image["alt"].startswith("view 2 of ") for image in page.all("img")) == 2


@pytest.mark.slow
def test_a_deeper_head_has_no_maps(images, tmp_path):
    with pytest.warns(gt.SkippedImageWarning):
        deep = gt.TransferClassifier(input_size=96, precision="float32", hidden_layers=(8,),
                                     epochs=5).fit(images)
    page = Page(gt.report(deep, images, str(tmp_path / "page.html")))
    assert "Where it looks" not in page.text and "The most alike" in page.text


@pytest.mark.slow
def test_a_folder_that_is_split_is_measured_on_its_test_photographs(tmp_path):
    whole = gt.make_shapes(str(tmp_path / "all"), per_class=12)
    for part, numbers in (("train", range(1, 9)), ("test", range(9, 13))):
        for shape in ("circle", "square", "triangle"):
            os.makedirs(str(tmp_path / "parts" / part / shape))
            for number in numbers:
                name = "{}{:03d}.jpg".format(shape, number)
                shutil.copy(os.path.join(whole, shape, name),
                            str(tmp_path / "parts" / part / shape / name))
    images = gt.load_folder(str(tmp_path / "parts"))
    model = gt.TransferClassifier(input_size=96, precision="float32").fit(images)
    saved = str(tmp_path / "model.gtm")
    model.save(saved)
    page = Page(gt.report(saved, str(tmp_path / "parts"), str(tmp_path / "page.html"), title="<3"))
    assert "12 photographs in the test folder were predicted by the classifier" in page.text
    assert "Photographs of each part" in page.text and page.headings[0] == (1, "<3")
    evidence = Evidence(model, images, 0.9)
    assert evidence.predicted.tolist() == model.predict(images.test.paths).tolist()


@pytest.mark.slow
def test_a_saved_model_makes_the_same_page(model, images, path, tmp_path):
    model.save(str(tmp_path / "model.gtm"))
    again = Page(gt.report(str(tmp_path / "model.gtm"), images, str(tmp_path / "again.html")))
    before, after = (text[:text.index("The classifier Parts")] for text in (
        Page(path).text, again.text))
    assert before == after


# Errors

@pytest.mark.slow
def test_errors(model, images, tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(TypeError, match="model must be a fitted TransferClassifier"):
        gt.report(gt.TransferClassifier(), images, str(target))
    with pytest.raises(gt.ModelFileError, match="nowhere.gtm"):
        gt.report("nowhere.gtm", images, str(target))
    with pytest.raises(ValueError, match="target must be"):
        gt.report(model, images, str(target), target=90)
    with pytest.raises(gt.DatasetError, match="no folder"):
        gt.report(model, str(tmp_path / "none"), str(target))
    other = gt.ImageSet(images.paths, ["tent"] * 30 + images.labels[30:].tolist())
    with pytest.raises(gt.DatasetError, match="does not know the class 'tent'"):
        gt.report(model, other, str(target))
    with pytest.raises(OSError):
        gt.report(model, images, str(tmp_path / "no" / "folder.html"))

    def fail(stream):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        gt.report(model, images, str(target))
    assert target.read_text() == "old" and os.listdir(str(tmp_path)) == ["report.html"]


@pytest.mark.slow
def test_many_classes_stay_small(tmp_path, model, monkeypatch):
    """The page does not grow without bound with the classes."""
    rng = np.random.RandomState(0)
    names = ["class {:03d}".format(i) for i in range(130)]
    paths, labels = [], []
    for name in names:
        os.makedirs(str(tmp_path / "many" / name))
        for number in range(3):
            paths.append(str(tmp_path / "many" / name / "{}.png".format(number)))
            Image.fromarray(rng.randint(0, 256, (16, 16, 3)).astype(np.uint8)).save(paths[-1])
            labels.append(name)
    evidence = Evidence.__new__(Evidence)
    evidence.model, evidence.images, evidence.skipped = model, gt.ImageSet(paths, labels), []
    evidence.root, evidence.method = str(tmp_path / "many"), "by chance"
    evidence.paths, evidence.labels, evidence.classes = paths, np.array(labels), names
    evidence.probabilities = rng.dirichlet(np.ones(130), len(paths))
    evidence.predicted = np.array(names)[evidence.probabilities.argmax(axis=1)]
    evidence.losses, evidence.interval, evidence.target = rng.rand(len(paths)), (0, 1), 0.5
    evidence.right = evidence.predicted == evidence.labels
    evidence.duplicates = gt.find_duplicates(paths, cache=False)
    evidence.validation = evidence.samples = None
    text = report_page._page(evidence, "Many")
    assert len(text) < 1500000
    assert text.count("<li><div><h3>") == 130 and "more pairs of classes." in text
    assert "Confusion matrix" not in text
