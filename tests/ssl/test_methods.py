"""Promises that every semi-supervised method keeps; the list of methods is the test's, too."""

import copy
import inspect

import pytest
import torch
from cases import CLASSES, NAMES, B, U, data_of, draw, make, network, started
from torch import nn

from semideep_ext.ssl.method import Batch, Method
from semideep_ext.ssl.methods import make_method, method_class
from semideep_ext.ssl.ramps import Constant, Linear, Sigmoid


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def gradients(model):
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", NAMES)
def test_the_unlabelled_loss_moves_the_student_and_no_teacher(name):
    model, batch = network(dropout=True), draw()
    method = started(name, model, batch)
    frozen = {k: v.clone() for k, v in method.named_parameters() if not v.requires_grad}
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer.zero_grad()
    method(model, batch).unlabeled.backward()
    assert sum(float(g.abs().sum()) for g in gradients(model)) > 1e-4
    assert all(p.grad is None for k, p in method.named_parameters() if k in frozen)
    optimizer.step()
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    for key, value in frozen.items():
        assert torch.equal(method.get_parameter(key), value), f"{key} moved with the optimizer"


@pytest.mark.parametrize("name", NAMES)
def test_the_first_layer_learns_from_unlabelled_rows(name):
    # A loss whose gradient ends at the head, say because features were detached, trains no encoder.
    model, batch = network(dropout=True), draw()
    method = started(name, model, batch)
    method(model, batch).unlabeled.backward()
    assert model[0].weight.grad.abs().sum() > 1e-5


@pytest.mark.parametrize("name", ["mean-teacher", "ict", "mlsn"])
def test_a_teacher_follows_by_the_published_rule(name):
    model, batch = network(), draw()
    method = started(name, model, batch, decay=0.6)
    first = model[0].weight.detach().clone()
    average = first.clone()
    for step in (1, 2, 3):
        with torch.no_grad():
            model[0].weight += step
        method.after_step(model, progress=0.0)
        a = min(1 - 1 / (step + 1), 0.6)  # 1/2, .6, .6
        average = a * average + (1 - a) * model[0].weight.detach()
        torch.testing.assert_close(method.evaluated(model)[0].weight, average)
    assert not torch.equal(method.evaluated(model)[0].weight, first)


@pytest.mark.parametrize("name", NAMES)
def test_an_average_is_evaluated_where_one_is_asked_for(name):
    if "ema" not in inspect.signature(method_class(name)).parameters:
        pytest.skip("its teacher is evaluated")
    model, batch = network(), draw()
    method = started(name, model, batch, ema=0.5)
    kept = copy.deepcopy(model)
    with torch.no_grad():
        model[0].weight += 1
    method.after_step(model, progress=0.0)
    torch.testing.assert_close(method.evaluated(model)[0].weight, kept[0].weight + 0.5)
    method = started(name, model, batch, ema=None)
    assert method.evaluated(model) is model


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_at_the_first_the_middle_and_the_last_step(name):
    steps, model, batch = 100, network(), draw()
    if name == "noisy-student":
        pytest.skip("rounds take the place of a ramp")
    for ramp, expected in (
        (Constant(), [1, 1, 1]),
        (Linear(0.25, 0.75), [0, 0.5, 1]),
        (Sigmoid(0.8), [0.0067, 0.4950, 1]),  # exp(-5), exp(-5 (3/8)^2)
    ):
        method = make(name, ramp=ramp, weight=4.0)
        method.start(model, data_of(batch))
        weights = []
        for step in (0, 50, 99):
            weights.append(method.weight_at(step / steps))
        assert weights == pytest.approx([4 * e for e in expected], abs=1e-3)
    assert 0.0 <= method_class(name)().ramp(0.0) <= method_class(name)().ramp(1.0) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_the_total_is_the_labelled_loss_and_the_weighted_other(name):
    model, batch = network(), draw()
    method = started(name, model, batch)
    losses = method(model, batch)
    expected = losses.labeled + losses.weight * losses.unlabeled
    torch.testing.assert_close(losses.total, expected)
    assert losses.total.requires_grad and losses.unlabeled.ndim == losses.labeled.ndim == 0


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_rows_weigh_the_labelled_loss(name):
    model, batch = network(), draw()
    batch.w = torch.zeros(B)
    method = started(name, model, batch)
    assert method(model, batch).labeled.item() == 0.0
    batch.w = torch.full((B,), 2.0)
    torch.manual_seed(1)
    doubled = method(model, batch).labeled
    batch.w = None
    torch.manual_seed(1)
    torch.testing.assert_close(doubled, 2 * method(model, batch).labeled)


@pytest.mark.parametrize("name", NAMES)
def test_one_logit_does_for_two_classes(name):
    model, batch = network(1), draw(classes=2)
    method = make(name, **({"teacher": network(1)} if name == "noisy-student" else {}))
    method.start(model, data_of(batch, 2))

    def supervised(outputs, y, w):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], y.float())

    batch.supervised = supervised
    method(model, batch)
    loss = method(model, batch).total
    assert loss.isfinite()
    loss.backward()
    assert model[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_a_method_is_all_that_it_remembers(name):
    model, batch = network(), draw()
    first = started(name, model, batch)
    first.after_step(model, progress=0.5)
    second = make(name)
    second.start(network(), data_of(batch))
    second.load_state_dict(first.state_dict())
    results = []
    for method in (first, second):
        torch.manual_seed(7)
        twin = copy.deepcopy(model)
        losses = [method(twin, batch) for _ in range(2)]
        results.append(torch.stack([x for one in losses for x in (one.labeled, one.unlabeled)]))
    assert torch.equal(*results)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_an_attribute_and_a_setting(name):
    method = make(name)
    names = list(inspect.signature(method_class(name)).parameters)
    assert set(method.settings()) == {"method", *names}
    assert method.name == name
    for preset in method_class(name).presets:
        assert isinstance(method_class(name).preset(preset), Method)
    with pytest.raises(ValueError, match="no preset 'mars'"):
        method_class(name).preset("mars")


@pytest.mark.parametrize("name", NAMES)
def test_a_method_that_is_not_started_says_so(name):
    with pytest.raises(RuntimeError, match=r"not started: call start\(model, Data"):
        make(name)(network(), draw())


@pytest.mark.parametrize("name", NAMES)
def test_regression_is_offered_by_three_and_refused_by_the_others(name):
    batch = draw()
    batch.y = torch.randn(B)
    batch.predict = lambda outputs: outputs
    batch.supervised = lambda outputs, y, w: nn.functional.mse_loss(outputs[:, 0], y)
    model, method = network(1), make(name)
    if name not in ("pi-model", "mean-teacher", "ict"):
        with pytest.raises(ValueError, match="choose PiModel, MeanTeacher or ICT"):
            method.start(model, data_of(batch, None))
        return
    method.start(model, data_of(batch, None))
    losses = method(model, batch)
    losses.unlabeled.backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert make(name, weight=None).weight is None
    default = make(name, weight=None)
    default.start(model, data_of(batch, None))
    assert default.weight_at(1.0) == 1.0


@pytest.mark.parametrize("name", ["pi-model", "mean-teacher", "temporal-ensembling", "mlsn"])
def test_the_default_weight_is_a_hundred_times_the_labelled_share(name):
    model, batch = network(), draw()
    method = make(name, weight=None)
    method.start(model, data_of(batch))
    assert method.weight_at(1.0) == pytest.approx(100 * B / (B + U))


# Which rows the running statistics of batch norm follow, as each docstring says: how often the
# student's are updated in a step, and by how many rows each time.
NORMALISED = {
    "pseudo-label": [B + U],
    "entropy": [B + U],
    "pi-model": [B + U],
    "temporal-ensembling": [B + U],
    "mean-teacher": [B + U],
    "vat": [B + U],
    "ict": [B + U],
    "mixmatch": [B],
    "fixmatch": [B + 2 * U],
    "uda": [B + 2 * U],
    "defixmatch": [2 * (B + U)],
    "noisy-student": [B + U],
    "cross-consistency": [B + U],
    "mlsn": [B + U],
}


@pytest.mark.parametrize("name", NAMES)
def test_batch_norm_follows_the_rows_that_the_docstring_names(name):
    model, batch = network(norm=True), draw()
    method = started(name, model, batch)
    norm, updates = model[1], []

    def record(module, inputs, output):
        if module.training and module.track_running_stats:
            updates.append(len(inputs[0]))

    handle = norm.register_forward_hook(record)
    count, mean = int(norm.num_batches_tracked), norm.running_mean.clone()
    method(model, batch)
    handle.remove()
    assert updates == NORMALISED[name]
    assert int(norm.num_batches_tracked) - count == len(updates)
    assert not torch.equal(norm.running_mean, mean)
    assert norm.track_running_stats


@pytest.mark.parametrize("name", ["mean-teacher", "ict", "mlsn"])
def test_a_teacher_trains_its_own_statistics_and_keeps_them(name):
    model, batch = network(norm=True), draw()
    method = started(name, model, batch)
    teacher = method.evaluated(model)
    assert teacher[1].num_batches_tracked == 1
    own = teacher[1].running_mean.clone()
    assert own.abs().sum() > 0
    method.after_step(model)
    assert torch.equal(teacher[1].running_mean, own)


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_any_two_sizes_do(name):
    model, batch = network(), draw()
    method = started(name, model, batch)
    for b, u in ((1, 8), (5, 1)):
        part = Batch(
            batch.x[:b],
            batch.y[:b],
            batch.u[:u],
            x_index=batch.x_index[:b],
            u_index=batch.u_index[:u],
        )
        assert method(model, part).total.isfinite()


@pytest.mark.parametrize("name", ["temporal-ensembling", "noisy-student"])
def test_a_method_that_remembers_rows_asks_for_their_numbers(name):
    model, batch = network(), draw()
    method = started(name, model, batch)
    batch.u_index = None
    with pytest.raises(ValueError, match=r"remembers each row: give Batch\(u_index="):
        method(model, batch)


def test_a_name_that_is_no_method_is_refused_with_the_list():
    with pytest.raises(ValueError, match="choose one of pseudo-label, entropy"):
        make_method("fixmtach")
    with pytest.raises(ValueError, match="built rather than"):
        make_method(method_class("fixmatch"))
    assert make_method(make("vat")).name == "vat"


def test_facts_are_counted_over_rows_not_over_batches():
    from semideep_ext.ssl.method import Losses, Means, pseudo_label_facts

    means, zero = Means(), torch.zeros(())
    for mask in (torch.tensor([1.0]), torch.tensor([0.0, 0.0, 0.0])):
        labels = torch.zeros(len(mask), dtype=torch.int64)
        facts = pseudo_label_facts(mask, labels, labels)
        means.add(Losses(zero, zero + len(mask), 1.0, facts))
    values = means.values()
    assert values["pseudo_label_share"] == 0.25
    assert values["pseudo_label_accuracy"] == 1.0
    assert values["unlabeled_loss"] == 2.0
    assert CLASSES == 3
