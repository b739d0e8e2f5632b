"""Features computed by a real Dask cluster of separate processes."""
import os

import dask
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

import gear_transfer
from conftest import HOME
from gear_transfer import FeatureExtractor, TransferClassifier, load_folder, make_shapes
from gear_transfer.features import distributed
from test_distributed import Killing, check_same

QUICK = dict(layer="mixed2", input_size=96, batch_size=4, threads=1, cache=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask") / "shapes"
    return load_folder(make_shapes(folder, per_class=27, size=96, random_state=2))


@pytest.fixture(scope="module")
def serial(images):
    return FeatureExtractor(**QUICK).fit().extract(images.paths)


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch, dask.config.set(
            {"distributed.worker.daemon": True}):
        patch.setenv("PYTHONPATH", HOME)
        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                          dashboard_address=None) as cluster, Client(cluster) as client:
            yield client


@pytest.mark.slow
def test_equal_bit_for_bit(client, images, serial):
    pids = set(client.run(os.getpid).values())
    assert len(pids) == 2 and os.getpid() not in pids
    assert set(client.run(lambda: gear_transfer.__file__).values()) == {gear_transfer.__file__}
    found = FeatureExtractor(executor=client.get_executor(), **QUICK).fit().extract(images.paths)
    check_same(found, serial)
    used = client.run(lambda: len(distributed._backbones))
    assert sorted(used.values()) == [1, 1]  # both have worked, each loaded it once


def test_a_worker_uses_its_own_share(client):
    with client.get_executor() as executor:
        assert executor.submit(distributed.share_of_processors, 1).result() == 1


@pytest.mark.slow
def test_a_worker_killed_in_the_middle(client, images, serial):
    before = set(client.run(os.getpid).values())
    executor = Killing(client.get_executor(), lambda: sorted(before))
    found = FeatureExtractor(executor=executor, **QUICK).fit().extract(images.paths)
    assert executor.killed.is_set()
    check_same(found, serial)
    client.wait_for_workers(2, timeout=30)
    after = set(client.run(os.getpid).values())
    assert sorted(before)[0] not in after and len(after) == 2


@pytest.mark.slow
def test_classifier(client, images):
    settings = dict(QUICK, epochs=3)
    expected = TransferClassifier(**settings).fit(images)
    found = TransferClassifier(executor=client.get_executor(), **settings).fit(images)
    np.testing.assert_array_equal(found.head_.coefs_[0], expected.head_.coefs_[0])
    np.testing.assert_array_equal(found.predict_proba(images.paths),
                                  expected.predict_proba(images.paths))
