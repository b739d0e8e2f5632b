"""The architectures of `reach.py`: what they are called, and which files their users have."""

#: Families of keras.applications: own size, whether a model of it scales pixels itself.
KERAS = {
    "VGG16": (224, False), "VGG19": (224, False), "ResNet50": (224, False),
    "ResNet101": (224, False), "ResNet50V2": (224, False), "ResNet101V2": (224, False),
    "InceptionV3": (299, False), "InceptionResNetV2": (299, False), "Xception": (299, False),
    "MobileNet": (224, False), "MobileNetV2": (224, False), "MobileNetV3Small": (224, True),
    "MobileNetV3Large": (224, True), "DenseNet121": (224, False), "NASNetMobile": (224, False),
    "EfficientNetB0": (224, True), "EfficientNetB3": (300, True), "EfficientNetV2B0": (224, True),
    "EfficientNetV2S": (384, True), "ConvNeXtTiny": (224, True)}

#: Models as users of Keras make them, functions in `keras_models`.
OWN = ("augmented", "turned_channels", "stacked", "two_pools", "many_layers", "tokens")

TORCHVISION = (
    "alexnet", "vgg11_bn", "vgg16", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2",
    "inception_v3", "googlenet", "densenet121", "squeezenet1_0", "squeezenet1_1", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet1_0", "shufflenet_v2_x1_0",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf",
    "convnext_tiny", "swin_t", "vit_b_16", "maxvit_t")

TIMM = (
    "vit_small_patch16_224", "deit_small_patch16_224", "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2", "convnext_tiny", "convnextv2_nano",
    "swin_tiny_patch4_window7_224", "mobilenetv4_conv_small", "efficientnet_b0",
    "tf_efficientnetv2_s", "regnety_008", "maxvit_tiny_tf_224", "coatnet_0_rw_224", "seresnet50",
    "resnest14d", "res2net50_26w_4s", "resnetv2_50x1_bit", "nfnet_l0", "repvgg_a0", "vovnet39a",
    "dpn68", "hrnet_w18_small", "ghostnet_100", "lcnet_050", "tf_mobilenetv3_large_100",
    "tf_efficientnet_lite0", "poolformer_s12", "mixer_s32_224", "beit_base_patch16_224",
    "mobilenetv4_conv_medium")

#: Of these, what is read from safetensors too.
SAFETENSORS = frozenset([
    "torchvision:" + name for name in (
        "vgg11_bn", "vgg16", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2",
        "inception_v3", "densenet121", "mobilenet_v3_small", "mobilenet_v3_large",
        "efficientnet_b0", "efficientnet_b1", "efficientnet_v2_s", "regnet_x_400mf",
        "regnet_y_400mf", "convnext_tiny", "vit_b_16")] + [
    "timm:" + name for name in (
        "vit_small_patch16_224", "deit_small_patch16_224", "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2", "convnext_tiny", "convnextv2_nano",
        "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "efficientnet_b0",
        "tf_efficientnetv2_s", "regnety_008", "seresnet50", "tf_mobilenetv3_large_100",
        "tf_efficientnet_lite0")])

#: Other members of the families, only looked at in safetensors.
MEMBERS = tuple([
    "torchvision:" + name for name in (
        "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "vgg11", "vgg13", "vgg19",
        "vgg13_bn", "vgg16_bn", "vgg19_bn", "vit_b_32")] + [
    "timm:" + name for name in (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
        "resnext101_32x4d", "wide_resnet50_2", "resnet50d", "convnext_small", "convnextv2_tiny",
        "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
        "tf_efficientnet_b0", "tf_efficientnet_b4", "mobilenetv2_100", "mobilenetv3_small_100",
        "mobilenetv3_large_100", "inception_v3", "regnetx_008", "vgg16", "vgg11_bn", "densenet121",
        "vit_tiny_patch16_224", "vit_small_patch32_224", "vit_base_patch16_224",
        "deit3_small_patch16_224")])

#: Vision transformers that timm builds for any size: side of a patch.
PATCHES = {"vit_small_patch16_224": 16, "deit_small_patch16_224": 16,
           "vit_small_patch14_dinov2": 14, "vit_small_patch14_reg4_dinov2": 14,
           "vit_tiny_patch16_224": 16, "vit_small_patch32_224": 32, "vit_base_patch16_224": 16,
           "deit3_small_patch16_224": 16}

#: Built for their own size alone.
ONE_SIZE = frozenset([
    "torchvision:swin_t", "torchvision:vit_b_16", "torchvision:vit_b_32", "torchvision:maxvit_t",
    "timm:swin_tiny_patch4_window7_224", "timm:maxvit_tiny_tf_224", "timm:coatnet_0_rw_224",
    "timm:mixer_s32_224", "timm:beit_base_patch16_224"])

#: Ending in a pool to a grid, which exporters know for sizes that it divides.
POOLED_TO_A_GRID = ("torchvision:alexnet", "torchvision:vgg")

#: Height and width that no stride divides.
ODD = (163, 201)

KINDS = ("keras", "h5", "torchscript", "dynamo", "safetensors")


def names():
    """All architectures, each with its library."""
    return (["keras:" + name for name in KERAS] + ["own:" + name for name in OWN]
            + ["torchvision:" + name for name in TORCHVISION] + ["timm:" + name for name in TIMM]
            + list(MEMBERS))


def kinds_of(name):
    """The kinds of file that the users of an architecture have."""
    if name.startswith(("keras:", "own:")):
        return KINDS[:2]
    if name in MEMBERS:
        return KINDS[4:]
    return KINDS[2:] if name in SAFETENSORS else KINDS[2:4]
