"""Promise: on CUDA the ops behave as torch's own; without it, who asks is told what to do."""

import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from semideep_ext import (
    WeightComputer,
    distance_weights,
    kernel_matmul,
)
from semideep_ext.op import config, functional, libraries, registration, values
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import DEVICES, TOLERANCES, random_rows, relative_error
from semideep_ext.training import row_weights
from semideep_ext.training.trainer import WeightedTrainer

MIB = 2**20
each_metric = pytest.mark.parametrize("metric", METRICS)
needs_card = pytest.mark.skipif(
    "cuda" not in DEVICES, reason=f"no card: {libraries.CUDA_PROBLEM or 'none is installed'}"
)


@pytest.fixture
def on_cuda(generator):
    """Tensors are made on the card; its generator of random numbers."""
    with torch.device("cuda"):
        yield torch.Generator("cuda").manual_seed(generator.initial_seed())


# --- without a card -------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    return tmp_path / "_torch_cuda.so"


def test_a_torch_without_cuda_is_named(library, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert torch.__version__ in libraries._load_cuda(library)


@pytest.mark.parametrize(
    ("fact", "problem"),
    [
        ("none: for a reason", "has no CUDA kernels (for a reason)"),
        ("none", "has no CUDA kernels (no nvcc was found)"),
        ("13.0.88", "_torch_cuda.so, built with the nvcc of CUDA 13.0.88, was not installed"),
    ],
)
def test_a_build_without_cuda_kernels_says_why(fact, problem, library, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(libraries._C, "build_facts", lambda: {"cuda": fact})
    assert problem in libraries._load_cuda(library)


def test_a_library_that_does_not_load_says_why(library, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(libraries._C, "build_facts", lambda: {"cuda": "13.0.88"})
    library.write_bytes(b"no library")
    assert "_torch_cuda.so cannot be loaded" in libraries._load_cuda(library)
    assert "file too short" in libraries._load_cuda(library)


def test_rows_on_cuda_are_refused_with_the_reason_and_the_remedy(monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "for some reason")
    with FakeTensorMode():
        rows = torch.empty(4, 3, device="cuda:0")
        with pytest.raises(ValueError, match=r"cuda:0.* for some reason.*\.cpu\(\)") as refusal:
            distance_weights(rows, rows)
    for remedy in ("nvcc", "SEMIDEEP_CUDA=on pip install --no-build-isolation"):
        assert remedy in str(refusal.value)


def test_a_computer_on_cuda_refuses_in_the_same_way(monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "for some reason")
    with pytest.raises(ValueError, match=r"cuda.* for some reason.*SEMIDEEP_CUDA=on"):
        WeightComputer(device="cuda").compute_weights([[1.0]], [[1.0]])


def test_other_devices_are_refused_by_name():
    with pytest.raises(ValueError, match="cannot run on mps, the kernels run on the CPU and on CU"):
        libraries.check_device(torch.device("mps"), "euclidean")
    libraries.check_device(torch.device("mps"), torch.cdist)


def test_who_may_choose_can_ask_first(monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "for some reason")
    assert not libraries.runs_on(torch.device("cuda"))
    assert libraries.runs_on(torch.device("cpu"))
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "")
    assert libraries.runs_on(torch.device("cuda", 1))


def test_the_configuration_says_whether_there_are_cuda_kernels(monkeypatch):
    problem = libraries.CUDA_PROBLEM
    assert config.config()["cuda kernels"].startswith("no: " + problem if problem else "yes: ")
    monkeypatch.setattr(config, "CUDA_PROBLEM", "")
    monkeypatch.setattr(
        config._C, "build_facts", lambda: {"version": "1", "cuda_targets": "80-real 90a-real"}
    )
    assert config.config()["cuda kernels"] == "yes: 80-real 90a-real"


class NothingIsRead(TorchDispatchMode):
    """Refuses what waits for the device: values read, sizes that depend on them, copies over."""

    READING = ("_local_scalar_dense", "is_nonzero", "nonzero", "unique", "masked_select", "item")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0].removeprefix("_unique")
        assert name not in self.READING, f"{func} waits for the device"
        out = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_"):
            assert out.device == args[-1 if name == "copy_" else 0].device, f"{func} copies over"
        self.seen.add(name)
        return out

    def __init__(self):
        super().__init__()
        self.seen = set()


def calls(metric, x, y, v):
    yield distance_weights(x, y, metric)
    yield distance_weights(x, y, metric, x.new_ones(3), log=True)
    yield distance_weights(x, y, metric, y_weight=v, kernel="inverse")
    yield kernel_matmul(x, y, v, metric)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64], ids=str)
@each_metric
def test_nothing_in_python_waits_for_the_device(metric, dtype, monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "")
    monkeypatch.setattr(functional, "_jaccard_warned", False)
    with FakeTensorMode(), NothingIsRead() as mode:
        x, y = (torch.empty(n, 3, device="cuda:0").to(dtype) for n in (5, 4))
        for out in calls(metric, x, y, torch.empty(4, device="cuda:0")):
            assert out.device == torch.device("cuda:0")
    assert "semideep_ext::kernel_matmul" in mode.seen
    # Integers that float64 may not hold are ranked, whatever they are: that needs no look at them.
    assert ("searchsorted" in mode.seen) == (metric == "hamming" and dtype == torch.int64)


class Rows(TorchDispatchMode):
    """Remembers the dtypes of the rows that ops are called with."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name().startswith("semideep_ext::"):
            self.dtypes |= {args[0].dtype, args[1].dtype}
        return func(*args, **(kwargs or {}))

    def __init__(self):
        super().__init__()
        self.dtypes = set()


each_half = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


@each_half
@each_metric
def test_halves_reach_the_kernels_as_they_are(metric, dtype, monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", "")
    with FakeTensorMode(), Rows() as mode:
        x, y = (torch.empty(n, 3, device="cuda:0", dtype=dtype) for n in (5, 4))
        for out in calls(metric, x, y, torch.empty(4, device="cuda:0", dtype=dtype)):
            assert out.dtype == torch.float32
    assert mode.dtypes == {dtype}


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # of torch's forward mode
@each_half
def test_gradients_of_halves_are_halves_and_all_else_is_float32(dtype):
    with torch.device("meta"):
        x, y = (torch.empty(1, n, 3, dtype=dtype, requires_grad=True) for n in (5, 4))
        parameter = torch.empty(1, 1, dtype=torch.float64, requires_grad=True)
    with Rows() as mode:
        rest = None, parameter, "euclidean", "exponential"
        log_sum = registration.kernel_log_sum(x, y, *rest)
        product = registration.kernel_matmul(x, y, None, parameter, None, None, *rest[2:])
        assert (product.dtype, log_sum.dtype) == (torch.float32, torch.float64)
        for out in (product, log_sum):
            first = torch.autograd.grad(out.sum(), (x, y, parameter), create_graph=True)
            second = torch.autograd.grad(first[0].sum(), (x, y, parameter))
            for grads in (first, second):
                assert [g.dtype for g in grads] == [dtype, dtype, torch.float64]
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, torch.empty_like(x))
            out = registration.kernel_matmul(dual, y, None, parameter, None, None, *rest[2:])
            assert forward_ad.unpack_dual(out).tangent.dtype == torch.float32
    assert mode.dtypes == {dtype}


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf")])
def test_wrong_values_that_are_not_read_become_nan(value):
    given = torch.tensor([1.0, value], dtype=torch.float64)
    valid = given.isfinite() & (given > 0)
    with pytest.raises(ValueError, match="the message"):
        values.require(given, valid, lambda: "the message")

    class OnCuda(torch.Tensor):
        device = torch.device("cuda:0")

    actual = values.require(given.as_subclass(OnCuda), valid, lambda: "not this")
    assert actual.as_subclass(torch.Tensor).isnan().tolist() == [False, True]


# --- with a card ----------------------------------------------------------------------------------


def everything(metric, x, y, v):
    """Forward, logs, and, where there are any, gradients."""
    x = x.detach().requires_grad_(METRICS[metric].differentiable)
    v = v.detach().requires_grad_()
    out = kernel_matmul(x, y, v, metric)
    log_w = distance_weights(x, y, metric, y_weight=v[:, 0].abs(), log=True)
    inputs = [t for t in (x, v) if t.requires_grad]
    total = out.square().sum() + log_w.sum()
    return [out, log_w, distance_weights(x, y, metric), *torch.autograd.grad(total, inputs)]


def draw_arguments(metric, generator, n=200, m=300, d=7):
    x, y = (random_rows(metric, rows, d, torch.float32, generator) for rows in (n, m))
    return x, y, torch.rand(m, 3, generator=generator) + 0.5


@needs_card
@each_metric
def test_a_call_runs_on_the_current_stream(metric, on_cuda):
    x, y, v = draw_arguments(metric, on_cuda)
    expected = everything(metric, x, y, v)
    late = torch.zeros_like(x)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10**8)  # what ran on another stream would see zeros
        late.copy_(x)
        actual = everything(metric, late, y, v)
    stream.synchronize()
    assert all(map(torch.equal, actual, expected))


@needs_card
@each_metric
def test_a_captured_graph_replays_to_equal_bits(metric, on_cuda):
    x, y, v = draw_arguments(metric, on_cuda)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # as torch asks for before a capture with gradients
        everything(metric, x, y, v)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = everything(metric, x, y, v)
    for _ in range(3):
        new_x, new_y, new_v = draw_arguments(metric, on_cuda)
        for old, new in ((x, new_x), (y, new_y), (v, new_v)):
            old.copy_(new)
        graph.replay()
        torch.full((2**20,), torch.nan)  # scratch memory of the graph is the graph's
        expected = everything(metric, new_x, new_y, new_v)
        assert all(map(torch.equal, captured, expected))


@needs_card
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_training_steps_equal_eager_ones(mode, on_cuda):
    from torch._dynamo.utils import counters

    def step(x, y):
        w = distance_weights(x, y, log=True)
        return w, torch.autograd.grad(w.sum(), x)[0]

    def forward(x, y):
        return distance_weights(x, y, log=True)

    torch.compiler.reset()
    counters.clear()
    compiled = torch.compile(forward, mode=mode, fullgraph=True)
    for _ in range(4):  # warm-up, capture, replays
        x, y, _ = draw_arguments("euclidean", on_cuda)
        x.requires_grad_()
        torch.compiler.cudagraph_mark_step_begin()
        w = compiled(x, y)
        (by_x,) = torch.autograd.grad(w.sum(), x)
        for actual, expected in zip((w, by_x), step(x, y), strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert counters["inductor"]["cudagraph_skips"] == 0
    torch.compiler.reset()


@needs_card
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@each_metric
def test_nothing_waits_for_the_device(metric, on_cuda):
    x, y, v = draw_arguments(metric, on_cuda)
    everything(metric, x, y, v)
    try:
        torch.cuda.set_sync_debug_mode("error")
        everything(metric, x, y, v)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_card
@pytest.mark.parametrize("way", ["popcount", "products"])
@pytest.mark.parametrize("d", [1, 64, 257, 1100])
@pytest.mark.parametrize("metric", [m for m in METRICS if not METRICS[m].differentiable])
def test_bits_are_counted_in_each_way_as_on_the_cpu(metric, d, way, generator, monkeypatch):
    monkeypatch.setenv("SEMIDEEP_CUDA_BITS", way)
    x, y = (random_rows(metric, n, d, torch.float32, generator) % 2 for n in (130, 1500))
    lambdas = torch.tensor([0.5, 2.0])
    actual = distance_weights(x.cuda(), y.cuda(), metric, lambdas.cuda()).cpu()
    expected = distance_weights(x.double(), y.double(), metric, lambdas.double())
    assert relative_error(actual, expected) <= TOLERANCES[torch.float32].forward


@needs_card
def test_an_unknown_way_to_count_bits_is_refused_with_the_known_ones(generator, monkeypatch):
    monkeypatch.setenv("SEMIDEEP_CUDA_BITS", "fast")
    x = random_rows("jaccard", 3, 5, torch.float32, generator).cuda()
    with pytest.raises(RuntimeError, match=r"SEMIDEEP_CUDA_BITS='fast'.* popcount or products"):
        distance_weights(x, x, "jaccard")


@needs_card
def test_values_on_cuda_are_not_read_but_wrong_ones_show(on_cuda):
    x, y, _ = draw_arguments("euclidean", on_cuda)
    assert distance_weights(x, y, lambda_=torch.tensor([1.0, -1.0])).isnan().all(1).tolist() == [
        False,
        True,
    ]
    assert distance_weights(x, y, y_weight=-torch.ones(300)).isnan().all()
    assert distance_weights(x, y, y_weight=torch.zeros(300)).isnan().all()
    with pytest.raises(ValueError, match=r"lambda_ must be finite and > 0, got \[-1\.0\]"):
        distance_weights(x, y, lambda_=torch.tensor([-1.0], device="cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance_weights(x, y, "jaccard")


@needs_card
def test_tensors_on_two_devices_are_refused_by_name(on_cuda):
    x, y, _ = draw_arguments("euclidean", on_cuda)
    parameter = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"y must be on the device of x, cuda:0, got cpu"):
        torch.ops.semideep_ext.kernel_matmul(
            x[None], y[None].cpu(), None, parameter, None, None, "euclidean", "exponential"
        )


@needs_card
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two cards")
def test_a_call_runs_where_its_rows_are(on_cuda):
    first = draw_arguments("euclidean", on_cuda)
    second = [t.to("cuda:1") for t in first]
    expected, actual = (everything("euclidean", *t) for t in (first, second))
    assert torch.cuda.current_device() == 0
    for a, e in zip(actual, expected, strict=True):
        assert a.device == torch.device("cuda:1")
        torch.testing.assert_close(a.to("cuda:0"), e)


@needs_card
@each_metric
def test_memory_is_that_of_the_rows_and_16_mib(metric, on_cuda):
    x, y, v = draw_arguments(metric, on_cuda, n=20_000, m=20_000, d=3)  # a matrix of 1526 MiB
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    everything(metric, x, y, v)
    torch.cuda.synchronize()
    rows = 10 * (x.nbytes + y.nbytes + v.nbytes)  # results, gradients, and what autograd keeps
    assert torch.cuda.max_memory_allocated() - before <= 16 * MIB + rows


def needs_memory(gib):
    if torch.cuda.mem_get_info()[0] < gib * 2**30:
        pytest.skip(f"needs {gib} GiB of free device memory")


@needs_card
def test_rows_may_be_more_than_2_to_the_31_elements_apart(on_cuda):
    needs_memory(12)
    x = torch.empty(2**31 + 4).as_strided((3, 4), (2**30, 1))
    x.copy_(torch.arange(12.0).view(3, 4))
    y = torch.ones(2, 4)
    assert torch.equal(distance_weights(x, y), distance_weights(x.contiguous(), y))
    assert torch.equal(distance_weights(y, x), distance_weights(y, x.contiguous()))


@needs_card
def test_more_rows_than_a_grid_has_blocks(on_cuda):
    needs_memory(16)
    x = torch.zeros(2**28 + 1, 8)
    x[-1] = 1
    w = distance_weights(x, torch.zeros(1, 8))
    assert (w[:-1] == 1).all()
    torch.testing.assert_close(w[-1:], torch.exp(torch.tensor([-0.8 * 8**0.5])))


@needs_card
def test_more_pairs_and_batches_than_32_bits_count(on_cuda):
    x = torch.zeros(50_000, 1)
    assert (distance_weights(x, x) == 1).all()  # 2.5e9 pairs
    batches = torch.zeros(70_000, 2, 1)  # a grid has 65535 in its second dimension
    assert (distance_weights(batches, torch.zeros(1, 1)) == 1).all()


@needs_card
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_trainer_weighs_its_rows_on_the_card(dtype, generator, monkeypatch):
    devices = []

    def noted(x, y, *arguments, **options):
        devices.append((x.device.type, y.device.type))
        return distance_weights(x, y, *arguments, **options)

    monkeypatch.setattr(row_weights, "distance_weights", noted)
    X = random_rows("euclidean", 64, 5, dtype, generator)
    y = torch.arange(64) % 2
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 2))
    options = {"recompute_every": 1, "epochs": 2, "verbose": False, "device": "cuda"}
    trainer = WeightedTrainer(model, X, y, X[:9], **options)
    expected = distance_weights(X, X[:9])
    torch.testing.assert_close(torch.from_numpy(trainer.sample_weights), expected)
    assert trainer.row_weights.device.type == "cuda"  # where the loop uses them
    trainer.train(X, y)
    assert devices == [("cuda", "cuda")] * 2
    assert trainer.row_weights.device.type == "cuda"
