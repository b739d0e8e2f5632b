"""An exported classifier beside the one it was made from: classes and probabilities of all photographs.

    python benchmarks/export.py [--images GEAR/images] [--quality balanced]

Trains on the photographs, exports to ONNX and for Keras, and predicts every photograph in float32 here,
in ONNX Runtime, in OpenVINO and in Keras 3, from the same pixels. Fails if a class differs or a probability by more than
1e-4. Programs that are not installed are left out and named.
"""
import argparse
import os
import sys
import tempfile

import numpy as np

import gear_transfer as gt

BOUND = 1e-4
BATCH = 32


def run_onnxruntime(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"images": pixels})[0]


def run_openvino(path):
    import openvino
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: compiled(pixels)[0]


def run_keras(path):
    import keras
    model = keras.models.load_model(path)
    return lambda pixels: np.asarray(model.predict(pixels, verbose=0))


def main():
    shared = os.environ.get("GEAR_TRANSFER_SHARED", "../shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", default=os.path.join(shared, "gear", "images"))
    parser.add_argument("--quality", default="balanced")
    given = parser.parse_args()
    images = gt.load_folder(given.images)
    model = gt.TransferClassifier(precision="float32", quality=given.quality, cache=False).fit(images)
    backbone = model.extractor_.backbone_
    pixels = np.stack([gt.read_image(path, backbone.input_size, model.extractor_.resize_rule())
                       for path in images.paths])
    expected = model.predict_proba(list(pixels))
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        path = gt.export(model, os.path.join(folder, "gear.onnx"))[0]
        for_keras = gt.export(model, os.path.join(folder, "gear.keras"))[0]
        print("{} photographs, {:,} bytes of ONNX, {:,} for Keras".format(
            len(pixels), os.path.getsize(path), os.path.getsize(for_keras)))
        for name, load, path in (("ONNX Runtime", run_onnxruntime, path), ("OpenVINO", run_openvino, path),
                                 ("Keras", run_keras, for_keras)):
            try:
                run = load(path)
            except ImportError as error:
                print("{}: not installed ({})".format(name, error))
                continue
            found = np.concatenate([run(pixels[i:i + BATCH]) for i in range(0, len(pixels), BATCH)])
            other = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
            difference = float(np.abs(found - expected).max())
            print("{}: {} other classes, probabilities within {:.2g}".format(name, other, difference))
            wrong = wrong or other > 0 or not difference <= BOUND
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
