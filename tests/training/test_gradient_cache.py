"""Cached gradients are the plain ones, dropout included, and hold one micro-batch at a time."""

import pytest
import torch

from plackett.losses import LOSSES
from plackett.losses.matrices import to_matrix
from plackett.training.gradient_cache import cached_scores

LENGTHS = [5, 1, 3, 2]


class Scorer(torch.nn.Module):
    """A network with dropout that counts the values it keeps for its backward pass."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 16), torch.nn.GELU(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
        )

    def forward(self, x):
        return self.layers(x)[:, 0]


def micro_batches(sizes=(4, 4, 3)):
    torch.manual_seed(3)
    return [{"x": torch.randn(size, 6)} for size in sizes]


def gradients(name, cached):
    torch.manual_seed(0)
    model = Scorer()
    batches = micro_batches()

    def score(batch):
        return model(**batch)

    torch.manual_seed(7)
    scores = cached_scores(score, batches, model) if cached else torch.cat([score(batch) for batch in batches])
    matrix, mask = to_matrix(scores, LENGTHS)
    labels, _ = to_matrix(torch.tensor([2.0, 0, 1, 0, 3, 1, 0, 2, 1, 0, 1]), LENGTHS)
    loss = LOSSES[name](matrix, labels, mask)
    (loss * 2).backward()  # scaled, as by a loss scaler or by gradient accumulation
    return loss, [parameter.grad for parameter in model.parameters()], torch.rand(3)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradients_are_the_plain_ones_and_the_random_numbers_go_on_alike(name):
    loss, plain, after = gradients(name, cached=False)
    cached_loss, cached, cached_after = gradients(name, cached=True)
    assert cached_loss == loss
    for one, other in zip(plain, cached, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cached_after, after)


def test_the_graph_of_one_micro_batch_is_alive_at_a_time():
    model = Scorer()
    alive, most = 0, 0

    def pack(tensor):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        return tensor

    def unpack(tensor):
        nonlocal alive
        alive -= 1
        return tensor

    def kept(count):
        nonlocal alive, most
        alive = most = 0
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            cached_scores(lambda batch: model(**batch), micro_batches((4,) * count), model).sum().backward()
        return most

    assert 0 < kept(1) == kept(10)


def test_without_gradients_there_is_nothing_to_run_again():
    model = Scorer().eval()
    with torch.no_grad():
        scores = cached_scores(lambda batch: model(**batch), micro_batches(), model)
    assert not scores.requires_grad
