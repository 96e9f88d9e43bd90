"""Put stored weights in the place of those that layers read, and take sparse ones out again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.storage.operators import SPARSE, attributes, decode, is_decode, stored_weight
from edgecompile.storage.stored_weight import SparseWeight, StoredWeight

_TABLES = ("relax.take",)  # whose first argument is the weight; it is the second of all others
_PAYS = 0.75  # of the bytes: what is decoded at load takes time then, and memory for good
_LEAST_BYTES = 4096  # below, the kernel that decodes a weight takes more bytes than the weight saves


def weight_position(call: relax.Call) -> int:
    """Of the weight among a layer's arguments."""
    return 0 if call.op.name in _TABLES else 1


def insert_weights(module: tvm.IRModule, weights: Mapping[str, StoredWeight]) -> tvm.IRModule:
    """The module in which some layers read what is decoded.

        conv2d(x, w)   ->   conv2d(x, edgecompile.decode(...))

    Args:
        weights: by the name of the variable that holds a layer's result.
    """
    if not weights:
        return module

    def on_binding(binding: relax.Binding, kind: type[relax.Var]) -> list[relax.Binding]:
        name = binding.var.name
        if name not in weights:
            return [binding]
        decoded = decode(weights[name])
        variable = kind(f"{name}_weight", decoded.ty)
        call = binding.value
        arguments = list(call.args)
        arguments[weight_position(call)] = variable
        changed = relax.Call(call.op, arguments, call.attrs, call.ty_args, ret_ty=call.ty)
        return [relax.VarBinding(variable, decoded), relax.VarBinding(binding.var, changed)]

    return _with_bindings(module, on_binding)


def sparse_layers(module: tvm.IRModule) -> frozenset[str]:
    """The names of the variables that hold results of layers whose weights are stored without their zeros."""
    sparse: set[relax.Var] = set()
    found = set()
    for block in module["main"].body.blocks if isinstance(module["main"].body, relax.SeqExpr) else ():
        for binding in block.bindings:
            if _is_sparse(binding.value):
                sparse.add(binding.var)
            elif isinstance(binding.value, relax.Call) and any(x in sparse for x in binding.value.args):
                found.add(binding.var.name)
    return frozenset(found)


def with_dense_weights(module: tvm.IRModule) -> tvm.IRModule:
    """The module with constants in the place of sparse weights: what a step sees that changes their numbers."""
    if not sparse_layers(module):
        return module

    def on_call(call: relax.Call, mutator: Any) -> relax.Expr:
        return relax.const(stored_weight(call).decode()) if _is_sparse(call) else mutator.default_mutate(call)

    main = module["main"]
    body = structural_mutate(main.body, ((tvm.ir.Call, on_call),))
    dense = _with_body(module, body)
    return relax.transform.CanonicalizeBindings()(dense)


def with_sparse_weights(module: tvm.IRModule, layers: Collection[str]) -> tvm.IRModule:
    """The module with the weights of some layers without their zeros: those that are constants of float32, and smaller.

    Args:
        layers: by the names of the variables that hold their results.
    """
    found: dict[str, StoredWeight] = {}
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if binding.var.name not in layers or not isinstance(binding.value, relax.Call):
                continue
            weight = binding.value.args[weight_position(binding.value)]
            if not isinstance(weight, tvm.ir.GenericConst) or str(weight.ty.dtype) != "float32":
                continue
            sparse = SparseWeight.of(weight.value.numpy())
            if sparse.nbytes < sparse.float_bytes:
                found[binding.var.name] = sparse
    return insert_weights(module, found)


def pays(weight: SparseWeight) -> bool:
    """True where a weight that nobody asked about is better stored without its zeros."""
    return weight.float_bytes >= _LEAST_BYTES and weight.nbytes <= _PAYS * weight.float_bytes


def _is_sparse(value: relax.Expr) -> bool:
    return is_decode(value) and attributes(value).method == SPARSE


def _with_bindings(
    module: tvm.IRModule, on_binding: Callable[[relax.Binding, type[relax.Var]], list[relax.Binding]]
) -> tvm.IRModule:
    blocks = []
    for block in module["main"].body.blocks:
        kind = relax.DataflowVar if isinstance(block, relax.DataflowBlock) else relax.Var
        blocks.append(type(block)([made for binding in block.bindings for made in on_binding(binding, kind)]))
    return _with_body(module, relax.SeqExpr(blocks, module["main"].body.body))


def _with_body(module: tvm.IRModule, body: relax.Expr) -> tvm.IRModule:
    main = module["main"]
    result = tvm.IRModule(dict(module.functions_items()), attrs=module.attrs)
    result[module.get_global_var("main")] = relax.Function(
        main.params, relax.BlockBuilder().normalize(body), main.ret_ty, main.is_pure, main.attrs
    )
    return result
