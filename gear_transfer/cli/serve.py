"""gear-transfer serve: a saved classifier over HTTP."""
from .options import positive, whole_number
from .output import complain

SUMMARY = "answer requests over HTTP"
DESCRIPTION = """\
Serve a saved MODEL over HTTP until SIGTERM or Ctrl-C; requests in flight are answered
first. POST /predict takes an image file as it is, or several in a form, and answers
JSON; / is a page to drop a photograph on, /model has the labels, /health and /metrics
(Prometheus) are for operators. Addresses in requests are never fetched. Requests that
come together go through the network together. Needs pip install "gear-transfer[serve]"."""
EXAMPLES = """\
examples:
  gear-transfer serve gear.gtm
  gear-transfer serve gear.gtm --host 0.0.0.0 --port 80 --max-megabytes 5
  curl --data-binary @axe.jpg -H 'Content-Type: image/jpeg' 'http://127.0.0.1:8000/predict?top_k=2'
  curl -F 'file=@axe.jpg' -F 'file=@tent.png' http://127.0.0.1:8000/predict"""


def _port(text):
    value = int(text)
    if not 0 <= value < 1 << 16:
        raise ValueError(text)
    return value


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address to listen at (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=_port, default=8000, help="0 for any that is free (default: 8000)")
    parser.add_argument("--threads", type=whole_number, metavar="N",
                        help="threads (default: all processors that may be used)")
    parser.add_argument("--max-megabytes", type=positive, default=20.0, metavar="MB",
                        help="largest request (default: 20)")
    parser.add_argument("--max-images", type=whole_number, default=32, metavar="N",
                        help="photographs in one request, at most (default: 32)")
    parser.add_argument("--timeout", type=positive, default=30.0, metavar="SECONDS",
                        help="longest time for a request to arrive, and for its answer (default: 30)")
    parser.add_argument("--max-pixels", type=positive, metavar="MILLIONS", dest="max_pixels",
                        help="largest photograph that is read, in million pixels (default: 89; a JPEG "
                             "may have four times as many)")
    parser.add_argument("-q", "--quiet", action="store_true", help="errors only")


def run(arguments):
    from ..classifiers.model_file import load_model
    from ..serving.limits import Limits
    from ..serving.server import serve
    model = load_model(arguments.model, threads=arguments.threads, verbose=0, cache=False)
    limits = Limits(int(arguments.max_megabytes * 1e6), arguments.timeout, arguments.max_images)

    def announce(address):
        if not arguments.quiet:
            complain("serving {} at {}".format(arguments.model, address))

    serve(model, arguments.host, arguments.port, limits, announce)
    return 0
