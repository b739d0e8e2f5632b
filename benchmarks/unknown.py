"""None of these: gear kept, and pictures of other things rejected.

    python benchmarks/unknown.py [--write] [--pictures FOLDER]

Classifiers with the defaults are trained on three quarters of the gear photographs, each fold of
four held out once, near-duplicates together. Kept is the share of held-out photographs that are
not called "none of these"; rejected the share of other pictures that are: drawn here, found in the
installed packages (the photographs of scikit-learn, the samples of matplotlib, scikit-image's
where it is installed), and pieces of those, square and as round cut-outs on white, which look more
like gear than anything else here. The method was chosen on half of the pictures that --seed 0
draws.
"""
import argparse
import glob
import importlib.util
import io
import os
import time

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.model_selection import StratifiedGroupKFold

import gear_accuracy
import gear_transfer as gt
import processes
import report

FOLDS = 4
UNKNOWN = "none of these"
KINDS = 40
PACKAGES = (("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data"),
            ("skimage", "data"))
WORDS = "the quick brown fox jumps over a lazy dog while seven wizards brew some tea".split()


def shapes(rng):
    return gt.make_shape(("circle", "square", "triangle")[rng.randint(3)], 256, rng)


def noise(rng):
    return rng.randint(0, 256, (200, 260, 3)).astype(np.uint8)


def gradients(rng):
    first, last = rng.randint(0, 256, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:1:240j, 0:1:320j]
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / (along.max() - along.min())
    return (first + (last - first) * along[..., None]).astype(np.uint8)


def checks(rng):
    width = rng.randint(5, 40)
    y, x = np.mgrid[:240, :240]
    first, second = rng.randint(0, 256, (2, 3))
    return np.where(((x // width + y // width) % 2)[..., None], first, second).astype(np.uint8)


def text(rng):
    from matplotlib import font_manager
    size = int(rng.randint(10, 40))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    picture = Image.new("RGB", (400, 300), "white")
    pen = ImageDraw.Draw(picture)
    for top in range(5, 290, int(size * 1.4)):
        pen.text((8, top), " ".join(rng.choice(WORDS, 8)), fill="black", font=font)
    return np.array(picture)


def charts(rng):
    import matplotlib.pyplot as plt
    figure, ax = plt.subplots(figsize=(4, 3))
    kind = rng.randint(4)
    if kind == 0:
        ax.plot(rng.randn(50, 3).cumsum(axis=0))
    elif kind == 1:
        ax.bar(range(6), rng.rand(6))
    elif kind == 2:
        ax.scatter(*rng.randn(2, 80))
    else:
        ax.pie(rng.rand(5) + 0.1)
    ax.set_title("a chart")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    plt.close(figure)
    stream.seek(0)
    return np.array(Image.open(stream).convert("RGB"))


def installed_pictures(folder):
    """Pictures of installed packages and of `folder`, as arrays."""
    folders = [folder] if folder else []
    for package, inside in PACKAGES:
        found = importlib.util.find_spec(package)
        if found:
            folders.append(os.path.join(os.path.dirname(found.origin), *inside.split("/")))
    pictures = []
    for path in sorted(path for place in folders for ending in ("png", "jpg", "jpeg")
                       for path in glob.glob(os.path.join(place, "**", "*." + ending),
                                             recursive=True)):
        with Image.open(path) as image:
            if min(image.size) >= 64:
                pictures.append(np.array(image.convert("RGB")))
    return pictures


def pieces(pictures, rng):
    """Four square pieces of each picture."""
    cut = []
    for picture in pictures:
        for _ in range(4):
            side = int(min(picture.shape[:2]) * rng.uniform(0.3, 0.7))
            top, left = (rng.randint(0, extent - side + 1) for extent in picture.shape[:2])
            cut.append(picture[top:top + side, left:left + side])
    return cut


def cut_out(piece):
    """A piece as a round thing on white."""
    mask = Image.new("L", (160, 160), 0)
    ImageDraw.Draw(mask).ellipse([0, 0, 159, 159], fill=255)
    background = Image.new("RGB", (240, 240), "white")
    background.paste(Image.fromarray(piece).resize((160, 160)), (40, 40), mask)
    return np.array(background)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--pictures", metavar="FOLDER", help="more pictures of other things")
    parser.add_argument("--seed", type=int, default=1,
                        help="of what is drawn (default: %(default)s)")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    import matplotlib
    matplotlib.use("Agg")

    folder = processes.shared_file(arguments.shared, "gear", "images")
    images = gt.load_folder(folder)
    groups = gear_accuracy.groups_of(images.paths, folder, processes.shared_file(
        arguments.shared, "gear", "groups.csv"))
    rng = np.random.RandomState(arguments.seed)
    found = installed_pictures(arguments.pictures)
    cut = pieces(found, rng)
    sources = [(draw.__name__, [draw(rng) for _ in range(KINDS)])
               for draw in (shapes, noise, gradients, checks, text, charts)]
    sources += [("pictures of packages", found), ("pieces of them", cut),
                ("pieces, round on white", [cut_out(piece) for piece in cut])]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=arguments.seed)
    kept, rejected, seconds = np.zeros(len(images), bool), [], []
    for train, held_out in folds.split(images.paths, images.labels, groups):
        model = gt.TransferClassifier().fit(images.subset(train), groups=groups[train])
        start = time.perf_counter()
        model.known_score(images.paths[:1])
        seconds.append(time.perf_counter() - start)
        kept[held_out] = model.predict(images.subset(held_out).paths, unknown=UNKNOWN) != UNKNOWN
        rejected.append([model.predict(pictures, unknown=UNKNOWN) == UNKNOWN
                         for _, pictures in sources])
    shares = [np.mean(of_source) for of_source in zip(*rejected)]
    numbers = [len(pictures) for _, pictures in sources]
    rows = [[name, str(number), "{:.1%}".format(share)]
            for (name, _), number, share in zip(sources, numbers, shares)]
    rows.append(["all", str(sum(numbers)), "{:.1%}".format(np.average(shares, weights=numbers))])
    explanation = (
        "Of {:,} gear photographs, each held out once, {:.1%} are kept (asked: 95 %). Fitting to "
        "three quarters of them took {} s. Asked of the pictures of other things: 90 % rejected; "
        "mean of {} folds, drawn with seed {}.".format(
            len(images), kept.mean(), report.spread(seconds), FOLDS, arguments.seed))
    report.publish("unknown", "Pictures of other things (unknown.py)",
                   [explanation, report.table(["pictures", "number", "rejected"], rows)],
                   report.machine(), arguments.write)


if __name__ == "__main__":
    main()
