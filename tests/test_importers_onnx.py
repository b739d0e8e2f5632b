"""ONNX files: what networks are made of, as exporters write it, against the package's reference."""
import json

import numpy as np
import pytest
from onnx import helper
from onnx_files import Graph, check, operations, saved

from gear_transfer import Backbone
from gear_transfer.errors import GraphError, WeightsError
from gear_transfer.importers import load_network


def erf_gelu(g, x):
    part = g.add("Add", g.add("Erf", g.add("Div", x, g.number(2.0 ** 0.5))), g.number(1.0))
    return g.add("Mul", g.add("Mul", x, part), g.number(0.5))


def erf_gelu_halved_first(g, x):
    half = g.add("Mul", g.number(0.5), x)
    return g.add("Mul", half, g.add("Add", g.number(1.0), g.add(
        "Erf", g.add("Mul", x, g.number(0.5 ** 0.5)))))


def tanh_gelu(g, x):
    cubed = g.add("Mul", g.add("Pow", x, g.number(3.0)), g.number(0.044715))
    inner = g.add("Mul", g.add("Add", x, cubed), g.number((2 / np.pi) ** 0.5))
    return g.add("Mul", g.add("Mul", x, g.number(0.5)),
                 g.add("Add", g.add("Tanh", inner), g.number(1.0)))


def silu(g, x):
    return g.add("Mul", x, g.add("Sigmoid", x))


def hard_swish_of_clip(g, x):
    gate = g.add("Clip", g.add("Add", x, g.number(3.0)), g.number(0.0), g.number(6.0))
    return g.add("Div", g.add("Mul", x, gate), g.number(6.0))


def hard_swish_of_hard_sigmoid(g, x):
    return g.add("Mul", x, g.add("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5))


def mish(g, x):
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


@pytest.mark.parametrize("write, function", [
    (erf_gelu, "gelu"), (erf_gelu_halved_first, "gelu"), (tanh_gelu, "gelu_tanh"), (silu, "silu"),
    (hard_swish_of_clip, "hard_swish"), (hard_swish_of_hard_sigmoid, "hard_swish"), (mish, "mish")])
def test_functions_that_exporters_write_as_several_operations(tmp_path, write, function):
    g = Graph()
    write(g, g.conv(8))
    network = check(tmp_path, g)
    assert operations(network) == ["input", "conv2d", "activation"]
    assert network.nodes[-1].attributes["function"] == function


def test_a_gate_of_another_tensor_is_no_function_of_its_own(tmp_path):
    g = Graph()
    x = g.conv(8)
    g.add("Mul", x, g.add("Sigmoid", g.conv(8, source="image", name="other")))
    assert operations(check(tmp_path, g)).count("multiply") == 1


@pytest.mark.parametrize("kind, attributes", [
    ("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Elu", {"alpha": 0.7}), ("Selu", {}),
    ("Sigmoid", {}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}), ("Tanh", {}), ("Softplus", {}),
    ("Softsign", {}), ("HardSwish", {}), ("Abs", {}), ("Neg", {}), ("Exp", {}), ("Identity", {}),
    ("Dropout", {}), ("Cast", {"to": 1})])
def test_functions_of_one_number(tmp_path, kind, attributes):
    g = Graph()
    g.conv(8)
    g.add(kind, **attributes)
    check(tmp_path, g)


@pytest.mark.parametrize("attributes", [
    {}, {"strides": [2, 2]}, {"dilations": [2, 2], "pads": [2, 2, 2, 2]}, {"pads": [0, 1, 2, 0]},
    {"auto_pad": "SAME_UPPER", "pads": None, "strides": [2, 3]},
    {"auto_pad": "SAME_LOWER", "pads": None}, {"auto_pad": "VALID", "pads": None}])
def test_convolutions(tmp_path, attributes):
    g = Graph()
    g.conv(6, name="first")
    attributes = dict(attributes)
    if attributes.get("pads", 0) is None:
        g.add("Conv", g.last, g.tensor((4, 6, 3, 3)), auto_pad=attributes["auto_pad"],
              strides=attributes.get("strides", [1, 1]))
    else:
        g.conv(4, 6, **attributes)
    check(tmp_path, g)


def test_groups_and_depthwise_convolutions(tmp_path):
    g = Graph()
    g.conv(8)
    g.conv(8, 2, group=4, name="groups")
    g.conv(16, 1, group=8, name="depthwise")
    check(tmp_path, g)


@pytest.mark.parametrize("kind, attributes", [
    ("MaxPool", {"pads": [1, 1, 1, 1]}), ("MaxPool", {"ceil_mode": 1}),
    ("AveragePool", {"pads": [1, 0, 0, 1]}), ("AveragePool", {"pads": [1, 1, 1, 1],
                                                              "count_include_pad": 1})])
def test_pools(tmp_path, kind, attributes):
    g = Graph()
    g.conv(5)
    g.add(kind, kernel_shape=[3, 3], strides=[2, 2], **attributes)
    check(tmp_path, g)


def test_a_pool_over_the_whole_map_is_global(tmp_path):
    g = Graph()
    g.conv(5)
    g.add("AveragePool", kernel_shape=[12, 10])
    assert operations(check(tmp_path, g))[-1] == "global_average_pool"


def test_norms(tmp_path):
    g = Graph()
    x = g.conv(8)
    x = g.add("BatchNormalization", x, g.tensor((8,)), g.tensor((8,)), g.tensor((8,)),
              g.tensor(np.linspace(0.5, 2.0, 8).astype(np.float32)))
    g.add("InstanceNormalization", x, g.tensor((8,)), g.tensor((8,)))
    check(tmp_path, g)


def test_a_group_norm_written_as_an_instance_norm_of_a_reshape(tmp_path):
    g = Graph()
    x = g.conv(8)
    shape = g.add("Shape", x)
    groups = g.add("Reshape", x, g.ints(0, 4, -1))
    ones, zeros = g.tensor(np.ones(4, np.float32)), g.tensor(np.zeros(4, np.float32))
    normed = g.add("InstanceNormalization", groups, ones, zeros)
    normed = g.add("Reshape", normed, shape)
    g.add("Add", g.add("Mul", normed, g.tensor((8, 1, 1))), g.tensor((8, 1, 1)))
    network = check(tmp_path, g)
    assert operations(network) == ["input", "conv2d", "group_norm"]
    assert network.nodes[-1].attributes["groups"] == 4


def layer_norm(g, x, channels, axis=-1):
    centred = g.add("Sub", x, g.add("ReduceMean", x, axes=[axis]))
    variance = g.add("ReduceMean", g.add("Pow", centred, g.number(2.0)), axes=[axis])
    root = g.add("Sqrt", g.add("Add", variance, g.number(1e-6)))
    shape = (channels,) if axis == -1 else (channels, 1, 1)
    return g.add("Add", g.add("Mul", g.add("Div", centred, root), g.tensor(shape)), g.tensor(shape))


def test_a_layer_norm_written_as_nine_operations(tmp_path):
    g = Graph()
    x = g.add("Transpose", g.conv(8), perm=[0, 2, 3, 1])
    g.add("Transpose", layer_norm(g, x, 8), perm=[0, 3, 1, 2])
    assert operations(check(tmp_path, g)) == ["input", "conv2d", "layer_norm"]
    g = Graph()
    layer_norm(g, g.conv(8), 8, axis=1)
    assert operations(check(tmp_path, g)) == ["input", "conv2d", "layer_norm"]


def test_a_block_with_channels_last_moves_nothing(tmp_path):
    g = Graph()
    x = g.conv(8)
    y = g.conv(8, 1, 7, group=8, name="depthwise")
    y = g.add("LayerNormalization", g.add("Transpose", y, perm=[0, 2, 3, 1]), g.tensor((8,)),
              g.tensor((8,)), axis=-1)
    y = erf_gelu(g, g.linear(8, 16, y))
    y = g.add("Mul", g.linear(16, 8, y), g.tensor((8,)))
    g.add("Add", g.add("Transpose", y, perm=[0, 3, 1, 2]), x)
    ops = operations(check(tmp_path, g))
    assert not set(ops) & {"transpose", "reshape"} and ops.count("conv2d") == 4


def test_a_squeeze_and_excite(tmp_path):
    g = Graph()
    x = g.conv(8)
    s = g.add("ReduceMean", x, axes=[2, 3])
    s = g.add("Sigmoid", g.conv(8, 4, 1, name="up", source=g.add("Relu", g.conv(4, 8, 1, "down"))))
    g.add("Mul", x, s)
    assert operations(check(tmp_path, g))[-1] == "multiply"


def test_flatten_in_the_order_of_channels_first(tmp_path):
    g = Graph((1, 3, 4, 4))
    g.conv(5)
    g.add("Flatten")
    g.add("Gemm", g.last, g.tensor((7, 80)), g.tensor((7,)), transB=1, alpha=0.5, beta=2.0)
    g.add("Softmax", axis=1)
    network = check(tmp_path, g, images=1)
    assert operations(network) == ["input", "conv2d", "flatten", "dense", "softmax"]
    assert network.nodes[2].attributes == {"channels_first": True}


def test_parts_joins_and_shuffles(tmp_path):
    g = Graph()
    x = g.conv(8)
    a, b = g.add("Split", x, g.ints(3, 5), axis=1, outputs=2)
    c = g.add("Slice", x, g.ints(1), g.ints(9), g.ints(2), g.ints(2))
    c = g.add("Resize", c, "", g.tensor(np.array([1, 1, 3, 1], np.float32)), mode="nearest",
              coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    d = g.add("Gather", x, g.ints(0, 5, 6, 2), axis=1)
    joined = g.add("Concat", b, a, c, d, axis=1)
    grouped = g.add("Reshape", joined, g.ints(0, 2, 10, 12, 10))
    shuffled = g.add("Transpose", grouped, perm=[0, 2, 1, 3, 4])
    g.add("Reshape", shuffled, g.ints(0, 20, 12, 10))
    assert operations(check(tmp_path, g))[-1] == "channel_shuffle"


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_and_back(tmp_path, mode):
    g = Graph()
    g.conv(12)
    g.add("Relu", g.add("DepthToSpace", blocksize=2, mode=mode))
    g.conv(2, 3, name="last")
    g.add("SpaceToDepth", blocksize=2)
    check(tmp_path, g)


def test_padding_before_a_convolution_is_its_own(tmp_path):
    g = Graph()
    g.add("Pad", "image", g.ints(0, 0, 0, 0, 0, 0, 1, 1))
    g.conv(4, strides=[2, 2], pads=[0, 0, 0, 0])
    network = check(tmp_path, g)
    assert operations(network) == ["input", "conv2d"]
    # What is more at the end is TensorFlow's way: at other sizes too.
    assert network.nodes[-1].attributes["padding"] == "same"


def test_numbers_limits_and_operands(tmp_path):
    g = Graph()
    x = g.conv(4)
    y = g.add("Sub", g.number(1.0), g.add("Mul", x, g.number(0.3)))
    y = g.add("Clip", y, g.number(-0.5), g.number(0.8))
    y = g.add("Div", y, g.tensor(np.full((1, 4, 1, 1), 1.7, np.float32)))
    y = g.add("Max", y, g.add("Min", x, g.number(0.2)))
    y = g.add("Add", y, g.tensor((1, 1, 12, 10)))
    g.add("Div", y, g.add("Add", g.add("Abs", x), g.number(1.0)))
    check(tmp_path, g)


def test_channels_last_at_the_entrance(tmp_path):
    g = Graph(("batch", 12, 10, 3), opset=13)
    g.add("Transpose", "image", perm=[0, 3, 1, 2])
    x = g.conv(8)
    g.add("Transpose", x, perm=[0, 2, 3, 1])
    network = check(tmp_path, g, channels_last=True)
    assert operations(network) == ["input", "conv2d"]


def test_sizes_computed_in_the_graph(tmp_path):
    """Flatten, as the exporters write it for a batch whose size is open."""
    g = Graph()
    x = g.add("GlobalAveragePool", g.conv(6))
    batch = g.add("Gather", g.add("Shape", x), g.tensor(np.int64(0)), axis=0)
    batch = g.add("Unsqueeze", batch, g.ints(0))
    shape = g.add("Concat", batch, g.ints(-1), axis=0)
    g.add("Gemm", g.add("Reshape", x, shape), g.tensor((6, 4)))
    assert operations(check(tmp_path, g)) == [
        "input", "conv2d", "global_average_pool", "dense"]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 18, 21])
def test_versions_of_the_operators(tmp_path, opset):
    g = Graph(opset=opset)
    x = g.conv(6)
    x = g.add("Clip", x, min=0.0, max=6.0) if opset < 11 else g.add(
        "Clip", x, g.number(0.0), g.number(6.0))
    x = (g.add("Slice", x, axes=[2], starts=[1], ends=[9]) if opset < 10 else
         g.add("Slice", x, g.ints(1), g.ints(9), g.ints(2)))
    x = g.add("ReduceMean", x, axes=[2, 3], keepdims=1) if opset < 18 else g.add(
        "ReduceMean", x, g.ints(2, 3), keepdims=1)
    x = g.add("Squeeze", x, axes=[2, 3]) if opset < 13 else g.add("Squeeze", x, g.ints(2, 3))
    g.add("Softmax", x, axis=1)
    network = check(tmp_path, g)
    assert network.nodes[2].attributes == {"max_value": 6.0}


# Tokens

def patches(g, width=8, side=4):
    """A map of 3 x 2 patches as rows."""
    x = g.add("Conv", "image", g.tensor((width, 3, side, side)), g.tensor((width,)),
              strides=[side, side], name="patches")
    x = g.add("Reshape", x, g.ints(0, width, -1))
    return g.add("Transpose", x, perm=[0, 2, 1])


def packed_attention(g, x, n, width=8, heads=2):
    """As timm has it: one product for all three."""
    qkv = g.add("Reshape", g.linear(width, 3 * width, x), g.ints(0, n, 3, heads, width // heads))
    qkv = g.add("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (g.add("Gather", qkv, g.tensor(np.int64(i)), axis=0) for i in range(3))
    q = g.add("Mul", q, g.number((width // heads) ** -0.5))
    scores = g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2]))
    x = g.add("MatMul", g.add("Softmax", scores, axis=-1), v)
    x = g.add("Reshape", g.add("Transpose", x, perm=[0, 2, 1, 3]), g.ints(0, n, width))
    return g.linear(width, width, x)


def separate_attention(g, x, n, width=8, heads=2):
    """Three products, both factors scaled, and a bias on the scores."""
    parts = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        y = g.add("Reshape", g.linear(width, width, x), g.ints(0, n, heads, width // heads))
        parts.append(g.add("Transpose", y, perm=perm))
    root = g.number((width // heads) ** -0.25)
    scores = g.add("MatMul", g.add("Mul", parts[0], root), g.add("Mul", parts[1], root))
    scores = g.add("Add", scores, g.tensor((1, heads, n, n)))
    x = g.add("MatMul", g.add("Softmax", scores, axis=-1), parts[2])
    x = g.add("Reshape", g.add("Transpose", x, perm=[0, 2, 1, 3]), g.ints(0, n, width))
    return g.linear(width, width, x)


@pytest.mark.parametrize("attention, inputs", [(packed_attention, 1), (separate_attention, 3)])
def test_a_vision_transformer(tmp_path, attention, inputs):
    g = Graph()
    rows = patches(g)
    batch = g.add("Gather", g.add("Shape", rows), g.ints(0), axis=0)
    token = g.add("Expand", g.tensor((1, 1, 8)), g.add("Concat", batch, g.ints(1, 8), axis=0))
    x = g.add("Concat", token, rows, axis=1)
    x = g.add("Add", x, g.tensor((1, 7, 8)))
    y = g.add("LayerNormalization", x, g.tensor((8,)), g.tensor((8,)))
    x = g.add("Add", x, attention(g, y, 7))
    g.add("Gemm", g.add("Gather", x, g.tensor(np.int64(0)), axis=1), g.tensor((8, 5)))
    network = check(tmp_path, g)
    ops = operations(network)
    assert ops.count("attention") == 1 and ops.count("position_embedding") == 1
    node = network.nodes[ops.index("attention")]
    assert len(node.inputs) == inputs and node.attributes["heads"] == 2
    assert ("value" in node.attributes) == (inputs == 3)
    assert abs(node.attributes["scale"] - 0.5) < 1e-6
    embedding = network.nodes[ops.index("position_embedding")]
    assert network.arrays[embedding.attributes["value"]].shape == (3, 2, 8)


def test_the_operator_attention(tmp_path):
    g = Graph(opset=23)
    rows = patches(g)
    q, k, v = (g.linear(8, 8, rows) for _ in range(3))
    g.linear(8, 4, g.add("Attention", q, k, v, q_num_heads=2, kv_num_heads=2))
    network = check(tmp_path, g)
    node = [node for node in network.nodes if node.op == "attention"][0]
    assert len(node.inputs) == 3 and abs(node.attributes["scale"] - 0.5) < 1e-6


def swin_mask(size, window, shift):
    labels = np.zeros((size, size), int)
    for i, a in enumerate((slice(0, -window), slice(-window, -shift), slice(-shift, None))):
        for j, b in enumerate((slice(0, -window), slice(-window, -shift), slice(-shift, None))):
            labels[a, b] = 3 * i + j
    labels = labels.reshape(size // window, window, size // window, window)
    labels = labels.transpose(0, 2, 1, 3).reshape(-1, window * window)
    return np.where(labels[:, None] != labels[:, :, None], -100.0, 0.0).astype(np.float32)


def rolled(g, x, shift):
    for axis in (1, 2):
        back = g.add("Slice", x, g.ints(shift), g.ints(1 << 40), g.ints(axis))
        front = g.add("Slice", x, g.ints(0), g.ints(shift), g.ints(axis))
        x = g.add("Concat", back, front, axis=axis)
    return x


@pytest.mark.parametrize("shift", [0, 2])
def test_attention_within_windows(tmp_path, shift):
    """As Swin has it: rolled, cut to windows, with a mask, and all of it back."""
    g = Graph((1, 3, 12, 12))
    x = g.add("Transpose", g.conv(8), perm=[0, 2, 3, 1])
    y = g.add("LayerNormalization", x, g.tensor((8,)), g.tensor((8,)))
    y = rolled(g, y, shift) if shift else y
    y = g.add("Transpose", g.add("Reshape", y, g.ints(1, 3, 4, 3, 4, 8)), perm=[0, 1, 3, 2, 4, 5])
    y = g.add("Reshape", y, g.ints(-1, 16, 8))
    qkv = g.add("Reshape", g.linear(8, 24, y), g.ints(9, 16, 3, 2, 4))
    qkv = g.add("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (g.add("Gather", qkv, g.tensor(np.int64(i)), axis=0) for i in range(3))
    scores = g.add("MatMul", g.add("Mul", q, g.number(0.5)), g.add("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g.add("Add", scores, g.tensor((1, 2, 16, 16)))
    if shift:
        scores = g.add("Reshape", scores, g.ints(1, 9, 2, 16, 16))
        scores = g.add("Add", scores, g.tensor(swin_mask(12, 4, shift)[None, :, None]))
        scores = g.add("Reshape", scores, g.ints(-1, 2, 16, 16))
    y = g.add("MatMul", g.add("Softmax", scores, axis=-1), v)
    y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), g.ints(9, 16, 8))
    y = g.linear(8, 8, y)
    y = g.add("Transpose", g.add("Reshape", y, g.ints(1, 3, 3, 4, 4, 8)), perm=[0, 1, 3, 2, 4, 5])
    y = g.add("Reshape", y, g.ints(1, 12, 12, 8))
    y = rolled(g, y, 12 - shift) if shift else y
    g.add("Add", x, y)
    network = load_network(saved(tmp_path, g.model()))
    node = [node for node in network.nodes if node.op == "attention"][0]
    assert node.attributes["window"] == [4, 4]
    assert node.attributes.get("shift", [0, 0]) == [shift, shift]
    assert not set(operations(network)) & {"slice", "reshape", "transpose"}
    turned = Graph((1, 3, 12, 12))
    turned.nodes, turned.tensors = list(g.nodes), list(g.tensors)
    turned.add("Transpose", g.last, perm=[0, 3, 1, 2])
    check(tmp_path, turned, images=1)


# Names and errors

def small_graph():
    g = Graph()
    g.conv(4, name="stem")
    g.add("Relu", name="active")
    g.add("GlobalAveragePool", name="pool")
    g.add("Flatten", name="flat")
    return g


def test_layers_have_the_names_of_the_file(tmp_path):
    g = small_graph()
    g.add("Gemm", g.last, g.tensor((4, 2)), name="top")
    path = saved(tmp_path, g.model())
    assert load_network(path).layers == ["image", "stem", "active", "pool", "top"]
    assert load_network(path, "active").layers == ["image", "stem", "active"]
    assert load_network(path, "flat").layers[-1] == "flat"
    with pytest.raises(GraphError, match="no layer 'nothing'"):
        load_network(path, "nothing")


def test_nodes_without_names_have_those_of_their_results(tmp_path):
    model = small_graph().model()
    for node in model.graph.node:
        node.name = ""
    assert load_network(saved(tmp_path, model)).layers == ["image", "stem:0", "active:0", "pool:0"]


def test_an_unknown_operation_names_the_layer_before_it_and_a_tap_there_works(tmp_path):
    g = Graph()
    g.conv(4, name="stem")
    g.add("Relu", name="active")
    g.add("GridSample", g.last, g.tensor((1, 2, 2, 2)), name="odd")
    g.conv(4, 4, name="after")
    path = saved(tmp_path, g.model())
    with pytest.raises(WeightsError, match=r"node 'odd' \(GridSample\).*tapped is 'active'"):
        load_network(path)
    with pytest.raises(WeightsError, match="node 'odd'"):
        load_network(path, "after")
    assert load_network(path, "active").layers == ["image", "stem", "active"]
    backbone = Backbone.load(path, "active", preprocessing="raw")
    assert backbone.features(np.zeros((1, 12, 10, 3), np.uint8)).shape == (1, 4)
    assert load_network(path, None, "raw", ["stem", "active"]).layers[-2:] == ["stem", "active"]


def test_a_branch_is_taken_where_its_condition_is_constant(tmp_path):
    g = Graph()
    x = g.conv(4, name="stem")
    branches = []
    for kind in ("Relu", "Tanh"):
        result = helper.make_tensor_value_info(kind, 1, None)
        branches.append(helper.make_graph([helper.make_node(kind, [x], [kind], name=kind + "_node")],
                                          kind, [], [result]))
    g.add("If", g.tensor(np.array(False)), then_branch=branches[0], else_branch=branches[1])
    network = check(tmp_path, g)
    assert network.nodes[-1].attributes["function"] == "tanh"


@pytest.mark.parametrize("kind", ["Loop", "If"])
def test_control_flow_is_refused_by_name(tmp_path, kind):
    g = Graph()
    x = g.conv(1, name="stem")
    if kind == "If":
        condition = g.add("Cast", g.add("ReduceMax", x, keepdims=0), to=9)
        body = helper.make_graph([helper.make_node("Relu", [x], ["y"])], "b", [], [
            helper.make_tensor_value_info("y", 1, None)])
        g.add("If", condition, then_branch=body, else_branch=body, name="flow")
    else:
        body = helper.make_graph([helper.make_node("Relu", [x], ["y"])], "b", [], [])
        g.add("Loop", g.tensor(np.int64(2)), "", x, body=body, name="flow")
    with pytest.raises(WeightsError, match="node '(flow|reducemax|cast)"):
        load_network(saved(tmp_path, g.model()))


def test_a_quantised_network_is_refused_with_a_clear_word(tmp_path):
    g = Graph()
    g.add("QuantizeLinear", "image", g.number(0.1), g.tensor(np.uint8(0)), name="q")
    with pytest.raises(WeightsError, match=r"quantised network \(node 'q' is QuantizeLinear\)"):
        load_network(saved(tmp_path, g.model()))


def test_an_open_size_of_image(tmp_path):
    g = Graph(("batch", 3, "height", "width"))
    x = g.conv(4, strides=[2, 2])
    sizes = g.add("Shape", x)
    y = g.conv(4, 4, strides=[2, 2], name="deep", source=x)
    part = g.add("Slice", sizes, g.ints(2), g.ints(4), g.ints(0))
    both = g.add("Concat", g.add("Slice", g.add("Shape", y), g.ints(0), g.ints(2), g.ints(0)), part,
                 axis=0)
    y = g.add("Resize", y, "", "", both, mode="linear")
    g.add("Add", x, y)
    network = check(tmp_path, g, size=(24, 16))
    assert network.input_size is None and "resize" in operations(network)


def test_a_size_that_the_graph_depends_on_and_the_file_leaves_open(tmp_path):
    g = Graph(("batch", 3, "height", "width"))
    x = g.conv(4)
    size = g.add("Cast", g.add("Gather", g.add("Shape", x), g.ints(2), axis=0), to=1)
    g.add("Add", g.add("Mul", x, size), g.number(1.0), name="odd")
    with pytest.raises(WeightsError, match="depends on the size of the image"):
        load_network(saved(tmp_path, g.model()))


# Pixels

IMAGENET = {"scale": [1 / (255 * 0.25), 1 / (255 * 0.5), 1 / (255 * 0.2)],
            "offset": [-0.5 / 0.25, -0.4 / 0.5, -0.3 / 0.2]}


def close_to(preprocessing, **more):
    for key, values in IMAGENET.items():
        assert np.allclose(preprocessing[key], values)
    assert dict((key, preprocessing[key]) for key in preprocessing if key not in IMAGENET) == more


def test_pixels_are_a_question_where_nothing_says_what_they_are(tmp_path):
    assert load_network(saved(tmp_path, small_graph().model())).preprocessing is None


@pytest.mark.parametrize("mean, std", [
    ("[0.5, 0.4, 0.3]", "[0.25, 0.5, 0.2]"), ("0.5, 0.4, 0.3", "0.25,0.5,0.2"),
    ("[127.5, 102, 76.5]", "[63.75, 127.5, 51]")])
def test_pixels_in_the_metadata_of_a_file(tmp_path, mean, std):
    model = small_graph().model()
    helper.set_model_props(model, {"mean": mean, "std": std})
    network = load_network(saved(tmp_path, model))
    close_to(network.preprocessing)
    assert network.preprocessing_reason == "metadata in the file"


def test_a_network_that_reads_bytes_scales_them_itself(tmp_path):
    graph = Graph()
    graph.add("Cast", to=1)
    graph.add("Mul", graph.last, graph.number(1 / 64))
    graph.conv(4)
    model = graph.model()
    model.graph.input[0].type.tensor_type.elem_type = 2
    network = load_network(saved(tmp_path, model))
    assert network.preprocessing == {"scale": 1.0, "offset": 0.0}
    assert network.preprocessing_reason == "the network reads bytes"


def test_pixels_in_a_configuration_beside_the_file(tmp_path):
    path = saved(tmp_path, small_graph().model())
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "x", "pretrained_cfg": {
        "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.2], "interpolation": "bicubic",
        "crop_pct": 0.9}}))
    close_to(load_network(path).preprocessing, resize_filter="bicubic", crop=0.9)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.5, 0.2], "resample": 2,
        "do_rescale": True, "rescale_factor": 1 / 255}))
    network = load_network(path)
    close_to(network.preprocessing, resize_filter="bilinear")
    assert network.preprocessing_reason == "preprocessor_config.json beside the file"
    assert load_network(path, preprocessing="raw").preprocessing == {"scale": 1.0, "offset": 0.0}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mean": 1}', '{"mean": ["a"], "std": [1]}',
                                  '{"mean": [0.5], "std": [0]}', '{"mean": null, "std": [1]}'])
def test_a_configuration_that_says_nothing(tmp_path, text):
    path = saved(tmp_path, small_graph().model())
    (tmp_path / "config.json").write_text(text)
    assert load_network(path).preprocessing is None
