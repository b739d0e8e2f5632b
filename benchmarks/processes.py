"""Fresh processes, measured from outside, and where they find what they need.

Only the standard library is imported here and by the scripts that measure memory: Linux counts what
a process held before it became another program as that program's, so the measuring one stays small.
"""
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
JOBS = os.path.join(HERE, "jobs")

#: Wall time in seconds, largest resident memory in 10^6 bytes, and the last line of output as JSON.
Run = collections.namedtuple("Run", ["seconds", "peak_mb", "result"])


def stop(sentence):
    """End the script: it cannot measure."""
    print(sentence, file=sys.stderr)
    sys.exit(2)


def add_options(parser, peers=True, rounds=5):
    """The options of scripts that start processes."""
    parser.add_argument("--python", default=sys.executable,
                        help="interpreter that has gear_transfer (default: this one)")
    parser.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    add_shared_option(parser)
    if peers:
        add_peers_option(parser)


def add_peers_option(parser):
    """Where the programs are that are compared with."""
    parser.add_argument("--peers", default=os.environ.get(
        "GEAR_TRANSFER_PEERS", os.path.join(HERE, ".peers")),
        help="folder that peers.sh has filled (default: GEAR_TRANSFER_PEERS or %(default)s)")


def add_shared_option(parser):
    """Where photographs, weights and reference features are."""
    parser.add_argument("--shared", default=os.environ.get(
        "GEAR_TRANSFER_SHARED", os.path.join(os.path.dirname(ROOT), "shared")),
        help="folder with gear/, weights/ and reference/ (default: GEAR_TRANSFER_SHARED or "
             "%(default)s)")


def shared_file(shared, *parts):
    """Path of something in the shared folder; ends the script if it is not there."""
    path = os.path.join(shared, *parts)
    if not os.path.exists(path):
        stop("this benchmark needs {}, which is not there; give the folder that holds gear/, "
             "weights/ and reference/ with --shared or GEAR_TRANSFER_SHARED".format(path))
    return os.path.abspath(path)


def official_weights(shared):
    """Path of the weights that every program measured loads."""
    return shared_file(shared, "weights",
                       "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5")


def peer_python(peers, name):
    """Interpreter of a peer's environment; ends the script if it is not there."""
    python = os.path.join(peers, name, "bin", "python")
    if not os.path.exists(python):
        stop("{} is not there; make the environments with 'sh benchmarks/peers.sh', name their "
             "folder with --peers, or leave the peer out".format(python))
    return python


def job(name):
    """Path of a script in jobs/."""
    return os.path.join(JOBS, name + ".py")


def environment(is_peer, cache_folder=None):
    """Variables of a process; a peer sees neither our modules nor TensorFlow's chatter.

    `cache_folder`, an empty one, makes the process a cold one: no features are in it yet.
    """
    variables = dict(os.environ)
    if cache_folder is not None:
        variables["XDG_CACHE_HOME"] = cache_folder
    if is_peer:
        variables.pop("PYTHONPATH", None)
        variables.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    return variables


def _peak_mb(usage):
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _reap(process):
    """Wait for a process: whether it failed, and its peak memory."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    return status != 0, _peak_mb(usage)


def _last_lines(stream, count=15):
    stream.seek(0)
    return "".join(line.decode("utf-8", "replace") for line in stream.readlines()[-count:])


def run(command, is_peer=False, cache_folder=None):
    """Run a command in a fresh process.

    Parameters
    ----------
    command : list of str
        Its last line of output is JSON.
    is_peer : bool
        Whether it belongs to another program.
    cache_folder : str, optional
        Where it finds and leaves features; default is an empty one, which makes it a cold process.

    Returns
    -------
    Run
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, \
            tempfile.TemporaryDirectory() as empty:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                   env=environment(is_peer, cache_folder or empty))
        failed, peak = _reap(process)
        seconds = time.perf_counter() - started
        if failed:
            stop("{} failed:\n{}".format(" ".join(command), _last_lines(errors)))
        lines = _last_lines(output, 1)
        return Run(seconds, peak, json.loads(lines) if lines else None)


class Worker:
    """A process that stays alive and answers requests, one line of JSON each.

    Parameters
    ----------
    python : str
    name : str
        Of the script in jobs/.
    settings : dict
        Its only argument, as JSON.
    is_peer : bool
    """

    def __init__(self, python, name, settings, is_peer):
        self.name = name
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [python, job(name), json.dumps(settings)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors, env=environment(is_peer),
            universal_newlines=True)
        #: What the worker says of itself once it is ready, a dict.
        self.greeting = self._answer()

    def ask(self, **request):
        """The answer to a request, a dict."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            stop("{} failed:\n{}".format(self.name, _last_lines(self._errors)))
        return json.loads(line)

    def close(self):
        """End the process; its peak memory in 10^6 bytes."""
        self._process.stdin.close()
        self._process.stdout.close()
        _, peak = _reap(self._process)
        self._errors.close()
        return peak
