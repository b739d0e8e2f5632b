"""What one photograph at a time costs while other processes want the processors.

    python benchmarks/busy_machine.py [--seconds 4] [--rounds 3] [--size 128]

Beside no, as many and twice as many busy processes as there are processors: images a second with one
thread and with all of them, each in a process of its own, measured in turn, the median of the rounds.
Where others are at work on the machine only the ratios say something.
"""
import argparse
import os
import statistics
import subprocess
import sys

WORKER = """
import sys, time
import numpy as np
from gear_transfer.features.backbone import Backbone
threads, seconds, size = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
backbone = Backbone.load(threads=threads, input_size=size, precision="float32")
image = np.random.RandomState(0).randint(0, 256, (1, size, size, 3)).astype(np.uint8)
for _ in range(3):
    backbone.features(image)
start, count = time.time(), 0
while time.time() - start < seconds:
    backbone.features(image)
    count += 1
print(count / (time.time() - start))
"""


def measure(threads, seconds, size):
    """Images a second of a process of its own."""
    output = subprocess.check_output([sys.executable, "-c", WORKER, str(threads), str(seconds),
                                      str(size)])
    return float(output.decode())


def start_busy(count):
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()
    processors = os.cpu_count()
    print("busy processes  one thread  {} threads  ratio".format(processors))
    for busy in (0, processors, 2 * processors):
        others = start_busy(busy)
        try:
            rates = {1: [], processors: []}
            for _ in range(given.rounds):
                for threads in sorted(rates):
                    rates[threads].append(measure(threads, given.seconds, given.size))
        finally:
            for other in others:
                other.kill()
                other.wait()
        one, many = (statistics.median(rates[threads]) for threads in (1, processors))
        print("{:>14}  {:>10.1f}  {:>9.1f}  {:>5.2f}".format(busy, one, many, many / one))


if __name__ == "__main__":
    main()
