"""One kernel in a program of its own, for targets that only an emulator runs here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm
from tvm.tirx import transform

from edgecompile.target import Target
from targets.cpu.emulator import run_program
from targets.cpu.lower_kernels import lower_kernels
from targets.cpu.object_code import _with_device_scope, tvm_target
from targets.cpu.toolchain import find_toolchain

_PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
static int launch(int (*task)(int, void*, void*), void* data, int tasks) {{
  struct {{ void* handle; int32_t count; }} group = {{0, tasks ? tasks : 1}};
  for (int i = 0; i < group.count; ++i) if (task(i, &group, data)) return 1;
  return 0;
}}
void* __TVMBackendParallelLaunch = (void*)launch;
int32_t kernel({parameters});
int main(void) {{
  FILE* data = fopen("data.bin", "r+b");
  static const long sizes[] = {{{sizes}}};
  void* at[{count} + 1];
  for (int i = 0; i < {count}; ++i) {{
    at[i] = aligned_alloc(64, (sizes[i] + 63) / 64 * 64);
    if (fread(at[i], 1, sizes[i], data) != (size_t)sizes[i]) return 2;
  }}
  at[{count}] = aligned_alloc(64, {scratch});
  if (kernel({arguments})) return 3;
  fseek(data, 0, SEEK_SET);
  fwrite(at[{count} - 1], 1, sizes[{count} - 1], data);
  return fclose(data);
}}
"""


def run_emulated(
    kernel: tvm.tirx.PrimFunc, arrays: Sequence[np.ndarray], out: np.ndarray, target: Target, folder: Path
) -> np.ndarray:
    """The result of a scheduled kernel on `arrays`, which has the shape and type of `out`."""
    llvm = tvm_target(target)
    lowered = lower_kernels({"kernel": kernel}, llvm)["kernel"]
    function = _with_device_scope(lowered.function).with_attr("global_symbol", "kernel")
    module = tvm.IRModule({tvm.ir.GlobalVar("kernel"): function})
    passes = [transform.BindTarget(llvm), transform.LowerTVMBuiltin(), transform.LowerIntrin()]
    module = tvm.transform.Sequential(passes)(module)
    tvm.get_global_func("target.build.llvm")(module, llvm).write_to_file(str(folder / "kernel.o"), "o")
    sizes = [array.nbytes for array in (*arrays, out)]
    program = _PROGRAM.format(
        parameters=", ".join(["void*"] * (len(sizes) + 1)),
        sizes=", ".join(map(str, sizes)),
        count=len(sizes),
        scratch=-(-(lowered.scratch_bytes + 1) // 64) * 64,
        arguments=", ".join(f"at[{at}]" for at in range(len(sizes) + 1)),
    )
    (folder / "main.c").write_text(program)
    (folder / "data.bin").write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in (*arrays, out)))
    find_toolchain(target).compile(["main.c", "kernel.o", "-o", "program", "-lm"], folder, "linking a test kernel")
    result = run_program(target, [str(folder / "program")], timeout_s=60, folder=folder)
    assert result.returncode == 0, result.stderr
    return np.frombuffer((folder / "data.bin").read_bytes()[: out.nbytes], out.dtype).reshape(out.shape)
