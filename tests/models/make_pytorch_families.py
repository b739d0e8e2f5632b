"""Ask PyTorch what the networks in pytorch_families.json.gz compute.

    python tests/models/make_pytorch_families.py

Small members of each family, or small images where a family has fixed widths, with the numbers that
pytorch_files.tensor makes. Needs torch, torchvision and timm.
"""
import collections
import gzip
import json
import os
import sys

import numpy as np
import timm
import torch
import torchvision.models as tv
from timm.models import regnet, resnet, vgg, vision_transformer

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pytorch_files  # noqa: E402


def narrow_inception():
    """torchvision's Inception V3 with a sixteenth of its channels."""
    model = tv.Inception3(init_weights=False, num_classes=5)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Conv2d):
                into = 3 if child.in_channels == 3 else child.in_channels // 16
                setattr(module, name, torch.nn.Conv2d(
                    into, child.out_channels // 16, child.kernel_size, child.stride, child.padding,
                    bias=False))
            elif isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.BatchNorm2d(child.num_features // 16, child.eps))
    model.fc = torch.nn.Linear(128, 5)
    return model


def narrow_vgg():
    """torchvision's VGG 11 with batch normalisation and an eighth of its channels, without a head."""
    layers = [8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"]
    return tv.VGG(tv.vgg.make_layers(layers, batch_norm=True), num_classes=5).features


#: Name, architecture for the config.json or None, model, size, taps.
def members():
    stages = ["layer{}".format(number) for number in (1, 2, 3, 4)]
    small = dict(layers=(1, 2, 1, 1), channels=(8, 16, 24, 32), num_classes=5)
    yield ("basic resnet", None, resnet.ResNet(resnet.BasicBlock, **small), (70, 61),
           ["act1", "layer1.0.bn1"] + stages + ["fc"])
    yield ("resnext", None, resnet.ResNet(resnet.Bottleneck, cardinality=4, base_width=32, **small),
           (64, 75), ["layer2.0", "layer2.0.downsample"] + stages + ["fc"])
    yield ("deep resnet with squeezes", None, resnet.ResNet(
        resnet.Bottleneck, stem_type="deep", stem_width=8, avg_down=True,
        block_args={"attn_layer": "se"}, **small), (65, 79), ["layer1.0.se"] + stages + ["fc"])
    cfg = regnet.RegNetCfg(w0=8, wa=12.15, wm=2.49, group_size=4, depth=13, se_ratio=0.25)
    yield ("timm regnet y", None, regnet.RegNet(cfg, num_classes=5), (64, 71),
           ["stem", "s1", "s2", "s3", "s4", "head.fc"])
    params = tv.regnet.BlockParams.from_init_params(depth=13, w_0=8, w_a=12.15, w_m=2.49, group_width=4)
    yield ("torchvision regnet x", None, tv.RegNet(params, num_classes=5), (64, 71),
           ["stem"] + ["trunk_output.block{}".format(number) for number in (1, 2, 3, 4)] + ["fc"])
    model = torch.nn.Sequential(collections.OrderedDict(features=narrow_vgg()))
    yield ("torchvision vgg", None, model, (66, 75),
           ["features.2", "features.3", "features.17", "features.28"])
    cfg = [8, "M", 16, "M", 16, "M", 16, "M", 24, "M"]
    model = vgg.VGG(cfg, num_classes=5)
    model.pre_logits = vgg.ConvMlp(24, 16, 3)
    model.head = vgg.ClassifierHead(16, 5)
    yield ("timm vgg", None, model, (128, 160), ["features.4", "features.14", "pre_logits", "head.fc"])
    yield ("densenet", None, tv.DenseNet(4, (2, 3, 2), 8, num_classes=5), (70, 77),
           ["features.denseblock1", "features.transition1", "features.denseblock3", "classifier"])
    yield ("inception", None, narrow_inception(), (120, 131),
           ["Mixed_5d", "Mixed_6a", "Mixed_6e", "Mixed_7a", "Mixed_7c", "fc"])
    for name, size, taps in (
            ("convnext_atto", (64, 70), ["stem", "stages.0", "stages.1", "stages.3", "head.fc"]),
            ("convnextv2_atto", (64, 70), ["stem", "stages.0", "stages.1", "stages.3", "head.fc"]),
            ("tf_efficientnet_b0", (64, 75), ["bn1", "blocks.0", "blocks.2", "bn2", "classifier"]),
            ("efficientnet_b0", (64, 75), ["bn1", "blocks.0", "blocks.2", "bn2", "classifier"]),
            ("mobilenetv3_small_100", (64, 75), ["bn1", "blocks.0", "blocks.3", "classifier"]),
            ("mobilenetv4_conv_small", (64, 75), ["bn1", "blocks.1", "blocks.3", "classifier"])):
        yield name, name, timm.create_model(name, num_classes=5), size, taps
    setting = tv.convnext.CNBlockConfig
    widths = (setting(40, 80, 2), setting(80, 160, 2), setting(160, 320, 6), setting(320, None, 2))
    yield ("torchvision convnext", None, tv.ConvNeXt(widths, num_classes=5), (64, 70),
           ["features.0", "features.1", "features.4", "features.7", "classifier.2"])
    stages = ["features.0", "features.1", "features.3", "features.5", "features.8"]
    yield ("torchvision efficientnet", None, tv.efficientnet_b0(num_classes=5), (64, 75),
           stages + ["classifier.1"])
    yield ("torchvision mobilenet", None, tv.mobilenet_v3_small(num_classes=5), (64, 75),
           stages + ["classifier.3"])
    shape = dict(embed_dim=192, num_heads=3, depth=2, num_classes=5, img_size=32, patch_size=8,
                 dynamic_img_size=True)
    taps = ["blocks.0.attn", "blocks.0", "blocks.1", "norm", "head"]
    yield ("vision transformer", None, vision_transformer.VisionTransformer(**shape), (40, 56), taps)
    yield ("vision transformer with registers", None, vision_transformer.VisionTransformer(
        reg_tokens=4, no_embed_class=True, init_values=0.1, **shape), (40, 56), taps)
    yield ("vision transformer with an average", None, vision_transformer.VisionTransformer(
        global_pool="avg", **shape), (40, 56), taps[:3] + ["fc_norm", "head"])
    yield ("torchvision vision transformer", None, tv.VisionTransformer(
        32, 8, 2, 3, 192, 384, num_classes=5), (32, 32),
           ["encoder.layers.encoder_layer_0", "encoder.ln", "heads.head"])


def reference(name, architecture, model, size, taps):
    """One entry of the file."""
    model.eval()
    state = model.state_dict()
    with torch.no_grad():
        for tensor, value in state.items():
            if not tensor.endswith("num_batches_tracked"):
                value.copy_(torch.from_numpy(pytorch_files.tensor(tensor, tuple(value.shape))))
    found = {}
    for tap in taps:
        model.get_submodule(tap).register_forward_hook(
            lambda module, inputs, output, tap=tap: found.update({tap: output.clone()}))
    pixels = pytorch_files.images(size) / 127.5 - 1.0
    with torch.no_grad():
        model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float())
    results = {}
    for tap in taps:
        values = found[tap].numpy()
        if values.ndim == 4:
            values = values.transpose(0, 2, 3, 1)
        elif values.ndim == 3:
            values = values[:, :, np.newaxis]
        else:
            values = values[:, np.newaxis, np.newaxis]
        largest = float(np.abs(values).max())
        assert 1e-3 < largest < 1e6, (name, tap, largest)
        results[tap] = {"shape": list(values.shape[1:]), "largest": largest,
                        "values": [float("{:.7g}".format(number))
                                   for number in pytorch_files.some_of(values)]}
    return {"name": name, "architecture": architecture, "size": list(size),
            "tensors": dict((tensor, list(value.shape)) for tensor, value in state.items()),
            "order": list(state), "results": results}


def main():
    torch.manual_seed(0)
    entries = [reference(*member) for member in members()]
    for entry in entries:
        entry["tensors"] = [[name, entry["tensors"][name]] for name in entry.pop("order")]
    text = json.dumps(entries, separators=(",", ":"))
    with open(pytorch_files.REFERENCES, "wb") as raw:
        with gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
            stream.write(text.encode("utf-8"))
    print("{} networks, {} bytes".format(len(entries), os.path.getsize(pytorch_files.REFERENCES)))


if __name__ == "__main__":
    main()
