"""What this machine says about its cores."""

from __future__ import annotations

from edgecompile.artifact.machine import cpu_identity

EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
cpu MHz\t\t: {mhz}
cache size\t: 1024 KB

processor\t: 1
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
cpu MHz\t\t: 2400.000
"""


def test_another_cpu_is_another_identity_and_another_frequency_is_not() -> None:
    assert cpu_identity(EPYC.format(mhz="2600.000")) == cpu_identity(EPYC.format(mhz="3100.500"))
    assert cpu_identity(EPYC) != cpu_identity(EPYC.replace("AMD EPYC", "AMD EPYC 9355P"))
    assert cpu_identity(EPYC) == "cpu family: 26\nmodel name: AMD EPYC\nmodel: 2\nvendor_id: AuthenticAMD"


def test_all_kinds_of_cores_count() -> None:
    little, big = "CPU part\t: 0xd05\n", "CPU part\t: 0xd0b\n"
    assert cpu_identity(little + big) == cpu_identity(big + little + little) != cpu_identity(little)
    assert cpu_identity("") == ""
