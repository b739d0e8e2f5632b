"""Features by ONNX Runtime, in float32; see worker.py."""
from worker import serve


def build(settings):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["threads"]
    session = onnxruntime.InferenceSession(settings["model"], options,
                                           providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


serve(build)
