"""The generated C: escaping, empty tables, refusals."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from edgecompile.errors import UnsupportedModelError
from edgecompile.target import Target
from targets.cpu.network import Network, Tensor, network_source, public_header, weights_source
from targets.cpu.runtime_objects import INCLUDE_FOLDER, SOURCE_FOLDER
from tests.runtime import dense

HOSTILE = 'a"\\\n*/ ??/ %s \x01 9é漢 //'


def _compile(network: Network, folder: Path) -> None:
    (folder / "network.c").write_text(network_source(network))
    (folder / "include").mkdir()
    (folder / "include" / f"{network.name}.h").write_text(public_header(network))
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wtrigraphs", "-Werror"]
    includes = [f"-I{INCLUDE_FOLDER}", f"-I{SOURCE_FOLDER}"]
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", *strict, *includes, "-c", "network.c"], cwd=folder, check=True)


def test_hostile_names_stay_text(host: Target, tmp_path: Path) -> None:
    tensor = Tensor(HOSTILE, "int8", (), 1, scale=0.1, zero_point=-128)
    network = dataclasses.replace(
        dense.describe("net", dataclasses.replace(host, name=HOSTILE)),
        inputs=(tensor,),
        outputs=(tensor, dataclasses.replace(tensor, shape=(2**40, 0), bytes=0)),
        steps=(HOSTILE,),
    )
    _compile(network, tmp_path)
    assert HOSTILE.encode() + b"\0" in (tmp_path / "network.o").read_bytes()
    assert network_source(network) == network_source(dataclasses.replace(network))
    assert network_source(network).isascii()
    assert public_header(network).isascii()
    assert "0x1.99999a0000000p-4f, -128" in network_source(network)  # 0.1 as float32


def test_nothing_in_nothing_out(host: Target, tmp_path: Path) -> None:
    bare = dataclasses.replace(host, cpu=dataclasses.replace(host.cpu, features=()))
    network = Network("bare", bare, (), (), 0, 0, "0" * 64, True, (), "bare_run")
    assert not network.has_embedded_weights
    _compile(network, tmp_path)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "é", "ec", "edgecompile", "_a", "a" * 101, "a\n"])
def test_names_that_are_no_identifiers(host: Target, name: str) -> None:
    with pytest.raises(UnsupportedModelError, match="give the model another name"):
        dense.describe(name, host)


def test_tensors_beyond_the_interface(host: Target) -> None:
    network = dense.describe("net", host)
    for tensor in (Tensor("c", "complex64", (1,), 8), Tensor("r", "float32", (1,) * 17, 4)):
        with pytest.raises(UnsupportedModelError, match="at most 16 dimensions and a dtype of bool, int8"):
            dataclasses.replace(network, inputs=(tensor,))


def test_symbols_cannot_meet(host: Target) -> None:
    one, two = dense.describe("net", host), dense.describe("net_b", host)
    assert one.symbol("b_c") != two.symbol("c")
    assert ".balign 64" in weights_source(one, "weights.bin")
