"""Each method once more, row by row in NumPy, on random networks in float64.

Random numbers are drawn by the method; the second formulation gets what was drawn: augmentations
are fixed functions, and partners and weights of mixup are recorded.
"""

import copy

import numpy as np
import pytest
import torch
from cases import CLASSES, FEATURES, draw, network

from semideep_ext.ssl import ict, mixmatch
from semideep_ext.ssl.method import Batch, Data
from semideep_ext.ssl.methods import method_class
from semideep_ext.ssl.ramps import Constant


def weak(x):
    return x + 0.1 * torch.sin(17 * x)


def strong(x):
    return x * torch.tensor([1.0, 0.0, 1.0, -0.5], dtype=x.dtype)


@pytest.fixture
def case(generator):
    """Model, and a batch with weights, in float64; other numbers in each run."""
    torch.manual_seed(generator.initial_seed())
    batch = draw(generator.initial_seed())
    batch.x, batch.u = batch.x.double(), batch.u.double()
    batch.w = torch.rand(len(batch.x), dtype=torch.float64, generator=generator)
    return network().double(), batch


def run(model, batch, name, **options):
    method = method_class(name)(**options)
    data = Data(len(batch.x), len(batch.u), CLASSES, batch.x, lambda: batch.u.split(3))
    method.start(model, data)
    return method, method(model, batch)


def predict(model, row):
    """Probabilities of one row, by NumPy."""
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            row = layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()
        else:
            row = np.tanh(row)
    e = np.exp(row - row.max())
    return e / e.sum(), row


def rows(x, change=None):
    x = x if change is None else change(x)
    return [row.numpy() for row in x]


def supervised(model, batch, change=None):
    total = 0.0
    for row, y, w in zip(rows(batch.x, change), batch.y.tolist(), batch.w.tolist(), strict=True):
        total -= w * np.log(predict(model, row)[0][y])
    return total / len(batch.y)


def assert_close(losses, labeled, unlabeled):
    assert losses.labeled.item() == pytest.approx(labeled, rel=1e-9)
    assert losses.unlabeled.item() == pytest.approx(unlabeled, rel=1e-9)


def test_pseudo_label_and_entropy(case):
    model, batch = case
    ps = [predict(model, row)[0] for row in rows(batch.u)]
    losses = run(model, batch, "pseudo-label", threshold=None)[1]
    assert_close(losses, supervised(model, batch), np.mean([-np.log(p.max()) for p in ps]))
    losses = run(model, batch, "entropy")[1]
    assert_close(losses, supervised(model, batch), np.mean([-(p * np.log(p)).sum() for p in ps]))


def test_pi_model_and_mean_teacher(case):
    model, batch = case
    both = torch.cat([batch.x, batch.u])
    changes = iter([weak, strong])
    losses = run(model, batch, "pi-model", augment=lambda x: next(changes)(x))[1]
    squares = [
        ((predict(model, a)[0] - predict(model, b)[0]) ** 2).mean()
        for a, b in zip(rows(both, weak), rows(both, strong), strict=True)
    ]
    assert_close(losses, supervised(model, batch, weak), np.mean(squares))

    changes = iter([weak, strong] * 2)
    method, _ = run(model, batch, "mean-teacher", augment=lambda x: next(changes)(x))
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    squares = [
        ((predict(model, a)[0] - predict(teacher, b)[0]) ** 2).mean()
        for a, b in zip(rows(both, weak), rows(both, strong), strict=True)
    ]
    assert_close(method(model, batch), supervised(model, batch, weak), np.mean(squares))


def test_temporal_ensembling(case):
    model, batch = case
    method, _ = run(model, batch, "temporal-ensembling", momentum=0.7, augment=weak)
    seen = [predict(model, row)[0] for row in rows(torch.cat([batch.x, batch.u]), weak)]
    z = [0.3 * p for p in seen]
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    # Half of the unlabelled rows come again, in another order.
    index = torch.tensor([6, 2, 4])
    part = Batch(batch.x, batch.y, batch.u[index], batch.w, batch.x_index, index)
    numbers = [*range(len(batch.x)), *(len(batch.x) + index).tolist()]
    squares = []
    for number, row in zip(numbers, rows(torch.cat([batch.x, part.u]), weak), strict=True):
        target = z[number] / (1 - 0.7)
        squares.append(((predict(model, row)[0] - target) ** 2).mean())
    # The method keeps its averages in float32.
    losses = method(model, part)
    assert losses.unlabeled.item() == pytest.approx(np.mean(squares), rel=1e-4)
    assert method.seen.tolist() == [2] * len(batch.x) + [1, 1, 2, 1, 2, 1, 2, 1]


def recorded(monkeypatch, module):
    """What mixup draws, in order."""
    drawn = {"parts": [], "partners": []}
    mixing, randperm = module.mixing_weights, torch.randperm

    def parts(*args):
        drawn["parts"].append(mixing(*args))
        return drawn["parts"][-1]

    def partners(n, **options):
        drawn["partners"].append(randperm(n, **options))
        return drawn["partners"][-1]

    monkeypatch.setattr(module, "mixing_weights", parts)
    monkeypatch.setattr(torch, "randperm", partners)
    return drawn


def test_ict(case, monkeypatch):
    model, batch = case
    drawn = recorded(monkeypatch, ict)
    l_x, l_u = 0.3, 0.2  # below 1/2: one that is folded upwards would be seen
    monkeypatch.setattr(
        ict, "mixing_weights", lambda *_: torch.tensor([l_x, l_u], dtype=torch.float64)
    )
    losses = run(model, batch, "ict", alpha=0.5)[1]
    p_x, p_u = drawn["partners"]
    squares, us = [], rows(batch.u)
    for u, other in zip(us, (us[j] for j in p_u), strict=True):
        z = l_u * predict(model, u)[1] + (1 - l_u) * predict(model, other)[1]
        target = np.exp(z) / np.exp(z).sum()
        squares.append(((predict(model, l_u * u + (1 - l_u) * other)[0] - target) ** 2).mean())
    total, xs = 0.0, rows(batch.x)
    for i, j in enumerate(p_x.tolist()):
        p = predict(model, l_x * xs[i] + (1 - l_x) * xs[j])[0]
        total -= l_x * batch.w[i].item() * np.log(p[batch.y[i]])
        total -= (1 - l_x) * batch.w[j].item() * np.log(p[batch.y[j]])
    assert_close(losses, total / len(xs), np.mean(squares))


def test_mixmatch(case, monkeypatch):
    model, batch = case
    drawn = recorded(monkeypatch, mixmatch)
    changes = iter([weak, weak, strong])
    losses = run(model, batch, "mixmatch", augment=lambda x: next(changes)(x))[1]
    guesses = []
    for a, b in zip(rows(batch.u, weak), rows(batch.u, strong), strict=True):
        q = ((predict(model, a)[0] + predict(model, b)[0]) / 2) ** 2
        guesses.append(q / q.sum())
    inputs = [*rows(batch.x, weak), *rows(batch.u, weak), *rows(batch.u, strong)]
    targets = [*np.eye(CLASSES)[batch.y.numpy()], *guesses, *guesses]
    n, labeled, unlabeled = len(batch.x), [], []
    for i, j in enumerate(drawn["partners"][0].tolist()):
        part = drawn["parts"][0][i].item()
        part = max(part, 1 - part)
        p = predict(model, part * inputs[i] + (1 - part) * inputs[j])[0]
        target = part * targets[i] + (1 - part) * targets[j]
        if i < n:
            labeled.append(-batch.w[i].item() * (target * np.log(p)).sum())
        else:
            unlabeled.append(((p - target) ** 2).mean())
    assert_close(losses, np.mean(labeled), np.mean(unlabeled))


@pytest.mark.parametrize("name", ["fixmatch", "uda", "defixmatch"])
def test_weak_and_strong(case, name):
    model, batch = case
    threshold = 0.4
    losses = run(model, batch, name, threshold=threshold, weak=weak, strong=strong)[1]

    def one(a, b):
        p, q = predict(model, a)[0], predict(model, b)[0]
        if p.max() < threshold:
            return 0.0
        if name != "uda":
            return -np.log(q[p.argmax()])
        sharp = p ** (1 / 0.4) / (p ** (1 / 0.4)).sum()
        return (sharp * np.log(sharp / q)).sum()

    def over(x):
        return [one(a, b) for a, b in zip(rows(x, weak), rows(x, strong), strict=True)]

    unlabeled, labeled = np.mean(over(batch.u)), supervised(model, batch, weak)
    if name == "defixmatch":
        unlabeled -= np.mean(batch.w.numpy() * over(batch.x))
        labeled = (labeled + supervised(model, batch, strong)) / 2
    assert_close(losses, labeled, unlabeled)


def test_noisy_student(case):
    model, batch = case
    teacher = network().double()
    losses = run(model, batch, "noisy-student", teacher=teacher, augment=strong, balance=False)[1]
    total = 0.0
    for clean, noisy in zip(rows(batch.u), rows(batch.u, strong), strict=True):
        target = predict(teacher, clean)[0]  # with three classes, each is surer than .3
        total -= (target * np.log(predict(model, noisy)[0])).sum()
    assert losses.labeled.item() == pytest.approx(supervised(model, batch, strong), rel=1e-9)
    # Targets are kept in float32.
    assert losses.unlabeled.item() == pytest.approx(total / len(batch.u), rel=1e-5)


def test_cross_consistency(case):
    model, batch = case
    method, _ = run(model, batch, "cross-consistency", perturbations=["feature-drop"], copies=3)
    losses = method(model, batch)
    # Whatever was dropped: at most .9 of the largest feature stays, and at least what is below .7.
    encoder = model[:-1]
    assert losses.labeled.item() == pytest.approx(supervised(model, batch), rel=1e-9)
    from semideep_ext.ssl.cross_consistency import PERTURBATIONS

    z = encoder(batch.u).detach()
    for kind, change in PERTURBATIONS.items():
        perturbed = change(z, method.heads[0]).detach()
        if kind == "noise":
            assert (perturbed / z).sub(1).abs().max() <= 0.3
        if kind == "dropout":
            assert set((perturbed / z).round(decimals=9).unique().tolist()) <= {0.0, 2.0}
        if kind == "feature-drop":
            most = z.amax(1, keepdim=True)
            assert torch.equal(perturbed[z < 0.7 * most], z[z < 0.7 * most])
            assert not perturbed[z >= 0.9 * most].any()
        if kind == "vat":
            moved = (perturbed - z).norm(dim=1)
            torch.testing.assert_close(moved, moved[:1].expand_as(moved))
    # And the loss itself, with the identity as the only perturbation.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PERTURBATIONS, "noise", lambda z, head: z)
        method, losses = run(model, batch, "cross-consistency", perturbations=["noise"], copies=2)
    squares = []
    for row in rows(batch.u):
        features = torch.from_numpy(row)
        for head in method.heads:
            other = predict([*model[:-1], head], features.numpy())[0]
            squares.append(((other - predict(model, row)[0]) ** 2).mean())
    assert losses.unlabeled.item() == pytest.approx(np.mean(squares), rel=1e-9)


def test_vat(case):
    # The direction by the dense matrix J^T (diag(p) - p p^T) J of each row, whose largest
    # eigenvector power iteration finds.
    model, batch = case
    losses = run(model, batch, "vat", eps=0.3, power_iterations=60)[1]
    expected = []
    for row in rows(torch.cat([batch.x, batch.u])):
        x = torch.from_numpy(row)
        jacobian = torch.autograd.functional.jacobian(lambda r: model(r), x).numpy()
        p, _ = predict(model, row)
        hessian = jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
        values, vectors = np.linalg.eigh(hessian)
        best = vectors[:, -1]
        kl = [
            (p * np.log(p / predict(model, row + sign * 0.3 * best)[0])).sum() for sign in (1, -1)
        ]
        expected.append((kl, values[-2] / values[-1]))
    n = FEATURES  # of as many directions, one is the worst
    assert n == 4
    # Either sign is a direction; where the two largest eigenvalues are close, so are the results.
    low, high = (np.mean([f(kl) for kl, _ in expected]) for f in (min, max))
    assert low * 0.95 <= losses.unlabeled.item() <= high * 1.05


def test_mlsn(case):
    model, batch = case
    ramps = {"ramp": Constant(), "similarity_ramp": Constant(), "cotraining_ramp": Constant()}
    # Each class has one labelled row, so that no centre is drawn.
    batch.x, batch.y, batch.w = batch.x[:3], torch.tensor([2, 0, 1]), batch.w[:3]
    options = {**ramps, "weight": 2.0, "cotraining_weight": 3.0, "gate": 0.35}
    torch.manual_seed(5)
    method, losses = run(model, batch, "mlsn", augment=weak, similarity_weight=0.0, **options)
    method.similarity.double()
    losses = method(model, batch)
    features = model[:-1](weak(torch.cat([batch.x, batch.u]))).detach()
    total = 0.0
    for row, u in zip(features[3:], rows(batch.u, weak), strict=True):
        scores = []
        for k in range(CLASSES):
            centre = features[batch.y.tolist().index(k)]
            scores.append(method.similarity(row, centre).item())
        soft = np.exp(scores) / np.exp(scores).sum()
        if soft.max() >= 0.35:
            total -= (soft * np.log(predict(model, u)[0])).sum()
    assert losses.labeled.item() == pytest.approx(supervised(model, batch, weak), rel=1e-9)
    # Teacher and student are equal.
    assert losses.unlabeled.item() == pytest.approx(3 * total / len(batch.u), rel=1e-9)
