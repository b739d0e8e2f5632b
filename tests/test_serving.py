"""The HTTP service, in a process of its own: answers, batches, refusals, and the end."""
import asyncio
import base64
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time

import numpy as np
import pytest

import gear_transfer as gt
from gear_transfer import cli
from gear_transfer.serving import scoring
from gear_transfer.serving.application import from_environment, make_application
from gear_transfer.serving.batching import Batcher, TooManyWaiting
from gear_transfer.serving.limits import DEFAULT_LIMITS
from served import Served, content, form


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return gt.load_folder(gt.make_shapes(tmp_path_factory.mktemp("serving") / "shapes", per_class=10,
                                         size=64, random_state=5))


@pytest.fixture(scope="module")
def model(images):
    fitted = gt.TransferClassifier(backbone="inception_v3", layer="mixed1", input_size=64, epochs=12,
                                   cache=False, verbose=0).fit(images)
    fitted.save(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(images.paths[0]))), "m.gtm"))
    return gt.load_model(path_of(images), cache=False, verbose=0)


def path_of(images):
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(images.paths[0]))), "m.gtm")


@pytest.fixture(scope="module")
def service(model, images):
    served = Served(path_of(images), "--max-megabytes", "0.3", "--max-images", "4", "--timeout", "20")
    yield served
    assert served.end() == (0, "")


# Answers

def test_a_file_as_the_body(service, model, images):
    for path in images.paths[::9]:
        status, _, found = service.ask("POST", "/predict?top_k=2", content(path),
                                       Content_Type="image/jpeg")
        expected = model.predict_top_k([path], k=2)[0]
        row = found["predictions"][0]
        assert status == 200 and row["predicted"] == expected[0].label
        assert row["probability"] == pytest.approx(expected[0].probability, abs=1e-6)
        assert [each["class"] for each in row["top"]] == [each.label for each in expected]
    assert "known" not in row


def test_a_form_with_several_files(service, model, images):
    paths = images.paths[::14]
    body, kind = form(*[(os.path.basename(path), content(path)) for path in paths] + [("x.jpg", b"none")])
    status, _, found = service.ask("POST", "/predict", body, Content_Type=kind)
    rows = found["predictions"]
    assert status == 200 and [row["name"] for row in rows] == [
        os.path.basename(path) for path in paths] + ["x.jpg"]
    assert [row["predicted"] for row in rows[:-1]] == model.predict(paths).tolist()
    assert rows[-1]["error"]["type"] == "unreadable_image" and "predicted" not in rows[-1]


def test_unknown(service, images):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    from io import BytesIO
    from PIL import Image
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    found = service.ask("POST", "/predict?unknown=none", stream.getvalue())[2]["predictions"][0]
    assert found["predicted"] == "none" and found["known"] < 0.05
    found = service.ask("POST", "/predict?unknown=none", content(images.paths[0]))[2]["predictions"][0]
    assert found["predicted"] == "circle" and found["known"] > 0.05


def test_pages_for_operators(service, images):
    assert service.ask("GET", "/health")[2] == {"status": "ok", "version": gt.__version__}
    facts = service.ask("GET", "/model")[2]
    assert facts["labels"] == ["circle", "square", "triangle"] and facts["input_size"] == [64, 64]

    def metric(name):
        text = service.ask("GET", "/metrics")[2].decode()
        return float(re.search("^" + re.escape(name) + r" (\S+)$", text, re.MULTILINE).group(1))

    name = 'gear_transfer_requests_total{path="/predict",status="200"}'
    service.ask("POST", "/predict", content(images.paths[0]))
    before = metric(name)
    for _ in range(3):
        service.ask("POST", "/predict", content(images.paths[0]))
    assert metric(name) == before + 3
    assert metric("gear_transfer_request_seconds_count") >= before + 3
    assert metric("gear_transfer_waiting_photographs") == 0


# Refusals

@pytest.mark.parametrize("method, path, body, kind, status, error", [
    ("POST", "/predict", b"I am text", "image/jpeg", 422, "unreadable_image"),
    ("POST", "/predict", b"http://127.0.0.1/axe.jpg", "", 422, "unreadable_image"),
    ("POST", "/predict", b"{}", "application/json", 415, "unsupported_media_type"),
    ("POST", "/predict", b"", "image/png", 400, "no_image"),
    ("POST", "/predict", b"nothing", "multipart/form-data", 400, "bad_form"),
    ("POST", "/predict?top_k=0", b"x", "image/png", 400, "bad_parameter"),
    ("POST", "/predict", b"x" * 300001, "image/png", 413, "too_large"),
    ("GET", "/predict", None, "", 405, "method_not_allowed"), ("GET", "/../etc", None, "", 404, "not_found")])
def test_refusals_are_typed(service, method, path, body, kind, status, error):
    found = service.ask(method, path, body, Content_Type=kind)
    assert found[0] == status and found[2]["error"]["type"] == error and found[2]["error"]["message"]


def test_too_many_photographs(service, images):
    body, kind = form(*[("a.jpg", content(images.paths[0]))] * 5)
    status, _, found = service.ask("POST", "/predict", body, Content_Type=kind)
    assert status == 413 and found["error"]["type"] == "too_many_images"


def test_a_length_that_is_not_told(service):
    """Chunks are counted as they come, not believed."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("POST", "/predict", iter([b"x" * 100000] * 4), {"Content-Type": "image/png"},
                       encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.slow
def test_a_request_that_does_not_arrive(model, images):
    served = Served(path_of(images), "--timeout", "0.5")
    try:
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
            assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    finally:
        assert served.end()[0] == 0


# Batches

class Slow(object):
    """A classifier whose extractor waits until it is let go."""

    def __init__(self, model):
        self._model, self.go, self.sizes = model, threading.Event(), []
        self.extractor_, self.started = self, threading.Event()

    def extract(self, images):
        self.sizes.append(len(images))
        self.started.set()
        assert self.go.wait(60)
        if b"broken engine" in images:
            raise gt.EngineError("broken")
        return self._model.extractor_.extract(images)

    def __getattr__(self, name):
        return getattr(self._model, name)


def test_what_queues_up_goes_together(model, images):
    slow = Slow(model)
    batcher = Batcher(slow, most_at_once=4, most_waiting=7)
    first = batcher.submit(content(images.paths[0]))
    assert slow.started.wait(60)  # the others come meanwhile
    others = [batcher.submit(content(path)) for path in images.paths[1:8]]
    with pytest.raises(TooManyWaiting):
        batcher.submit(content(images.paths[8]))
    assert others[2].cancel()
    slow.go.set()
    batcher.close()  # answers all of them first
    assert slow.sizes == [1, 3, 3]
    with pytest.raises(TooManyWaiting):
        batcher.submit(b"")
    kept = [future.result(0) for future in [first] + others[:2] + others[3:]]
    expected = model.predict_proba(images.paths[:3] + images.paths[4:8])
    np.testing.assert_array_equal([answer.probabilities for answer in kept], expected)


def test_an_error_goes_to_who_asked(model, images):
    slow = Slow(model)
    slow.go.set()
    batcher = Batcher(slow)
    with pytest.raises(gt.EngineError):
        batcher.submit(b"broken engine").result(60)
    assert batcher.submit(content(images.paths[0]), True).result(60).known > 0.05
    batcher.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork(model, images):
    """As gunicorn's --preload forks: the thread stays behind, the child starts its own."""
    batcher = Batcher(model)
    expected = batcher.submit(content(images.paths[0])).result(60).probabilities
    child = os.fork()
    if child == 0:
        try:
            found = batcher.submit(content(images.paths[0])).result(60).probabilities
            batcher.close()
            os._exit(0 if (found == expected).all() else 3)
        except BaseException:
            os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
    batcher.close()
    Batcher(model).close()  # where nobody has asked for anything


@pytest.mark.slow
def test_many_clients_at_once(service, model, images):
    paths = images.paths * 4
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda path: service.ask("POST", "/predict", content(path)), paths))
    assert [each[2]["predictions"][0]["predicted"] for each in found] == model.predict(paths).tolist()
    sizes = service.ask("GET", "/metrics")[2].decode()
    single = int(re.search(r'batch_size_bucket\{le="1"\} (\d+)', sizes).group(1))
    assert single < int(re.search(r"batch_size_count (\d+)", sizes).group(1))  # some went together


async def ask_application(application, body, kind="image/jpeg"):
    """Status, headers and JSON of POST /predict, without a server."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict",
             "query_string": b"", "headers": [(b"content-type", kind.encode())], "http_version": "1.1",
             "scheme": "http", "server": ("localhost", 80), "client": ("localhost", 1), "root_path": ""}
    try:
        await application(scope, receive, send)
    except gt.EngineError:
        pass  # goes on to the server's log once it is answered
    text = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(text.decode())


def run_with(application, work):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work(application))
    finally:
        loop.close()


def test_too_many_waiting(model, images):
    """256 wait at most; whoever comes then is told so at once, and the others are answered."""
    slow = Slow(model)
    body, kind = form(*[("a.jpg", content(images.paths[0]))] * 32)

    async def work(application):
        asked = [asyncio.ensure_future(ask_application(application, body, kind)) for _ in range(10)]
        await asyncio.sleep(0.5)
        early = [each.result() for each in asked if each.done()]
        slow.go.set()
        return early, await asyncio.gather(*asked)

    early, found = run_with(make_application(slow), work)
    assert 1 <= len(early) <= 2  # the first batch may have left the queue already
    for status, headers, text in early:
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert text["error"]["type"] == "overloaded"
    assert [each[0] for each in found].count(200) == 10 - len(early)
    assert all(len(each[2]["predictions"]) == 32 for each in found if each[0] == 200)


@pytest.mark.slow
def test_a_prediction_that_takes_too_long(model, images):
    slow = Slow(model)
    found = run_with(make_application(slow, DEFAULT_LIMITS._replace(seconds=0.2)),
                     lambda application: ask_application(application, content(images.paths[0])))
    slow.go.set()
    assert found[0] == 504 and found[2]["error"]["type"] == "timeout"


def test_an_engine_that_fails(model):
    slow = Slow(model)
    slow.go.set()
    found = run_with(make_application(slow),
                     lambda application: ask_application(application, b"broken engine"))
    assert found[0] == 500 and found[2]["error"] == {"type": "internal", "message": "EngineError"}


# The end

@pytest.mark.slow
def test_a_request_in_flight_is_answered(model, images):
    served = Served(path_of(images))
    body = content(images.paths[0])
    client = socket.create_connection(("127.0.0.1", served.port), timeout=60)
    client.sendall("POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n".format(
        len(body)).encode() + body[:100])
    deadline = time.monotonic() + 30
    while b"requests_in_progress 2" not in served.ask("GET", "/metrics")[2]:
        assert time.monotonic() < deadline
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert served.process.poll() is None  # it waits for the rest
    client.sendall(body[100:])
    answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    client.close()
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"predicted": "circle"' in answer
    assert served.process.communicate(timeout=60)[1] == b"" and served.process.returncode == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", served.port), timeout=5)


@pytest.mark.slow
def test_a_port_that_is_taken(service, images, capsys):
    assert cli.main(["serve", path_of(images), "--port", str(service.port)]) == 1
    assert "cannot listen at 127.0.0.1 port {}".format(service.port) in capsys.readouterr().err


def test_without_the_packages(model, images, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["serve", path_of(images)]) == 1
    assert 'pip install "gear-transfer[serve]"' in capsys.readouterr().err


def test_an_application_for_gunicorn(model, images, monkeypatch):
    monkeypatch.delenv("GEAR_TRANSFER_MODEL", raising=False)
    with pytest.raises(ValueError, match="GEAR_TRANSFER_MODEL must name"):
        from_environment()
    monkeypatch.setenv("GEAR_TRANSFER_MODEL", path_of(images))
    monkeypatch.setenv("GEAR_TRANSFER_THREADS", "x")
    with pytest.raises(ValueError, match="GEAR_TRANSFER_THREADS"):
        from_environment()
    monkeypatch.setenv("GEAR_TRANSFER_THREADS", "1")
    assert callable(from_environment())


# A scoring script

def test_a_scoring_script(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "_LOADED", {})
    monkeypatch.delenv("GEAR_TRANSFER_MODEL", raising=False)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(gt.ModelFileError, match="no files"):
        scoring.init()
    (tmp_path / "model").mkdir()
    shutil.copy(path_of(images), str(tmp_path / "model" / "gear.gtm"))
    scoring.init()
    texts = [base64.b64encode(content(path)).decode() for path in images.paths[::14]]
    texts.append(base64.b64encode(b"no picture").decode())
    found = scoring.run(json.dumps({"images": texts, "top_k": 1, "unknown": "none"}))
    rows = json.loads(json.dumps(found))["predictions"]
    assert [row["predicted"] for row in rows[:-1]] == model.predict(
        images.paths[::14], unknown="none").tolist()
    assert all(len(row["top"]) == 1 and "known" in row for row in rows[:-1])
    assert rows[-1]["error"]["type"] == "unreadable_image"
    assert scoring.run(content(images.paths[0]))["predictions"][0]["predicted"] == "circle"
    for wrong in ("[]", "no JSON", '{"images": [1]}', '{"images": ["!"]}', '{"images": [], "top_k": 0}'):
        assert scoring.run(wrong)["error"]["type"] == "bad_request"


# The page

def test_the_page_needs_nothing_from_elsewhere(service):
    status, response, page = service.ask("GET", "/")
    assert status == 200 and b"<label" in page and b"http" not in page
    assert "default-src 'none'" in response.getheader("content-security-policy")
