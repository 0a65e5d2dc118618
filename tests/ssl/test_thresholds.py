"""Thresholds and alignment, step by step, beside formulas written out."""

import math

import pytest
import torch

from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.fixmatch import FixMatch
from semideep_ext.ssl.thresholds import (
    FixedThreshold,
    FlexMatchThreshold,
    FreeMatchThreshold,
    SoftMatchThreshold,
)

CPU = torch.device("cpu")
P = torch.tensor([[0.96, 0.04], [0.1, 0.9], [0.6, 0.4]])


def test_fixed_is_at_least():
    threshold = FixedThreshold(0.75)
    threshold.start(2, 10, CPU)
    assert threshold(torch.tensor([[0.75, 0.25], [0.7499, 0.2501]])).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"value=1.5"):
        FixedThreshold(1.5)


def test_flexmatch_lowers_the_threshold_of_classes_learned_slowly():
    threshold = FlexMatchThreshold(0.9)
    threshold.start(2, 10, CPU)
    # Nothing is known: thresholds are 0, and every row is in use.
    assert threshold.thresholds().tolist() == [0.0, 0.0]
    assert threshold(P, torch.tensor([0, 1, 2])).tolist() == [1.0, 1.0, 1.0]
    # Rows 0 and 1 were sure; 8 of 10 rows never: beta = 1/8.
    expected = 0.9 * (1 / 8) / (2 - 1 / 8)
    torch.testing.assert_close(threshold.thresholds(), torch.tensor([expected] * 2))
    # Seven more rows become sure of class 0: beta = 1 and 1/8.
    sure = torch.tensor([[0.99, 0.01]]).expand(7, 2)
    threshold(sure, torch.arange(3, 10))
    torch.testing.assert_close(threshold.thresholds(), torch.tensor([0.9, expected]))
    mask = threshold(torch.tensor([[0.89, 0.11], [0.4, 0.6]]), torch.tensor([2, 2]))
    assert mask.tolist() == [0.0, 1.0]
    # A row that is sure of another class now counts there.
    threshold(torch.tensor([[0.05, 0.95]]), torch.tensor([3]))
    counts = threshold.selected.bincount(minlength=3).tolist()
    assert counts == [7, 2, 1]


def test_flexmatch_without_warm_up_and_without_numbers():
    threshold = FlexMatchThreshold(0.9, warm_up=False)
    threshold.start(2, 10, CPU)
    threshold(P, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(threshold.thresholds(), torch.tensor([0.9, 0.9]))
    with pytest.raises(ValueError, match=r"u_index="):
        threshold(P)


def test_freematch_follows_confidence_and_classes():
    threshold = FreeMatchThreshold(decay=0.5, fairness=0.1)
    threshold.start(2, 10, CPU)
    mask = threshold(P)
    tau = 0.5 * 0.5 + 0.5 * (0.96 + 0.9 + 0.6) / 3
    mean = [0.25 + 0.5 * 1.66 / 3, 0.25 + 0.5 * 1.34 / 3]
    assert threshold.confidence.item() == pytest.approx(tau)
    assert threshold.mean.tolist() == pytest.approx(mean)
    assert threshold.shares.tolist() == pytest.approx([0.25 + 1 / 3, 0.25 + 1 / 6])
    # Thresholds tau (.66) and tau mean_1 / mean_0 (.60): the last row's .6 is below the first.
    assert mask.tolist() == [1.0, 1.0, 0.0]


def test_freematch_fairness_term():
    threshold = FreeMatchThreshold(decay=0.5, fairness=0.1)
    threshold.start(2, 10, CPU)
    threshold(P)
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(9)], [5.0, 0.0]], requires_grad=True)
    term = threshold.penalty(torch.tensor([1.0, 1.0, 0.0]), logits)
    a = threshold.mean / threshold.shares
    a = a / a.sum()
    b = torch.tensor([(0.75 + 0.1) / 2, (0.25 + 0.9) / 2]) / 0.5  # one row predicts each class
    b = b / b.sum()
    assert term.item() == pytest.approx(0.1 * (a * b.log()).sum().item())
    term.backward()
    assert logits.grad[:2].abs().sum() > 0 and not logits.grad[2].any()
    assert threshold.penalty(torch.zeros(3), logits) is None
    off = FreeMatchThreshold(fairness=0.0)
    off.start(2, 10, CPU)
    assert off.penalty(torch.ones(3), logits) is None


def test_softmatch_weighs_by_a_truncated_gaussian():
    threshold = SoftMatchThreshold(n_sigma=2.0, decay=0.5)
    threshold.start(2, 10, CPU)
    w = threshold(P)
    confidence = torch.tensor([0.96, 0.9, 0.6])
    mean = 0.5 * 0.5 + 0.5 * confidence.mean()
    variance = 0.5 * 1.0 + 0.5 * confidence.var()
    below = confidence[2] - mean
    assert w[:2].tolist() == [1.0, 1.0]
    assert w[2].item() == pytest.approx(math.exp(-4 * below**2 / (2 * variance)))
    assert 0 < w[2] < 1
    threshold(P[:1])  # of one row there is no variance
    assert threshold.variance.item() == pytest.approx(variance.item())


def test_alignment_makes_classes_as_frequent_as_the_target():
    uniform = DistributionAlignment("uniform", decay=0.5)
    uniform.start(2, CPU)
    p = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    aligned = uniform(p, P)
    torch.testing.assert_close(uniform.mean, torch.tensor([0.8, 0.2]))
    expected = p * torch.tensor([0.5 / 0.8, 0.5 / 0.2])
    torch.testing.assert_close(aligned, expected / expected.sum(1, keepdim=True), atol=1e-5, rtol=0)
    uniform(torch.tensor([[0.2, 0.8]]), P)
    torch.testing.assert_close(uniform.mean, torch.tensor([0.5, 0.5]))
    labeled = DistributionAlignment("labeled", decay=0.5)
    labeled.start(2, CPU)
    labeled(p, P)
    torch.testing.assert_close(labeled.wanted, 0.25 + 0.5 * P.mean(0))
    with pytest.raises(ValueError, match="'uniform' or 'labeled'"):
        DistributionAlignment("none")


@pytest.mark.parametrize(
    "threshold", [FlexMatchThreshold(), FreeMatchThreshold(), SoftMatchThreshold()]
)
def test_fixmatch_takes_any_threshold_and_remembers_with_it(threshold):
    from cases import data_of, draw, network

    torch.manual_seed(0)
    model, batch = network(), draw()
    method = FixMatch(threshold=threshold, alignment=DistributionAlignment())
    method.start(model, data_of(batch))
    before = {k: v.clone() for k, v in method.state_dict().items()}
    method(model, batch).total.backward()
    changed = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
    assert any(key.startswith("alignment.") for key in changed)
    if not isinstance(threshold, FlexMatchThreshold):  # of which no row was sure
        assert any(key.startswith("threshold.") for key in changed)
