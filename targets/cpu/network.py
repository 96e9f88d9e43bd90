"""`Network`: the facts that a library carries about its network, and the C that states them."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.errors import UnsupportedModelError
from edgecompile.target import Target

MAX_RANK = 16  # EC_MAX_RANK of edgecompile.h
ALIGNMENT = 64  # EC_ALIGNMENT of network.h

_DTYPES = {
    "bool": "EC_BOOL",
    "int8": "EC_INT8",
    "uint8": "EC_UINT8",
    "int16": "EC_INT16",
    "uint16": "EC_UINT16",
    "int32": "EC_INT32",
    "uint32": "EC_UINT32",
    "int64": "EC_INT64",
    "uint64": "EC_UINT64",
    "float16": "EC_FLOAT16",
    "bfloat16": "EC_BFLOAT16",
    "float32": "EC_FLOAT32",
    "float64": "EC_FLOAT64",
}
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_TAKEN = frozenset({"ec", "edgecompile"})  # `ec_network` is a type, `edgecompile.h` the common header
_PRINTABLE = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')  # "??" begins a trigraph


@dataclass(frozen=True)
class Tensor:
    """One input or output as an app sees it.

    Attributes:
        name: any text.
        dtype: a NumPy dtype name, or "bfloat16".
        shape: at most 16 dimensions, all known.
        bytes: of the dense row-major tensor.
        scale: of a quantized tensor; 0 where it is not quantized.
        zero_point: of a quantized tensor.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    scale: float = 0.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        assert self.bytes >= 0 and min(self.shape, default=1) >= 0 and math.isfinite(self.scale)


@dataclass(frozen=True)
class Network:
    """All that the runtime must know to run one compiled network.

    Attributes:
        name: a C identifier; it names the library, the header and `<name>_network`.
        target: whose instruction set the kernels use; the library demands `target.cpu.features` of the machine.
        inputs: in the order of the entry function's parameters.
        outputs: in the same order, after the inputs.
        arena_bytes: working memory of one inference.
        weights_bytes: size of the constant blob; 0 when the network has no weights.
        weights_sha256: its SHA-256, 64 hexadecimal digits.
        embed_weights: part of the library, or a file that `ec_open` maps.
        steps: names of the kernel calls, in order.
        run_symbol: the entry function in the kernels' object file.
        decoded_bytes: of the memory that holds decoded weights; 0 where none are decoded.
        load_scratch_bytes: of the memory that it needs besides, and no longer than it runs.
        load_symbol: the function that decodes them; "" where none are decoded.
        io_alignment: alignment in bytes that the kernels assume of inputs and outputs; the runtime copies a caller's
            buffer that has less. 1 when they assume nothing.

    Raises:
        UnsupportedModelError: the name is no C identifier, or a tensor has a dtype or rank that the C interface lacks.
    """

    name: str
    target: Target
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    weights_bytes: int
    weights_sha256: str
    embed_weights: bool
    steps: tuple[str, ...]
    run_symbol: str
    io_alignment: int = ALIGNMENT
    decoded_bytes: int = 0
    load_scratch_bytes: int = 0
    load_symbol: str = ""

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.name) or self.name in _TAKEN:
            raise UnsupportedModelError(
                f"a library's name must be a C identifier of at most 100 characters and not one of "
                f"{', '.join(sorted(_TAKEN))}, found {self.name!r}: give the model another name"
            )
        for tensor in (*self.inputs, *self.outputs):
            if tensor.dtype not in _DTYPES or len(tensor.shape) > MAX_RANK:
                raise UnsupportedModelError(
                    f"tensor {tensor.name!r} must have at most {MAX_RANK} dimensions and a dtype of "
                    f"{', '.join(_DTYPES)}, found {tensor.dtype} of rank {len(tensor.shape)}"
                )
        assert self.arena_bytes >= 0 and self.weights_bytes >= 0
        assert (self.decoded_bytes > 0) == bool(self.load_symbol)
        assert re.fullmatch(r"[0-9a-f]{64}", self.weights_sha256)
        assert self.io_alignment in (1, 2, 4, 8, 16, 32, 64)

    @property
    def has_embedded_weights(self) -> bool:
        """True when the library itself holds the weights."""
        return self.embed_weights and self.weights_bytes > 0

    def symbol(self, name: str) -> str:
        """The symbol that `name` of the kernels' object gets in the library.

        The length of the network's name makes it unique: "net" with kernel "b_c" and "net_b" with kernel "c" differ.
        """
        return f"ec_internal_{len(self.name)}{self.name}_{name}"


def public_header(network: Network) -> str:
    """The text of `include/<name>.h`: the function that an app calls, and the sizes as constants."""
    name = network.name
    tensors = [("INPUT", i, tensor) for i, tensor in enumerate(network.inputs)]
    tensors += [("OUTPUT", i, tensor) for i, tensor in enumerate(network.outputs)]
    sizes = "".join(
        f"#define {name}_{kind}_{i}_BYTES ((size_t){tensor.bytes}u) /* {_comment(tensor)} */\n"
        for kind, i, tensor in tensors
    )
    weights = "embedded" if network.embed_weights else "weights.bin"
    return f"""\
/* {name}.h: a network for the target {_comment_text(network.target.name)}; made by edgecompile. */
#ifndef EDGECOMPILE_NETWORK_{name}_H
#define EDGECOMPILE_NETWORK_{name}_H

#include "edgecompile.h"

#define {name}_INPUT_COUNT {len(network.inputs)}
#define {name}_OUTPUT_COUNT {len(network.outputs)}
{sizes}#define {name}_ARENA_BYTES ((size_t){network.arena_bytes}u)
#define {name}_WEIGHTS_BYTES ((size_t){network.weights_bytes}u) /* {weights} */
#define {name}_DECODED_BYTES ((size_t){network.decoded_bytes}u)

#ifdef __cplusplus
extern "C" {{
#endif

EC_API const ec_network *{name}_network(void);

#ifdef __cplusplus
}}
#endif
#endif
"""


def network_source(network: Network) -> str:
    """The text of `network.c`: the constant table, and the call of the entry function."""
    count_in, count_out = len(network.inputs), len(network.outputs)
    decoded = ["(void *)(uintptr_t)decoded"] if network.load_symbol else []
    parameters = ", ".join(["void *"] * (count_in + count_out + 3 + len(decoded)))
    inputs = [f"(void *)(uintptr_t)inputs[{i}]" for i in range(count_in)]
    outputs = [f"outputs[{i}]" for i in range(count_out)]
    arguments = ",\n      ".join([*inputs, *outputs, "(void *)(uintptr_t)weights", *decoded, "arena", "profile"])
    entry = network.symbol(network.run_symbol)
    launcher = network.symbol("__TVMBackendParallelLaunch")
    weights = network.symbol("weights")
    digest = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(network.weights_sha256))
    return f"""\
/* Made by edgecompile: what the runtime must know about the network {network.name}. */
#define EC_PARALLEL_LAUNCH {network.symbol("TVMBackendParallelLaunch")}
#define EC_STEP_DONE {network.symbol("ec_internal_step_done")}
#include "bridge.h"

#include "include/{network.name}.h"

__attribute__((visibility("hidden"))) int32_t {entry}({parameters});

/* Generated code calls its parallel launcher through this pointer, of which it holds a weak and empty copy. */
typedef int (*parallel_launcher)(ec_internal_lambda lambda, void *closure, int num_task);
extern const parallel_launcher {launcher};
__attribute__((visibility("hidden"))) const parallel_launcher {launcher} = EC_PARALLEL_LAUNCH;
{_embedded_declaration(network, weights)}{_load_function(network)}
{_tensor_table("input_table", network.inputs)}
{_tensor_table("output_table", network.outputs)}
{_string_table("steps", network.steps)}
{_string_table("cpu_features", network.target.cpu.features)}
static const uint8_t weights_sha256[32] = {{{digest}}};

static int32_t run(const void *const *inputs, void *const *outputs, const void *weights, const void *decoded,
                   void *arena, ec_internal_profile *profile, ec_internal_launcher *launcher) {{
  (void)inputs;
  (void)outputs;
  (void)decoded;
  ec_internal_launcher *before = ec_internal_current;
  ec_internal_current = launcher;
  const int32_t status = {entry}(
      {arguments});
  ec_internal_current = before;
  return status;
}}

static const ec_network network = {{
    .layout = EC_NETWORK_LAYOUT,
    .io_alignment = {network.io_alignment},
    .name = {_string(network.name)},
    .target = {_string(network.target.name)},
    .cpu_features = {_reference("cpu_features", network.target.cpu.features)},
    .cpu_feature_count = {len(network.target.cpu.features)},
    .inputs = {_reference("input_table", network.inputs)},
    .input_count = {count_in},
    .outputs = {_reference("output_table", network.outputs)},
    .output_count = {count_out},
    .steps = {_reference("steps", network.steps)},
    .step_count = {len(network.steps)},
    .arena_bytes = {network.arena_bytes}u,
    .weights_bytes = {network.weights_bytes}u,
    .decoded_bytes = {network.decoded_bytes}u,
    .load_scratch_bytes = {network.load_scratch_bytes}u,
    .weights_sha256 = weights_sha256,
    .embedded_weights = {weights if network.has_embedded_weights else "NULL"},
    .load = {"load" if network.load_symbol else "NULL"},
    .run = run,
}};

const ec_network *{network.name}_network(void) {{ return &network; }}
"""


def weights_source(network: Network, file_name: str) -> str:
    """The text of the assembly file that takes `file_name` into a read-only section."""
    symbol = network.symbol("weights")
    return f"""\
/* The weights of {network.name}, aligned for the widest vector loads. */
.section .rodata.{symbol},"a",%progbits
.globl {symbol}
.hidden {symbol}
.type {symbol}, %object
.balign {ALIGNMENT}
{symbol}:
.incbin "{file_name}"
.size {symbol}, . - {symbol}
.section .note.GNU-stack,"",%progbits
"""


def _embedded_declaration(network: Network, symbol: str) -> str:
    if not network.has_embedded_weights:
        return ""
    return f'extern const unsigned char {symbol}[] __attribute__((visibility("hidden")));\n'


def _load_function(network: Network) -> str:
    """The call of the function that decodes weights; its parallel loops run in place."""
    if not network.load_symbol:
        return ""
    entry = network.symbol(network.load_symbol)
    return f"""\
__attribute__((visibility("hidden"))) int32_t {entry}(void *, void *, void *);

static int32_t load(const void *weights, void *decoded, void *scratch) {{
  return {entry}((void *)(uintptr_t)weights, decoded, scratch);
}}
"""


def _tensor_table(name: str, tensors: Sequence[Tensor]) -> str:
    if not tensors:
        return ""
    lines = []
    for i, tensor in enumerate(tensors):
        if tensor.shape:
            lines.append(f"static const int64_t {name}_{i}_shape[] = {{{', '.join(map(str, tensor.shape))}}};")
    lines.append(f"static const ec_tensor_info {name}[] = {{")
    for i, tensor in enumerate(tensors):
        shape = f"{name}_{i}_shape" if tensor.shape else "NULL"
        lines.append(
            f"    {{{_string(tensor.name)}, {_DTYPES[tensor.dtype]}, {len(tensor.shape)}, {shape}, {tensor.bytes}u, "
            f"{_float(tensor.scale)}, {tensor.zero_point}}},"
        )
    return "\n".join([*lines, "};"])


def _string_table(name: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return "\n".join([f"static const char *const {name}[] = {{", *(f"    {_string(text)}," for text in texts), "};"])


def _reference(name: str, entries: Sequence[object]) -> str:
    """The name of a table, or NULL: C has no empty arrays."""
    return name if entries else "NULL"


def _string(text: str) -> str:
    """A C string literal of the text's UTF-8 bytes; octal escapes have three digits, so none runs into a digit."""
    return '"' + "".join(chr(byte) if byte in _PRINTABLE else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _float(value: float) -> str:
    """A C literal of the nearest float32, exact."""
    return f"{struct.unpack('<f', struct.pack('<f', value))[0].hex()}f"


def _comment(tensor: Tensor) -> str:
    return f"{_comment_text(tensor.name)}: {tensor.dtype}[{', '.join(map(str, tensor.shape))}]"


def _comment_text(text: str) -> str:
    """The text with everything replaced that could end a comment, continue a line or leave ASCII."""
    return re.sub(r"[^A-Za-z0-9_.,:;()\[\]=+-]", "_", text)
