"""Draw the pictures of the documentation, from a run on generated shapes.

    python docs/make_pictures.py docs/pictures
"""
import os
import shutil
import sys
import tempfile

import matplotlib
import numpy as np
from PIL import Image

import gear_transfer as gt

matplotlib.use("Agg")


def save(axes, folder, name):
    """Save the figure of some axes as a small PNG."""
    figure = np.ravel(axes)[0].figure
    figure.savefig(os.path.join(folder, name), bbox_inches="tight", dpi=80)


def shapes_that_come_again(folder):
    """Three shapes, each also in another colour, smaller, and as the same file."""
    for path in gt.load_folder(gt.make_shapes(folder, per_class=1)).paths:
        picture = Image.open(path)
        red, green, blue = picture.split()
        Image.merge("RGB", (green, blue, red)).save(path.replace(".jpg", "_colour.jpg"))
        picture.resize((90, 90)).save(path.replace(".jpg", "_small.jpg"))
        shutil.copy(path, path.replace(".jpg", "_twice.jpg"))
    return gt.load_folder(folder)


def main(folder):
    """Draw all of them."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        images = gt.load_folder(gt.make_shapes(os.path.join(place, "shapes"), per_class=40))
        model = gt.TransferClassifier().fit(images)
        shop = shapes_that_come_again(os.path.join(place, "shop"))
        save(gt.plot_duplicates(gt.find_duplicates(shop)), folder, "duplicates.png")
        new = [gt.make_shape(shape, 160, random_state=seed) for seed, shape in enumerate(
            ("circle", "square", "triangle", "square", "circle"))]
        probabilities = model.predict_proba(new)
        save(gt.plot_predictions(new, model.classes_from(probabilities), probabilities), folder,
             "predictions.png")
        save(gt.plot_history(model.history_), folder, "history.png")
        some = [images.paths[i] for i in (0, 45, 85)]
        save(gt.plot_activation_maps(some, gt.activation_map(model, some), model.predict(some),
                                     gt.map_extent(model)), folder, "maps.png")
        features = gt.compute_features(images, model)
        curve = gt.learning_curve(features, estimator=model)
        save(gt.plot_learning_curve(curve), folder, "learning_curve.png")
        save(gt.plot_learning_curves(curve), folder, "learning_curves.png")
        save(gt.plot_views([images.paths[i] for i in (45, 85)]), folder, "views.png")
        save(gt.plot_tuning(gt.tune(images, sizes=(96, 128, 160))), folder, "tuning.png")


if __name__ == "__main__":
    main(sys.argv[1])
