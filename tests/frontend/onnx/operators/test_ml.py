"""The domain ai.onnx.ml against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

RNG = np.random.default_rng(0)
ML: dict[str, Any] = {"domain": "ai.onnx.ml", "domain_version": 3, "opset": 18}


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X = normal(6, 4)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Binarizer", {"threshold": 0.3}),
        ("Scaler", {"offset": [0.1, 0.2, 0.3, 0.4], "scale": [1.0, 2.0, 3.0, 4.0]}),
        ("Scaler", {"offset": [0.5], "scale": [2.0]}),
        ("Normalizer", {"norm": "L1"}),
        ("Normalizer", {"norm": "L2"}),
        ("LinearRegressor", {"coefficients": [0.1 * i for i in range(8)], "intercepts": [1.0, -1.0], "targets": 2}),
        ("Imputer", {"imputed_value_floats": [9.0], "replaced_value_float": float(X[0, 0])}),
    ],
)
def test_float_operators(op_type: str, attributes: dict[str, Any]) -> None:
    check_model(make_model(op_type, {"x": X}, **ML, **attributes), {"x": X})


def test_imputer_of_nan_by_column() -> None:
    x = X.copy()
    x[2, 1] = x[0, 3] = np.nan
    values = [1.0, 2.0, 3.0, 4.0]
    check_model(
        make_model("Imputer", {"x": x}, **ML, imputed_value_floats=values, replaced_value_float=np.nan), {"x": x}
    )


@pytest.mark.parametrize("post_transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_linear_classifier(post_transform: str) -> None:
    proto = make_model(
        "LinearClassifier", {"x": X}, outputs=["int64", "float32"], **ML, post_transform=post_transform,
        coefficients=normal(12).tolist(), intercepts=[0.1, 0.2, -0.3], classlabels_ints=[7, 3, 5],
    )  # fmt: skip
    check_model(proto, {"x": X})


def test_label_encoder_of_numbers() -> None:
    x = np.array([3, 1, 4, 1, 5, 9], np.int64)
    proto = make_model(
        "LabelEncoder", {"x": x}, **ML, keys_int64s=[1, 9, 3], values_floats=[0.5, 2.5, -1.0], default_float=7.0
    )
    check_model(proto, {"x": x})
    f = np.array([np.nan, 2.0, 1.0], np.float32)
    proto = make_model(
        "LabelEncoder",
        {"x": f},
        outputs=["int64"],
        **ML,
        keys_floats=[1.0, np.nan],
        values_int64s=[10, 20],
        default_int64=-5,
    )
    # the specification compares bits, so that NaN can be a key; ONNX Runtime does so from version 4 on
    check_model(proto, {"x": f}, expected=[np.array([20, -5, 10])])


def test_array_feature_extractor_and_one_hot() -> None:
    inputs = {"x": X, "i": np.array([3, 0, 0], np.int64)}
    check_model(make_model("ArrayFeatureExtractor", inputs, **ML), inputs)
    x = np.array([[1, 5], [7, 2]], np.int64)
    check_model(make_model("OneHotEncoder", {"x": x}, **ML, cats_int64s=[2, 7, 1], zeros=1), {"x": x})


def make_forest(role: str, targets: int) -> dict[str, Any]:
    """Two trees: one of depth 2 with every kind of comparison in turn, one that is a single leaf."""
    trees = [0] * 7 + [1]
    nodes = [*range(7), 0]
    leaf = [False, False, False, True, True, True, True, True]
    modes = ["BRANCH_LT", "BRANCH_GTE", "BRANCH_LEQ"]
    leaves = [(tree, node) for tree, node, is_leaf in zip(trees, nodes, leaf, strict=True) if is_leaf]
    return {
        "nodes_treeids": trees,
        "nodes_nodeids": nodes,
        "nodes_featureids": [2, 0, 1, 0, 0, 0, 0, 0],
        "nodes_values": [0.1, -0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0],
        "nodes_modes": [*modes, *["LEAF"] * 5],
        "nodes_truenodeids": [1, 3, 5, 0, 0, 0, 0, 0],
        "nodes_falsenodeids": [2, 4, 6, 0, 0, 0, 0, 0],
        "nodes_missing_value_tracks_true": [1, 0, 1, 0, 0, 0, 0, 0],
        f"{role}_treeids": [tree for tree, _ in leaves for _ in range(targets)],
        f"{role}_nodeids": [node for _, node in leaves for _ in range(targets)],
        f"{role}_ids": list(range(targets)) * len(leaves),
        f"{role}_weights": normal(targets * len(leaves)).tolist(),
    }


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_ensemble_regressor(aggregate: str) -> None:
    x = X.copy()
    x[1, 2] = x[2, 0] = np.nan
    forest = make_forest("target", 2)
    proto = make_model(
        "TreeEnsembleRegressor",
        {"x": x},
        **ML,
        **forest,
        n_targets=2,
        aggregate_function=aggregate,
        base_values=[0.5, 1.5],
    )
    check_model(proto, {"x": x})


def test_tree_ensemble_classifier() -> None:
    proto = make_model(
        "TreeEnsembleClassifier", {"x": X}, outputs=["int64", "float32"], **ML, **make_forest("class", 3),
        classlabels_int64s=[4, 9, 2], post_transform="SOFTMAX",
    )  # fmt: skip
    check_model(proto, {"x": X})


def test_sets_of_members_become_chains() -> None:
    from onnx import numpy_helper

    x = np.array([[1.2, 3.4, -0.12], [1.66, 4.14, 1.77], [7.0, 12.0, 3.0]], np.float32)[:, :2]

    def tensor(values: list[float], dtype: str) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, dtype))

    proto = make_model(
        "TreeEnsemble", {"x": x}, domain="ai.onnx.ml", domain_version=5, opset=21, n_targets=1, aggregate_function=1,
        nodes_splits=tensor([4.0, 0.0], "float32"), nodes_featureids=[1, 0], nodes_modes=tensor([0, 6], "uint8"),
        membership_values=tensor([1.2, 3.7, 8.0], "float32"), tree_roots=[0], nodes_truenodeids=[1, 0],
        nodes_falsenodeids=[2, 1], nodes_trueleafs=[0, 1], nodes_falseleafs=[1, 1],
        leaf_weights=tensor([5.0, 7.0, 9.0], "float32"), leaf_targetids=[0, 0, 0],
    )  # fmt: skip
    check_model(proto, {"x": x}, expected=[np.array([[5.0], [9.0], [9.0]], np.float32)])


def test_a_cycle_is_refused() -> None:
    forest = make_forest("target", 1)
    forest["nodes_truenodeids"][1] = 0
    proto = make_model("TreeEnsembleRegressor", {"x": X}, **ML, **forest, n_targets=1)
    with pytest.raises(InvalidModelError, match="found a deeper one or a cycle"):
        load_onnx(proto)


def test_a_child_that_is_not_there_is_refused() -> None:
    forest = make_forest("target", 1)
    forest["nodes_truenodeids"][1] = 77
    proto = make_model("TreeEnsembleRegressor", {"x": X}, **ML, **forest, n_targets=1)
    with pytest.raises(InvalidModelError, match="each child must be an index below 8, found -1"):
        load_onnx(proto)


def test_text_is_refused() -> None:
    proto = make_model(
        "LabelEncoder", {"x": np.array([1, 2])}, outputs=["int64"], **ML, keys_int64s=[1], values_strings=["one"]
    )
    with pytest.raises(UnsupportedModelError, match="map text in the app"):
        load_onnx(proto)
