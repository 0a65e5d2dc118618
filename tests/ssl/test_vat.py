"""The direction of virtual adversarial training is that of the second derivatives."""

import pytest
import torch
from torch import nn

from semideep_ext.ssl.method import Batch, Data
from semideep_ext.ssl.outputs import kl_divergence
from semideep_ext.ssl.vat import VAT, adversarial_direction, curvature, finite_difference, unit_rows


def wide_network(seed, features=784, activation=nn.ReLU):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 64), activation(), nn.Linear(64, 10))


def true_direction(model, x, start):
    """One power step by the matrix J^T (diag(p) - p p^T) J in float64, row by row."""
    found = []
    for row, v in zip(x.double(), start.double(), strict=True):
        jacobian = torch.autograd.functional.jacobian(model.double(), row)
        p = model.double()(row).softmax(0)
        found.append(jacobian.T @ ((torch.diag(p) - torch.outer(p, p)) @ (jacobian @ v)))
    model.float()
    return unit_rows(torch.stack(found).detach())


def found_direction(model, x, xi, seed=3):
    """What VAT finds after one step, from the start that the seed draws; and that start."""
    r = torch.zeros_like(x, requires_grad=True)
    logits = model(x + r)
    target = logits.detach()
    if xi is None:
        product = curvature(logits, r)
    else:
        product = finite_difference(lambda d: kl_divergence(target, model(x + d)), xi)
    torch.manual_seed(seed)
    start = unit_rows(torch.randn_like(x))
    torch.manual_seed(seed)
    return adversarial_direction(product, x), start


# A finite difference across a kink of ReLU is no derivative: it was below .99 for one row in one
# run of a few dozen.
@pytest.mark.parametrize(("xi", "activation"), [(None, nn.ReLU), (None, nn.Tanh), (1e-2, nn.Tanh)])
def test_the_direction_is_that_of_float64_at_784_features(xi, activation, generator):
    model = wide_network(generator.initial_seed(), activation=activation)
    x = torch.rand(16, 784, generator=generator)
    direction, start = found_direction(model, x, xi)
    cosine = (direction.double() * true_direction(model, x, start)).sum(1).abs()
    assert cosine.min() > 0.99
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(16))


def test_the_published_xi_is_noise_in_float32(generator):
    # Why the direction is taken by double backward: this is what finite differences of 1e-6 give.
    model, x = wide_network(generator.initial_seed()), torch.rand(16, 784, generator=generator)
    direction, start = found_direction(model, x, 1e-6)
    cosine = (direction.double() * true_direction(model, x, start)).sum(1).abs()
    assert cosine.mean() < 0.9


@pytest.mark.parametrize("shape", [(7,), (2, 3, 5)])
def test_rows_are_moved_by_eps_over_all_that_they_hold(shape):
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    x, seen = torch.randn(4, *shape), []
    model(x)
    method = VAT(eps=0.5)
    method.start(model, Data(2, 2, 3, x))
    batch = Batch(x[:2], torch.tensor([0, 1]), x[2:])
    batch.outputs = lambda net, rows: (seen.append(rows.detach()), net(rows))[1]
    method(model, batch)
    plain, moved = seen
    assert torch.equal(plain, x)
    torch.testing.assert_close((moved - x).flatten(1).norm(dim=1), torch.full((4,), 0.5))


def test_target_and_direction_carry_no_gradient():
    model = wide_network(0, 6)
    x = torch.randn(5, 6)
    method = VAT(eps=0.5)
    method.start(model, Data(2, 3, 10, x))
    batch = Batch(x[:2], torch.tensor([0, 1]), x[2:])
    torch.manual_seed(1)
    method(model, batch).unlabeled.backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(1)
    r = torch.zeros_like(x, requires_grad=True)
    logits = model(x + r)
    direction = adversarial_direction(curvature(logits, r), x).detach()
    kl_divergence(logits.detach(), model(x + 0.5 * direction)).mean().backward()
    for mine, p in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)


def test_the_divergence_is_of_the_plain_prediction_to_the_perturbed():
    p, q = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    a, b = p.softmax(1), q.softmax(1)
    assert kl_divergence(p, q).item() == pytest.approx((a * (a / b).log()).sum().item())
    assert kl_divergence(p, q).item() != pytest.approx(kl_divergence(q, p).item(), rel=0.01)


def test_a_model_that_does_not_depend_on_the_row_is_left_alone():
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    method = VAT()
    method.start(model, Data(1, 2, 2, torch.randn(2, 3)))
    batch = Batch(torch.randn(1, 3), torch.tensor([0]), torch.randn(2, 3))
    assert method(model, batch).total.isfinite()


def test_dropout_is_the_same_in_direction_and_target():
    # With other units dropped in the two passes, the divergence would not vanish at r = 0, and the
    # gradient would be that of the difference between the passes.
    model = nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 3))
    x, passes = torch.randn(4, 6), []
    method = VAT(eps=0.1)
    method.start(model, Data(2, 2, 3, x))
    batch = Batch(x[:2], torch.tensor([0, 1]), x[2:])
    batch.outputs = lambda net, rows: (passes.append(rows.requires_grad), net(rows))[1]
    method(model, batch)
    assert passes == [True, False]  # one that is differentiated and is the target; one perturbed


def test_bad_settings_are_refused():
    for options, message in (
        ({"eps": -1.0}, "eps=-1.0"),
        ({"xi": 0.0}, "xi=0.0"),
        ({"power_iterations": 0}, "power_iterations=0"),
        ({"weight": float("nan")}, "weight=nan"),
    ):
        with pytest.raises(ValueError, match=message):
            VAT(**options)
