"""Splits: shares, classes in proportion, groups whole, the same seed the same split."""
import numpy as np
import pytest
import sklearn.model_selection

from gear_transfer import (DatasetError, DatasetWarning, HeadClassifier, TransferClassifier,
                           load_folder, load_model, make_shapes, split_images)
from gear_transfer.photographs.splits import (Split, assign_groups, clusters, group_folds,
                                              lonely_classes, warn_of_lonely,
                                              held_out_indices, relative_names)


def samples(seed, n=600, n_classes=7):
    """Unbalanced labels, and groups of 1 to 12 of which some are of two classes."""
    rng = np.random.RandomState(seed)
    shares = rng.dirichlet(np.ones(n_classes) * 2)
    labels = np.sort(rng.choice(n_classes, n, p=shares * 0.8 + 0.2 / n_classes))
    sizes = rng.choice([1, 1, 1, 1, 2, 3, 5, 12], n)
    groups = np.repeat(np.arange(n), sizes)[:n]
    return labels, groups


def tables(labels, parts, n_parts):
    return np.array([[((parts == part) & (labels == label)).sum() for label in np.unique(labels)]
                     for part in range(n_parts)])


@pytest.mark.parametrize("seed", range(4))
def test_groups_stay_whole_and_classes_in_proportion(seed):
    labels, groups = samples(seed)
    parts = assign_groups(labels, groups, [0.7, 0.2, 0.1], seed)
    assert all(len(set(parts[groups == group])) == 1 for group in np.unique(groups))
    counts = tables(labels, parts, 3)
    wanted = np.outer([0.7, 0.2, 0.1], np.bincount(labels)[np.unique(labels)])
    assert np.abs(counts - wanted).max() <= 7 and np.abs(counts - wanted).mean() < 2
    assert np.abs(counts.sum(axis=1) - wanted.sum(axis=1)).max() <= 7
    np.testing.assert_array_equal(parts, assign_groups(labels, groups, [0.7, 0.2, 0.1], seed))
    assert (parts != assign_groups(labels, groups, [0.7, 0.2, 0.1], seed + 1)).any()


def group_splitter(seed):
    """The best that this scikit-learn has; the one that looks at classes came with 1.0."""
    if hasattr(sklearn.model_selection, "StratifiedGroupKFold"):
        return sklearn.model_selection.StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    return sklearn.model_selection.GroupKFold(5)


@pytest.mark.parametrize("seed", range(4))
def test_folds_are_as_even_as_those_of_scikit_learn(seed):
    labels, groups = samples(seed)
    ours = group_folds(labels, groups, 5, seed)
    theirs = np.empty(len(labels), int)
    for fold, (_, held) in enumerate(group_splitter(seed).split(labels, labels, groups)):
        theirs[held] = fold
    spread = [tables(labels, folds, 5).std(axis=0).mean() for folds in (ours, theirs)]
    assert spread[0] <= spread[1] + 0.2
    assert set(ours.tolist()) == set(range(5))


def test_without_groups_each_class_is_within_one():
    labels = np.repeat([0, 1, 2, 3], [50, 11, 7, 101])
    parts = assign_groups(labels, None, [8, 1, 1], 0)
    counts = tables(labels, parts, 3)
    assert np.abs(counts - np.outer([0.8, 0.1, 0.1], [50, 11, 7, 101])).max() < 1
    assert np.bincount(assign_groups(np.repeat(np.arange(50), 4), None, [9, 1], 0)).tolist() == [
        180, 20]


def test_an_empty_part_stays_empty():
    labels, groups = samples(1)
    assert set(assign_groups(labels, groups, [0.8, 0.2, 0], 0).tolist()) == {0, 1}
    with pytest.raises(ValueError):
        assign_groups(labels, groups[:-1], [1, 1], 0)


def test_folds_that_cannot_be():
    with pytest.raises(DatasetError) as caught:
        group_folds(["a"] * 5 + ["b"] * 5, [0] * 5 + [1, 2, 3, 4, 5], 3, 0)
    assert "'a'" in str(caught.value)
    with pytest.raises(DatasetError):
        group_folds(["a", "a", "b", "b"], [0, 1, 2, 3], 5, 0)
    for folds in (1, 0, 2.5, "5", True):
        with pytest.raises(ValueError) as caught:
            group_folds(["a", "a", "b", "b"], None, folds, 0)
        assert "folds" in str(caught.value)


def test_held_out():
    labels, groups = samples(2)
    train, held = held_out_indices(labels, 0.1, 0, groups)
    assert sorted(np.concatenate([train, held]).tolist()) == list(range(600))
    assert not set(groups[train]) & set(groups[held]) and 55 <= len(held) <= 70
    assert held_out_indices(labels, 0, 0, groups) is None
    assert held_out_indices(np.array([0, 0, 1, 1]), 0.1, 0, np.array([0, 0, 1, 1])) is None


def test_a_class_that_is_one_group_stays_in_training():
    labels = np.repeat([0, 1, 2], 20)
    groups = np.concatenate([np.zeros(20, int), np.arange(1, 41)])
    train, held = held_out_indices(labels, 0.2, 0, groups)
    assert (labels[train] == 0).sum() == 20 and set(labels[held].tolist()) == {1, 2}


def test_clusters():
    found = clusters(np.array([5, 3, 5, 9, 3, 5, 7]))
    assert [positions.tolist() for positions in found] == [[0, 2, 5], [1, 4]]
    assert clusters(np.arange(4)) == [] and clusters(np.empty(0, int)) == []


def test_relative_names(tmp_path):
    paths = [str(tmp_path / "a" / "1.png"), tmp_path / "b" / "c" / "2.png"]
    assert relative_names(paths) == ["a/1.png", "b/c/2.png"]
    assert relative_names(paths[:1]) == ["1.png"]
    assert relative_names([paths[0], np.zeros((2, 2, 3))]) is None and relative_names([]) is None


# With photographs

@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits") / "shapes"
    return load_folder(make_shapes(folder, per_class=12, size=72, random_state=2))


def test_split_images(shapes):
    groups = np.arange(36) // 2
    split = split_images(shapes, validation=0.25, test=0.25, groups=groups)
    assert repr(split) == ("<Split: 18 training, 9 validation, 9 test, 18 groups of near-duplicates "
                           "kept whole>") or abs(len(split.training) - 18) <= 2
    assert split.straddling() == [] and len(split) == 36
    assert split.straddling(np.zeros(36, int)) == [0]
    parts = split.subsets(shapes)
    assert sum(len(part) for part in parts) == 36 and len(parts) == 3
    assert parts[1].paths == [shapes.paths[i] for i in split.validation]
    assert "validation" in split._repr_html_() and split.to_dict()["parts"] == split.parts.tolist()
    assert split.to_dict()["names"][0].startswith("circle/")
    for shares in ((0.5, 0.5), (-0.1, 0), (2, 0), (float("nan"), 0), ("0.2", 0)):
        with pytest.raises((ValueError, TypeError)):
            split_images(shapes, *shares, groups=groups)
    with pytest.raises(ValueError):
        split.subsets(shapes.subset(slice(3)))


def test_found_duplicates_do_not_straddle(shapes, tmp_path):
    """Every photograph is there twice, as itself and smaller; both land on one side."""
    from PIL import Image
    paths, labels = [], []
    for i, path in enumerate(shapes.paths):
        copy = str(tmp_path / "{}.png".format(i))
        with Image.open(path) as image:
            image.resize((60, 60)).save(copy)
        paths += [path, copy]
        labels += [shapes.labels[i]] * 2
    model = TransferClassifier(layer="mixed0", input_size=64, epochs=2, cache=False,
                               precision="float32", validation_fraction=0.3).fit(paths, labels)
    twins = np.arange(72) // 2
    assert len(model.split_.validation) and model.split_.straddling(twins) == []
    naive = TransferClassifier(layer="mixed0", input_size=64, epochs=2, cache=False,
                               precision="float32", validation_fraction=0.3,
                               group_duplicates=False).fit(paths, labels)
    assert naive.split_.groups is None and len(naive.split_.straddling(twins)) > 5


def test_the_split_is_in_the_saved_model(shapes, tmp_path):
    groups = np.arange(36) // 3
    model = TransferClassifier(layer="mixed0", input_size=64, epochs=2, precision="float32",
                               validation_fraction=0.25).fit(shapes, groups=groups)
    split = model.split_
    assert 6 <= len(split.validation) <= 12 and split.straddling(groups) == []
    model.save(tmp_path / "model.gtw")
    again = load_model(tmp_path / "model.gtw").split_
    np.testing.assert_array_equal(again.parts, split.parts)
    assert again.straddling(groups) == [] and len(again.clusters()) == 12
    assert [again.names[i] for i in again.validation] == [split.names[i] for i in split.validation]
    assert again.names[split.training[0]] is None and repr(again) == repr(split)
    with pytest.raises(ValueError) as caught:
        model.fit(shapes, groups=groups[:5])
    assert "groups" in str(caught.value)


def test_given_validation_data_are_in_the_split(shapes):
    train, held = shapes.subset(slice(0, None, 2)), shapes.subset(slice(1, None, 2))
    model = TransferClassifier(layer="mixed0", input_size=64, epochs=2).fit(
        train, validation_data=held)
    assert model.split_.parts.tolist() == [0] * 18 + [1] * 18 and model.split_.groups is None
    assert model.split_.names[18] == "/".join(held.paths[0].split("/")[-2:])


def test_head_keeps_groups_together():
    labels, groups = samples(3)
    X = np.random.RandomState(0).randn(600, 4)
    head = HeadClassifier(epochs=1, validation_fraction=0.2).fit(X, labels, groups=groups)
    held = head.validation_indices_
    assert len(held) > 100 and not set(groups[held]) & set(np.delete(groups, held))
    with pytest.warns(UserWarning, match="too much alike"):
        HeadClassifier(epochs=1).fit(X[:40], np.arange(40) % 2, groups=np.zeros(40, int))


def test_split_rows():
    split = Split([0, 0, 1, -1])
    assert repr(split) == "<Split: 2 training, 1 validation>" and split.clusters() == []
    assert str(split).splitlines()[1:] == ["part        photographs", "training              2",
                                           "validation            1"]


@pytest.mark.parametrize("groups", [None, np.arange(41)])
def test_a_class_of_one_photograph_does_not_decide_for_all(groups):
    labels = np.append(np.repeat([0, 1], 20), 2)
    train, held = held_out_indices(labels, 0.2, 0, groups)
    assert 40 in train and set(labels[held].tolist()) == {0, 1} and len(held) == 8
    assert sorted(np.concatenate([train, held]).tolist()) == list(range(41))
    assert held_out_indices(np.append(np.zeros(20, int), 1), 0.2, 0, None if groups is None else groups[:21]) is None
    assert lonely_classes(labels, groups).tolist() == [2]
    folds = group_folds(labels, groups, 4, 0)
    assert np.bincount(folds).min() >= 10
    with pytest.warns(DatasetWarning, match="'2' .1 photograph"):
        warn_of_lonely([2], labels, "so")
