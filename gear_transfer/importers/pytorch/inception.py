"""Inception V3, with the names that torchvision and timm share.

C. Szegedy and others, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016. No
convolution pads but those inside the blocks, each by half of its kernel.
"""
from .description import Description

SIGNATURE = ("Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch1x1.conv.weight")
IGNORED = ("AuxLogits.",)

#: The blocks: their branches as chains of modules, of which "/2" has stride 2 and no padding, a
#: tuple fans out, and "max" and "average" are pools.
_A = (("branch1x1",), ("branch5x5_1", "branch5x5_2"),
      ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), ("average", "branch_pool"))
_B = (("branch3x3/2",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3/2"), ("max",))
_C = (("branch1x1",), ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
      tuple("branch7x7dbl_{}".format(number) for number in range(1, 6)),
      ("average", "branch_pool"))
_D = (("branch3x3_1", "branch3x3_2/2"),
      ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4/2"), ("max",))
_E = (("branch1x1",), ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
      ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
      ("average", "branch_pool"))
_BLOCKS = (("Mixed_5b", _A), ("Mixed_5c", _A), ("Mixed_5d", _A), ("Mixed_6a", _B),
           ("Mixed_6b", _C), ("Mixed_6c", _C), ("Mixed_6d", _C), ("Mixed_6e", _C),
           ("Mixed_7a", _D), ("Mixed_7b", _E), ("Mixed_7c", _E))


def build(net, config):
    """Describe the network; see `families`."""
    net.epsilon = 1e-3
    x = _conv(net, "input", "Conv2d_1a_3x3", 2, [0] * 4)
    x = _conv(net, x, "Conv2d_2a_3x3", 1, [0] * 4)
    x = _conv(net, x, "Conv2d_2b_3x3")
    x = net.pool(x, "max_pool", 3, 2, 0, "maxpool1")
    x = _conv(net, x, "Conv2d_3b_1x1")
    x = _conv(net, x, "Conv2d_4a_3x3", 1, [0] * 4)
    x = net.pool(x, "max_pool", 3, 2, 0, "maxpool2")
    for name, branches in _BLOCKS:
        ends = [end for branch in branches for end in _branch(net, x, name, branch)]
        x = net.add(name, "concat", ends, {}, sum(net.channels[end] for end in ends))
    net.head(net.add("global_pool", "global_average_pool", [x]), "fc")
    config.choose(net, "Inception V3", {"inception_v3": True}, True)
    # Some of the published weights want the mean of ImageNet, others -1 to 1.
    return Description("inception_v3", (299, 299), None)


def _conv(net, source, module, stride=1, padding=None):
    return net.conv_norm_act(source, module + ".conv", module + ".bn", "relu", module,
                             stride=stride, padding=padding)


def _branch(net, x, block, steps):
    """The ends of a branch."""
    for step in steps:
        if isinstance(step, tuple):
            return [_conv(net, x, "{}.{}".format(block, part)) for part in step]
        if step == "max":
            x = net.pool(x, "max_pool", 3, 2, 0, block + "/pool")
        elif step == "average":
            x = net.pool(x, "average_pool", 3, 1, 1, block + "/pool", count_include_padding=True)
        elif step.endswith("/2"):
            x = _conv(net, x, "{}.{}".format(block, step[:-2]), 2, [0] * 4)
        else:
            x = _conv(net, x, "{}.{}".format(block, step))
    return [x]
