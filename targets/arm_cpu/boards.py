"""ARM boards and phones by name.

`features` are those that the LLVM options let the code generator use: the runtime checks them at `ec_open`, so no
kernel meets an instruction that its CPU lacks. Sources: the Cortex software optimization guides of Arm (pipelines), and
Raspberry Pi's documentation of the BCM2711 and BCM2712 (caches).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgecompile.target import CpuFacts, Target

KIB, MIB = 1024, 1024 * 1024


def raspberry_pi_4() -> Target:
    """Four Cortex-A72 at 1.5 GHz (BCM2711); its cores lack the optional crypto and dot-product instructions."""
    return Target(
        name="rpi4",
        family="arm_cpu",
        architecture="aarch64",
        os="linux",
        llvm_triple="aarch64-linux-gnu",
        llvm_cpu="cortex-a72",
        llvm_features=("-aes", "-sha2"),  # LLVM's Cortex-A72 has the crypto option
        cpu=CpuFacts(
            vector_bytes=16,
            vector_registers=32,
            fma_ports=1,  # two 64-bit FP pipes: one 128-bit fused multiply-add per cycle
            l1d_bytes=32 * KIB,
            l2_bytes=1 * MIB,  # shared by the four cores
            num_cores=4,
            features=("asimd",),
        ),
        emulator=("qemu-aarch64", "-cpu", "cortex-a72"),
        description="Raspberry Pi 4 and other Cortex-A72 boards, 64-bit Linux",
    )


def raspberry_pi_5() -> Target:
    """Four Cortex-A76 at 2.4 GHz (BCM2712): dot product and half-precision arithmetic."""
    return Target(
        name="rpi5",
        family="arm_cpu",
        architecture="aarch64",
        os="linux",
        llvm_triple="aarch64-linux-gnu",
        llvm_cpu="cortex-a76",
        llvm_features=(),  # the CPU's name implies +dotprod and +fullfp16
        cpu=CpuFacts(
            vector_bytes=16,
            vector_registers=32,
            fma_ports=2,  # two 128-bit ASIMD pipes
            l1d_bytes=64 * KIB,
            l2_bytes=512 * KIB,  # of each core; 2 MiB of L3 are shared
            num_cores=4,
            features=("asimd", "asimddp", "asimdhp", "fphp"),
        ),
        emulator=("qemu-aarch64", "-cpu", "cortex-a76"),
        description="Raspberry Pi 5 and other Cortex-A76 boards (dotprod, fp16), 64-bit Linux",
    )


def android_arm64() -> Target:
    """Phones since about 2018: Armv8.2-A with dot product and half precision; Android 7 (API 24) and newer."""
    return Target(
        name="android-arm64",
        family="arm_cpu",
        architecture="aarch64",
        os="android",
        llvm_triple="aarch64-linux-android24",
        llvm_cpu="generic",
        llvm_features=("+v8.2a", "+dotprod", "+fullfp16"),
        cpu=CpuFacts(
            vector_bytes=16,
            vector_registers=32,
            fma_ports=2,  # the big cores, Cortex-A75 and later; the small Cortex-A55 has two 64-bit pipes
            l1d_bytes=32 * KIB,  # Cortex-A55; the big cores have 64
            l2_bytes=256 * KIB,  # of each big core in the mid-range chips (Snapdragon 7xx)
            num_cores=4,  # big cores; threads on small ones hold up the others
            features=("asimd", "asimddp", "asimdhp", "atomics", "fphp"),
        ),
        emulator=("qemu-aarch64", "-cpu", "cortex-a76"),
        description="Android phones with Armv8.2 dotprod and fp16, API 24 and newer",
    )


def armv9() -> Target:
    """Armv9-A boards: 8-bit matrix products and bfloat16; SVE is left alone, since vector lengths differ by chip."""
    return Target(
        name="armv9",
        family="arm_cpu",
        architecture="aarch64",
        os="linux",
        llvm_triple="aarch64-linux-gnu",
        llvm_cpu="generic",
        # Not +v9a, which implies SVE2. Every Armv9 core of Arm's has these.
        llvm_features=("+v8.5a", "+dotprod", "+fullfp16", "+i8mm", "+bf16"),
        cpu=CpuFacts(
            vector_bytes=16,
            vector_registers=32,
            fma_ports=2,  # Cortex-A710 and A720; the X cores have four
            l1d_bytes=32 * KIB,  # the smaller choice of Cortex-A710 and A720
            l2_bytes=256 * KIB,  # their smaller choice too
            num_cores=4,
            features=("asimd", "asimddp", "asimdhp", "bf16", "fphp", "i8mm"),
        ),
        emulator=("qemu-aarch64", "-cpu", "max"),
        description="Armv9-A boards (i8mm, bf16), 64-bit Linux",
    )


def armv7_neon() -> Target:
    """32-bit Linux on cores with NEON and fused multiply-add: Cortex-A7, A15, A17, and 64-bit cores so used."""
    return Target(
        name="armv7-neon",
        family="arm_cpu",
        architecture="armv7l",
        os="linux",
        llvm_triple="armv7a-linux-gnueabihf",
        llvm_cpu="generic",
        llvm_features=("+neon", "+vfp4"),
        cpu=CpuFacts(
            vector_bytes=16,
            vector_registers=16,
            fma_ports=1,
            l1d_bytes=32 * KIB,
            l2_bytes=512 * KIB,  # Raspberry Pi 2 and 3, shared by the four cores
            num_cores=4,
            features=("neon", "vfpv4"),
        ),
        emulator=("qemu-arm", "-cpu", "cortex-a7"),
        description="ARMv7-A with NEON and VFPv4 (Cortex-A7 and later), 32-bit hard-float Linux",
    )


TARGETS: Mapping[str, Callable[[], Target]] = {
    "rpi4": raspberry_pi_4,
    "rpi5": raspberry_pi_5,
    "android-arm64": android_arm64,
    "armv9": armv9,
    "armv7-neon": armv7_neon,
}
