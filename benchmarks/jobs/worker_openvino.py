"""Features by OpenVINO; see worker.py.

Mode "latency": one request of the whole batch. Mode "streams": as many streams as threads, and
requests of four images, all under way at once. A model for "int8" is quantised already; what it leaves
in floating point is computed in bf16 where the processor has that, OpenVINO's own choice.
"""
from worker import serve

PART = 4
PRECISIONS = ("float32", "bf16", "int8")


def build(settings):
    import numpy as np
    import openvino as ov
    if settings["precision"] not in PRECISIONS:
        raise NotImplementedError("only {} are measured".format(" and ".join(PRECISIONS)))
    streams = settings["mode"] == "streams"
    if streams and settings["batch"] % PART != 0:
        raise NotImplementedError("the batch must be a multiple of {}".format(PART))
    core = ov.Core()
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if settings["precision"] == "bf16" and not has_bf16:
        raise NotImplementedError("this processor has no instructions for bf16")
    model = core.read_model(settings["model"])
    model.reshape([PART if streams else settings["batch"], settings["size"], settings["size"], 3])
    # Without the first hint a processor with bf16 computes in bf16.
    hints = {"INFERENCE_PRECISION_HINT": "f32" if settings["precision"] == "float32" or not has_bf16
             else "bf16",
             "INFERENCE_NUM_THREADS": settings["threads"],
             "PERFORMANCE_HINT": "THROUGHPUT" if streams else "LATENCY"}
    if not streams:
        request = core.compile_model(model, "CPU", hints).create_infer_request()
        return lambda images: request.infer([images])[0]

    hints["NUM_STREAMS"] = settings["threads"]
    compiled = core.compile_model(model, "CPU", hints)
    width = compiled.output(0).shape[1]
    queue = ov.AsyncInferQueue(compiled, settings["threads"])

    def store(request, target):
        target[:] = request.get_output_tensor(0).data

    queue.set_callback(store)

    def features(images):
        result = np.empty((len(images), width), np.float32)
        for start in range(0, len(images), PART):
            queue.start_async([images[start:start + PART]], result[start:start + PART])
        queue.wait_all()
        return result

    return features


serve(build)
