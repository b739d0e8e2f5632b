"""When a job passed which stage; the clock starts when this module is imported."""
import json
import time


class Stages:
    """Times of the stages of a job, and its report."""

    def __init__(self):
        self._last = _START
        self._stages = []

    def done(self, name):
        """Note that the stage `name` is over."""
        now = time.perf_counter()
        self._stages.append([name, now - self._last])
        self._last = now

    def report(self, validation_accuracy, predicted):
        """Print the last line of output, which the script that measures reads.

        None and an empty list for a job that does not come so far.
        """
        if validation_accuracy is not None:
            validation_accuracy = float(validation_accuracy)
        print(json.dumps({"stages": self._stages, "validation_accuracy": validation_accuracy,
                          "predicted": [str(name) for name in predicted]}))


_START = time.perf_counter()
