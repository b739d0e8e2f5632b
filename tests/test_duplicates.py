"""Near-duplicates: what counts as one, and that groups hold together what belongs together."""
import csv
import os

import numpy as np
import pytest
from PIL import Image

from gear_transfer import (ImageSet, TransferClassifier, compute_features, find_duplicates,
                           load_folder)
from gear_transfer.common.cache import FeatureCache, content_hash
from gear_transfer.photographs import DEFAULT_INPUT_SIZE
from gear_transfer.photographs.datasets import make_shape
from gear_transfer.photographs.duplicates import _close_pairs, _linked
from gear_transfer.photographs.hashes import BITS, ImageHashes, difference_hash
from gear_transfer.photographs.images import read_picture


def scene(seed):
    """A picture with structure all over: smooth random colours."""
    coarse = np.random.RandomState(seed).randint(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((180, 180), Image.BICUBIC)


@pytest.fixture
def files(tmp_path):
    """Five photographs of two scenes, and a damaged file."""
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.jpg", "d.png", "e.png", "f.png")]
    scene(0).save(paths[0])
    scene(1).save(paths[1])
    scene(0).resize((90, 75)).save(paths[2], quality=60)
    darker = (np.asarray(scene(0)) * 0.6 + 20).astype(np.uint8)
    Image.fromarray(darker).save(paths[3])
    with open(paths[0], "rb") as source, open(paths[4], "wb") as copy:
        copy.write(source.read())
    with open(paths[5], "wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n damaged")
    return paths


def test_hash_by_hand():
    """A ramp that rises to the right: all bits along rows, none along columns."""
    ramp = np.tile(np.arange(0, 240, dtype=np.uint8), (240, 1))
    bits = difference_hash(ramp)
    assert bits.shape == (BITS,) and bits[:256].all() and not bits[256:].any()
    assert (difference_hash(ramp.T) == np.concatenate([bits[256:], bits[:256]])).all()
    assert not difference_hash(ramp[:, ::-1])[:256].any()


def test_size_compression_and_brightness_do_not_matter(files):
    found = find_duplicates(files, cache=False)
    assert found.groups.tolist() == [0, 1, 0, 0, 0, 2]
    assert found.exact.tolist() == [0, 1, 2, 3, 0, 4]
    assert [cluster.tolist() for cluster in found.clusters()] == [[0, 2, 3, 4]]
    assert [cluster.tolist() for cluster in found.clusters(exact=True)] == [[0, 4]]
    assert found.first_of_each().tolist() == [0, 1, 5] and len(found) == 1
    assert repr(found) == ("<Duplicates: 4 of 6 photographs in 1 group, 2 of them byte for byte "
                           "the same>")
    html = found._repr_html_()
    assert "a.png, c.jpg, d.png, e.png" in html and "<table>" in html
    assert found.to_dict()["clusters"] == [["a.png", "c.jpg", "d.png", "e.png"]]


def test_turned_and_mirrored_are_others(files):
    image = scene(0)
    found = find_duplicates([image, image.rotate(90), image.transpose(Image.FLIP_LEFT_RIGHT)])
    assert found.groups.tolist() == [0, 1, 2]


def test_arrays_pictures_and_files_agree(files):
    images = [files[0], np.asarray(scene(0)), scene(0), np.asarray(scene(2))]
    found = find_duplicates(images)
    assert found.groups.tolist() == [0, 0, 0, 1] and found.exact.tolist() == [0, 1, 1, 2]
    assert found.names() == ["image 0", "image 1", "image 2", "image 3"]
    stack = np.stack([np.asarray(scene(i)) for i in (0, 3, 0)])
    assert find_duplicates(stack).groups.tolist() == [0, 1, 0]


def test_plain_pictures_need_edges_in_common():
    """On white few bits can differ; two different shapes are none the less two groups."""
    circle, square = make_shape("circle", random_state=4), make_shape("square", random_state=7)
    first, second = difference_hash(circle), difference_hash(square)
    assert (first != second).mean() < 0.12
    assert find_duplicates([circle, square]).groups.tolist() == [0, 1]
    blank = np.full((50, 50, 3), 255, np.uint8)
    assert find_duplicates([blank, blank[:40], circle]).groups.tolist() == [0, 0, 1]


def test_close_pairs_against_a_slow_twin():
    rng = np.random.RandomState(3)
    bits = rng.rand(60, BITS) < 0.4
    for i in range(0, 60, 3):
        bits[i + 1] = bits[i] ^ (rng.rand(BITS) < 0.04 * rng.rand() * 4)
    readable = np.arange(60) != 7
    pairs, distances = _close_pairs(np.packbits(bits, axis=1), readable, 0.12)
    expected = {}
    for i in range(60):
        for j in range(i + 1, 60):
            either, both = (bits[i] | bits[j]).sum(), (bits[i] & bits[j]).sum()
            apart = (bits[i] != bits[j]).mean()
            if apart <= 0.12 and 1 - both / either <= 0.5 and readable[i] and readable[j]:
                expected[i, j] = apart
    assert 5 < len(expected) < 20
    assert dict(zip(map(tuple, pairs.tolist()), distances)) == expected


def test_a_chain_is_no_group():
    """Each is a little like the next; the ends have nothing in common."""
    rng = np.random.RandomState(0)
    bits = np.repeat(rng.rand(1, BITS) < 0.5, 12, axis=0)
    step = BITS // 12
    for i in range(12):
        bits[i, :i * step] = ~bits[i, :i * step]
    pairs, _ = _close_pairs(np.packbits(bits, axis=1), np.ones(12, bool), 0.12)
    assert set((i, i + 1) for i in range(11)) <= set(map(tuple, pairs.tolist()))
    groups = _linked(np.packbits(bits, axis=1), pairs, 0.12)
    assert groups[0] != groups[-1] and 2 < len(set(groups)) < 12


def test_threshold(files):
    strict = find_duplicates(files, threshold=0, cache=False)
    assert strict.groups[0] == strict.groups[4] != strict.groups[1]
    for threshold in (-0.1, 0.5, 1, "0.1", None, True, float("nan")):
        with pytest.raises(ValueError) as caught:
            find_duplicates(files, threshold=threshold)
        assert "threshold" in str(caught.value) and repr(threshold) in str(caught.value)


def test_duplicates_of_different_classes(files):
    found = find_duplicates(files, cache=False)
    across = found.across(["x", "x", "x", "y", "x", "x"])
    assert [cluster.tolist() for cluster in across] == [[0, 2, 3, 4]]
    assert found.across(["x", "y", "x", "x", "x", "y"]) == []
    with pytest.raises(ValueError):
        found.across(["x"])


def test_hashes_are_kept_by_content(files, tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path / "cache")
    bits, contents, failures = ImageHashes(files, cache).complete()
    assert [i for i, _ in failures] == [5] and len(set(contents)) == 5
    os.rename(files[0], files[0] + ".moved")
    computed = []
    monkeypatch.setattr("gear_transfer.photographs.hashes.picture_hash",
                        lambda picture: computed.append(picture) or np.ones(BITS, bool))
    again, _, _ = ImageHashes([files[0] + ".moved"] + files[1:5], cache).complete()
    assert computed == [] and (again == bits[:5]).all()
    ImageHashes(files[1:2], None).complete()
    ImageHashes(files[1:2], False).complete()
    ImageHashes(files[1:2], cache, input_size=96).complete()
    assert len(computed) == 3


def test_what_was_seen_is_not_read_again(files, tmp_path):
    """Bits of a picture that somebody has decoded are those that reading it gives."""
    cache = FeatureCache(tmp_path / "cache")
    bits, contents, _ = ImageHashes(files).complete()
    hashes = ImageHashes(files, cache)
    hashes.see(1, read_picture(files[1], DEFAULT_INPUT_SIZE))
    hashes.see(0, read_picture(files[1], DEFAULT_INPUT_SIZE))
    seen, again, failures = hashes.complete()
    assert (seen[1:] == bits[1:]).all() and again == contents and len(failures) == 1
    assert (seen[0] == bits[1]).all()
    assert (ImageHashes(files[2:3], cache).complete()[0] == bits[2]).all()


def test_fit_reads_each_photograph_once(files, monkeypatch):
    """The hashes are made of the pictures that the features are made of."""
    read, again = [], object()
    monkeypatch.setattr("gear_transfer.photographs.prefetch.read_picture",
                        lambda image, *rule: read.append(image) or read_picture(image, *rule))
    monkeypatch.setattr("gear_transfer.photographs.hashes.read_picture",
                        lambda image, *rule: read.append(again) or read_picture(image, *rule))
    more = [np.asarray(scene(seed)) for seed in range(2, 8)]
    model = TransferClassifier(layer="mixed0", input_size=96, validation_fraction=0.3, epochs=1,
                               precision="float32", cache=False)
    model.fit(files[:5] + more, ["a", "b", "a", "a", "a"] + 3 * ["a", "b"])
    assert len(read) == 11 and sum(image is again for image in read) == 0
    assert model.split_.groups.tolist() == [0, 1, 0, 0, 0, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("kept", [False, True])
def test_fit_hashes_each_file_once(files, tmp_path, monkeypatch, kept):
    """For the cache and for duplicates; large photographs would be read anew each time."""
    hashed = []
    monkeypatch.setattr("gear_transfer.photographs.hashes.content_hash",
                        lambda path: hashed.append(path) or content_hash(path))
    more = [np.asarray(scene(seed)) for seed in range(2, 8)]
    labels = ["a", "b", "a", "a", "a"] + 3 * ["a", "b"]
    model = TransferClassifier(layer="mixed0", input_size=96, validation_fraction=0.3, epochs=1,
                               cache=str(tmp_path / "cache") if kept else False)
    model.fit(files[:5] + more, labels)
    assert sorted(hashed) == sorted(files[:5])
    del hashed[:]
    compute_features(ImageSet(files[:5], labels[:5]), model)
    assert sorted(hashed) == sorted(files[:5])


def test_nothing_and_one(files):
    assert len(find_duplicates([])) == 0 and find_duplicates([]).groups.tolist() == []
    assert find_duplicates(files[:1]).groups.tolist() == [0]
    with pytest.raises(TypeError):
        find_duplicates(files[0])


@pytest.mark.slow
def test_known_groups_of_gear(shared):
    """Every known group of near-duplicates is found whole."""
    images = load_folder(os.path.join(shared, "gear", "images"))
    with open(os.path.join(shared, "gear", "groups.csv"), newline="") as stream:
        known = dict((row["file"], row["group"]) for row in csv.DictReader(stream))
    found = find_duplicates(images)
    truth = np.array([known[name] for name in found.names()])
    names, counts = np.unique(truth, return_counts=True)
    whole = [len(set(found.groups[truth == name].tolist())) == 1 for name in names[counts > 1]]
    assert len(whole) == 107 and all(whole)
    assert len(np.unique(found.groups)) > 0.75 * len(images)


def test_colours_tell_things_of_one_shape_apart(tmp_path):
    """The same outline in another colour belongs on the same side of a split, but is no duplicate."""
    pixels = np.asarray(scene(0))
    small = scene(0).resize((100, 100))
    given = [pixels, pixels[:, :, ::-1], np.asarray(small), pixels]
    for cache in (False, str(tmp_path / "cache")):
        for _ in range(2):  # the second time from the cache
            found = find_duplicates(given, threshold=0.3, cache=cache)
            assert found.groups.tolist() == [0, 0, 0, 0] and found.exact.tolist() == [0, 1, 2, 0]
            assert found.alike.tolist() == [0, 1, 0, 0]
    assert [each.tolist() for each in found.clusters(alike=True)] == [[0, 2, 3]]
    assert found.sentence() == (
        "4 of 4 photographs have the outlines of others, in these or other colours, and are kept "
        "together in 1 group; 3 show nearly the same, 2 are byte for byte the same.")
    assert found.to_dict()["alike"] == [0, 1, 0, 0]


def test_colours_are_kept_in_the_cache(files, tmp_path):
    first, again = [ImageHashes(files, str(tmp_path / "cache")) for _ in range(2)]
    first.complete(), again.complete()
    np.testing.assert_array_equal(first.colours, again.colours)
    assert first.colours[:5].any()


@pytest.mark.slow
def test_what_is_said_to_show_the_same_does(shared):
    """Pairs of gear, against the known groups; none of these is torn apart by the groups."""
    folder = os.path.join(shared, "gear", "images")
    with open(os.path.join(shared, "gear", "groups.csv")) as stream:
        known = dict((row["file"], row["group"]) for row in csv.DictReader(stream))
    images = load_folder(folder)
    found = find_duplicates(images)
    group = np.array([known[os.path.relpath(path, folder)] for path in images.paths])
    upper = np.triu_indices(len(group), 1)
    same = (group[:, None] == group)[upper]
    alike = (found.alike[:, None] == found.alike)[upper]
    assert same[alike].mean() >= 0.9 and alike.sum() >= 80
    assert (found.groups[:, None] == found.groups)[upper][same].all()
