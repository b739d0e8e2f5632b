#!/bin/sh
# The programs that gear_transfer is measured against, each in an environment of its own.
#
#     sh benchmarks/peers.sh [FOLDER]
#
# FOLDER (default: benchmarks/.peers) receives the environments keras, openvino and onnxruntime,
# about 3 GB; those that are there already stay as they are. GEAR_TRANSFER_PEERS or --peers tells the
# benchmark scripts of another folder. PYTHON names the interpreter (default: python3); TensorFlow
# wants one that it has a wheel for.
set -eu
cd "$(dirname "$0")/.."
. ci/common.sh

folder=${1:-benchmarks/.peers}
mkdir -p "$folder"

# peer NAME REQUIREMENT...
peer() {
    name=$1
    shift
    if [ -e "$folder/$name/complete" ]; then
        echo "$folder/$name is there"
        return
    fi
    echo "Making $folder/$name: $*"
    make_environment "$folder/$name"
    install "$folder/$name" "$@"
    : >"$folder/$name/complete"
}

peer keras tensorflow-cpu pillow scipy
peer openvino openvino onnx pillow scikit-learn
peer onnxruntime onnxruntime onnx
