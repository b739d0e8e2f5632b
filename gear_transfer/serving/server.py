"""The service in a process of its own, which ends cleanly when it is told to."""
import contextlib
import signal
import socket
import sys
import threading


def serve(model, host, port, limits, announce):
    """Serve a classifier until SIGTERM or Ctrl-C; requests in flight are answered first.

    Parameters
    ----------
    model : TransferClassifier
    host : str
    port : int
        0 for any that is free.
    limits : Limits
    announce : callable
        Called with the address once the socket listens.

    Raises
    ------
    ImportError
        The packages of the extra ``serve`` are not installed.
    OSError
        Nothing can listen there.
    """
    try:
        import uvicorn
        from .application import make_application
    except ImportError as error:
        raise ImportError("serving needs Starlette, uvicorn and python-multipart ({}): pip install "
                          "\"gear-transfer[serve]\"".format(error)) from error
    listener = _listen(host, port)
    settings = {"lifespan": "on", "log_level": "warning", "access_log": False}
    config = uvicorn.Config(make_application(model, limits), **settings)
    config.timeout_graceful_shutdown = limits.seconds
    number = listener.getsockname()[1]
    with contextlib.closing(listener), _signals_that_end():
        announce("http://{}:{}/".format("[{}]".format(host) if ":" in host else host, number))
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host, port):
    """A socket that listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, "cannot listen at {} port {}: {}".format(
            host, port, error.strerror)) from error
    return listener


@contextlib.contextmanager
def _signals_that_end():
    """uvicorn raises the signal that ended it once more; here that is no death of the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = dict((number, signal.signal(number, _ignore))
                  for number in (signal.SIGTERM, signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number, frame):
    sys.stderr.flush()
