"""What the processor is called, and which instructions it has: as Linux tells."""

import functools
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

BF16 = ("avx512_bf16", "amx_bf16")
"""Instructions, each of which multiplies bf16 at twice the speed of fp32. Without them bf16 is the slower one."""

INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Instructions, each of which multiplies int8 at several times the speed of fp32."""

RELEVANT = ("avx2", "fma", "avx512f", *BF16, *INT8, "asimddp", "i8mm", "bf16")
"""What the speed of a reranker hangs on; the last three are of ARM."""


@functools.cache
def instructions() -> frozenset[str]:
    """Linux's names of all instruction sets, `avx512_bf16` say; none where the system does not tell."""
    return frozenset((_field("flags") or _field("Features")).split())


@functools.cache
def name() -> str:
    """The processor's name, as far as the system tells."""
    return _field("model name") or platform.processor() or platform.machine()


def _field(wanted: str) -> str:
    """The value of a field, of the first core that has it."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for field, _, value in fields if field.strip() == wanted), "")
