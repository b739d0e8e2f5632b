"""Named settings belong to weights; the list of the backbones."""
import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer import cli
from gear_transfer.features.settings import QUALITIES, default_layer
from gear_transfer.importers import load_network
from gear_transfer.importers.network import Network
from gear_transfer.importers.weights import PACKAGED, packaged_path


@pytest.mark.slow
def test_every_setting_can_be_loaded():
    for name in PACKAGED:
        network = load_network(packaged_path(name))
        for quality in QUALITIES:
            layer, size = default_layer(network, quality)
            backbone = gt.Backbone.load(name, quality=quality)
            assert isinstance(layer, tuple) and size is not None
            assert (backbone.layer, backbone.input_size) == (layer, size)
    for quality, setting in QUALITIES.items():
        backbone = gt.Backbone.load(quality=quality)
        assert (backbone.name, backbone.layer, backbone.input_size) == setting


def test_the_official_weights_are_tapped_at_their_last_block():
    """The settings of "inception_v3" were chosen on other weights of that architecture."""
    ours = load_network(packaged_path("inception_v3"))
    other = Network("inception_v3", ours.nodes, ours.arrays, ours.input_size, ours.preprocessing,
                    {"format": "Keras HDF5"})
    for quality in list(QUALITIES) + [None]:
        assert default_layer(other, quality) == ("mixed7", (299, 299))
    assert default_layer(ours) == ("mixed4", (128, 128))
    assert default_layer(ours.upto("mixed3"), "balanced") == ("mixed3", (299, 299))


@pytest.mark.slow
def test_how_photographs_become_square(tmp_path):
    """The EfficientNets of the package stretch; others, and who says otherwise, pad."""
    def found(**settings):
        return gt.FeatureExtractor(**settings).fit().resize_

    assert found() == found(backbone="efficientnet_lite2") == "stretch"
    assert found(backbone="inception_v3") == found(resize="pad") == "pad"
    assert found(backbone="inception_v3", resize="stretch") == "stretch"
    shapes = gt.load_folder(gt.make_shapes(tmp_path / "shapes", per_class=4, size=64))
    for settings, expected in (({}, "stretch"), ({"resize": "pad"}, "pad")):
        model = gt.TransferClassifier(input_size=64, epochs=2, cache=False, **settings).fit(shapes)
        model.save(str(tmp_path / "model.gtm"))
        again = gt.load_model(str(tmp_path / "model.gtm"))
        assert model.extractor_.resize_ == again.extractor_.resize_ == again.resize == expected


def test_backbones():
    found = gt.backbones()
    assert [each.name for each in found] == list(PACKAGED)
    lite, _, inception = found
    assert lite.layers == ["block{}".format(i) for i in range(16)] + ["head"]
    assert inception.layers == ["mixed{}".format(i) for i in range(8)]
    assert lite.layer == ("block10", "head") and lite.input_size == (256, 256)
    assert 0.95 < lite.gflop < 1.05 and 0.85 < inception.gflop < 0.95
    assert sum(each.size for each in found) < 20e6 and lite.licence.startswith("Apache-2.0")
    text = str(found)
    for part in ("efficientnet_lite2", "MIT", "mixed3+mixed4 at 128 x 128", "GFLOP"):
        assert part in text and part in repr(found) and part in found._repr_html_()
    assert found.to_dict()["backbones"][0]["name"] == "efficientnet_lite0"


@pytest.mark.slow
def test_check_lists_the_backbones(capsys):
    cli.main(["check"])
    line = [line for line in capsys.readouterr().out.splitlines() if " backbones " in line][0]
    for name in PACKAGED:
        assert name in line
    assert "Apache-2.0" in line and "GFLOP" in line


@pytest.mark.parametrize("quality", ["best", 3, ["fast"]])
def test_unknown_quality(quality):
    with pytest.raises(ValueError, match="quality must be"):
        gt.Backbone.load(quality=quality)


def test_a_copy_of_the_default_computes_the_same():
    images = np.random.RandomState(0).randint(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    one = gt.Backbone.load(input_size=64)
    two = gt.Backbone.load(packaged_path("efficientnet_lite0"), layer="head", input_size=64)
    np.testing.assert_array_equal(one.features(images), two.features(images))
