"""The names and signatures of the compiled core; what they do stands in their docstrings."""
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

_Node = Tuple[str, str, Sequence[str], Mapping[str, Any]]
_Array = Union[
    np.ndarray, Tuple[np.ndarray, float, float], Tuple[np.ndarray, np.ndarray, np.ndarray]
]
_Pixels = Union[float, Tuple[float, float, float]]
_Range = Tuple[str, float, bool]

class Backbone:
    def run(self, images: np.ndarray) -> List[np.ndarray]: ...
    def profile(self, images: np.ndarray) -> np.ndarray: ...
    def calibrate(self, images: np.ndarray) -> List[np.ndarray]: ...
    def ranges(self) -> List[_Range]: ...
    def set_ranges(self, ranges: Sequence[_Range]) -> None: ...
    def steps(self) -> List[Tuple[str, str, str]]: ...

class Head:
    def train(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        *,
        validation_features: Optional[np.ndarray] = ...,
        validation_labels: Optional[np.ndarray] = ...,
        mean: Optional[np.ndarray] = ...,
        inverse_deviation: Optional[np.ndarray] = ...,
        class_weights: Optional[np.ndarray] = ...,
        epochs: int = ...,
        batch_size: int = ...,
        optimizer: str = ...,
        schedule: str = ...,
        learning_rate: float = ...,
        momentum: float = ...,
        l2: float = ...,
        dropout: float = ...,
        seed: int = ...,
        threads: int = ...,
        callback: Optional[Callable[[int, float, float, float, float], Any]] = ...,
        rows: Optional[np.ndarray] = ...,
        allow_bf16: bool = ...
    ) -> None: ...
    def loss_gradient(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        *,
        validation_features: Optional[np.ndarray] = ...,
        validation_labels: Optional[np.ndarray] = ...,
        mean: Optional[np.ndarray] = ...,
        inverse_deviation: Optional[np.ndarray] = ...,
        class_weights: Optional[np.ndarray] = ...,
        epochs: int = ...,
        batch_size: int = ...,
        optimizer: str = ...,
        schedule: str = ...,
        learning_rate: float = ...,
        momentum: float = ...,
        l2: float = ...,
        dropout: float = ...,
        seed: int = ...,
        threads: int = ...,
        callback: Optional[Callable[[int, float, float, float, float], Any]] = ...,
        rows: Optional[np.ndarray] = ...,
        allow_bf16: bool = ...
    ) -> Tuple[float, np.ndarray]: ...
    def predict(self, features: np.ndarray, threads: int, logits: bool = False) -> np.ndarray: ...
    def standardisation(
        self, features: np.ndarray, threads: int, rows: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, np.ndarray]: ...
    def fold_scaling(
        self, mean: Optional[np.ndarray], inverse_deviation: Optional[np.ndarray]
    ) -> None: ...
    def get_layers(self) -> List[Tuple[np.ndarray, np.ndarray]]: ...
    def set_layer(self, index: int, kernel: np.ndarray, bias: Optional[np.ndarray]) -> None: ...

def available_threads() -> int: ...
def engine_info() -> Tuple[str, str]: ...
def has_fast(precision: str) -> bool: ...
def int8_rounding() -> str: ...
def shuffle(n: int, seed: int, epoch: int) -> np.ndarray: ...
def backbone(
    nodes: Sequence[_Node],
    arrays: Mapping[str, _Array],
    height: int,
    width: int,
    outputs: Tuple[Tuple[str, Optional[str]], ...],
    threads: int,
    sub_batch: int,
    scale: _Pixels,
    offset: _Pixels,
    precision: str,
    reversed: bool = ...,
) -> Backbone: ...
def infer_shapes(
    nodes: Sequence[_Node], arrays: Mapping[str, _Array], height: int, width: int
) -> List[Tuple[int, int, int]]: ...
def head(widths: Tuple[int, ...], seed: int) -> Head: ...
