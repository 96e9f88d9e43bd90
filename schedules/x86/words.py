"""Sums of 32 bits to bytes by instructions for words: products of words, and packing that saturates.

`vpmaddwd` multiplies the upper words of sums by multipliers of 15 bits, `vpmulhuw` the lower ones: two instructions for
the upper half of a product of 32 by 16 bits. `vpackssdw` and `vpacksswb` make bytes of four vectors of sums by three
instructions that clip too. They keep to lanes of 128 bits; the order that comes of it is the same for all of them.

Sums below 2^23 are floats, and so are their scales: one `vfmadd` multiplies and rounds them, see `requantization`.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.integer.requantization import LEAST_SHIFT
from edgecompile.target import CpuFacts

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr

    Scale: TypeAlias = "tuple[Expr, ...]"

_NAMES = {
    "pmadd.wd": ("sse2.pmadd.wd", "avx2.pmadd.wd", "avx512.pmaddw.d.512"),
    "pmulhu.w": ("sse2.pmulhu.w", "avx2.pmulhu.w", "avx512.pmulhu.w.512"),
    "psllv.d": ("avx2.psllv.d", "avx2.psllv.d.256", "avx512.psllv.d.512"),
    "psrav.d": ("avx2.psrav.d", "avx2.psrav.d.256", "avx512.psrav.d.512"),
    "packssdw": ("sse2.packssdw.128", "avx2.packssdw", "avx512.packssdw.512"),
    "packsswb": ("sse2.packsswb.128", "avx2.packsswb", "avx512.packsswb.512"),
}
_LANE_DWORDS, _LANE_BYTES = 4, 16  # of 128 bits
_EXPONENT, _MANTISSA_BITS = 127, 23  # of float32
_ONES_APART, _ONES_APART_BITS = 1.5 * 2**23, 0x4B400000  # a float whose neighbours are one apart
PACKED = 4  # vectors of sums in a vector of bytes


def has_words(facts: CpuFacts, lanes: int) -> bool:
    """True where the CPU has all of this for vectors of `lanes` sums."""
    needed = {4: "avx2", 8: "avx2", 16: "avx512bw"}
    return lanes in needed and needed[lanes] in facts.features


def has_fused_products(facts: CpuFacts) -> bool:
    """True where the CPU multiplies and adds floats with one rounding."""
    return "fma" in facts.features


@dataclass(frozen=True)
class Words:
    """The instructions for vectors of `lanes` 32-bit sums: 4, 8 or 16."""

    lanes: int

    def scale(self, multiplier: Expr, places: Expr) -> Scale:
        """What `scaled` takes, of a vector of channels; see `FixedPoint`.

        Args:
            multiplier, places: `lanes` int32.

        Returns:
            The multiplier in the lower words, in the upper words, the half that is added, and the shift behind it.
        """
        from tvm import tirx

        one = tirx.Broadcast(tirx.const(1, "int32"), self.lanes)
        upper = tirx.shift_left(multiplier, tirx.Broadcast(tirx.const(16, "int32"), self.lanes))
        return multiplier, upper, self._call("psllv.d", self._sums, one, places), places + one

    def scaled(self, sums: Expr, scale: Scale) -> Expr:
        """`(sums * multiplier / 2^shift)` rounded, halves up: exact where the shift is at least 17."""
        multiplier, upper, half, shift = scale
        words = self.reinterpreted(sums, 16)
        high = self._call("pmadd.wd", self._sums, words, self.reinterpreted(upper, 16))
        low = self._call("pmulhu.w", f"int16x{2 * self.lanes}", words, self.reinterpreted(multiplier, 16))
        return self._call("psrav.d", self._sums, half + high + self.reinterpreted(low, 32), shift)

    def float_scale(self, multiplier: Expr, places: Expr) -> Scale:
        """What `scaled_as_floats` takes: `multiplier / 2^shift` as float32, by the exponent's bits."""
        from tvm import tirx

        bits = tirx.Broadcast(tirx.const(_EXPONENT - LEAST_SHIFT, "int32"), self.lanes) - places
        power = tirx.shift_left(bits, tirx.Broadcast(tirx.const(_MANTISSA_BITS, "int32"), self.lanes))
        return (tirx.Cast(self._floats, multiplier) * tirx.reinterpret(self._floats, power),)

    def scaled_as_floats(self, sums: Expr, scale: Scale, zero_point: int) -> Expr:
        """`zero_point + sums * multiplier / 2^shift` rounded, halves to even: exact for sums below 2^23."""
        from tvm import tirx

        (factor,) = scale
        added = tirx.Broadcast(tirx.const(_ONES_APART + zero_point, "float32"), self.lanes)
        name = f"llvm.fma.v{self.lanes}f32"
        total = tirx.call_llvm_pure_intrin(self._floats, name, tirx.Cast(self._floats, sums), factor, added)
        zero = tirx.Broadcast(tirx.const(_ONES_APART_BITS, "int32"), self.lanes)
        return tirx.reinterpret(self._sums, total) - zero

    def packed(self, vectors: Sequence[Expr], zero_point: int) -> Expr:
        """`clip(vector + zero_point, -128, 127)` of four vectors, in the instructions' order: `4 * lanes` int8."""
        from tvm import tirx

        count = 2 * self.lanes

        def pair(first: Expr, second: Expr) -> Expr:
            both = self._call("packssdw", f"int16x{count}", first, second)
            if not zero_point:
                return both
            more = tirx.Broadcast(tirx.const(zero_point, "int16"), count)
            return tirx.call_llvm_pure_intrin(f"int16x{count}", f"llvm.sadd.sat.v{count}i16", both, more)

        first, second, third, fourth = vectors
        return self._call("packsswb", f"int8x{4 * self.lanes}", pair(first, second), pair(third, fourth))

    def in_order(self, packed: Expr) -> Expr:
        """The bytes of one vector of sums behind those of the other."""
        return self._moved(packed, [self._place(at) for at in range(self.lanes)])

    def as_packed(self, ordered: Expr) -> Expr:
        """The inverse."""
        places = {self._place(at): at for at in range(self.lanes)}
        return self._moved(ordered, [places[at] for at in range(self.lanes)])

    def interleaved(self, first: Expr, second: Expr, *, upper: bool) -> Expr:
        """Bytes of two vectors in turns, of the lower or upper halves of their 128-bit lanes."""
        from tvm import tirx

        size = 4 * self.lanes
        half = _LANE_BYTES // 2
        order = [
            vector * size + lane + at + (half if upper else 0)
            for lane in range(0, size, _LANE_BYTES)
            for at in range(half)
            for vector in range(2)
        ]
        return tirx.Shuffle([first, second], [tirx.const(at, "int32") for at in order])

    def pair_sums(self, words: Expr, first: int, second: int) -> Expr:
        """`words[2 * lane] * first + words[2 * lane + 1] * second`: `lanes` int32."""
        from tvm import tirx

        both = (first & 0xFFFF) | (second & 0xFFFF) << 16
        factors = tirx.Broadcast(tirx.const(both - (1 << 32 if both >> 31 else 0), "int32"), self.lanes)
        return self.pair_products(self.reinterpreted(words, 16), self.reinterpreted(factors, 16))

    def pair_products(self, words: Expr, factors: Expr) -> Expr:
        """`words[2 * lane] * factors[2 * lane] + words[2 * lane + 1] * factors[2 * lane + 1]`: `lanes` int32."""
        return self._call("pmadd.wd", self._sums, words, factors)

    def sum_in_order(self, product: Expr, sums: Expr) -> Expr:
        """`product + sums`; LLVM may not add products to each other first, which takes registers that there are not.

        `llvm.arithmetic.fence` is no instruction, and takes floats only.
        """
        from tvm import tirx

        total = tirx.reinterpret(self._floats, product + sums)
        return tirx.reinterpret(self._sums, tirx.call_llvm_pure_intrin(self._floats, "llvm.arithmetic.fence", total))

    def reinterpreted(self, vector: Expr, bits: int) -> Expr:
        """The same register as integers of so many bits."""
        from tvm import tirx

        return tirx.reinterpret(f"int{bits}x{32 * self.lanes // bits}", vector)

    @property
    def _sums(self) -> str:
        return f"int32x{self.lanes}"

    @property
    def _floats(self) -> str:
        return f"float32x{self.lanes}"

    def _call(self, name: str, dtype: str, *arguments: Expr) -> Expr:
        from tvm import tirx

        spelling = _NAMES[name][(4, 8, 16).index(self.lanes)]
        return tirx.call_llvm_pure_intrin(dtype, f"llvm.x86.{spelling}", *arguments)

    def _place(self, at: int) -> int:
        """Where the dword `at` of bytes in order lies among the packed ones."""
        vector, lane = divmod(at, self.lanes // _LANE_DWORDS)
        return lane * _LANE_DWORDS + vector

    def _moved(self, vector: Expr, places: Sequence[int]) -> Expr:
        from tvm import tirx

        if list(places) == list(range(self.lanes)):
            return vector
        moved = tirx.Shuffle([self.reinterpreted(vector, 32)], [tirx.const(at, "int32") for at in places])
        return self.reinterpreted(moved, 8)
