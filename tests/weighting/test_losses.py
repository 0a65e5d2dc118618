"""Promises of semideep_ext.weighting.losses: L = (1/N) sum_i w_i loss_i, whatever the base loss."""

import functools

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from semideep_ext.weighting.losses import (
    WeightedBCEWithLogitsLoss,
    WeightedCrossEntropyLoss,
    WeightedLoss,
)

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.5], [3.0, -3.0, 1.0]])
TARGETS = torch.tensor([0, 2, 1, 0])
WEIGHTS = torch.tensor([1.0, 0.5, 0.0, 2.0])
ROWS = cross_entropy(LOGITS, TARGETS, reduction="none")


def test_value_equals_the_one_computed_by_hand():
    # two rows, equal logits over 2 classes: loss ln 2 each; (1 * ln 2 + 3 * ln 2) / 2
    loss = WeightedLoss()(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(2 * 0.6931471805599453)


def test_the_mean_divides_by_rows_not_by_the_sum_of_weights():
    loss = WeightedLoss()(LOGITS, TARGETS, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * ROWS).sum() / 4)


def test_reduction_sum_adds_the_rows():
    loss = WeightedLoss(reduction="sum")(LOGITS, TARGETS, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * ROWS).sum())


def test_reduction_none_gives_a_loss_per_row():
    loss = WeightedLoss(reduction="none")(LOGITS, TARGETS, WEIGHTS)
    torch.testing.assert_close(loss, WEIGHTS * ROWS)


def test_the_reduction_is_mean_by_default():
    assert WeightedLoss(nn.CrossEntropyLoss()).reduction == "mean"


def test_without_weights_it_is_the_base_loss():
    torch.testing.assert_close(WeightedLoss()(LOGITS, TARGETS), cross_entropy(LOGITS, TARGETS))


def test_unknown_reductions_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="'avg': choose one of none, mean, sum"):
        WeightedLoss(reduction="avg")


def test_the_argument_keeps_its_reduction():
    base = nn.CrossEntropyLoss()
    WeightedLoss(base)(LOGITS, TARGETS, WEIGHTS)
    assert base.reduction == "mean"


def test_the_argument_keeps_its_buffers_when_the_loss_is_converted():
    base = nn.CrossEntropyLoss(weight=torch.ones(3))
    WeightedLoss(base).double()
    assert base.weight.dtype == torch.float32


def test_a_module_without_reduction_is_used_as_it_is():
    class Squares(nn.Module):
        def forward(self, predictions, targets):
            return (predictions - targets) ** 2

    loss = WeightedLoss(squares := Squares())
    assert loss.base_loss is squares
    assert loss(torch.tensor([1.0, 2.0]), torch.zeros(2), torch.ones(2)).item() == 2.5


def test_a_callable_with_a_loss_per_row_works():
    base = functools.partial(cross_entropy, reduction="none")
    loss = WeightedLoss(base)(LOGITS, TARGETS, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * ROWS).mean())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_callable_that_reduces_is_refused_with_the_remedy(weights):
    with pytest.raises(ValueError, match=r"shape \(\) for 4 rows.*reduction='none'"):
        WeightedLoss(cross_entropy)(LOGITS, TARGETS, weights)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (3,), (), (4, 3)])
def test_weights_of_another_shape_are_refused_with_the_shapes(shape):
    with pytest.raises(ValueError, match=r"weights of shape .* shape \(4,\)"):
        WeightedLoss()(LOGITS, TARGETS, torch.ones(shape))


def test_weights_of_one_row_do_not_broadcast():
    with pytest.raises(ValueError, match="weights of shape"):
        WeightedLoss()(LOGITS, TARGETS, torch.ones(1))


def test_float64_weights_keep_a_float32_loss():
    assert WeightedLoss()(LOGITS, TARGETS, WEIGHTS.double()).dtype == torch.float32


def test_weights_may_be_a_numpy_array():
    loss = WeightedLoss()(LOGITS, TARGETS, WEIGHTS.numpy())
    torch.testing.assert_close(loss, (WEIGHTS * ROWS).mean())


def test_gradients_reach_the_weights():
    weights = WEIGHTS.clone().requires_grad_()
    WeightedLoss()(LOGITS, TARGETS, weights).backward()
    torch.testing.assert_close(weights.grad, ROWS / 4)


def test_a_row_of_weight_zero_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    WeightedLoss()(logits, TARGETS, WEIGHTS).backward()
    assert logits.grad[2].abs().sum() == 0


def test_sequence_losses_are_averaged_per_row():
    logits, targets = torch.randn(4, 3, 5), torch.randint(3, (4, 5))
    rows = cross_entropy(logits, targets, reduction="none").mean(1)
    loss = WeightedCrossEntropyLoss()(logits, targets, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * rows).mean())


def test_multi_label_losses_are_averaged_per_row():
    targets = torch.randint(2, (4, 3))
    rows = binary_cross_entropy_with_logits(LOGITS, targets.float(), reduction="none").mean(1)
    loss = WeightedBCEWithLogitsLoss()(LOGITS, targets, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * rows).mean())


@pytest.mark.parametrize("option", ["label_smoothing", "weight", "ignore_index"])
def test_cross_entropy_options_reach_torch(option):
    value = {"label_smoothing": 0.2, "weight": torch.tensor([1.0, 2.0, 3.0]), "ignore_index": 2}
    options = {option: value[option]}
    rows = cross_entropy(LOGITS, TARGETS, reduction="none", **options)
    loss = WeightedCrossEntropyLoss(**options)(LOGITS, TARGETS, WEIGHTS)
    torch.testing.assert_close(loss, (WEIGHTS * rows).mean())


@pytest.mark.parametrize("predictions_shape", [(4,), (4, 1)])
@pytest.mark.parametrize("targets_shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float64])
def test_binary_loss_takes_targets_of_any_dtype_and_column(predictions_shape, targets_shape, dtype):
    logits, targets = LOGITS[:, 0], torch.tensor([0, 1, 1, 0])
    rows = binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    loss = WeightedBCEWithLogitsLoss()(
        logits.reshape(predictions_shape), targets.to(dtype).reshape(targets_shape), WEIGHTS
    )
    torch.testing.assert_close(loss, (WEIGHTS * rows).mean())


def test_a_plain_bce_module_takes_integer_targets_too():
    loss = WeightedLoss(nn.BCEWithLogitsLoss())(LOGITS[:, :1], torch.tensor([0, 1, 1, 0]))
    assert loss.isfinite()


def test_binary_loss_refuses_one_target_for_many_outputs():
    with pytest.raises(ValueError, match=r"\(4, 3\) and targets of shape \(4,\)"):
        WeightedBCEWithLogitsLoss()(LOGITS, TARGETS, WEIGHTS)


@pytest.mark.parametrize("loss", [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_a_regression_loss_takes_a_column_for_its_numbers(loss, dtype):
    predictions, targets = torch.tensor([[1.0], [5.0]]), torch.tensor([0, 3], dtype=dtype)
    expected = loss(reduction="none")(predictions.ravel(), targets.float())
    weighted = WeightedLoss(loss(), reduction="none")
    torch.testing.assert_close(weighted(predictions, targets), expected)
    torch.testing.assert_close(weighted(predictions.ravel(), targets[:, None]), expected)


def test_a_regression_loss_refuses_to_broadcast():
    with pytest.raises(ValueError, match=r"\(4, 3\) and targets of shape \(4,\)"):
        WeightedLoss(nn.MSELoss())(torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("loss", ["mse", 3, nn.MSELoss])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match="give a module that is built"):
        WeightedLoss(loss)


def test_pos_weight_multiplies_the_positive_class():
    loss = WeightedBCEWithLogitsLoss(pos_weight=torch.tensor(5.0))
    assert loss(torch.zeros(1), torch.ones(1)).item() == pytest.approx(5 * 0.6931472)
