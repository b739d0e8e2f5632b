"""The main job on a part of the real photographs."""
import csv
import os

import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit

from gear_transfer import ImageSet, TransferClassifier, load_images, load_model

pytestmark = pytest.mark.main_python("accuracy on real photographs is a matter of the core")

PER_CLASS = 40


@pytest.fixture(scope="module")
def gear(shared):
    """Up to 40 photographs of each class and the group of near-duplicates each belongs to."""
    paths, labels, groups = [], [], []
    with open(os.path.join(shared, "gear", "groups.csv"), newline="") as stream:
        rows = sorted((row["file"], row["group"]) for row in csv.DictReader(stream))
    for name, group in rows:
        label = name.split("/")[0]
        if labels.count(label) < PER_CLASS:
            paths.append(os.path.join(shared, "gear", "images", *name.split("/")))
            labels.append(label)
            groups.append(group)
    return ImageSet(paths, labels), np.array(groups)


@pytest.fixture(scope="module")
def split(gear):
    images, groups = gear
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=1)
    train, test = next(splitter.split(images.paths, images.labels, groups))
    assert not set(groups[train]) & set(groups[test])
    return images.subset(train), images.subset(test)


@pytest.fixture(scope="module")
def fitted(split):
    return TransferClassifier(cache=False).fit(split[0])


@pytest.mark.slow
def test_held_out_accuracy(split, fitted):
    """All photographs reach more than 0.97 (see benchmarks/); these are a quarter of them."""
    train, test = split
    assert len(train.classes) == 12 and 300 < len(train) < 400 and len(test) > 90
    assert fitted.skipped_ == [] and fitted.classes_.tolist() == train.classes
    assert fitted.score(test) >= 0.93
    assert fitted.history_["val_accuracy"][-1] >= 0.85
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0] / 2


@pytest.mark.slow
def test_new_images(shared, fitted, tmp_path):
    images = load_images(os.path.join(shared, "gear", "new_images"))
    assert len(images) == 5
    expected = [os.path.basename(path)[3:].split(".")[0] for path in images]
    assert fitted.predict(images).tolist() == expected
    fitted.save(tmp_path / "gear.gtw")
    loaded = load_model(tmp_path / "gear.gtw")
    assert loaded.predict(images).tolist() == expected
    np.testing.assert_array_equal(loaded.predict_proba(images), fitted.predict_proba(images))


@pytest.mark.slow
def test_same_seed_same_file(split, tmp_path):
    some = split[0].subset(slice(0, None, 6))
    contents = []
    for name in ("one.gtw", "two.gtw"):
        TransferClassifier(random_state=3).fit(some).save(tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
