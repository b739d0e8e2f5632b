"""A classifier over HTTP, as an application of ASGI; needs Starlette and python-multipart."""
import asyncio
import collections
import json
import os
import time

from starlette.applications import Starlette
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from .. import __version__
from ..classifiers.model_file import load_model
from .batching import Batcher, TooManyWaiting, answer_facts
from .limits import DEFAULT_LIMITS
from .metrics import CONTENT_TYPE, Metrics

_PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "serve.html")

#: The page needs nothing from elsewhere, and nothing else may be loaded into it.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src "
                               "'unsafe-inline'; img-src blob:; connect-src 'self'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Refusal(Exception):
    """A request that is not answered as it wishes.

    Parameters
    ----------
    status : int
        Of HTTP.
    kind : str
        A word for programs.
    message : str
        A sentence for people.
    """

    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class _Body(object):
    """Bytes as the asynchronous stream that a parser reads."""

    def __init__(self, content):
        self._parts = [content, b""]

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop(0)


class Service(object):
    """The answers to requests.

    Parameters
    ----------
    model : TransferClassifier
    limits : Limits
    """

    def __init__(self, model, limits=DEFAULT_LIMITS):
        self.metrics = Metrics()
        self.limits = limits
        self._batcher = Batcher(model, see_batch=self.metrics.see_batch)
        self._model = model
        self._active = 0
        with open(_PAGE, encoding="utf-8") as stream:
            self._html = stream.read()

    def close(self):
        """Answer what is waiting, then take nothing more."""
        self._batcher.close()

    def routes(self):
        """The routes of the application."""
        return [Route("/", self._counted("/", self._page), methods=["GET"]),
                Route("/predict", self._counted("/predict", self._predict), methods=["POST"]),
                Route("/model", self._counted("/model", self._describe), methods=["GET"]),
                Route("/health", self._counted("/health", self._health), methods=["GET"]),
                Route("/metrics", self._counted("/metrics", self._show_metrics), methods=["GET"])]

    def _counted(self, path, answer):
        """An endpoint that turns refusals into typed errors and counts what it answers."""
        async def endpoint(request):
            start = time.monotonic()
            self._active += 1
            try:
                response = await answer(request)
            except Refusal as refusal:
                response = error_response(refusal.status, refusal.kind, refusal.message)
            finally:
                self._active -= 1
            self.metrics.see_response(path, response.status_code, time.monotonic() - start)
            return response
        return endpoint

    async def _page(self, request):
        return HTMLResponse(self._html, headers=_PAGE_HEADERS)

    async def _health(self, request):
        return json_response({"status": "ok", "version": __version__})

    async def _describe(self, request):
        size = list(self._model.extractor_.backbone_.input_size)
        return json_response({"labels": self._model.classes_.tolist(), "input_size": size,
                              "limits": self.limits._asdict()})

    async def _show_metrics(self, request):
        text = self.metrics.text(waiting_photographs=self._batcher.waiting,
                                 requests_in_progress=self._active)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def _predict(self, request):
        top_k = _whole_number(request, "top_k", 3)
        unknown = request.query_params.get("unknown")
        if unknown is not None and not self._model.knows_unlike():
            raise Refusal(400, "bad_parameter", "unknown: this model was trained on too few photographs "
                          "to tell what is unlike them")
        photographs = await self._within(self._read(request), 408, "slow_request",
                                         "the request did not arrive within {:g} s")
        futures = self._submit([content for _, content in photographs], unknown is not None)
        answers = await self._within(
            asyncio.gather(*[asyncio.wrap_future(each) for each in futures]), 504, "timeout",
            "the prediction did not come within {:g} s")
        rows = [self._row(name, answer, top_k, unknown)
                for (name, _), answer in zip(photographs, answers)]
        if all("error" in row for row in rows):
            raise Refusal(422, "unreadable_image", rows[0]["error"]["message"])
        return json_response({"predictions": rows})

    def _submit(self, contents, wants_known):
        futures = []
        try:
            for content in contents:
                futures.append(self._batcher.submit(content, wants_known))
        except TooManyWaiting as error:
            for future in futures:
                future.cancel()
            raise Refusal(503, "overloaded", "{}; ask again in a moment".format(error)) from None
        return futures

    def _row(self, name, answer, top_k, unknown):
        row = collections.OrderedDict([("name", name)])
        self.metrics.see_photograph("predicted" if answer.error is None else "unreadable")
        if answer.error is None:
            row.update(answer_facts(self._model, answer, top_k, unknown))
        else:
            row["error"] = {"type": "unreadable_image", "message": answer.error}
        return row

    async def _within(self, work, status, kind, message):
        """The result of work, or a refusal when it takes too long."""
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except asyncio.TimeoutError:
            raise Refusal(status, kind, message.format(self.limits.seconds)) from None

    async def _read(self, request):
        """Pairs (name, bytes) of the photographs of a request."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if not (kind in ("", "multipart/form-data", "application/octet-stream")
                or kind.startswith("image/")):
            raise Refusal(415, "unsupported_media_type", "send the file itself (image/* or "
                          "application/octet-stream) or a form (multipart/form-data), not {}".format(kind))
        body = await self._read_body(request)
        found = [(None, body)]
        if kind == "multipart/form-data":
            found = await _files_of_form(request, body)
        if not found or not all(content for _, content in found):
            raise Refusal(400, "no_image", "the request has no photograph")
        if len(found) > self.limits.photographs:
            raise Refusal(413, "too_many_images", "{} photographs, at most {} may come together".format(
                len(found), self.limits.photographs))
        return found

    async def _read_body(self, request):
        refusal = Refusal(413, "too_large", "the request has more than {:,} bytes".format(
            self.limits.bytes))
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limits.bytes:
            raise refusal
        parts, total = [], 0
        try:
            async for part in request.stream():
                total += len(part)
                if total > self.limits.bytes:
                    raise refusal
                parts.append(part)
        except ClientDisconnect:
            raise Refusal(400, "disconnected", "the client left before the end") from None
        return b"".join(parts)


async def _files_of_form(request, body):
    """Pairs (name, bytes) of the files in a form."""
    parser = MultiPartParser(request.headers, _Body(body))
    # Photographs stay in memory, where the whole request is; by releases of Starlette:
    parser.spool_max_size = parser.max_file_size = len(body) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(400, "bad_form", "the form cannot be read: {}".format(
            getattr(error, "message", error))) from None
    found = []
    for _, value in form.multi_items():
        if hasattr(value, "filename"):
            found.append((value.filename, await value.read()))
            await value.close()
    return found


def _whole_number(request, name, default):
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise Refusal(400, "bad_parameter", "{} must be a whole number from 1 to 1000, not {!r}".format(
            name, text[:20]))
    return int(text)


def json_response(value, status=200):
    """A response of JSON."""
    return Response(json.dumps(value, ensure_ascii=False).encode("utf-8"), status,
                    media_type="application/json")


def error_response(status, kind, message):
    """A typed error as JSON."""
    response = json_response({"error": {"type": kind, "message": message}}, status)
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def make_application(model, limits=DEFAULT_LIMITS):
    """An ASGI application that answers with the predictions of a classifier.

    ``POST /predict`` takes an image file as the body, or several in a form, and answers JSON;
    ``top_k=`` and ``unknown=`` in the query are those of the command line. ``/`` is a page to drop a
    photograph on, ``/model`` has the labels, ``/health`` and ``/metrics`` are for operators. No
    address in a request is ever fetched.

    Parameters
    ----------
    model : TransferClassifier
        Fitted or loaded.
    limits : Limits

    Returns
    -------
    starlette.applications.Starlette
    """
    service = Service(model, limits)

    async def not_found(request, error):
        return error_response(404, "not_found", "there is no {}".format(request.url.path))

    async def wrong_method(request, error):
        return error_response(405, "method_not_allowed", "{} does not go with {}".format(
            request.method, request.url.path))

    async def failed(request, error):
        return error_response(500, "internal", type(error).__name__)

    return _WithEnd(Starlette(routes=service.routes(), exception_handlers={
        404: not_found, 405: wrong_method, 500: failed}), service)


class _WithEnd(object):
    """An application that closes its service when the server ends."""

    def __init__(self, application, service):
        self._application, self._service = application, service

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._service.close()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


def from_environment():
    """The application of the model that GEAR_TRANSFER_MODEL names, for gunicorn and uvicorn.

    GEAR_TRANSFER_THREADS says how many threads each process uses; default is all processors that it
    may use.

    Returns
    -------
    starlette.applications.Starlette
    """
    path = os.environ.get("GEAR_TRANSFER_MODEL")
    if not path:
        raise ValueError("GEAR_TRANSFER_MODEL must name a saved classifier")
    threads = os.environ.get("GEAR_TRANSFER_THREADS", "")
    if threads and not threads.isdigit():
        raise ValueError("GEAR_TRANSFER_THREADS must be a whole number, not {!r}".format(threads))
    return make_application(load_model(path, threads=int(threads) if threads else None, verbose=0,
                                       cache=False))
