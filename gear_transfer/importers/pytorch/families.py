"""The families of PyTorch networks that are read, each told by a few of its tensors.

A family's ``build(net, config)`` describes the network in a `Builder` and returns a `Description`;
it refuses with the tensor that does not fit.
"""
import collections

from . import (convnext, densenet, efficientnet, inception, mobile_torchvision, regnet, resnet, vgg,
               vision_transformer)

#: Title, tensors that all members have, what describes it, and beginnings of tensors without a use.
Family = collections.namedtuple("Family", ["title", "signature", "build", "ignored"])

#: In the order in which they are tried.
FAMILIES = (
    Family("ResNet", resnet.SIGNATURE, resnet.build, ()),
    Family("RegNet (timm)", regnet.TIMM_SIGNATURE, regnet.build_timm, ()),
    Family("RegNet (torchvision)", regnet.TORCHVISION_SIGNATURE, regnet.build_torchvision, ()),
    Family("ConvNeXt (timm)", convnext.TIMM_SIGNATURE, convnext.build_timm, ()),
    Family("ConvNeXt (torchvision)", convnext.TORCHVISION_SIGNATURE, convnext.build_torchvision, ()),
    Family("vision transformer (timm)", vision_transformer.TIMM_SIGNATURE,
           vision_transformer.build_timm, ()),
    Family("vision transformer (torchvision)", vision_transformer.TORCHVISION_SIGNATURE,
           vision_transformer.build_torchvision, ()),
    Family("EfficientNet or MobileNet (timm)", efficientnet.SIGNATURE, efficientnet.build, ()),
    Family("EfficientNet (torchvision)", mobile_torchvision.STAGES_SIGNATURE,
           mobile_torchvision.build_efficientnet, ()),
    Family("MobileNet V3 (torchvision)", mobile_torchvision.BLOCKS_SIGNATURE,
           mobile_torchvision.build_mobilenet, ()),
    Family("Inception V3", inception.SIGNATURE, inception.build, inception.IGNORED),
    Family("DenseNet", densenet.SIGNATURE, densenet.build, ()),
    Family("VGG", vgg.SIGNATURE, vgg.build, ()),
)


def find_family(source):
    """The family of a file.

    Parameters
    ----------
    source : TensorFile

    Returns
    -------
    Family

    Raises
    ------
    WeightsError
        Naming what was looked for, the closest family and what does not fit it.
    """
    for family in FAMILIES:
        if all(name in source.shapes for name in family.signature):
            return family
    names = list(source.shapes)
    first = ", ".join("'{}' {}".format(name, list(source.shapes[name])) for name in names[:3])
    closest, missing = None, ()
    for family in FAMILIES:
        absent = [name for name in family.signature if name not in source.shapes]
        if len(absent) < len(family.signature) and (closest is None or len(absent) < len(missing)):
            closest, missing = family, absent
    source.fail("its tensors are not those of a network that is read. Looked for: {}, "
                "EfficientNet-Lite. {}. Its first tensors: {}. Export the network as ONNX instead, "
                "which says how it computes".format(
                    ", ".join(family.title for family in FAMILIES),
                    "None of their tensors is there" if closest is None else
                    "Closest is {}, without {}".format(
                        closest.title, " and ".join("'{}'".format(name) for name in missing)),
                    first or "none"))
