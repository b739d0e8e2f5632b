"""A service in a process of its own, and what is sent to it."""
import http.client
import json
import re
import signal
import subprocess
import sys
import uuid

from conftest import HOME


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


class Served(object):
    """A service in a process of its own."""

    def __init__(self, path, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gear_transfer", "serve", path, "--port", "0"] + list(options),
            cwd=HOME, stderr=subprocess.PIPE)
        line = self.process.stderr.readline().decode()
        self.port = int(re.search(r"http://127.0.0.1:(\d+)/\n", line).group(1))

    def ask(self, method, path, body=None, **headers):
        """Status, headers and body of a response; JSON as what it says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(
                (name.replace("_", "-"), value) for name, value in headers.items()))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.getheader("content-type") == "application/json":
            text = json.loads(text.decode())
        return response.status, response, text

    def end(self):
        """Tell it to end; its exit code and what it has said."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=60)[1]
        return self.process.returncode, errors.decode()


def form(*files):
    """Body and Content-Type of a form with files, pairs of a name and bytes."""
    boundary = uuid.uuid4().hex
    parts = ["--{}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\r\n".format(
        boundary, name).encode() + body + b"\r\n" for name, body in files]
    return (b"".join(parts) + "--{}--\r\n".format(boundary).encode(),
            "multipart/form-data; boundary=" + boundary)
