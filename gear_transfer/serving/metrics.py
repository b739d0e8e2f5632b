"""Counts and times of a service in the text form that Prometheus reads."""
import collections
import threading

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32)

#: Media type of the text.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram(object):
    """How many values were at most as large as each bound.

    Parameters
    ----------
    bounds : sequence of float
        Rising.
    """

    def __init__(self, bounds):
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value):
        """Count a value."""
        place = sum(value > bound for bound in self._bounds)
        self._counts[place] += 1
        self._sum += value

    def lines(self, name):
        """Lines of the text."""
        total, lines = 0, []
        for bound, count in zip(list(self._bounds) + ["+Inf"], self._counts):
            total += count
            lines.append('{}_bucket{{le="{}"}} {}'.format(name, bound, total))
        return lines + ["{}_sum {}".format(name, self._sum), "{}_count {}".format(name, total)]


class Metrics(object):
    """What a service counts; safe to use from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._responses = collections.Counter()
        self._photographs = collections.Counter()
        self._seconds, self._sizes = Histogram(_SECONDS), Histogram(_SIZES)

    def see_response(self, path, status, seconds):
        """Count a response; of predictions the time as well.

        Parameters
        ----------
        path : str
            One of the service's own.
        status : int
        seconds : float
        """
        with self._lock:
            self._responses[path, status] += 1
            if path == "/predict":
                self._seconds.add(seconds)

    def see_batch(self, size):
        """Count a batch of so many photographs."""
        with self._lock:
            self._sizes.add(size)

    def see_photograph(self, result):
        """Count a photograph, which was "predicted" or "unreadable"."""
        with self._lock:
            self._photographs[result] += 1

    def text(self, **gauges):
        """All of it, with what holds at the moment.

        Parameters
        ----------
        **gauges : number
            By name.

        Returns
        -------
        str
        """
        with self._lock:
            parts = [
                ("requests_total", "counter", "Responses by path and status.", [
                    'gear_transfer_requests_total{{path="{}",status="{}"}} {}'.format(*key + (count,))
                    for key, count in sorted(self._responses.items())]),
                ("photographs_total", "counter", "Photographs by result.", [
                    'gear_transfer_photographs_total{{result="{}"}} {}'.format(result, count)
                    for result, count in sorted(self._photographs.items())]),
                ("request_seconds", "histogram", "Time of predictions, from request to response.",
                 self._seconds.lines("gear_transfer_request_seconds")),
                ("batch_size", "histogram", "Photographs that went through the network together.",
                 self._sizes.lines("gear_transfer_batch_size"))]
        for name, value in sorted(gauges.items()):
            parts.append((name, "gauge", name.replace("_", " ").capitalize() + ".", [
                "gear_transfer_{} {}".format(name, value)]))
        lines = []
        for name, kind, meaning, values in parts:
            lines += ["# HELP gear_transfer_{} {}".format(name, meaning),
                      "# TYPE gear_transfer_{} {}".format(name, kind)] + values
        return "\n".join(lines) + "\n"
