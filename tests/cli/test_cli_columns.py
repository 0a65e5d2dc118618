"""Promises of which columns of a file are features, and of files that are large or no such file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cli_runner import ran, refused

from semideep_ext.cli import _tables

# Rows sorted by class, whose features are noise: their number alone tells the class.
NOISE = np.random.default_rng(0).normal(size=(2, 60))
SORTED = pd.DataFrame({"a": NOISE[0], "b": NOISE[1], "y": np.repeat([0, 1], 30)})
SHUFFLED = SORTED.sample(frac=1, random_state=0)
HALVES = SHUFFLED[:30], SHUFFLED[30:]
LEFT_OUT = "note: left out, as an index or without a name: "


def by_name(frame):
    return frame.rename_axis("id")


def read_again(frame):
    """As if written with an index, read as it stands and written without one."""
    return frame.reset_index(names="Unnamed: 0")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("to_csv", "Unnamed: 0"),
        ("to_parquet", "__index_level_0__"),
        (lambda frame, path: by_name(frame).to_parquet(path), "id"),
        (lambda frame, path: read_again(frame).to_csv(path, index=False), "Unnamed: 0"),
        (lambda frame, path: read_again(frame).to_parquet(path, index=False), "Unnamed: 0"),
        (lambda frame, path: read_again(frame).to_csv(path), "Unnamed: 0"),
    ],
)
def test_the_index_that_pandas_writes_is_no_feature(written, name):
    for half, path in zip(HALVES, ("train", "test"), strict=True):
        write = getattr(half, written) if isinstance(written, str) else written.__get__(half)
        write(path)
        suffix = ".parquet" if Path(path).read_bytes().startswith(b"PAR1") else ".csv"
        Path(path).rename(path + suffix)
    options = ["--label", "y", "--model", "forest", "--json"]
    shown = ran("train", f"train{suffix}", f"test{suffix}", *options)
    found = json.loads(shown.stdout)
    assert found["features"] == ["a", "b"] and found["scores"]["accuracy"] < 0.8
    assert f"{LEFT_OUT}{name!r}" in shown.stderr


def test_an_index_may_stand_in_one_file_only_and_may_be_asked_for():
    train, test = HALVES
    by_name(train).to_parquet("train.parquet")
    by_name(test).to_csv("test.csv")
    files = ["train.parquet", "test.csv", "--label", "y", "--json"]
    assert json.loads(ran("weights", *files).stdout)["features"] == ["a", "b"]
    shown = ran("weights", *files, "--columns", "id,a")
    assert json.loads(shown.stdout)["features"] == ["id", "a"] and LEFT_OUT not in shown.stderr


@pytest.mark.parametrize("header", ["a,,b,y,", " a,Unnamed: 1,b ,y,Unnamed: 4"])
def test_columns_without_a_name_are_left_out_aloud_wherever_they_stand(header):
    Path("train.csv").write_text(f"{header}\n0,x,1,0,\n1,z,3,1,\n2,x,1,0,\n")
    shown = ran("weights", "train.csv", "train.csv", "--label", "y", "--json")
    assert json.loads(shown.stdout)["features"] == ["a", "b"]
    assert f"{LEFT_OUT}'Unnamed: 1', 'Unnamed: 4'" in shown.stderr


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        (np.arange(60), True),
        (1000 + 3 * np.arange(60)[::-1], True),
        (np.arange(60) + 0.5, False),
        (np.arange(60) // 2, False),
        (np.random.default_rng(0).choice(10**6, 60, replace=False), False),
    ],
)
def test_a_column_of_distinct_whole_numbers_is_named_in_a_note(numbers, named):
    SORTED.assign(patient=numbers).to_csv("rows.csv", index=False)
    options = ["--label", "y", "--json"]
    shown = ran("weights", "rows.csv", "rows.csv", *options)
    assert "patient" in json.loads(shown.stdout)["features"]
    assert ("leave them out: --drop 'patient'" in shown.stderr) == named
    chosen = ran("weights", "rows.csv", "rows.csv", *options, "--columns", "patient,a")
    assert "--drop" not in chosen.stderr


@pytest.mark.parametrize("index", [True, False])
def test_numbers_are_names_if_pandas_wrote_them_for_columns_without_names(index):
    frame = pd.DataFrame(SORTED.to_numpy())
    frame.to_csv("rows.csv", index=index)
    shown = ran("weights", "rows.csv", "rows.csv", "--label", "2", "--json")
    assert json.loads(shown.stdout)["features"] == ["0", "1"]
    assert "the first line, 0 to 2, is taken as names" in shown.stderr
    for header in ("0,2,1", "1,2,3", "0,1,", "0.5,NA,?"):
        Path("rows.csv").write_text(f"{header}\n4,5,6\n")
        assert "the names of the columns are missing" in refused("weights", "rows.csv", "rows.csv")


@pytest.mark.parametrize("cell", ["1_2", "1_000.5", "0x10", "१", "1e", "--1"])
def test_a_number_is_what_is_written_as_one(cell):
    Path("rows.csv").write_text(f"a,b\n1,2\n{cell},3\n")
    said = refused("weights", "rows.csv", "rows.csv")
    assert f"rows.csv, line 3, column 'a': {cell!r} is no number" in said


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")  # since all rows are equal
def test_numbers_may_be_spelt_in_the_usual_ways():
    Path("rows.csv").write_text("a,b\n1,2\n+1e0 ,2\n 1.,02.0\n")
    found = json.loads(ran("weights", "rows.csv", "rows.csv", "--lambda", "1", "--json").stdout)
    assert found["weights"] == [1.0, 1.0, 1.0]


def test_rows_may_be_longer_than_what_is_read_at_once():
    names = [f"{'a long name ' * 10}{i}" for i in range(12_000)]
    lines = [",".join(names), *(",".join([str(row)] * 12_000) for row in range(3))]
    Path("rows.csv").write_text("\n".join(lines))
    found = json.loads(ran("weights", "rows.csv", "rows.csv", "--json").stdout)
    assert found["features"] == names and found["n"] == 3


@pytest.mark.parametrize("mended", [True, False])
def test_a_field_may_be_longer_than_what_is_read_at_once(mended):
    text = '"' + "a line of text\n" * 100_000 + '"'
    cell = "2" if mended else "x"
    Path("rows.csv").write_text(f"a,text,b\n1,{text},2\n2,{text},3\n3,,{cell}\n")
    arguments = ["weights", "rows.csv", "rows.csv", "--drop", "text", "--json"]
    if mended:
        assert json.loads(ran(*arguments).stdout)["features"] == ["a", "b"]
    else:
        assert "rows.csv, line 200004, column 'b': 'x' is no number" in refused(*arguments)


class Name(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)


def test_the_work_grows_with_the_number_of_columns_not_with_its_square(monkeypatch):
    n, read_csv = 2000, _tables.read_csv
    named = [(",".join(f"c{i}" for i in range(n)), ",".join(["0.5"] * n))] * 2
    for path, lines in zip(("train.csv", "test.csv"), named, strict=True):
        Path(path).write_text("\n".join(lines))
    monkeypatch.setattr(
        _tables, "read_csv", lambda path: [(Name(name), column) for name, column in read_csv(path)]
    )
    ran("weights", "train.csv", "test.csv", "--drop", "c0", "--lambda", "1")
    assert Name.compared < 20 * n


def write_text(path):
    Path(path).write_text("1 2 3\n4 5 6\n")


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", "a,b\n1,2\n")


def write_tensor(path):
    torch.save({"rows": torch.zeros(2, 2)}, path)


def write_objects(path):
    with open(path, "wb") as f:
        np.save(f, np.array([["a", None]], dtype=object), allow_pickle=True)


def write_header(path):
    Path(path).write_bytes(b"\x93NUMPY\x01\x00\x05\x00{'a' \n")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "write", [write_text, write_zip, write_tensor, write_objects, write_header, Path.touch]
)
def test_what_numpy_did_not_write_is_called_so(write, suffix):
    path = f"rows{suffix}"
    write(Path(path))
    said = refused("weights", path, path)
    assert said.startswith(f"semideep weights: {path} cannot be read: it was not written by numpy")
