"""A model in 8 bits as OpenVINO's own tool makes it.

    quantize_openvino.py MODEL.onnx IMAGES.npz SIZE MODEL.xml

NNCF's post-training quantisation with its defaults, calibrated on all of images_uint8, which are cut
to SIZE x SIZE as the workers cut them.
"""
import sys

import nncf
import numpy as np
import openvino as ov

source, images, size, destination = sys.argv[1:]
size = int(size)
with np.load(images) as stored:
    photographs = np.ascontiguousarray(stored["images_uint8"][:, :size, :size])
model = ov.Core().read_model(source)
model.reshape([1, size, size, 3])
quantized = nncf.quantize(model, nncf.Dataset(photographs, lambda image: image[np.newaxis]),
                          subset_size=len(photographs))
ov.save_model(quantized, destination, compress_to_fp16=False)
