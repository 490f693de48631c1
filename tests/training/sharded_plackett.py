"""The command, told that processes on a CPU are of a kind that FSDP runs on: accelerate would take DDP for them.

torch's FSDP itself runs on a CPU, so what is tested is real but for the device.
"""

from accelerate.state import DistributedType, PartialState

from plackett.cli import main

_init = PartialState.__init__


def _as_if_on_accelerators(self, *arguments, **options):
    _init(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = _as_if_on_accelerators
main()
