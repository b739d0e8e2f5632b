"""Coverage-guided fuzzing of everything that reads a file.

    python tests/fuzz/run.py TARGET|all [--inputs N] [--seconds S] [--keep FOLDER] [--totals FILE]
    python tests/fuzz/run.py TARGET --again INPUT [--totals FILE]
    python tests/fuzz/run.py TARGET|all --minimise FOLDER [--keep FOLDER]

Needs the package and atheris (pip install atheris, Python 3.11 or newer). Prints for each target the
inputs run, the time, the crashes, the slowest input and the most memory that one input took. An input
that fails (one that takes too long: twice) is written to the folder of `--keep` (default: build/fuzz);
put it into tests/fuzz/corpus/TARGET once the fault is mended, where pytest replays it. That folder also
keeps the inputs that reached new code, from which the next run goes on; with `--totals` the figures of
all runs add up in FILE (JSON), and those are printed. Exits with 1 if anything failed. `--plain` needs
no atheris and does without coverage.

`--again` runs a kept input once more, which tells a fault from a machine that was busy or stopped; in
FILE a crash that does not come again is counted as such. `--minimise` fuzzes nothing: of the inputs that
are kept it chooses the few small ones that take the most branches beyond those of the seeds, and writes
them to FOLDER/TARGET, for tests/fuzz/corpus.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("native", "model", "pytorch", "keras", "keras_archive", "keras_weights", "onnx", "cache",
         "images")
LARGEST = 1 << 16
HANG = 100  # seconds after which libFuzzer ends an input; the bound itself is run_checked's
NOTHING = {"inputs": 0, "seconds": 0.0, "crashes": 0, "not_again": 0, "slowest": 0.0, "memory": 0}


def worker(arguments):
    """Fuzz in this process, which libFuzzer ends; figures go to a file."""
    import atheris
    with atheris.instrument_imports(include=["gear_transfer", "PIL"]):
        import targets
        targets.import_readers()
    warnings.simplefilter("ignore")
    target = targets.new_target(arguments.target)
    figures = {"inputs": 0, "slowest": 0.0, "memory": 0}
    os.makedirs(arguments.corpus, exist_ok=True)
    for i, data in enumerate(target.seeds() + targets.corpus(arguments.target)):
        with open(os.path.join(arguments.corpus, "seed-{}".format(i)), "wb") as stream:
            stream.write(data)
        target.run(data)  # what is loaded on first use counts for no input
    started = time.time()

    def report():
        with open(arguments.figures, "w") as stream:
            json.dump(figures, stream)

    report()

    def run(data):
        figures["inputs"] += 1
        try:
            seconds, memory = targets.run_checked(target, data)
        except BaseException:
            report()
            raise
        figures["slowest"] = max(figures["slowest"], seconds)
        figures["memory"] = max(figures["memory"], memory)
        if figures["inputs"] % 2000 == 0:
            report()
        if figures["inputs"] >= arguments.inputs or time.time() - started > arguments.seconds:
            report()
            shutil.rmtree(target.folder, ignore_errors=True)
            os._exit(0)

    def mutate(data, largest, seed):
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(data, len(data))[:largest]
        return target.mutate(data, rng)[:largest]

    options = ["-artifact_prefix=" + arguments.keep + os.sep, "-max_len={}".format(LARGEST),
               "-timeout={}".format(HANG), "-rss_limit_mb=2048", "-verbosity=0",
               "-seed={}".format(arguments.seed), arguments.corpus]
    atheris.Setup([sys.argv[0]] + options, run, custom_mutator=mutate)
    atheris.Fuzz()


def plain_worker(arguments):
    """Random mutations without coverage."""
    import targets
    target = targets.new_target(arguments.target)
    figures = {"inputs": 0, "slowest": 0.0, "memory": 0}
    started = time.time()
    try:
        for data in targets.random_inputs(target, arguments.target, arguments.inputs,
                                          arguments.seed):
            figures["inputs"] += 1
            with open(os.path.join(arguments.keep, "last-" + arguments.target), "wb") as stream:
                stream.write(data)
            seconds, memory = targets.run_checked(target, data)
            figures["slowest"] = max(figures["slowest"], seconds)
            figures["memory"] = max(figures["memory"], memory)
            if time.time() - started > arguments.seconds:
                break
    finally:
        with open(arguments.figures, "w") as stream:
            json.dump(figures, stream)
        shutil.rmtree(target.folder, ignore_errors=True)
    os.remove(os.path.join(arguments.keep, "last-" + arguments.target))


def fuzz(name, arguments):
    """Run a target until its number of inputs or seconds is reached; the figures."""
    total = dict(NOTHING)
    started = time.time()
    end = started + arguments.seconds
    corpus = os.path.join(arguments.keep, "corpus-" + name)
    while total["inputs"] < arguments.inputs and time.time() < end and total["crashes"] < 20:
        handle, figures = tempfile.mkstemp()
        os.close(handle)
        command = [sys.executable, os.path.abspath(__file__), name, "--worker",
                   "--figures", figures, "--keep", arguments.keep, "--corpus", corpus,
                   "--inputs", str(arguments.inputs - total["inputs"]),
                   "--seconds", str(max(1.0, end - time.time())),
                   "--seed", str(random.randrange(1, 1 << 30))]
        command += ["--plain"] if arguments.plain else []
        log = os.path.join(arguments.keep, "log-" + name)
        begun = time.time()
        with open(log, "ab") as stream:
            code = subprocess.call(command, stdout=stream, stderr=stream)
        total["crashes"] += code != 0 and not was_only_slow(name, arguments.keep, begun)
        with open(figures) as stream:
            text = stream.read()
        os.remove(figures)
        if not text:
            sys.exit("the fuzzing of {} does not start; see {}".format(name, log))
        add(total, json.loads(text))
    total["seconds"] = time.time() - started
    return total


def was_only_slow(name, folder, since):
    """Whether what ended a worker was a time-out that does not come again: the machine was busy."""
    found = [entry for entry in os.listdir(folder)
             if entry.startswith(("crash-", "oom-", "timeout-", "leak-"))
             and os.path.getmtime(os.path.join(folder, entry)) >= since - 1]
    if len(found) != 1 or not found[0].startswith("timeout-"):
        return False
    path = os.path.join(folder, found[0])
    try:
        code = subprocess.call([sys.executable, os.path.abspath(__file__), name, "--again", path],
                               timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return code == 0


def run_again(name, path, totals):
    """Run one input under the limits; an exception ends the process. Returns what to print."""
    import targets
    target = targets.new_target(name)
    try:
        for data in target.seeds():
            target.run(data)
        with open(path, "rb") as stream:
            data = stream.read()
        seconds, memory = targets.run_checked(target, data)
    finally:
        shutil.rmtree(target.folder, ignore_errors=True)
    folder, entry = os.path.split(path)
    os.rename(path, os.path.join(folder, "passed-" + entry))
    if totals:
        with_earlier(name, {"not_again": 1, "slowest": seconds, "memory": memory}, totals)
    return "{} passes: {:.3f} s, {:.1f} MiB".format(entry, seconds, memory / 2**20)


def minimise(name, source, folder):
    """Choose the best of the kept inputs; what to print."""
    import PIL
    import gear_transfer
    import targets
    from minimise import minimise
    warnings.simplefilter("ignore")
    target = targets.new_target(name)
    try:
        return name + ": " + minimise(
            target, source, os.path.join(folder, name),
            tuple(os.path.dirname(package.__file__) for package in (gear_transfer, PIL)))
    finally:
        shutil.rmtree(target.folder, ignore_errors=True)


def add(total, found):
    """Add the figures of one run."""
    for key, value in found.items():
        total[key] = max(total[key], value) if key in ("slowest", "memory") else total[key] + value


def with_earlier(name, figures, path):
    """Add the figures to those of earlier runs in a JSON file; all of them for the target."""
    totals = {}
    if os.path.exists(path):
        with open(path) as stream:
            totals = json.load(stream)
    totals[name] = dict(NOTHING, **totals.get(name, {}))
    add(totals[name], figures)
    with open(path + ".new", "w") as stream:
        json.dump(totals, stream, indent=1, sort_keys=True)
    os.replace(path + ".new", path)
    return totals[name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=NAMES + ("all",))
    parser.add_argument("--inputs", type=int, default=1000000)
    parser.add_argument("--seconds", type=float, default=1e9, help="for each target")
    parser.add_argument("--keep", default=os.path.join(os.path.dirname(os.path.dirname(HERE)),
                                                       "build", "fuzz"))
    parser.add_argument("--totals", help="a file that adds up the figures of runs")
    parser.add_argument("--plain", action="store_true", help="without coverage and atheris")
    parser.add_argument("--again", metavar="INPUT", help="run an input that was kept once more")
    parser.add_argument("--minimise", metavar="FOLDER", help="write the best of the kept inputs to it")
    for name in ("--figures", "--corpus"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.again:
        print(run_again(arguments.target, arguments.again, arguments.totals))
        return 0
    if arguments.worker:
        (plain_worker if arguments.plain else worker)(arguments)
        return 0
    arguments.keep = os.path.abspath(arguments.keep)
    os.makedirs(arguments.keep, exist_ok=True)
    failed = False
    for name in NAMES if arguments.target == "all" else (arguments.target,):
        if arguments.minimise:
            print(minimise(name, os.path.join(arguments.keep, "corpus-" + name), arguments.minimise))
            continue
        total = fuzz(name, arguments)
        failed |= total["crashes"] > 0
        if arguments.totals:
            total = with_earlier(name, total, arguments.totals)
        print("{}: {:,} inputs in {:,.0f} s, {} crashes ({} of them do not come again), "
              "slowest {:.2f} s, most memory {:.1f} MiB".format(
                  name, total["inputs"], total["seconds"], total["crashes"], total["not_again"],
                  total["slowest"], total["memory"] / 2**20))
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
