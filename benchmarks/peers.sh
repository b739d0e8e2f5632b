#!/bin/sh
# The programs that gear_transfer is measured against, each in an environment of its own.
#
#     sh benchmarks/peers.sh [FOLDER]
#
# FOLDER (default: benchmarks/.peers) receives the environments keras, openvino, onnxruntime and
# torch, about 5 GB; what is there already stays. GEAR_TRANSFER_PEERS or --peers tells the benchmark
# scripts of another folder. PYTHON names the interpreter (default: python3), one that TensorFlow
# has a wheel for.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

folder=${1:-benchmarks/.peers}
mkdir -p "$folder"

# peer NAME REQUIREMENT...
peer() {
    name=$1
    shift
    echo "$folder/$name: $*"
    [ -x "$folder/$name/bin/python" ] || make_environment "$folder/$name"
    install "$folder/$name" "$@"
}

peer keras tensorflow-cpu pillow scipy h5py
peer openvino openvino nncf onnx pillow scikit-learn
peer onnxruntime onnxruntime onnx
peer torch torch torchvision timm safetensors onnx onnxscript numpy pillow h5py scikit-learn
