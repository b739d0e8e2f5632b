"""Models of torchvision and timm, built, saved, exported and computed by PyTorch itself."""
import os
import warnings

import numpy as np
import safetensors.torch
import timm
import timm.models
import torch
import torchvision

from architectures import ODD, ONE_SIZE, PATCHES, POOLED_TO_A_GRID
from architectures.measure import measure, pictures, pixels_known, refusal, spread
from gear_transfer.errors import GearTransferError
from gear_transfer.importers import load_network

#: Pixels of the ONNX files, which do not say what they want.
_PIXELS = "torch"
#: Sizes open in the files of one exporter.
_OPEN = {0: "batch", 2: "height", 3: "width"}


def native_size(name):
    """The size that a network was published with; DINOv2's is large, so that of ImageNet."""
    library, own = name.split(":")
    if library == "timm" and own not in PATCHES:
        return timm.get_pretrained_cfg(own).input_size[1:]
    return (299, 299) if own == "inception_v3" else (224, 224)


def odd_size(name, kind):
    """The odd size, None where the network has only one."""
    own = name.split(":")[1]
    if name in ONE_SIZE or kind != "safetensors" and name.startswith(POOLED_TO_A_GRID):
        return None
    return (10 * PATCHES[own], 13 * PATCHES[own]) if own in PATCHES else ODD


def sizes_of(name, kind, options):
    """The sizes that are wanted and that there are."""
    found = {"native": native_size(name), "odd": odd_size(name, kind)}
    return [found[each] for each in options["sizes"] if found[each] is not None]


def build(name, size=None):
    """The model of an architecture with weights and statistics that are all different.

    A vision transformer is built for this one size, or for all where it is left out.
    """
    torch.manual_seed(0)
    library, own = name.split(":")
    settings = {}
    if library == "torchvision":
        settings = {"init_weights": False} if own in ("inception_v3", "googlenet") else {}
        model = getattr(torchvision.models, own)(**settings)
    else:
        if own in PATCHES:
            settings = {"img_size": size or native_size(name), "dynamic_img_size": size is None}
        model = timm.create_model(own, **settings)
    with torch.no_grad():
        for label, value in model.named_parameters():
            if value.ndim <= 1 or sorted(value.shape)[-2:][0] == 1 or (
                    "embed" in label and value.ndim < 4):
                middle = 1.0 if label.endswith(("weight", "gamma", "layer_scale")) else 0.0
                value.copy_(middle + 0.3 * torch.randn(value.shape))
        # A classifier begins at zero, or nearly so, in some networks.
        last = [value for value in model.parameters() if value.ndim == 2][-1:]
        for value in last:
            value.copy_(torch.randn(value.shape) * value.shape[1] ** -0.5)
    norms = [module for module in model.modules()
             if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        settle(model, norms, size or native_size(name))
    return model.eval()


def settle(model, norms, size):
    """Statistics near those of a batch, so that numbers neither die nor explode, and not the same."""
    for norm in norms:
        norm.momentum = None
    model.train()
    pixels = pictures(size, 4, seed=1) / 64.0 - 2.0
    with torch.no_grad():
        model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float())
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(norm.running_mean.shape)
            norm.running_var *= 0.7 + 0.6 * torch.rand(norm.running_var.shape)
            # A channel that hardly varies would be rounding errors made large.
            norm.running_var += 0.3 * norm.running_var.mean()


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


def save(name, model, folder):
    """The safetensors file as a user of the library has it; its path."""
    path = os.path.join(folder, "model.safetensors")
    if name.startswith("timm:"):
        timm.models.save_for_hf(model, folder, safe_serialization=True)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    return path


def export(model, size, kind, folder, is_open=False):
    """An ONNX file; its path."""
    path = os.path.join(folder, "model.onnx")
    images = torch.zeros(1, 3, *size)
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that no exporter knows
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if kind == "dynamo":
            torch.onnx.export(model, (images,), path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(model, images, path, dynamo=False, input_names=["image"],
                              dynamic_axes={"image": _OPEN if is_open else {0: "batch"}})
    return path


def pixels_of(network, images):
    """What a network sees of images, in float64."""
    preprocessing = network.preprocessing
    return images * np.array(preprocessing["scale"]) + np.array(preprocessing["offset"])


def of_safetensors(name, folder, options):
    """The rows of a safetensors file, with results of modules."""
    native = native_size(name)
    model = build(name)
    path = save(name, model, folder)
    model.double()
    known = pixels_known(path)
    network = load_network(path, preprocessing=None if known else "tf")
    modules = set(label for label, _ in model.named_modules() if label)
    layers = spread([layer for layer in network.layers if layer in modules])
    for size in sizes_of(name, "safetensors", options):
        if name.startswith("torchvision:vgg") and size != native:
            layers = [layer for layer in layers if not layer.startswith("classifier")]
        images = pictures(size, 2, seed=2)
        found = expected(model, set(layers), pixels_of(network, images))
        truth = dict((layer, found[layer]) for layer in layers if layer in found)
        row = measure(network, images, truth, size == native, options["twin"])
        yield dict(row, size="{}x{}".format(*size), pixels="known" if known else "asked")


def of_onnx(name, kind, folder, options):
    """The rows of ONNX files, with the result."""
    native = native_size(name)
    for size in sizes_of(name, kind, options):
        is_patches = name.split(":")[1] in PATCHES
        model = build(name, size if is_patches else None)
        images = pictures(size, 2, seed=2)
        row = {}
        if size != native and kind == "torchscript" and not is_patches:
            try:
                row = compared(name, model, kind, images, folder, True, options)
            except torch.onnx.errors.OnnxExporterError:
                pass  # a pool whose windows depend on the size
        if "error" not in row:
            row = compared(name, model, kind, images, folder, False, options)
        yield dict(row, size="{}x{}".format(*size) + row.pop("open", ""), pixels="asked")


def compared(name, model, kind, images, folder, is_open, options):
    """The row of one ONNX file."""
    size = images.shape[1:3]
    path = export(model.float(), size, kind, folder, is_open)
    try:
        network = load_network(path, preprocessing=_PIXELS)
        model.double()
        with torch.no_grad():
            given = pixels_of(network, images).transpose(0, 3, 1, 2).copy()
            truth = model(torch.from_numpy(given)).numpy()
        is_first = size == native_size(name) and kind == options["first"]
        row = measure(network, images, {network.layers[-1]: truth}, is_first, options["twin"])
    except GearTransferError as problem:
        return {"wrong": [str(problem).replace(path, "")]}
    if pixels_known(path):
        row["wrong"].append("does not ask what pixels it wants")
    if not is_open and "only size" not in str(refusal(path, _PIXELS, (size[0] + 32, size[1]))):
        row["wrong"].append("takes another size than that of the file")
    return dict(row, open=" open" if is_open else "")


def rows(name, kinds, options, folder):
    """The rows of an architecture's table, dicts."""
    options["first"] = kinds[0]
    for kind in kinds:
        try:
            found = (of_safetensors(name, folder, options) if kind == "safetensors"
                     else of_onnx(name, kind, folder, options))
            for row in found:
                yield dict(row, architecture=name, kind=kind)
        except Exception as problem:  # whatever an exporter does not know
            yield {"architecture": name, "kind": kind, "size": "",
                   "wrong": ["{}: {}".format(type(problem).__name__, str(problem)[:300])]}
