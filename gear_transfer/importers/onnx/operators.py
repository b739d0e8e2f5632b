"""Which function translates which operation of ONNX."""
from . import arithmetic, attention, layout, norms, windows

TRANSLATORS = {
    # Nothing but another arrangement
    "Identity": layout.identity, "Dropout": layout.identity, "Cast": layout.cast,
    "Shape": layout.shape, "Size": layout.size, "Reshape": layout.reshape,
    "Flatten": layout.flatten, "Transpose": layout.transpose, "Squeeze": layout.squeeze,
    "Unsqueeze": layout.unsqueeze, "Expand": layout.expand, "Tile": layout.tile,
    "DepthToSpace": layout.depth_to_space, "SpaceToDepth": layout.space_to_depth,
    # Parts and wholes
    "Slice": layout.slice_, "Split": layout.split, "Gather": layout.gather,
    "Concat": layout.concat, "Pad": layout.pad,
    # Windows
    "Conv": windows.conv, "MaxPool": windows.max_pool, "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_average_pool, "GlobalMaxPool": windows.global_max_pool,
    "Resize": windows.resize, "Upsample": windows.resize, "LRN": windows.local_response_norm,
    "ReduceMean": windows.reduction("mean"), "ReduceSum": windows.reduction("sum"),
    "ReduceMax": windows.reduction("max"), "ReduceMin": windows.reduction("min"),
    "ReduceL2": windows.reduction("l2"),
    # Norms and fully connected layers
    "BatchNormalization": windows.batch_norm, "InstanceNormalization": norms.instance_norm,
    "GroupNormalization": norms.group_norm, "LayerNormalization": norms.layer_norm,
    "Softmax": norms.softmax, "Gemm": norms.gemm, "MatMul": attention.matmul,
    "Attention": attention.attention,
    # Number by number
    "Add": arithmetic.add, "Sum": arithmetic.total, "Sub": arithmetic.subtract,
    "Mul": arithmetic.multiply, "Div": arithmetic.divide, "Max": arithmetic.extremum("maximum"),
    "Min": arithmetic.extremum("minimum"), "Pow": arithmetic.power, "Neg": arithmetic.negative,
    "Reciprocal": arithmetic.reciprocal, "Clip": arithmetic.clip, "Relu": arithmetic.relu,
    "PRelu": arithmetic.prelu, "Selu": arithmetic.selu, "Gelu": arithmetic.gelu,
    "HardSwish": arithmetic.hard_swish, "Swish": arithmetic.swish, "Erf": arithmetic.pseudo("erf"),
    "LeakyRelu": arithmetic.unary("leaky_relu", alpha=0.01),
    "Elu": arithmetic.unary("elu", alpha=1.0),
    "HardSigmoid": arithmetic.unary("hard_sigmoid", alpha=0.2, beta=0.5),
    "Sigmoid": arithmetic.unary("sigmoid"), "Tanh": arithmetic.unary("tanh"),
    "Softplus": arithmetic.unary("softplus"), "Softsign": arithmetic.unary("softsign"),
    "Mish": arithmetic.unary("mish"), "Exp": arithmetic.unary("exp"),
    "Abs": arithmetic.unary("abs"), "Sqrt": arithmetic.unary("sqrt"),
}
