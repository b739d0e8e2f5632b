"""Predict, fork, predict: in the child, in the parent, and while another thread predicts.

    python tests/faults/forks.py [FORKS]

FORKS (default 200) times: predict, fork, predict in the child and in the parent; as often while
another thread predicts (a quarter of them); then pools of multiprocessing with fork, spawn and
forkserver, made after a prediction. A child that has not answered after 30 s counts as a hang. The
exit code is 1 after a hang or an answer that differs.
"""
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings

from model import photographs, trained_model

LIMIT = 30  # seconds
IMAGES, _ = photographs(5, seed=9)
MODEL = None  # of a pool's worker


def answer(model, count):
    return model.predict_proba(IMAGES[:count]).tobytes()


def fork_child(model, wanted):
    """Fork; the child predicts one photograph and five, and its exit code says whether that went
    well. An alarm ends it when it hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads
        child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(LIMIT)
            code = 0 if all(answer(model, count) == wanted[count] for count in wanted) else 1
        finally:
            os._exit(code)
    return child


def ending(child):
    """How a child ended: "good", "differs", "error" or "hangs"."""
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "hangs" if os.WTERMSIG(status) == signal.SIGALRM else "crashes"
    return {0: "good", 1: "differs"}.get(os.WEXITSTATUS(status), "error")


def report(what, endings, start):
    counts = dict((kind, endings.count(kind)) for kind in sorted(set(endings)))
    print("{}: {}; {:.1f} s".format(what, counts, time.time() - start), flush=True)
    return all(kind == "good" for kind in endings)


def fork_often(model, wanted, forks):
    start, endings = time.time(), []
    for i in range(forks):
        child = fork_child(model, wanted)
        count = 1 + 4 * (i % 2)
        endings.append("good" if answer(model, count) == wanted[count] else "differs")
        endings.append(ending(child))
    return report("predict, fork, predict, {} times".format(forks), endings, start)


def fork_beside_a_thread(model, wanted, forks):
    start, endings, over = time.time(), [], threading.Event()

    def work():
        while not over.is_set():
            for count in wanted:
                if answer(model, count) != wanted[count]:
                    endings.append("differs")

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(forks):
        endings.append(ending(fork_child(model, wanted)))
    over.set()
    worker.join()
    return report("fork while another thread predicts, {} times".format(forks), endings, start)


def set_model(model):
    global MODEL
    MODEL = model


def answer_in_a_pool(count):
    return answer(MODEL, count)


def pool(method, model, wanted):
    start = time.time()
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with context.Pool(2, set_model, (model,)) as workers:
            counts = [1, 5] * 4
            try:
                results = workers.map_async(answer_in_a_pool, counts).get(timeout=2 * LIMIT)
                workers.close()
                workers.join()  # else what they hold is the resource tracker's to report
            except multiprocessing.TimeoutError:
                return report("a pool by " + method, ["hangs"], start)
    endings = ["good" if result == wanted[count] else "differs"
               for result, count in zip(results, counts)]
    return report("a pool by " + method, endings, start)


def main(forks=200):
    model = trained_model()
    wanted = dict((count, answer(model, count)) for count in (1, 5))
    good = [fork_often(model, wanted, forks),
            fork_beside_a_thread(model, wanted, (forks + 3) // 4)]
    good += [pool(method, model, wanted) for method in multiprocessing.get_all_start_methods()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
