"""A scoring script as Azure Machine Learning and others load it: `init` once, `run` for each request."""
import base64
import binascii
import json
import os

from ..classifiers.model_file import load_model
from ..errors import ModelFileError
from .batching import Answer, answer_facts

_LOADED = {}


def init():
    """Load the model: the file that GEAR_TRANSFER_MODEL names, or the only \\*.gtm below AZUREML_MODEL_DIR.

    Raises
    ------
    ModelFileError
        There is none, or several.
    """
    path = os.environ.get("GEAR_TRANSFER_MODEL") or _find(os.environ.get("AZUREML_MODEL_DIR", "."))
    _LOADED["model"] = load_model(path, verbose=0, cache=False)


def _find(folder):
    found = sorted(os.path.join(place, name) for place, _, names in os.walk(folder)
                   for name in names if name.endswith(".gtm"))
    if len(found) != 1:
        raise ModelFileError("{}: {} files *.gtm, one is needed; GEAR_TRANSFER_MODEL names one".format(
            folder, len(found) or "no"))
    return found[0]


def run(raw_data):
    """Predict the photographs of a request.

    Parameters
    ----------
    raw_data : str or bytes
        JSON with image files in base64, ``{"images": ["...", ...], "top_k": 3, "unknown": null}``, of
        which the last two may be missing; or one image file as it is.

    Returns
    -------
    dict
        ``{"predictions": [...]}``, for each photograph what the service at ``/predict`` says of it,
        or ``{"error": ...}`` where nothing can be predicted.

    Examples
    --------
    >>> init()                                                  # doctest: +SKIP
    >>> run(open("axe.jpg", "rb").read())["predictions"][0]["predicted"]  # doctest: +SKIP
    'axes'
    """
    if "model" not in _LOADED:
        init()
    try:
        images, top_k, unknown = _request(raw_data)
    except ValueError as error:
        return {"error": {"type": "bad_request", "message": str(error)}}
    model = _LOADED["model"]
    extraction = model.extractor_.extract(images)
    reasons = dict((i, error.reason) for i, error in extraction.failures)
    probabilities, known = model.probabilities_of(extraction), [None] * len(images)
    if unknown is not None:
        known = model.known_scores_of(extraction).tolist()
    return {"predictions": [
        {"error": {"type": "unreadable_image", "message": reasons[i]}} if i in reasons else answer_facts(
            model, Answer(probabilities[i], known[i], None), top_k, unknown)
        for i in range(len(images))]}


def _request(raw_data):
    """Images, top_k and unknown; ValueError where they cannot be told."""
    if isinstance(raw_data, (bytes, bytearray)):
        if not bytes(raw_data).lstrip().startswith(b"{"):
            return [bytes(raw_data)], 3, None
        raw_data = bytes(raw_data).decode("utf-8")
    request = json.loads(raw_data)
    if not isinstance(request, dict) or not isinstance(request.get("images"), list):
        raise ValueError('expected {"images": [image files in base64]}')
    if not all(isinstance(image, str) for image in request["images"]):
        raise ValueError("images must be text in base64")
    top_k, unknown = request.get("top_k", 3), request.get("unknown")
    if type(top_k) is not int or top_k < 1:
        raise ValueError("top_k must be a whole number from 1 on, not {!r}".format(top_k))
    if not isinstance(unknown, (str, type(None))):
        raise ValueError("unknown must be text, not {!r}".format(unknown))
    try:
        return [base64.b64decode(image, validate=True) for image in request["images"]], top_k, unknown
    except binascii.Error as error:
        raise ValueError("images must be in base64: {}".format(error)) from None
