"""The card of a classifier: what it says must be what the classifier is."""
import hashlib
import json

import pytest

import gear_transfer as gt
from gear_transfer import cli
from gear_transfer.importers.native import read_network, write_network
from gear_transfer.workbench.intervals import wilson_interval

pytestmark = pytest.mark.every_python


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    images = gt.load_folder(gt.make_shapes(tmp_path_factory.mktemp("card") / "shapes", per_class=24,
                                           size=64, random_state=4))
    return gt.ImageSet(images.paths[:63], images.labels[:63])  # 15 triangles


@pytest.fixture(scope="module")
def fitted(images):
    return gt.TransferClassifier(backbone="inception_v3", layer="mixed1", input_size=(64, 80),
                                 epochs=12, cache=False, verbose=0, validation_fraction=0.3,
                                 resize="pad").fit(images)


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("card") / "m.gtm")
    fitted.save(path)
    return path


def test_a_card_says_what_the_classifier_is(fitted, images):
    facts = gt.model_card(fitted).to_dict()
    training, held = facts["training"], facts["held_out"]
    assert facts["classes"] == ["circle", "square", "triangle"]
    assert training["photographs"] == training["hashes"] == 63
    assert dict(training["counts"]) == {"circle": 24, "square": 24, "triangle": 15}
    names = sorted(hashlib.sha256(open_bytes(each)).digest()[:16] for each in images.paths)
    assert training["digest"] == hashlib.sha256(b"".join(names)).hexdigest()
    n = len(fitted.split_.validation)
    assert held["photographs"] == n > 10
    assert held["accuracy"] == pytest.approx(fitted.history_["val_accuracy"][-1], abs=1e-6)
    assert held["interval"] == list(wilson_interval(held["right"] / float(n), n))
    assert facts["preprocessing"]["input_size"] == [64, 80] and facts["preprocessing"]["resize"] == "pad"
    assert facts["backbone"]["fingerprint"] == fitted.extractor_.backbone_.fingerprint()
    assert "MIT" in facts["backbone"]["provenance"]["licence"]
    assert any("fewer than 20 photographs: triangle" in each for each in facts["limits"])


def open_bytes(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_a_saved_classifier_has_the_same_card(fitted, path, capsys):
    assert cli.main(["info", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(gt.model_card(fitted).to_dict()))
    assert cli.main(["info", path]) == 0
    text = capsys.readouterr().out
    assert text == str(gt.model_card(fitted)) + "\n"
    assert "circle (24), square (24), triangle (15)" in text and "95 % interval" in text
    assert max(len(line) for line in text.splitlines()) <= 96


def test_the_day_can_be_set(images, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    fitted = gt.TransferClassifier(backbone="inception_v3", layer="mixed0", input_size=32, epochs=2,
                                   cache=False, verbose=0, validation_fraction=0).fit(images.paths[20:30], images.labels[20:30])
    card = gt.model_card(fitted)
    assert card.to_dict()["training"]["day"] == "1970-01-02" and "on 1970-01-02" in str(card)
    assert card.to_dict()["held_out"] is None and "held out       none" in str(card)
    assert any("too few to tell" in each for each in card.to_dict()["limits"])


def change(path, target, trained):
    network = read_network(path)
    settings = json.loads(network.extra["classifier"])
    settings.pop("trained") if trained is None else settings.update(trained=trained)
    network.extra["classifier"] = json.dumps(settings)
    write_network(target, network)
    return target


def test_a_model_of_an_earlier_release_has_a_card(path, tmp_path):
    card = gt.model_card(gt.load_model(change(path, str(tmp_path / "old.gtm"), None)))
    training = card.to_dict()["training"]
    assert training["counts"] is None and training["day"] is None and training["photographs"] == 63
    assert "circle, square, triangle" in str(card)


@pytest.mark.parametrize("trained", [
    3, {"day": "today", "counts": [1, 2, 3]}, {"day": "2026-01-01", "counts": [1, 2]},
    {"day": "2026-01-01", "counts": [1, 2, -3]}, {"day": "2026-01-01"}])
def test_damaged_facts(path, tmp_path, trained):
    with pytest.raises(gt.ModelFileError, match="trained is missing or damaged"):
        gt.load_model(change(path, str(tmp_path / "bad.gtm"), trained))
