"""Little memory, other work on the processors, and an end that finds threads at work."""
import os
import subprocess
import sys

import pytest

from conftest import HOME, ROOT

COMMON = "import os, sys\nsys.path.insert(0, {!r})\n".format(os.path.join(ROOT, "tests", "faults"))


def python(code, *arguments):
    """(exit status, output, errors) of a script that can import tests/faults."""
    process = subprocess.Popen([sys.executable, "-c", COMMON + code] + list(arguments), cwd=HOME,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=240)
    return process.returncode, output.decode(), errors.decode()


# oneDNN throws std::bad_alloc out of its functions in C, which ended the process, and what it made by
# half it keeps.
SHORT_OF_MEMORY = """
import resource
import numpy as np
from gear_transfer import EngineError, _core
from small import pictures

def network(channels):
    random = np.random.RandomState(channels)
    nodes = [("input", "input", (), {"channels": 3})]
    arrays = {}
    for i in range(6):
        name, inputs = "c{}".format(i), 3 if i == 0 else channels
        arrays[name] = random.normal(0, 0.2, (3, 3, inputs, channels)).astype(np.float32)
        nodes.append((name, "conv2d", (nodes[-1][0],), {"kernel": name, "padding": "same"}))
    return _core.backbone(nodes, arrays, 8, 8, ((name, None),), 1, 2, 0.01, 0.0, "float32")

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

images, unlimited = pictures(2), resource.getrlimit(resource.RLIMIT_AS)
network(5).run(images)
refused = []
for i, extra in enumerate(list(range(300, 20000, 400)) + list(range(22000, 150000, 5000))):
    backbone = network(3 + i)
    resource.setrlimit(resource.RLIMIT_AS, (size() + (extra << 10), unlimited[1]))
    try:
        backbone.run(images)
    except (MemoryError, EngineError) as error:
        refused.append(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
    again = backbone.run(images)[0]
    assert np.isfinite(again).all() and again.any()
print(len(refused), i)
"""


def test_short_of_memory():
    code, output, errors = python(SHORT_OF_MEMORY)
    assert code == 0, errors[-1000:]
    refused, all_of_them = map(int, output.split())
    assert 10 < refused < all_of_them


# Threads that wait for each other on the processor, each in the other's way.
ONE_BY_ONE = """
import time
import numpy as np
from gear_transfer import Backbone
image = np.random.RandomState(0).randint(0, 256, (1, 96, 96, 3)).astype(np.uint8)
for threads in (1, os.cpu_count()):
    backbone = Backbone.load(threads=threads, input_size=96, precision="float32")
    backbone.features(image)
    start = time.time()
    for _ in range(10):
        backbone.features(image)
    print(time.time() - start)
"""


@pytest.mark.slow
def test_one_photograph_on_a_busy_machine():
    """Took 30 times as long as on one thread."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
              for _ in range(2 * os.cpu_count())]
    try:
        code, output, errors = python(ONE_BY_ONE)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert code == 0, errors
    alone, together = map(float, output.split())
    assert together < 5 * alone


# The interpreter ends while daemon threads, which nobody stops, are in the core.
ENDS_AT_ONCE = """
import threading, time
from small import make_backbone, pictures, samples
from gear_transfer import _core
images, (features, labels) = pictures(400), samples(3000, 60, 5)

def run():
    backbone = make_backbone()
    while True:
        backbone.run(images)

def calibrate():
    while True:
        make_backbone(precision="int8").calibrate(images[:30])

def build():
    while True:
        make_backbone().run(images[:3])

def train():
    head = _core.head((60, 64, 5), 0)
    while True:
        head.train(features, labels, epochs=5, threads=2, callback=lambda *numbers: None)

def predict():
    head = _core.head((60, 64, 5), 0)
    while True:
        head.predict(features, 2)

for name in sys.argv[2:]:
    threading.Thread(target=globals()[name], daemon=True).start()
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["calibrate calibrate", "run build", "train predict",
                                  "run calibrate build train predict"])
def test_daemon_threads_at_the_end(jobs):
    for delay in ("0.3", "0.5", "0.7", "0.9"):
        code, output, errors = python(ENDS_AT_ONCE, delay, *jobs.split())
        assert (code, output) == (0, ""), errors[-1000:]


# Who is in the core at the moment of a fork does not come along: nobody waits for him at the end.
FORKS_AND_ENDS = """
import signal, threading
from small import make_backbone, pictures
images = pictures(400)
backbone, other = make_backbone(), make_backbone()
wanted = other.run(images[:5])[0].tobytes()

def run():
    while True:
        backbone.run(images)

for _ in range(3):
    threading.Thread(target=run, daemon=True).start()
for i in range(12):
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        sys.exit(0 if other.run(images[:5])[0].tobytes() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0, i
"""


@pytest.mark.slow
def test_children_of_a_working_process_end():
    code, output, errors = python("import warnings\nwarnings.simplefilter('ignore')\n" +
                                  FORKS_AND_ENDS)
    assert (code, output) == (0, ""), errors[-1000:]
