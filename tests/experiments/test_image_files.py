"""Image files are read as published; cut, damaged and hostile ones are refused, not executed."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zlib

import numpy as np
import pytest

from semideep_ext.experiments.image_files import IMAGE_DATASETS, load_images
from semideep_ext.experiments.image_files.cifar import BATCHES, read_batch
from semideep_ext.experiments.image_files.idx import read_idx

RNG = np.random.default_rng(0)
N = 5


def idx_bytes(values):
    values = np.asarray(values, np.uint8)
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return header + values.tobytes()


def write(path, content, packed=False):
    path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_files(tmp_path, packed, split):
    X, y = RNG.integers(0, 256, (N, 28, 28)), RNG.integers(0, 10, N)
    stem, end = {"train": "train", "test": "t10k"}[split], ".gz" if packed else ""
    write(tmp_path / f"{stem}-images-idx3-ubyte{end}", idx_bytes(X), packed)
    write(tmp_path / f"{stem}-labels-idx1-ubyte{end}", idx_bytes(y), packed)
    for name in ("mnist", "fashion-mnist"):
        images, labels = load_images(name, tmp_path, split)
        assert images.shape == (N, 1, 28, 28) and images.dtype == np.uint8
        np.testing.assert_array_equal(images[:, 0], X)
        np.testing.assert_array_equal(labels, y)
        assert labels.dtype == np.int64


def cifar_batch(n=N, protocol=2, as_bytes=True):
    X, y = RNG.integers(0, 256, (n, 3072)).astype(np.uint8), RNG.integers(0, 10, n).tolist()
    entries = {"batch_label": "training batch", "labels": y, "data": X, "filenames": ["a"] * n}
    if as_bytes:
        entries = {key.encode(): value for key, value in entries.items()}
    return X, y, pickle.dumps(entries, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_cifar_batches_of_any_protocol(protocol, as_bytes):
    X, y, content = cifar_batch(protocol=protocol, as_bytes=as_bytes)
    if protocol == 5:  # arrays by a buffer of another kind, which the published files lack
        with pytest.raises(ValueError, match=r"not an array of unsigned bytes|instruction"):
            read_batch(content, "batch")
        return
    images, labels = read_batch(content, "batch")
    np.testing.assert_array_equal(images.reshape(N, -1), X)
    assert labels.tolist() == y


def test_a_batch_as_python_2_pickled_it():
    # Protocol 2 of Python 2 writes bytes as strings.
    X = RNG.integers(0, 256, (1, 3072)).astype(np.uint8)
    raw = X.tobytes()
    state = b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
    state += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(raw)) + raw
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR" + state + b"tb"
    )
    content = b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x07eu."
    images, labels = read_batch(content, "batch")
    np.testing.assert_array_equal(images.reshape(1, -1), X)
    assert labels.tolist() == [7]


@pytest.mark.parametrize("place", ["batches", "folder", "archive"])
def test_cifar_in_a_folder_or_in_its_archive(tmp_path, place):
    folder = tmp_path if place == "batches" else tmp_path / "cifar-10-batches-py"
    folder.mkdir(exist_ok=True)
    expected = []
    for name in [*BATCHES["train"], *BATCHES["test"]]:
        X, _, content = cifar_batch()
        (folder / name).write_bytes(content)
        expected.append(X)
    if place == "archive":
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    images, labels = load_images("cifar10", tmp_path)
    assert images.shape == (5 * N, 3, 32, 32) and labels.shape == (5 * N,)
    np.testing.assert_array_equal(images.reshape(5 * N, -1), np.concatenate(expected[:5]))
    test_images, _ = load_images("cifar10", tmp_path, "test")
    np.testing.assert_array_equal(test_images.reshape(N, -1), expected[5])


@pytest.mark.parametrize("packed", [False, True])
def test_svhn(tmp_path, packed):
    scipy_io = pytest.importorskip("scipy.io")
    X, y = (
        RNG.integers(0, 256, (32, 32, 3, N)).astype(np.uint8),
        np.array([[1], [10], [9], [2], [10]]),
    )
    path = tmp_path / "train_32x32.mat"
    scipy_io.savemat(path, {"X": X, "y": y.astype(np.uint8)}, do_compression=packed)
    images, labels = load_images("svhn", tmp_path)
    np.testing.assert_array_equal(images[3, 1], X[:, :, 1, 3])
    assert labels.tolist() == [1, 0, 9, 2, 0]


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_not_executed(tmp_path, protocol):
    mark = tmp_path / "executed"
    _, y, _ = cifar_batch()
    content = pickle.dumps({"data": Bomb(mark), "labels": y}, protocol=protocol)
    with pytest.raises(ValueError, match="not an array of unsigned bytes"):
        read_batch(content, "batch")
    assert not mark.exists()
    pickle.loads(content)  # which would have been executed
    assert mark.exists()


HOSTILE = {
    "no dict": pickle.dumps([1, 2]),
    "no data": pickle.dumps({"labels": [1]}),
    "floats": pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}, protocol=2),
    "another width": pickle.dumps({"data": np.zeros((1, 9), np.uint8), "labels": [1]}, protocol=2),
    "labels beyond": pickle.dumps(
        {"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, protocol=2
    ),
    "labels that are text": pickle.dumps(
        {"data": np.zeros((1, 3072), np.uint8), "labels": ["1"]}, protocol=2
    ),
    "persistent id": b"\x80\x02Pnumber\n.",
    "stack underflow": b"\x80\x02\x85.",
    "huge claim": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.",
    "no end": pickle.dumps({"data": 1}, protocol=2)[:-1],
    "empty": b"",
    "garbage": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_batch_is_refused(kind):
    with pytest.raises(ValueError, match=r"^batch: "):
        read_batch(HOSTILE[kind], "batch")


def test_cut_batches_are_refused_wherever_they_are_cut():
    _, _, content = cifar_batch(n=1)
    for end in {*range(0, len(content), 97), len(content) - 1}:
        with pytest.raises(ValueError, match=r"^batch: "):
            read_batch(content[:end], "batch")


def test_cut_and_damaged_idx_files_are_refused(tmp_path):
    whole, path = idx_bytes(RNG.integers(0, 256, (3, 4, 4))), tmp_path / "file"
    for content, message in (
        (whole[:-1], "follow: the file is damaged|can: it is cut"),
        (whole + b"x", "or more follow: the file is damaged"),
        (whole[:10], "begins with"),
        (b"", "begins with"),
        (idx_bytes(RNG.integers(0, 9, 5)), "3 dimensions begins with"),
        (b"PK" + whole, "begins with"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_idx(str(path), 3)
    packed = tmp_path / "file.gz"
    for content in (gzip.compress(whole)[:-12], b"\x1f\x8b" + b"x" * 50, whole):
        packed.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged \.gz|damaged|begins"):
            read_idx(str(packed), 3)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_claims_more_than_it_can_hold_takes_no_memory(tmp_path, packed):
    content = struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**10, 2**10) + b"x" * 100
    path = tmp_path / ("file" + ".gz" * packed)
    write(path, content, packed)
    with pytest.raises(ValueError, match="more than a file of"):
        read_idx(str(path), 3)


def test_an_svhn_file_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "train_32x32.mat"
    X = np.zeros((32, 32, 3, 4), np.uint8)
    scipy_io.savemat(path, {"X": X, "y": np.ones((4, 1), np.uint8)})
    content = path.read_bytes()
    for bad, message in (
        (content[:-3000], "damaged|should hold X and y"),
        (content[:130], "damaged|should hold X and y"),
        (b"x" * 300, "damaged"),
        (
            content.replace(struct.pack("<i", 4), struct.pack("<i", 2**28), 1),
            "images, and labels|cut",
        ),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=message):
            load_images("svhn", tmp_path)
    scipy_io.savemat(path, {"X": X.astype(float), "y": np.ones((4, 1))})
    with pytest.raises(ValueError, match="allowed is"):
        load_images("svhn", tmp_path)


def test_a_hostile_archive_writes_nothing_and_is_refused(tmp_path):
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("../../escaped")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match="damaged archive"):
        load_images("cifar10", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(zlib.compress(b"no tar"))
    with pytest.raises(ValueError, match="damaged archive"):
        load_images("cifar10", tmp_path)


@pytest.mark.parametrize("name", IMAGE_DATASETS)
def test_missing_files_say_where_to_get_them(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name} comes as .*put the files there"):
        load_images(name, tmp_path)


def test_other_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="choose one of mnist, fashion-mnist"):
        load_images("imagenet", tmp_path)
    with pytest.raises(ValueError, match="'train' or 'test'"):
        load_images("mnist", tmp_path, "valid")
