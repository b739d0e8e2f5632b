"""What finding near-duplicates costs as photographs become many.

    python benchmarks/scale.py duplicates gear_images 5000 20000 100000

Each number of photographs is measured in a process of its own. `duplicates` groups hashes like real
ones: those of the photographs given, upper and lower parts of two put together and 6 % of the bits
turned over; 15 % are near-duplicates of others.
"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np


def hashes_like(bits, count, seed=0):
    """As many hashes as are wanted, packed, made of those of real photographs."""
    rng = np.random.RandomState(seed)
    made = np.empty((count, bits.shape[1] // 8), np.uint8)
    for start in range(0, count, 10000):
        here = slice(start, min(start + 10000, count))
        number = here.stop - start
        upper, lower = rng.randint(len(bits), size=(2, number))
        cut = rng.randint(4, 13, number)[:, None]
        row = (np.arange(bits.shape[1]) % 256) // 16
        mixed = np.where(row < cut, bits[upper], bits[lower])
        mixed ^= rng.randint(16, size=mixed.shape) == 0
        twins = rng.choice(number, (2, number * 15 // 200), replace=False)
        mixed[twins[0]] = mixed[twins[1]] ^ (rng.randint(20, size=(twins.shape[1], 512)) == 0)
        made[here] = np.packbits(mixed, axis=1)
    return made


def measure_duplicates(path, count):
    """Seconds, processor seconds and memory of finding the groups of so many hashes."""
    from gear_transfer.photographs.duplicates import groups_of_hashes
    packed = hashes_like(np.load(path), int(count))
    contents = [row.tobytes()[:16] for row in packed]
    before, start, used = own_peak(), time.time(), time.process_time()
    groups = groups_of_hashes(packed, contents)
    print("{:>9,} hashes: {:8.1f} s, {:8.1f} s of processors, {:6,.0f} MB more at the peak, "
          "{:,} groups".format(len(packed), time.time() - start, time.process_time() - used,
                               (own_peak() - before) / 1e6, len(set(groups.tolist()))))


def own_peak():
    """The most memory that this process has had, in bytes."""
    with open("/proc/self/status") as stream:
        return 1024 * [int(line.split()[1]) for line in stream if line.startswith("VmHWM")][0]


def duplicates(folder, *counts):
    from gear_transfer.photographs.hashes import ImageHashes
    from gear_transfer.photographs.image_set import load_folder
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "bits.npy")
        np.save(path, ImageHashes(load_folder(folder).paths, True).complete()[0])
        for count in counts:
            subprocess.check_call([sys.executable, __file__, "measure_duplicates", path, count])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
