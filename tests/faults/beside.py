"""In one process with torch and scikit-learn, imported before or after, used by turns.

    python tests/faults/beside.py [ROUNDS]

For each order of import a fresh process in which all three compute by turns, ROUNDS times (default
20), also from two threads at once; the answers must be those of a process of our own, byte for
byte. Needs torch and scikit-learn. The exit code is 1 if an answer differs or a process fails.
"""
import hashlib
import itertools
import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))

WORK = {
    "ours": "from model import photographs, trained_model",
    "torch": "import torch",
    # Before scikit-learn 1.0 it has to be asked for.
    "sklearn": "import sklearn.experimental.enable_hist_gradient_boosting\n"
               "from sklearn.ensemble import HistGradientBoostingClassifier",
}

USE = """
import hashlib, sys, threading
import numpy as np
random = np.random.RandomState(0)
table = random.normal(0, 1, (300, 20))
model = trained_model()
images = photographs(5, seed=9)[0]

def with_torch():
    if "torch" in globals():
        a = torch.ones(300, 300)
        assert float((a @ a).sum()) == 300.0 ** 3
        torch.nn.functional.conv2d(torch.ones(2, 3, 64, 64), torch.ones(8, 3, 3, 3))

def with_sklearn():
    if "HistGradientBoostingClassifier" in globals():
        HistGradientBoostingClassifier(max_iter=3).fit(table, table[:, 0] > 0).predict(table)

answers = set()

def with_ours():
    answers.add(model.predict_proba(images).tobytes() + model.predict_proba(images[:1]).tobytes())

for turn in range({rounds}):
    with_ours(), with_torch(), with_sklearn()
    threads = [threading.Thread(target=work) for work in (with_ours, with_torch, with_sklearn)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
assert len(answers) == 1, len(answers)
print(hashlib.sha256(answers.pop()).hexdigest())
"""


def run(order, rounds):
    """The digest of our answers in a process with those imports."""
    program = "\n".join(WORK[name] for name in order) + USE.replace("{rounds}", str(rounds))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=os.pathsep.join(
                                   [FOLDER, os.environ.get("PYTHONPATH", "")])))
    try:
        output, errors = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        return "hangs"
    if process.returncode != 0:
        return "fails ({}): {}".format(process.returncode, errors.decode().strip()[-300:])
    return output.decode().strip()


def main(rounds=20, names=("torch", "sklearn")):
    wanted = run(["ours"], rounds)
    good = len(wanted) == len(hashlib.sha256().hexdigest())
    print("alone: {}".format(wanted[:16]))
    for order in itertools.permutations(("ours",) + tuple(names)):
        answer = run(order, rounds)
        good = good and answer == wanted
        print("{}: {}".format(", ".join(order), "the same" if answer == wanted else answer),
              flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
