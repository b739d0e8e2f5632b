"""Networks of PyTorch brought as ONNX files: what is read of them, and how near the features are.

    python benchmarks/reach_onnx.py [--networks timm:resnet18 torchvision:vgg16] [--exporters script dynamo]

Each network is built with random weights and statistics that are not 0 and 1, exported, run with
ONNX Runtime and with gear_transfer. The table has the greatest error in float32, relative to the
greatest number, and the least cosine in bf16. Needs torch, torchvision, timm, onnxscript and
onnxruntime beside gear_transfer.
"""
import argparse
import os
import tempfile
import warnings

import numpy as np

from gear_transfer import Backbone
from gear_transfer.errors import GearTransferError
from gear_transfer.importers import load_network

PREPROCESSING = "torch"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

NETWORKS = [
    "torchvision:" + name for name in (
        "alexnet", "vgg16", "vgg16_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2",
        "inception_v3", "googlenet", "densenet121", "squeezenet1_0", "mobilenet_v2",
        "mobilenet_v3_large", "mnasnet1_0", "shufflenet_v2_x1_0", "efficientnet_b0",
        "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny", "swin_t", "vit_b_16")] + [
    "timm:" + name for name in (
        "resnet50", "seresnet50", "resnest14d", "res2net50_26w_4s", "resnetv2_50x1_bit", "nfnet_l0",
        "regnety_004", "repvgg_a0", "vovnet39a", "dpn68", "hrnet_w18_small", "ghostnet_100",
        "lcnet_050", "mobilenetv4_conv_small", "tf_mobilenetv3_large_100", "efficientnet_b0",
        "tf_efficientnetv2_b0", "convnextv2_nano", "poolformer_s12", "mixer_s32_224",
        "vit_small_patch16_224", "deit_small_patch16_224", "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2", "beit_base_patch16_224", "swin_tiny_patch4_window7_224",
        "coatnet_0_rw_224", "maxvit_tiny_tf_224")]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--exporters", nargs="+", choices=("script", "dynamo"),
                        default=("script", "dynamo"))
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--keep", metavar="FOLDER", help="keep the files here")
    return parser.parse_args()


def unsettle(network):
    """Give statistics, factors and embeddings values that a trained network might have."""
    import torch
    random = torch.Generator().manual_seed(1)

    def around(tensor, middle, spread):
        tensor.copy_(middle + spread * torch.randn(tensor.shape, generator=random))

    with torch.no_grad():
        for name, tensor in list(network.named_parameters()) + list(network.named_buffers()):
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random))
            elif name.endswith("running_mean") or "embed" in name or "token" in name:
                around(tensor, 0.0, 0.1)
            elif tensor.ndim == 1 and tensor.is_floating_point():
                around(tensor, tensor.mean(), 0.1)
            elif tensor.is_floating_point() and not tensor.any():
                around(tensor, 0.0, 0.02)
    return network.eval()


def built(name):
    """A network and the side of its images."""
    import torch
    torch.manual_seed(0)
    library, name = name.split(":")
    if library == "torchvision":
        import torchvision
        return unsettle(torchvision.models.get_model(name)), 299 if name == "inception_v3" else 224
    import timm
    settings = {"img_size": 224} if "dinov2" in name else {}
    network = timm.create_model(name, **settings)
    return unsettle(network), 224 if settings else network.pretrained_cfg["input_size"][-1]


def export(network, side, exporter, path):
    """Write an ONNX file."""
    import torch
    images = torch.zeros(1, 3, side, side)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            torch.onnx.export(network, (images,), path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(network, images, path, dynamo=False, input_names=["image"],
                              dynamic_axes={"image": {0: "batch"}})


def expected(path, images):
    """What ONNX Runtime computes, one image after another."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pixels = ((images / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: pixels[i:i + 1]})[0]
                           for i in range(len(pixels))]).reshape(len(images), -1)


def compare(path, images):
    """(number of nodes, greatest relative error in float32, least cosine in bf16)."""
    truth = expected(path, images)
    network = load_network(path, preprocessing=PREPROCESSING)
    layer = network.layers[-1]

    def features(precision):
        backbone = Backbone.from_network(network, path, layer, pooling=None, precision=precision)
        return backbone.features(images).reshape(len(images), -1).astype(np.float64)

    ours, rounded = features("float32"), features("bf16")
    cosines = (rounded * truth).sum(1) / np.linalg.norm(rounded, axis=1) / np.linalg.norm(truth, axis=1)
    return len(network.nodes), np.abs(ours - truth).max() / np.abs(truth).max(), cosines.min()


def row(name, exporter, folder, count):
    """One row of the table."""
    path = os.path.join(folder, "{}.{}.onnx".format(name.replace(":", "_"), exporter))
    network, side = built(name)
    if not os.path.exists(path):
        try:
            export(network, side, exporter, path)
        except Exception as error:  # whatever an exporter does not know
            return "| {} | {} | {} | not exported: {} | | |".format(
                name, exporter, side, str(error).split("\n")[0][:80])
    images = np.random.RandomState(0).randint(0, 256, (count, side, side, 3)).astype(np.uint8)
    try:
        nodes, error, cosine = compare(path, images)
    except GearTransferError as reason:
        return "| {} | {} | {} | {} | | |".format(name, exporter, side, str(reason).split(": ", 1)[-1])
    return "| {} | {} | {} | {} | {:.1e} | {:.5f} |".format(name, exporter, side, nodes, error, cosine)


def main():
    arguments = parse()
    print("| network | exporter | size | nodes | float32 | cosine bf16 |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.networks:
            for exporter in arguments.exporters:
                print(row(name, exporter, arguments.keep or temporary, arguments.images), flush=True)


if __name__ == "__main__":
    main()
