"""A whole network of an ONNX file by one of the engines; see worker.py and ../networks.py."""
import numpy as np
from worker import serve

PREPROCESSING = "torch"
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


def pixels(images):
    """The numbers that the network sees, with channels first."""
    scaled = (images / 255.0 - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def ours(settings):
    from gear_transfer import Backbone
    from gear_transfer.importers import load_network
    network = load_network(settings["model"], preprocessing=PREPROCESSING)
    return Backbone.from_network(network, settings["model"], network.layers[-1],
                                 (settings["size"], settings["size"]), None, settings["threads"],
                                 settings["precision"]).features


def of_pixels(run):
    """`run` on scaled pixels, which are made of the images once."""
    kept = []

    def features(images):
        if not kept:
            kept.append(pixels(images))
        result = run(kept[0])
        return result.reshape(len(result), -1)
    return features


def openvino(settings):
    import openvino as ov
    core = ov.Core()
    floats = settings["precision"] == "float32"
    if settings["precision"] == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"):
        raise NotImplementedError("this processor has no instructions for bf16")
    model = core.read_model(settings["model"])
    side = settings["size"]
    model.reshape([1 if settings["precision"] == "int8" else settings["batch"], 3, side, side])
    if settings["precision"] == "int8":
        import nncf
        with np.load(settings["images"]) as stored:
            samples = pixels(stored["images_uint8"])
        model = nncf.quantize(model, nncf.Dataset(samples, lambda image: image[np.newaxis]),
                              subset_size=len(samples))
        model.reshape([settings["batch"], 3, side, side])
    hints = {"INFERENCE_NUM_THREADS": settings["threads"], "PERFORMANCE_HINT": "LATENCY"}
    if floats:
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return of_pixels(lambda numbers: request.infer([numbers])[0])


def onnxruntime(settings):
    import onnxruntime as runtime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = settings["threads"]
    options.log_severity_level = 3
    session = runtime.InferenceSession(settings["model"], options,
                                       providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return of_pixels(lambda numbers: session.run(None, {name: numbers})[0])


ENGINES = {"ours": ours, "openvino": openvino, "onnxruntime": onnxruntime}
serve(lambda settings: ENGINES[settings["engine"]](settings))
