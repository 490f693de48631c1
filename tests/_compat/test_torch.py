"""torch's private functions compute what Plackett calls them for; an upgrade that changes them fails here."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from plackett._compat import torch as compat

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def test_the_release_of_the_development_environment_was_tried():
    pinned = re.search(r"^torch==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in compat.TRIED
    assert torch.__version__.partition("+")[0] in compat.TRIED


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_backward_is_the_gradient_of_softmax(dtype):
    generator = torch.Generator().manual_seed(0)
    logits, outer = (torch.randn(3, 5, generator=generator).to(dtype) for _ in range(2))
    expected = logits.clone().requires_grad_()
    probabilities = expected.softmax(-1)
    probabilities.backward(outer)
    found = compat.softmax_backward(outer, probabilities.detach())
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.grad)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_onednn_products_are_those_of_linear():
    generator = torch.Generator().manual_seed(0)
    rows, weight, bias, residual = (torch.randn(size, generator=generator) for size in ((3, 8), (4, 8), 4, (3, 4)))
    with torch.inference_mode():
        reordered = compat.reordered_weight(weight, 64)
        plain = F.linear(rows, weight, bias)
        torch.testing.assert_close(compat.linear(rows, reordered, bias), plain)
        torch.testing.assert_close(compat.linear_gelu(rows, reordered, bias), F.gelu(plain))
        torch.testing.assert_close(compat.linear_add(rows, residual, reordered, bias), residual + plain)


def test_bf16_support_agrees_with_the_kernel():
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        pytest.skip("no /proc/cpuinfo")
    assert compat.has_fast_bf16() == ("avx512_bf16" in path.read_text())
