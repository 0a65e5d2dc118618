"""Augmentations change rows as they say, and fit the data's scale."""

import pytest
import torch

from semideep_ext.ssl.augment import default_augmentations, each_row, in_turn
from semideep_ext.ssl.augment.tables import (
    FeatureDropout,
    GaussianNoise,
    ScarfCorruption,
    mixing_weights,
    mixup,
)

images = pytest.importorskip("kornia") and pytest.importorskip(
    "semideep_ext.ssl.augment.images", reason="kornia is not installed"
)


def table(generator, n=4000, scale=(1.0, 1000.0, 0.0)):
    return torch.randn(n, 3, generator=generator) * torch.tensor(scale) + 5


def test_noise_fits_each_column(generator):
    x = table(generator)
    noise = GaussianNoise(0.5)(x) - x
    assert noise.std(0).tolist() == pytest.approx([0.5, 500.0, 0.0], rel=0.1)
    given = GaussianNoise(0.5, deviations=torch.tensor([2.0, 2.0, 2.0]))(x[:1].expand(4000, 3))
    assert (given - x[0]).std(0).tolist() == pytest.approx([1.0] * 3, rel=0.1)


def test_nothing_is_clamped(generator):
    x = 100 * torch.randn(500, 3, generator=generator)
    weak, strong = default_augmentations(x)
    assert weak(x).min() < -100 and strong(x).max() > 100


def test_dropout_gives_the_mean_and_keeps_the_rest(generator):
    x = table(generator)
    dropped = FeatureDropout(0.3)(x)
    changed = dropped != x
    assert changed[:, :2].float().mean(0).tolist() == pytest.approx([0.3, 0.3], abs=0.05)
    assert torch.equal(dropped[changed], x.mean(0).expand_as(x)[changed])


def test_scarf_takes_values_of_the_same_column(generator):
    x = torch.arange(40.0).reshape(10, 4)
    seen = torch.zeros(10, 4, dtype=torch.bool)
    for _ in range(50):
        y = ScarfCorruption(0.5)(x)
        assert ((y.long() % 4) == torch.arange(4)).all()  # of the same column
        changed = y != x
        assert changed.sum(1).max() <= 2  # half of the columns; a row may draw its own value
        seen |= changed
    assert seen.all()
    assert torch.equal(ScarfCorruption(0.0)(x), x)


def test_scarf_draws_columns_anew_for_each_row():
    x = torch.zeros(200, 10)
    corrupted = ScarfCorruption(0.6, pool=torch.ones(1, 10))(x)
    assert corrupted.sum(1).tolist() == [6.0] * 200
    assert len(corrupted.unique(dim=0)) > 50


@pytest.mark.parametrize(
    "make", [lambda: FeatureDropout(1.1), lambda: ScarfCorruption(-0.1), lambda: GaussianNoise(-1)]
)
def test_shares_are_shares(make):
    with pytest.raises(ValueError, match="give a"):
        make()


def test_mixup():
    x, y = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    mixed = mixup(x, y, torch.tensor([0.25, 1.0]))
    assert mixed[0].unique().item() == 0.25 and mixed[1].unique().item() == 1.0
    assert mixup(x, y, 0.5).unique().item() == 0.5
    drawn = mixing_weights(0.2, 4000, torch.zeros((), dtype=torch.float64))
    assert drawn.dtype == torch.float64
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.05)
    assert drawn.var().item() == pytest.approx(1 / 5.6, abs=0.03)


def test_each_row_draws_for_each_row():
    torch.manual_seed(0)
    flip = each_row(lambda row: -row if torch.rand(()) < 0.5 else row)
    signs = flip(torch.ones(100, 1))
    assert 20 < (signs > 0).sum() < 80
    assert in_turn(torch.neg, torch.abs)(torch.ones(1)).item() == 1.0


@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_shape_dtype_and_scale(channels):
    torch.manual_seed(0)
    x = torch.randn(20, channels, 16, 12) * 3 - 1  # standardised, say: not in [0, 1]
    for change in default_augmentations(x):
        y = change(x)
        assert type(y) is torch.Tensor
        assert y.shape == x.shape and y.dtype == x.dtype and not torch.equal(x, y)
        assert y.min() >= x.min() - 1e-4 and y.max() <= x.max() + 1e-4


def test_weak_images_are_shifted_and_flipped():
    torch.manual_seed(0)
    x = torch.zeros(300, 1, 16, 16)
    x[:, 0, 8, 3] = 1.0
    shifted = images.flip_and_shift(flip=0.0, shift=0.125)(x)
    places = shifted.flatten(1).argmax(1)
    rows, columns = places // 16, places % 16
    assert {*rows.tolist()} == set(range(6, 11)) and {*columns.tolist()} == set(range(1, 6))
    flipped = images.flip_and_shift(flip=1.0, shift=0.0)(x)
    assert torch.equal(flipped, x.flip(-1))


def test_digits_are_not_flipped_by_default():
    torch.manual_seed(0)
    x = torch.zeros(100, 1, 16, 16)
    x[..., 1] = 1.0  # a line at the left stays at the left
    weak, _ = default_augmentations(x)
    assert (weak(x).mean((1, 2)).argmax(1) < 8).all()


def test_cutout_paints_a_square_grey():
    torch.manual_seed(0)
    x = torch.zeros(50, 1, 16, 16)
    x[:, :, 0] = 2.0  # the scale is [0, 2], whose middle is 1
    grey = (images.cutout(0.5)(x) == 1.0).flatten(1).sum(1)
    assert (grey == 64).all()


def test_rand_augment_changes_groups_differently():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16).expand(64, -1, -1, -1)
    changed = images.rand_augment()(x)
    assert len(changed.flatten(1).unique(dim=0)) >= 6


@pytest.mark.parametrize(
    "rows", [torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 5, 5), torch.zeros(2, 4, 5, 5)]
)
def test_rows_of_another_kind_need_functions_of_ones_own(rows):
    with pytest.raises(ValueError, match="give the method functions of a batch"):
        default_augmentations(rows)


def test_without_kornia_images_name_the_extra(run_python):
    code = (
        "import sys, torch; sys.modules['kornia'] = None\n"
        "from semideep_ext.ssl.augment import default_augmentations\n"
        "default_augmentations(torch.zeros(2, 3, 8, 8))"
    )
    error = run_python(code).stderr
    assert "pip install 'semideep_ext[ssl]'" in error
