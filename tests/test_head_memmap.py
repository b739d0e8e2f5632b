"""A head trained on a matrix in a file, of which memory could not hold a copy."""
import subprocess
import sys

import numpy as np
import pytest

from gear_transfer import HeadClassifier

SETTINGS = dict(epochs=2, batch_size=512, threads=1, verbose=0)


def matrix(path, rows, columns=512):
    rng = np.random.RandomState(0)
    mapped = np.lib.format.open_memmap(str(path), "w+", np.float32, (rows, columns))
    for start in range(0, rows, 2000):
        mapped[start:start + 2000] = rng.rand(len(mapped[start:start + 2000]), columns)
    labels = rng.randint(3, size=rows)
    mapped[np.arange(rows), labels] += 2
    mapped.flush()
    return labels


def test_the_same_head_as_from_memory(tmp_path):
    y = matrix(tmp_path / "X.npy", 3000)
    mapped = np.load(str(tmp_path / "X.npy"), mmap_mode="r")
    head = HeadClassifier(**SETTINGS).fit(mapped, y)
    same = HeadClassifier(**SETTINGS).fit(np.array(mapped), y)
    np.testing.assert_array_equal(head.coefs_[0], same.coefs_[0])
    assert head.history_ == same.history_ and head.temperature_ == same.temperature_
    np.testing.assert_array_equal(head.predict_proba(mapped), same.predict_proba(np.array(mapped)))


SCRIPT = """
import resource, sys
import numpy as np
from gear_transfer import HeadClassifier

X, y = np.load(sys.argv[1], mmap_mode="r"), np.load(sys.argv[2])
settings = dict(epochs=1, batch_size=512, threads=1, verbose=0, validation_fraction=0.5)
HeadClassifier(**settings).fit(X[:2000], y[:2000])
with open("/proc/self/status") as stream:
    used = 1024 * [int(line.split()[1]) for line in stream if line.startswith("VmData")][0]
limit = used + (90 << 20) + X.nbytes // 10
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(X)
    print("the limit does not hold")
except MemoryError:
    pass
head = HeadClassifier(**settings).fit(X, y)
print(head.history_["val_accuracy"][-1] > 0.9, (head.predict(X[:1000]) == y[:1000]).mean() > 0.9)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_where_memory_cannot_hold_a_copy(tmp_path):
    """The limit leaves a tenth of the matrix, and the 64 MB and the stacks of threads for which the
    core asks before it starts, beside what a small fit has needed; half of the rows are held back."""
    np.save(str(tmp_path / "y.npy"), matrix(tmp_path / "X.npy", 150000))
    output = subprocess.check_output([sys.executable, "-c", SCRIPT, str(tmp_path / "X.npy"),
                                      str(tmp_path / "y.npy")])
    assert output.decode().split() == ["True", "True"]
