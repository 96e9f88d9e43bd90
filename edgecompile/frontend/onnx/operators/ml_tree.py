"""Ensembles of decision trees, walked level by level for all rows and trees at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, make_constant
from edgecompile.frontend.onnx.emit import cast
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.ml_linear import DOMAIN, labels_of, post_transform
from edgecompile.frontend.onnx.registry import operator
from edgecompile.settings import LIMITS

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_POST_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass(frozen=True)
class Forest:
    """T trees in one table of M nodes; a leaf's children are itself.

    Attributes:
        roots: [T] the first node of each tree.
        feature: [M] the column that a node compares.
        split: [M] what it compares with.
        mode: [M] the comparison, an index of `_MODES`.
        children: [2, M] the next node where the comparison fails, and where it holds.
        missing_true: [M] 1 where NaN counts as if the comparison held.
        weights: [M, targets] what a leaf adds to each target.
    """

    roots: np.ndarray
    feature: np.ndarray
    split: np.ndarray
    mode: np.ndarray
    children: np.ndarray
    missing_true: np.ndarray
    weights: np.ndarray

    def depth(self, node: Node) -> int:
        """The most steps from a root to a leaf; raises `InvalidModelError` for a cycle."""
        reached, steps = np.unique(self.roots), 0
        while not (self.children[:, reached] == reached).all():
            reached, steps = np.unique(self.children[:, reached]), steps + 1
            if steps > min(len(self.feature), LIMITS.unrolled_iterations):
                raise node.invalid(
                    f"trees of at most {LIMITS.unrolled_iterations} levels were needed, found a deeper one or a cycle"
                )
        return steps


def _check(node: Node, forest: Forest, columns: int) -> None:
    count = len(forest.feature)
    for what, values, limit in (
        ("feature", forest.feature, columns),
        ("child", forest.children, count),
        ("root", forest.roots, count),
    ):
        if values.size and not (values.min() >= 0 and values.max() < limit):
            raise node.invalid(f"each {what} must be an index below {limit}, found {values.min()} to {values.max()}")


def _evaluate(context: Context, x: relax.Expr, forest: Forest, aggregate: str, base: np.ndarray | None) -> relax.Expr:
    """x [N, C] -> [N, targets] in the dtype of the weights."""
    node = context.node
    rows, columns = context.require_static(node, x)
    _check(node, forest, columns)
    trees, targets = len(forest.roots), forest.weights.shape[1]
    modes = sorted(set(forest.mode.tolist()))
    tables = [
        make_constant(array)
        for array in (forest.feature, forest.split, forest.mode, forest.children, forest.missing_true)
    ]
    place = make_constant(np.tile(forest.roots, (rows, 1)))

    def advance(
        data: te.Tensor, at: te.Tensor, feature: Any, split: Any, mode: Any, children: Any, missing: Any
    ) -> te.Tensor:
        def following(n: Any, t: Any) -> Any:
            here = at(n, t)
            value = data(n, feature(here))
            holds = _compare(value, split(here), mode(here), modes)
            holds = tirx.any(holds, tirx.all(tirx.isnan(value), missing(here) != 0))
            return tirx.if_then_else(holds, children(1, here), children(0, here))

        return te.compute((rows, trees), following, name="tree_step")

    for _ in range(forest.depth(node)):
        place = context.emit_te(advance, x, place, *tables, name="tree_step")
    reduce = {"AVERAGE": te.sum, "SUM": te.sum, "MIN": te.min, "MAX": te.max}[aggregate]

    def collect(at: te.Tensor, weights: te.Tensor) -> te.Tensor:
        t = te.reduce_axis((0, trees), name="tree")
        return te.compute((rows, targets), lambda n, k: reduce(weights(at(n, t), k), axis=t), name="tree_scores")

    weights = forest.weights / trees if aggregate == "AVERAGE" else forest.weights
    scores = context.emit_te(collect, place, make_constant(weights.astype(forest.weights.dtype)), name="tree_scores")
    if base is not None and base.size:
        scores = context.emit(relax.op.add(scores, make_constant(base.astype(forest.weights.dtype))))
    return scores


def _compare(value: Any, split: Any, mode: Any, modes: list[int]) -> Any:
    """The comparison of a node's mode, of which only those that the forest has are computed."""
    results = [value <= split, value < split, value >= split, value > split, value == split, value != split]
    chosen = results[modes[-1]]
    for number in modes[:-1]:
        chosen = tirx.Select(mode == number, results[number], chosen)
    return chosen


_MEMBER = 6  # a comparison with a set of values, written as a chain of nodes that compare with one value each


@operator("TreeEnsemble", domain=DOMAIN, since=5)
def tree_ensemble(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C] -> [N, n_targets]; inner nodes and leaves have tables of their own, joined here into one."""
    splits, modes = node.tensor("nodes_splits"), node.tensor("nodes_modes")
    weights, targets = node.tensor("leaf_weights"), node.integers("leaf_targetids")
    if splits is None or modes is None or weights is None or targets is None or len(targets) != len(weights):
        raise node.invalid("nodes_splits, nodes_modes, leaf_weights and as many leaf_targetids were needed")
    count = len(splits)
    lists = [
        _attribute(node, name, count)
        for name in (
            "nodes_featureids",
            "nodes_falsenodeids",
            "nodes_truenodeids",
            "nodes_falseleafs",
            "nodes_trueleafs",
        )
    ]
    missing = node.integers("nodes_missing_value_tracks_true") or [0] * count
    # one row for each inner node: feature, split, mode, (false id, is leaf), (true id, is leaf), NaN counts as true
    rows = [
        [lists[0][i], splits[i], int(modes[i]), (lists[1][i], lists[3][i]), (lists[2][i], lists[4][i]), missing[i]]
        for i in range(count)
    ]
    _write_members_as_chains(node, rows)
    inner, leaves = len(rows), len(weights)
    own = np.arange(inner, inner + leaves, dtype=np.int32)
    ends = [[index + inner if is_leaf else index for index, is_leaf in (row[side] for row in rows)] for side in (3, 4)]
    table = np.zeros((inner + leaves, node.integer("n_targets")), weights.dtype)
    table[own, targets] = weights

    def padded(values: list[Any], dtype: Any) -> np.ndarray:
        return np.concatenate([np.array(values, dtype), np.zeros(leaves, dtype)])

    forest = Forest(
        np.array(node.integers("tree_roots"), np.int32),
        padded([row[0] for row in rows], np.int32),
        padded([row[1] for row in rows], splits.dtype),
        padded([row[2] for row in rows], np.int32),
        np.stack([np.concatenate([np.array(end, np.int32), own]) for end in ends]),
        padded([row[5] for row in rows], np.int32),
        table,
    )
    scores = _evaluate(context, inputs[0], forest, _AGGREGATES[node.integer("aggregate_function", 1)], None)
    return post_transform(context, scores, _POST_TRANSFORMS[node.integer("post_transform", 0)])


def _attribute(node: Node, name: str, count: int) -> list[int]:
    values = node.integers(name) or []
    if len(values) != count:
        raise node.invalid(f"{count} entries of {name} were needed, found {len(values)}")
    return values


def _write_members_as_chains(node: Node, rows: list[list[Any]]) -> None:
    """Turns each comparison with a set into comparisons with its members; sets follow each other, NaN between them."""
    members = node.tensor("membership_values")
    sets: list[list[Any]] = [[]]
    for value in [] if members is None else members.reshape(-1):
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(value)
    for row in [row for row in rows if row[2] == _MEMBER]:
        if not sets or not sets[0]:
            raise node.invalid("a set in membership_values was needed for each node of mode MEMBER")
        first, *others = sets.pop(0)
        missed = row[3]
        row[1], row[2] = first, _MODES.index("BRANCH_EQ")
        for value in others:
            rows.append([row[0], value, row[2], missed, row[4], row[5]])
            row[3] = (len(rows) - 1, 0)
            row = rows[-1]


def _read_forest(node: Node, role: str, targets: int) -> Forest:
    """The trees of TreeEnsembleRegressor (role "target") or TreeEnsembleClassifier (role "class")."""
    trees, ids = node.integers("nodes_treeids") or [], node.integers("nodes_nodeids") or []
    count = len(ids)
    names = node.strings("nodes_modes") or []
    values = node.tensor("nodes_values_as_tensor")
    splits = np.array(node.floats("nodes_values") or [], np.float32) if values is None else values
    if not count == len(trees) == len(names) == len(splits):
        raise node.invalid(
            f"{count} tree ids, modes and values were needed, found {len(trees)}, {len(names)}, {len(splits)}"
        )
    unknown = sorted(set(names) - {*_MODES, "LEAF"})
    if unknown:
        raise node.unsupported(f"modes {', '.join(_MODES)} can be compiled, found {', '.join(unknown)}")
    place = {key: index for index, key in enumerate(zip(trees, ids, strict=True))}
    children = np.tile(np.arange(count, dtype=np.int32), (2, 1))
    for side, name in enumerate(("nodes_falsenodeids", "nodes_truenodeids")):
        for index, child in enumerate(_attribute(node, name, count)):
            if names[index] != "LEAF":
                children[side, index] = place.get((trees[index], child), -1)
    given = node.tensor(f"{role}_weights_as_tensor")
    weights = np.array(node.floats(f"{role}_weights") or [], np.float32) if given is None else given
    table = np.zeros((count, targets), weights.dtype)
    keys = zip(
        *(_attribute(node, f"{role}_{part}", len(weights)) for part in ("treeids", "nodeids", "ids")), strict=True
    )
    for (tree, leaf, target), weight in zip(keys, weights, strict=True):
        if (tree, leaf) not in place or not 0 <= target < targets:
            raise node.invalid(
                f"a weight for a known leaf and a target below {targets} was needed, found {tree}, {leaf}, {target}"
            )
        table[place[tree, leaf], target] += weight
    first: dict[int, int] = {}
    for index, tree in enumerate(trees):
        first.setdefault(tree, index)
    return Forest(
        np.array(list(first.values()), np.int32),
        np.array(_attribute(node, "nodes_featureids", count), np.int32),
        splits,
        np.array([_MODES.index(name) if name != "LEAF" else 0 for name in names], np.int32),
        children,
        np.array(node.integers("nodes_missing_value_tracks_true") or [0] * count, np.int32),
        table,
    )


def _base(node: Node) -> np.ndarray | None:
    values = node.floats("base_values")
    return node.tensor("base_values_as_tensor") if values is None else np.array(values)


@operator("TreeEnsembleRegressor", domain=DOMAIN)
def tree_ensemble_regressor(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C] -> [N, n_targets] float32."""
    forest = _read_forest(node, "target", node.integer("n_targets"))
    scores = _evaluate(context, inputs[0], forest, node.string("aggregate_function", "SUM"), _base(node))
    return post_transform(context, cast(context, scores, "float32"), node.string("post_transform", "NONE"))


@operator("TreeEnsembleClassifier", domain=DOMAIN)
def tree_ensemble_classifier(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C] -> label [N] int64 of the largest score, scores [N, E] float32."""
    labels = node.integers("classlabels_int64s")
    if labels is None:
        raise node.unsupported("class labels of integers were needed; map text in the app")
    if len(labels) == 2 and len(set(node.integers("class_ids") or [])) == 1:
        raise node.unsupported(
            "two classes with the weights of one of them cannot be compiled; export scores of both classes"
        )
    forest = _read_forest(node, "class", len(labels))
    scores = cast(context, _evaluate(context, inputs[0], forest, "SUM", _base(node)), "float32")
    return labels_of(context, scores, labels), post_transform(context, scores, node.string("post_transform", "NONE"))
