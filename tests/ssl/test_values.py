"""Losses worked out by hand, on a model whose logits are its rows, and without noise.

The rows are chosen so that probabilities are round: logits (log 3, 0) give (3/4, 1/4), and (log 9,
0) give (9/10, 1/10).
"""

import math

import pytest
import torch
from torch import nn

from semideep_ext.ssl import cross_consistency, ict, mixmatch, mlsn
from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.method import Batch, Data
from semideep_ext.ssl.methods import method_class
from semideep_ext.ssl.noisy_student import NoisyStudent, multiplicities
from semideep_ext.ssl.ramps import Constant

L3, L9, LOG2 = math.log(3), math.log(9), math.log(2)
X, Y = [[L3, 0.0], [0.0, 0.0]], [0, 1]
U = [[0.0, L9], [L3, 0.0], [0.0, 0.0], [0.0, 0.0]]  # (.1, .9), (.75, .25), (.5, .5) twice
LABELED = (math.log(4 / 3) + LOG2) / 2  # -log .75, -log .5


def identity(scale=1.0):
    """A model whose logits are its rows."""
    model = nn.Linear(2, 2, bias=False)
    nn.init.eye_(model.weight)
    with torch.no_grad():
        model.weight.mul_(scale)
    return model


def unchanged(x):
    return x


def losses(name, model=None, batch=None, calls=1, **options):
    model = model or identity()
    batch = batch or Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    batch.x_index, batch.u_index = torch.arange(len(batch.x)), torch.arange(len(batch.u))
    method = method_class(name)(**options) if isinstance(name, str) else name
    pool = batch.u.split(2)
    method.start(model, Data(len(batch.x), len(batch.u), 2, batch.x, lambda: pool))
    for _ in range(calls):
        result = method(model, batch)
    return result


def test_pseudo_labels():
    result = losses("pseudo-label", threshold=None)
    # -log .9, -log .75, and twice -log .5, over all four rows.
    expected = (math.log(10 / 9) + math.log(4 / 3) + 2 * LOG2) / 4
    assert result.unlabeled.item() == pytest.approx(expected)
    assert result.labeled.item() == pytest.approx(LABELED)
    above = losses("pseudo-label", threshold=0.7)
    assert above.unlabeled.item() == pytest.approx((math.log(10 / 9) + math.log(4 / 3)) / 4)
    assert [float(x) for x in above.facts["pseudo_label_share"]] == [2.0, 4.0]


def test_entropy():
    result = losses("entropy")
    h9 = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    h3 = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert result.unlabeled.item() == pytest.approx((h9 + h3 + 2 * LOG2) / 4)


def noise_in_turn(*shifts):
    """Noise that adds these to the first logit, call after call."""
    calls = iter(shifts * 10)
    return lambda x: x + torch.tensor([next(calls), 0.0])


@pytest.mark.parametrize("detach", [False, True])
def test_pi_model(detach):
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(3, 2))
    model = identity()
    result = losses("pi-model", model, batch, augment=noise_in_turn(0.0, L3), detach_target=detach)
    # (.5, .5) and (.75, .25) for each row, labelled ones too: mean of squares .0625.
    assert result.unlabeled.item() == pytest.approx(0.0625)
    assert result.labeled.item() == pytest.approx(LOG2)
    assert result.weight == pytest.approx(100 * 1 / 4)  # at the end of the ramp
    # d/dW of p2 = softmax(W (L3, 0)) is in the first column alone, that of p1 at rows of 0 is 0.
    result.unlabeled.backward()
    assert bool(model.weight.grad.abs().sum() > 0.01) is not detach


def test_temporal_ensembling():
    model = identity()
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2))
    noise = noise_in_turn(0.0, L3, L9)
    method = method_class("temporal-ensembling")(augment=noise)
    assert losses(method, model, batch).unlabeled.item() == 0.0  # no target yet
    second = method(model, batch).unlabeled.item()
    assert second == pytest.approx(0.0625)  # (.75, .25) against (.5, .5)
    # Z = (.6 (.4 .5) + .4 .75) = .42; over 1 - .36 = .65625; against .9.
    assert method(model, batch).unlabeled.item() == pytest.approx((0.9 - 0.42 / 0.64) ** 2)


def test_mean_teacher():
    model = identity()
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(3, 2))
    method = method_class("mean-teacher")(augment=noise_in_turn(L3, L3))
    assert losses(method, model, batch).unlabeled.item() == pytest.approx(0.0)
    with torch.no_grad():
        model.weight.mul_(3)  # (L3, 0) now has logits (3 log 3, 0): 27/28
    method.after_step(model)  # the teacher's weight is the mean, 2: 9/10
    assert method(model, batch).unlabeled.item() == pytest.approx((27 / 28 - 0.9) ** 2, rel=1e-5)


def test_vat():
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2))
    result = losses("vat", batch=batch, eps=L3 / math.sqrt(2) * 2, entropy_weight=0.5)
    # The direction is (1, -1) / sqrt(2), either way: logits (L3, -L3) give (.9, .1), from (.5, .5).
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert result.unlabeled.item() == pytest.approx(expected + 0.5 * LOG2, rel=1e-5)


def test_vat_moves_rows_by_a_share_of_their_spread():
    batch = Batch(torch.tensor([[3.0, 4.0]]), torch.tensor([0]), torch.tensor([[-3.0, -4.0]]))
    method = method_class("vat")()
    assert float(method._eps(torch.cat([batch.x, batch.u]))) == pytest.approx(0.2 * 5)


def swapped(monkeypatch, module, *parts):
    """Fix what is random: weights of mixup, and partners in reverse order."""
    weights = iter(parts)
    monkeypatch.setattr(
        module, "mixing_weights", lambda alpha, n, like: torch.as_tensor(next(weights))
    )
    monkeypatch.setattr(torch, "randperm", lambda n, **options: torch.arange(n).flip(0))


def test_ict(monkeypatch):
    swapped(monkeypatch, ict, [0.25, 0.5])  # labelled, unlabelled
    model = identity()
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor([[L9, 0.0], [0.0, 0.0]]))
    method = method_class("ict")()
    result = losses(method, model, batch)
    assert result.unlabeled.item() == pytest.approx(0.0, abs=1e-12)  # a linear model interpolates
    # Mixed rows have logits (.25 L3, 0) and (.75 L3, 0), mixed classes (.25, .75) and (.75, .25).
    p, q = 3**0.25 / (1 + 3**0.25), 3**0.75 / (1 + 3**0.75)
    expected = 0.25 * (-math.log(p) - math.log(1 - q)) / 2
    expected += 0.75 * (-math.log(1 - p) - math.log(q)) / 2
    assert result.labeled.item() == pytest.approx(expected)
    swapped(monkeypatch, ict, [0.25, 0.5])
    with torch.no_grad():
        model.weight.mul_(2)
    # The student says softmax(2 (L3, 0)) = .9 at the mean of the rows; the teacher, still the
    # identity, has logits (L9, 0) and (0, 0), of which softmax of the mean is .75.
    assert method(model, batch).unlabeled.item() == pytest.approx((0.9 - 0.75) ** 2)


def test_mixmatch(monkeypatch):
    # Rows: x, u, u (two views). Partners reversed, so that x mixes with the last view.
    swapped(monkeypatch, mixmatch, [0.25, 0.9, 1.0])
    batch = Batch(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([[L3, 0.0]]))
    noise = noise_in_turn(0.0, 0.0, -L3)  # x; views (.75, .25) and (.5, .5), of mean (.625, .375)
    result = losses("mixmatch", batch=batch, augment=noise)
    q = 0.625**2 / (0.625**2 + 0.375**2)
    # l' = max(.25, .75): rows 3/4 (0, 0) + 1/4 (0, 0), targets 3/4 (0, 1) + 1/4 (q, 1 - q).
    assert result.labeled.item() == pytest.approx(LOG2)
    # The first view mixes with itself, and the last, of weight 1, stays itself.
    expected = ((0.75 - q) ** 2 + (0.5 - q) ** 2) / 2
    assert result.unlabeled.item() == pytest.approx(expected, rel=1e-5)
    assert result.weight == 75.0


def test_mixmatch_mixes_targets_of_labelled_rows(monkeypatch):
    swapped(monkeypatch, mixmatch, [0.75, 0.75, 0.75])
    batch = Batch(torch.tensor([[L9, 0.0]]), torch.tensor([0]), torch.tensor([[0.0, L9]]))
    result = losses("mixmatch", batch=batch, augment=unchanged, temperature=1.0)
    # x' = .75 (L9, 0) + .25 (0, L9), y' = .75 (1, 0) + .25 (.1, .9).
    z = 0.5 * L9
    p, y = math.exp(z) / (1 + math.exp(z)), 0.75 + 0.25 * 0.1
    assert result.labeled.item() == pytest.approx(-y * math.log(p) - (1 - y) * math.log(1 - p))


def views(batch):
    """Weak views are the rows, strong ones have a logit of log 3 for class 1."""
    return {"weak": unchanged, "strong": lambda x: x * 0 + torch.tensor([0.0, L3])}


def test_fixmatch():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    result = losses("fixmatch", batch=batch, threshold=0.7, **views(batch))
    # Sure are the first (class 1, -log .75) and second (class 0, -log .25) of FOUR rows.
    assert result.unlabeled.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 4)
    assert result.labeled.item() == pytest.approx(LABELED)
    assert result.weight == 1.0
    assert [float(x) for x in result.facts["pseudo_label_share"]] == [2.0, 4.0]


@pytest.mark.parametrize("name", ["fixmatch", "uda", "defixmatch"])
def test_labels_carry_no_gradient(name):
    # Strong views of zeros have logits that do not depend on the weight, weak ones do.
    model, batch = identity(), Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    result = losses(name, model, batch, threshold=0.0, weak=unchanged, strong=lambda x: 0 * x)
    result.unlabeled.backward()
    assert not model.weight.grad.any()


def test_fixmatch_aligned():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor([[L3, 0.0]]))
    aligned = DistributionAlignment()
    result = losses("fixmatch", batch=batch, threshold=0.7, alignment=aligned, **views(batch))
    # One row of (.75, .25), which is the mean too: aligned to (.5, .5), below the threshold.
    assert result.unlabeled.item() == 0.0


def test_uda():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    result = losses("uda", batch=batch, threshold=0.7, temperature=0.5, **views(batch))
    # Sharpened by squares: (1/82, 81/82) and (.9, .1); against (.25, .75), over FOUR rows.
    first = 1 / 82 * math.log(4 / 82) + 81 / 82 * math.log(81 / 82 * 4 / 3)
    second = 0.9 * math.log(0.9 * 4) + 0.1 * math.log(0.1 * 4 / 3)
    assert result.unlabeled.item() == pytest.approx((first + second) / 4)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("linear", 0.75),
        ("log", 0.5 + 0.5 * (1 - math.exp(-2.5))),
        ("exp", 0.5 + 0.5 * math.exp(-2.5)),
    ],
)
def test_uda_leaves_out_labelled_rows_that_are_learned(kind, most):
    batch = Batch(torch.tensor([[L9, 0.0], [0.0, 0.0]]), torch.tensor([0, 0]), torch.tensor(U))
    batch.progress = 0.5
    result = losses("uda", batch=batch, annealing=kind, **views(batch))
    kept = [LOG2] + ([math.log(10 / 9)] if most >= 0.9 else [])
    assert result.labeled.item() == pytest.approx(sum(kept) / len(kept))


def test_defixmatch():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U), torch.tensor([2.0, 1.0]))
    result = losses("defixmatch", batch=batch, threshold=0.7, **views(batch))
    fixmatch = (math.log(4 / 3) + math.log(4)) / 4
    # Of the labelled rows the first is sure, of class 0: -log .25, of weight 2, over TWO rows.
    assert result.unlabeled.item() == pytest.approx(fixmatch - 2 * math.log(4) / 2)
    weak = (2 * math.log(4 / 3) + LOG2) / 2
    strong = (2 * math.log(4) + math.log(4 / 3)) / 2
    assert result.labeled.item() == pytest.approx((weak + strong) / 2)


def test_defixmatch_on_the_labelled_rows_themselves_cancels():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(X))
    result = losses("defixmatch", batch=batch, threshold=0.0, **views(batch))
    assert result.unlabeled.item() == pytest.approx(0.0)


def test_noisy_student():
    batch = Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    method = NoisyStudent(identity(), threshold=0.6, balance=False, augment=lambda x: 0 * x)
    result = losses(method, batch=batch)
    # Soft labels of the rows without noise; the student sees zeros: -log .5 for each of the two
    # sure rows, which count twice, over four rows.
    assert result.unlabeled.item() == pytest.approx(LOG2)
    torch.testing.assert_close(method.targets[:2], torch.tensor([[0.1, 0.9], [0.75, 0.25]]))
    assert method.multiplicity.tolist() == [2.0, 2.0, 0.0, 0.0]
    hard = NoisyStudent(identity(), threshold=0.6, labels="hard", augment=lambda x: 0 * x)
    losses(hard, batch=batch)
    assert hard.targets[:2].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_noisy_student_balances_by_repeating_and_by_leaving_out():
    p = torch.tensor([[0.9, 0.1]] * 3 + [[0.8, 0.2]] * 3 + [[0.1, 0.9]] * 2 + [[0.55, 0.45]] * 2)
    m = multiplicities(p, 0.6, balance=True)
    # Six rows of class 0 and two of class 1: four of each, the surest of class 0, twice class 1.
    counts = torch.tensor([1.0, 1, 1, 1, 0, 0, 2, 2, 0, 0])
    torch.testing.assert_close(m, counts * 10 / 8)
    assert not multiplicities(p, 0.95, balance=True).any()


def test_noisy_student_begins_rounds_with_a_fresh_student():
    model, batch = identity(), Batch(torch.tensor(X), torch.tensor(Y), torch.tensor(U))
    method = NoisyStudent(rounds=2, augment=unchanged, threshold=0.0)
    assert losses(method, model, batch).unlabeled.item() == 0.0  # a teacher is being trained
    optimizer = torch.optim.Adam(model.parameters())
    model.weight.grad = torch.ones(2, 2)
    optimizer.step()
    with torch.no_grad():
        model.weight.copy_(2 * torch.eye(2))
    method.after_step(model, optimizer, progress=1 / 6)
    assert torch.equal(model.weight, 2 * torch.eye(2))
    method.after_step(model, optimizer, progress=1 / 3)
    assert torch.equal(model.weight, torch.eye(2)) and not optimizer.state
    torch.testing.assert_close(method.targets[1], torch.tensor([0.9, 0.1]))  # of logits 2 (L3, 0)
    assert method(model, batch).unlabeled.item() > 0
    # The last step of the training begins no round.
    method.after_step(model, optimizer, progress=2 / 3)
    method.targets.zero_()
    method.after_step(model, optimizer, progress=1.0)
    assert not method.targets.any()


def test_cross_consistency(monkeypatch):
    shift = torch.tensor([L3, 0.0])
    monkeypatch.setitem(cross_consistency.PERTURBATIONS, "noise", lambda z, head: z + shift)
    monkeypatch.setattr(cross_consistency, "_new", lambda head: identity())
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(2, 2))
    result = losses("cross-consistency", batch=batch, perturbations=["noise"])
    # The main head says (.5, .5), both auxiliary ones (.75, .25).
    assert result.unlabeled.item() == pytest.approx(0.0625)
    assert result.weight == 30.0


def test_cross_consistency_trains_encoder_and_auxiliary_heads_only():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    method = method_class("cross-consistency")()
    losses(method, model).unlabeled.backward()
    assert model[0].weight.grad.any() and model[2].weight.grad is None
    assert all(head.weight.grad.any() for head in method.heads)


def test_mlsn_parts():
    assert float(mlsn.focal_loss(torch.tensor([L9]), torch.tensor([True]))) == pytest.approx(
        0.01 * math.log(10 / 9), rel=1e-5
    )
    assert float(mlsn.focal_loss(torch.tensor([L9]), torch.tensor([False]))) == pytest.approx(
        0.81 * math.log(10), rel=1e-5
    )
    # p_1 . p_2 = .75 .1 + .25 .9 = .3: of different groups -log .7, of one -log .3.
    logits = torch.tensor([[L3, 0.0], [0.0, L9]])
    for groups, expected in ((torch.tensor([4, 7]), 0.7), (torch.tensor([4, 4]), 0.3)):
        loss = mlsn.weak_label_loss(logits, groups)
        assert loss.item() == pytest.approx(-math.log(expected), rel=1e-5)


def test_mlsn(monkeypatch):
    monkeypatch.setattr(mlsn.SimilarityNetwork, "forward", lambda self, a, b: (a * b).sum(-1))
    x = torch.tensor([[L9, 0.0], [0.0, 1.0]])
    batch = Batch(x, torch.tensor([0, 1]), torch.tensor([[1.0, 0.0]]))
    options = {"augment": unchanged, "ramp": Constant(), "similarity_weight": 0.0}
    options |= {"cotraining_ramp": Constant()}
    result = losses("mlsn", batch=batch, gate=0.85, **options)
    # Similarities of (1, 0) to the centres (L9, 0) and (0, 1): log 9 and 0, of softmax (.9, .1).
    # The classifier says (e, 1) / (1 + e). Student and teacher agree.
    p = math.e / (1 + math.e)
    expected = -0.9 * math.log(p) - 0.1 * math.log(1 - p)
    assert result.unlabeled.item() == pytest.approx(expected, rel=1e-5)
    assert losses("mlsn", batch=batch, gate=0.95, **options).unlabeled.item() == pytest.approx(0.0)
    alone = Batch(batch.x[:1], batch.y[:1], batch.u)  # class 1 has no row: probability 0
    result = losses("mlsn", batch=alone, gate=0.85, **options)
    assert result.unlabeled.item() == pytest.approx(-math.log(p), rel=1e-5)


def test_mlsn_of_weak_labels_goes_by_the_classes_that_the_classifier_finds(monkeypatch):
    monkeypatch.setattr(mlsn.SimilarityNetwork, "forward", lambda self, a, b: (a * b).sum(-1))
    x, u = torch.tensor([[L9, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    options = {"augment": unchanged, "ramp": Constant(), "labels": "pairs", "gate": 0.85}
    values = []
    for y in ([0, 1], [1, 0]):  # the same pairs, under other names
        options |= {"similarity_weight": 0.0, "cotraining_ramp": Constant()}
        with pytest.warns(UserWarning, match="which output stands for which class"):
            result = losses("mlsn", batch=Batch(x, torch.tensor(y), u), **options)
        values.append((result.labeled.item(), result.unlabeled.item()))
    assert values[0] == values[1] and values[0][1] > 0

    # The two labelled rows differ, as is known; the unlabelled one is as the first, as is found.
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([[0, 0, 1], [1, 2, 0]]))
    options |= {"similarity_weight": 1.0, "similarity_ramp": Constant(), "cotraining_weight": 0.0}
    expected = mlsn.focal_loss(torch.tensor([0.0, L9, 0.0]), torch.tensor([False, True, False]))
    for y in ([0, 1], [1, 0]):
        with pytest.warns(UserWarning, match="which output stands for which class"):
            result = losses("mlsn", batch=Batch(x, torch.tensor(y), u), **options)
        assert result.unlabeled.item() == pytest.approx(expected.item())


def test_mlsn_soft_labels_carry_no_gradient():
    torch.manual_seed(0)
    options = {"similarity_weight": 0.0, "cotraining_ramp": Constant(), "gate": 0.0}
    method = method_class("mlsn")(augment=unchanged, **options)
    losses(method).unlabeled.backward()
    assert all(p.grad is None or not p.grad.any() for p in method.similarity.parameters())


def test_averages_and_buffers():
    from semideep_ext.ssl.averages import WeightAverage

    model = nn.BatchNorm1d(1)
    copied, own = WeightAverage(model, 0.5), WeightAverage(model, 0.5, "own")
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_mean.fill_(7.0)
    for average, mean in ((copied, 7.0), (own, 0.0)):
        average.update(model, 1)
        assert average.module.weight.item() == 2.0
        assert average.module.running_mean.item() == mean
        assert not average.module.weight.requires_grad
    with pytest.raises(ValueError, match="other parameters"):
        copied.update(nn.Linear(1, 1), 1)
    with pytest.raises(ValueError, match="decay=1 of an average"):
        WeightAverage(model, 1)
