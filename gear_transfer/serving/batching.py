"""Predictions of many callers at once: what has queued up goes through the network together."""
import collections
import concurrent.futures
import os
import queue
import threading

import numpy as np

from ..classifiers.ranking import most_probable

#: What is said of a photograph: probabilities (c,), how usual it is among those of the training
#: (None unless that was asked for) and why it cannot be read, else None.
Answer = collections.namedtuple("Answer", ["probabilities", "known", "error"])

_Request = collections.namedtuple("_Request", ["image", "wants_known", "future"])

#: Photographs that go through the network together at most.
MOST_AT_ONCE = 32


class TooManyWaiting(Exception):
    """The queue is full: ask again later."""


class Batcher(object):
    """One thread that feeds a classifier with the photographs of all callers.

    While it works on some, others queue up, and go together next. So there is no waiting for a
    batch to fill, and batches grow with the load.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded; nobody else should change it meanwhile.
    most_at_once : int
        Photographs of a batch.
    most_waiting : int
        Photographs that may wait.
    see_batch : callable, optional
        Called with the size of each batch.
    """

    def __init__(self, model, most_at_once=MOST_AT_ONCE, most_waiting=256, see_batch=None):
        self._model = model
        self._most_at_once = most_at_once
        self._see_batch = see_batch
        self._most_waiting = most_waiting
        self._queue = queue.Queue(most_waiting)
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread, self._process = None, None

    @property
    def model(self):
        """The classifier."""
        return self._model

    @property
    def waiting(self):
        """How many photographs wait, about."""
        return self._queue.qsize()

    def submit(self, image, wants_known=False):
        """Ask for the prediction of one photograph.

        Parameters
        ----------
        image
            As `TransferClassifier.predict` takes them.
        wants_known : bool
            Whether to say how usual it is, see `TransferClassifier.known_score`.

        Returns
        -------
        concurrent.futures.Future of Answer
            One that is cancelled before its turn costs nothing.

        Raises
        ------
        TooManyWaiting
            The queue is full, or the batcher is closed.
        """
        request = _Request(image, wants_known, concurrent.futures.Future())
        with self._lock:
            if self._is_closed:
                raise TooManyWaiting("the service is ending")
            self._start()
            try:
                self._queue.put_nowait(request)
            except queue.Full:
                raise TooManyWaiting("{} photographs are waiting".format(self.waiting)) from None
        return request.future

    def close(self):
        """Answer what is in the queue and end the thread; nothing is taken any more."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
            if self._thread is None or self._process != os.getpid():
                return
        if is_first:
            self._queue.put(None)
        self._thread.join()

    def _start(self):
        """Start the thread where there is none: a fork, as of gunicorn's --preload, has left it behind."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._queue = queue.Queue(self._most_waiting)  # the old one would wake the thread left behind
            self._thread = threading.Thread(target=self._work, name="gear_transfer-batches", daemon=True)
            self._thread.start()

    def _work(self):
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < self._most_at_once and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            is_open = batch[-1] is not None
            wanted = [request for request in batch
                      if request is not None and request.future.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)

    def _answer(self, batch):
        """Predict a batch; whatever goes wrong goes to those who asked, not to this thread."""
        if self._see_batch is not None:
            self._see_batch(len(batch))
        try:
            answers = self._predict(batch)
        except Exception as error:  # pylint: disable=broad-except
            for request in batch:
                request.future.set_exception(error)
            return
        for request, answer in zip(batch, answers):
            request.future.set_result(answer)

    def _predict(self, batch):
        extraction = self._model.extractor_.extract([request.image for request in batch])
        reasons = dict((i, error.reason) for i, error in extraction.failures)
        probabilities = self._model.probabilities_of(extraction)
        known = np.full(len(batch), np.nan)
        if any(request.wants_known for request in batch):
            known = self._model.known_scores_of(extraction)
        return [Answer(probabilities[i], float(known[i]) if request.wants_known else None,
                       reasons.get(i)) for i, request in enumerate(batch)]


def answer_facts(model, answer, top_k, unknown=None):
    """An answer as plain values, as JSON has them.

    Parameters
    ----------
    model : TransferClassifier
    answer : Answer
    top_k : int
        How many classes are listed.
    unknown : str, optional
        What to say of a photograph unlike all those of the training.

    Returns
    -------
    dict
        predicted, probability, top, and known where `unknown` is given.
    """
    row, known = answer.probabilities[np.newaxis], None
    if unknown is not None:
        known = np.array([answer.known])
    facts = collections.OrderedDict([
        ("predicted", model.classes_from(row, known, unknown).tolist()[0]),
        ("probability", round(float(row.max()), 6)),
        ("top", [collections.OrderedDict([("class", each.label), ("probability", round(
            each.probability, 6))]) for each in most_probable(model.classes_, row, top_k)[0]])])
    if unknown is not None:
        facts["known"] = round(answer.known, 6)
    return facts
