"""Many threads predict with one model and get what one thread gets, byte for byte.

    python tests/faults/threads.py [THREADS [PREDICTIONS]]

THREADS (default 16) threads make PREDICTIONS (default 1000) predictions each, of one to five
photographs, with one TransferClassifier. The exit code is 1 if an answer differs.
"""
import sys
import threading
import time

from model import photographs, trained_model

IMAGES, _ = photographs(12, seed=9)


def wanted(model):
    """Answers of one thread, by the first photograph and the number of them."""
    return dict(((first, count), model.predict_proba(IMAGES[first:first + count]).tobytes())
                for first in range(8) for count in (1, 2, 5))


def main(threads=16, predictions=1000):
    model = trained_model()
    answers = wanted(model)
    keys = sorted(answers)
    wrong, errors = [0] * threads, []

    def work(place):
        try:
            for i in range(predictions):
                first, count = keys[(7 * place + i) % len(keys)]
                answer = model.predict_proba(IMAGES[first:first + count]).tobytes()
                wrong[place] += answer != answers[(first, count)]
        except Exception as error:
            errors.append(repr(error))

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    start = time.time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("{} threads x {} predictions: {} answers differ, {} errors {}; {:.1f} s".format(
        threads, predictions, sum(wrong), len(errors), errors[:1], time.time() - start))
    return 1 if sum(wrong) or errors else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
