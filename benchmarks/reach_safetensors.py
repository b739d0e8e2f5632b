"""Networks of torchvision and timm read from safetensors, against PyTorch: every module's result.

    python benchmarks/reach_safetensors.py [--only TEXT ...] [--twin] [--native] | --recognise

Each network is built by its own library with random weights and statistics, saved as its users save
it, and read here without PyTorch; nodes that have the name of a module are compared with what a
hook on that module sees, at the native size and at an odd one. The figure is the greatest
difference to PyTorch in float64 over the greatest magnitude, and PyTorch's own in float32 beside.
`--twin` computes in plain NumPy (tests/oracle) what the core computes else, which tells an
importer's fault from the core's. Needs torch, timm, torchvision and safetensors.
"""
import argparse
import collections
import gc
import json
import os
import sys
import tempfile

import numpy as np
import safetensors.torch
import timm
import timm.models
import torch
import torchvision

from gear_transfer import Backbone
from gear_transfer.errors import WeightsError
from gear_transfer.importers import load_network
from gear_transfer.importers.pytorch import (convnext, densenet, efficientnet, regnet, resnet, vgg,
                                             vision_transformer)
from gear_transfer.importers.pytorch.builder import Builder
from gear_transfer.importers.pytorch.description import Config
from gear_transfer.importers.pytorch.families import find_family

BOUND = 1e-4

#: As many as the core gives at once; of more modules, these are spread evenly over the depth.
MOST_TAPS = 64

#: Library, name, sizes: native and odd; the odd size is None where the library has only one.
Case = collections.namedtuple("Case", ["library", "name", "native", "odd"])

_ODD = (163, 201)
_TIMM = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
    "resnext101_32x4d", "wide_resnet50_2", "resnet50d", "seresnet50", "convnext_tiny",
    "convnext_small", "convnextv2_nano", "convnextv2_tiny", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "tf_efficientnet_b0",
    "tf_efficientnet_b4", "tf_efficientnet_lite0", "tf_efficientnetv2_s", "mobilenetv2_100",
    "mobilenetv3_small_100", "mobilenetv3_large_100", "tf_mobilenetv3_large_100",
    "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "inception_v3", "regnetx_008",
    "regnety_008", "vgg16", "vgg11_bn", "densenet121"]
_TRANSFORMERS = [
    ("vit_tiny_patch16_224", 16), ("vit_small_patch16_224", 16), ("vit_small_patch32_224", 32),
    ("vit_base_patch16_224", 16), ("deit_small_patch16_224", 16),
    ("deit3_small_patch16_224", 16), ("vit_small_patch14_dinov2", 14),
    ("vit_small_patch14_reg4_dinov2", 14)]
_TORCHVISION = [
    "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "convnext_tiny",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_v2_s", "mobilenet_v3_small", "mobilenet_v3_large", "inception_v3",
    "regnet_x_400mf", "regnet_y_400mf", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn",
    "vgg16_bn", "vgg19_bn", "densenet121"]


def native_size(library, name):
    """The size that a network was published with."""
    if library == "timm":
        return timm.get_pretrained_cfg(name).input_size[1:]
    return (299, 299) if name == "inception_v3" else (224, 224)


def cases():
    """All networks of the table."""
    found = [Case("timm", name, native_size("timm", name), _ODD) for name in _TIMM]
    found += [Case("timm", name, native_size("timm", name), (10 * side, 13 * side))
              for name, side in _TRANSFORMERS]
    found += [Case("torchvision", name, native_size("torchvision", name), _ODD)
              for name in _TORCHVISION]
    return found + [Case("torchvision", name, (224, 224), None) for name in ("vit_b_16", "vit_b_32")]


def build(case, seed=0):
    """The model of a case with weights and statistics that are all different."""
    torch.manual_seed(seed)
    if case.library == "timm":
        settings = {"dynamic_img_size": True} if case.name.startswith(("vit", "deit")) else {}
        model = timm.create_model(case.name, **settings)
    else:
        settings = {"init_weights": False} if case.name == "inception_v3" else {}
        model = getattr(torchvision.models, case.name)(**settings)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim <= 1 or sorted(value.shape)[-2:][0] == 1 or "embed" in name:
                middle = 1.0 if name.endswith(("weight", "gamma", "layer_scale")) else 0.0
                value.copy_(middle + 0.3 * torch.randn(value.shape))
    norms = [module for module in model.modules()
             if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        settle(model, norms, case.native)
    return model.eval()


def pictures(size, count, seed=1):
    """Images with structure at every scale and of different contrast, ndarray of uint8."""
    rng = np.random.RandomState(seed)
    result = np.zeros((count,) + tuple(size) + (3,))
    for cells in (2, 5, 16, 64):
        rows = np.arange(size[0]) * cells // size[0]
        columns = np.arange(size[1]) * cells // size[1]
        result += rng.normal(size=(count, cells, cells, 3))[:, rows][:, :, columns]
    result *= 40.0 * rng.uniform(0.3, 1.0, (count, 1, 1, 3))
    return np.clip(128.0 + result, 0, 255).astype(np.uint8)


def settle(model, norms, size):
    """Statistics near those of a batch, so that numbers neither die nor explode, and not the same."""
    for norm in norms:
        norm.momentum = None
    model.train()
    pixels = pictures(size, 4) / 64.0 - 2.0
    with torch.no_grad():
        model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float())
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(norm.running_mean.shape)
            norm.running_var *= 0.7 + 0.6 * torch.rand(norm.running_var.shape)
            # A channel that hardly varies would be rounding errors made large.
            norm.running_var += 0.3 * norm.running_var.mean()


def save(case, model, folder):
    """The file as a user of the library has it; its path."""
    path = os.path.join(folder, "model.safetensors")
    if case.library == "timm":
        timm.models.save_for_hf(model, folder, safe_serialization=True)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    return path


def expected(model, names, pixels):
    """The result of each named module, dict of ndarray."""
    results, hooks = {}, []
    for name, module in model.named_modules():
        if name in names:
            def keep(module, inputs, output, name=name):
                results[name] = output.clone()
            hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(
            next(model.parameters()).dtype))
    for hook in hooks:
        hook.remove()
    return dict((name, value.numpy()) for name, value in results.items())


def difference(ours, theirs):
    """The greatest difference over the greatest magnitude; theirs may have channels first."""
    found = []
    if theirs.ndim == 4:
        candidates = [theirs.transpose(0, 2, 3, 1), theirs]
    elif theirs.ndim == 3:
        candidates = [theirs[:, :, None]]
    else:
        candidates = [theirs[:, None, None]]
    for values in candidates:
        if values.shape == ours.shape:
            found.append(np.abs(ours - values).max() / max(np.abs(values).max(), 1e-30))
    return min(found) if found else np.inf


def computed(network, taps, images, twin):
    """Our result of each tap, dict of ndarray (n, height, width, channels)."""
    if twin:
        results = twin.run(network.upto(taps), images)
        return dict((name, results[name]) for name in taps)
    backbone = Backbone.from_network(network, "network", layer=taps, input_size=images.shape[1:3],
                                     pooling=None, threads=2)
    values = backbone.features(images)
    return dict((name, value.reshape((len(images),) + backbone.node_shapes[name]))
                for name, value in zip(taps, values))


def compare(case, network, model, size, twin):
    """Greatest difference, the tap that has it, number of taps, and PyTorch's own in float32."""
    names = set(name for name, _ in model.named_modules() if name)
    taps = [name for name in network.layers if name in names]
    taps = [taps[place] for place in sorted(set(
        np.linspace(0, len(taps) - 1, MOST_TAPS).round().astype(int)))]
    if case.library == "torchvision" and case.name.startswith("vgg") and size != case.native:
        taps = [name for name in taps if not name.startswith("classifier")]
    images = pictures(size, 1, seed=2)
    preprocessing = network.preprocessing
    pixels = images * np.array(preprocessing["scale"]) + np.array(preprocessing["offset"])
    single = expected(model.float(), set(taps), pixels)
    theirs = expected(model.double(), set(taps), pixels)
    ours = computed(network, [name for name in taps if name in theirs], images, twin)
    differences = [(difference(ours[name], theirs[name]), name) for name in ours]
    rounding = max(np.abs(single[name] - theirs[name]).max() / np.abs(theirs[name]).max()
                   for name in theirs)
    return max(differences) + (len(differences), rounding)


def run(case, twin, sizes):
    """The rows of a case's table."""
    model = build(case)
    with tempfile.TemporaryDirectory() as folder:
        path = save(case, model, folder)
        if case.library == "timm":
            with open(os.path.join(folder, "config.json")) as stream:
                assert json.load(stream)["architecture"] == case.name
        network = load_network(path)
        if network.preprocessing is None:
            network = load_network(path, preprocessing="tf")
        for size in sizes:
            yield (size,) + compare(case, network, model, size, twin)


class Shapes(object):
    """The tensors of a model as the importer sees them, without a file."""

    def __init__(self, model):
        self.shapes = collections.OrderedDict(
            (name, tuple(value.shape)) for name, value in model.state_dict().items())

    def fail(self, reason):
        raise WeightsError(reason)


def recognise():
    """Whether each architecture of the tables is told by its tensors and all of them are used."""
    tables = (convnext, densenet, efficientnet, regnet, resnet, vgg)
    names = set(name for table in tables for name in table.VARIANTS) | {"inception_v3"}
    names.update(name for name in timm.list_models("*vit_*") + timm.list_models("deit*")
                 if vision_transformer.ARCHITECTURE.match(name))
    right = wrong = 0
    for name in sorted(names & set(timm.list_models())):
        with torch.device("cpu" if name.startswith("regnet") else "meta"):
            source = Shapes(timm.create_model(name))
        try:
            net, family = Builder(source), find_family(source)
            found = family.build(net, Config("config.json", name)).name
            unused = net.unused(family.ignored)
        except WeightsError as error:
            found, unused = str(error), ()
        if found == name and not unused:
            right += 1
        else:
            wrong += 1
            print(name, found, unused[:3])
    print("{} architectures of timm are told and use all their tensors, {} are not".format(
        right, wrong))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", default=[""], help="networks whose name has such a text")
    parser.add_argument("--twin", action="store_true", help="plain NumPy in place of the core")
    parser.add_argument("--native", action="store_true", help="the native size alone")
    parser.add_argument("--recognise", action="store_true",
                        help="only whether every architecture of the tables is told")
    args = parser.parse_args()
    if args.recognise:
        sys.exit(1 if recognise() else 0)
    twin = None
    if args.twin:
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                        "tests", "oracle"))
        import twin
    wrong = 0
    print("{:<12} {:<30} {:>9} {:>5} {:>8} {:>8}  {}".format(
        "library", "network", "size", "taps", "ours", "PyTorch", "where ours is worst"))
    for case in cases():
        if not any(text in case.library + " " + case.name for text in args.only):
            continue
        sizes = [case.native] + ([case.odd] if case.odd and not args.native else [])
        try:
            for size, worst, where, count, rounding in run(case, twin, sizes):
                wrong += not worst <= max(BOUND, 2 * rounding)
                print("{:<12} {:<30} {:>9} {:>5} {:>8.1e} {:>8.1e}  {}".format(
                    case.library, case.name, "{}x{}".format(*size), count, worst, rounding, where),
                    flush=True)
        except Exception as error:
            wrong += 1
            print("{:<12} {:<30} {}".format(case.library, case.name, repr(error)[:300]), flush=True)
        gc.collect()
    print("{} wrong (above {:g} and above twice PyTorch's own)".format(wrong, BOUND))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
