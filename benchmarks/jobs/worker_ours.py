"""Features by gear_transfer; see worker.py."""
import inspect

from worker import serve


def build(settings):
    from gear_transfer import Backbone
    options = {}
    if "precision" in inspect.signature(Backbone.load).parameters:
        options["precision"] = settings["precision"]
    elif settings["precision"] != "float32":
        raise NotImplementedError("Backbone.load has no precision=, it computes in float32")
    return Backbone.load(settings["model"], layer=settings["layer"], input_size=settings["size"],
                         threads=settings["threads"], **options).features


serve(build)
