"""Features by gear_transfer; see worker.py."""
from worker import serve


def build(settings):
    from gear_transfer import Backbone
    return Backbone.load(settings["model"], layer=settings["layer"], input_size=settings["size"],
                         threads=settings["threads"], precision=settings["precision"]).features


serve(build)
