"""Calibration data from every source, and every way in which they can be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.samples.data import count_samples, read_samples
from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

IMAGE = TensorSpec("image", (1, 3, 4, 5), "float32")
IDS = TensorSpec("ids", (1, 6), "int64")
MASK = TensorSpec("mask", (1, 6), "float32")


def images(count: int) -> np.ndarray:
    """[count, 3, 4, 5] float32, all different."""
    return np.random.default_rng(0).standard_normal((count, 3, 4, 5)).astype(np.float32)


def only_images(data: Any) -> np.ndarray:
    """All samples of a model whose one input is `IMAGE`, [samples, 3, 4, 5]."""
    samples = list(read_samples(data, [IMAGE]))
    assert all(list(sample) == ["image"] for sample in samples)
    assert all(sample["image"].shape == IMAGE.shape and sample["image"].dtype == np.float32 for sample in samples)
    return np.concatenate([sample["image"] for sample in samples])


def refuses(data: Any, inputs: list[TensorSpec], text: str) -> None:
    with pytest.raises(InvalidCalibrationError, match=re.escape(text)) as caught:
        list(read_samples(data, inputs))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: list(x),
        lambda x: iter(x[:, None]),
        lambda x: [(item,) for item in x],
        lambda x: [{"image": item[None]} for item in x],
        lambda x: [x[:2], x[2:]],
        lambda x: [x[:, None]],
        lambda x: {"image": x},
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: [(item.tolist(),) for item in x],
    ],
    ids=[
        "array",
        "list",
        "iterator",
        "tuples",
        "mappings",
        "batches",
        "stack",
        "mapping",
        "f64",
        "big-endian",
        "plain",
    ],
)
def test_iterables(make: Any) -> None:
    expected = images(5)
    np.testing.assert_array_equal(only_images(make(expected)), expected)


def test_several_inputs_by_position_and_by_name() -> None:
    ids, mask = np.arange(12).reshape(2, 6), np.ones((2, 6), np.float32)
    for data in (
        zip(ids, mask, strict=True),
        [{"mask": mask, "ids": ids.astype(np.int32)}],
        {"ids": ids, "mask": mask},
    ):
        samples = list(read_samples(data, [IDS, MASK]))
        assert [list(sample) for sample in samples] == [["ids", "mask"]] * 2
        np.testing.assert_array_equal(np.concatenate([sample["ids"] for sample in samples]), ids)
        assert {sample["ids"].dtype for sample in samples} == {np.dtype(np.int64)}


def test_dimensions_known_at_run_time_only() -> None:
    spec = TensorSpec("x", ("batch", 3), "float32")
    shapes = [sample["x"].shape for sample in read_samples([np.ones((4, 3)), np.ones((1, 3))], [spec])]
    assert shapes == [(4, 3), (1, 3)]


def test_nothing_is_read_ahead() -> None:
    asked = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield images(1)

    samples = read_samples(endless(), [IMAGE])
    assert asked == 0
    next(samples), next(samples)
    assert asked == 2


def test_a_sample_is_a_copy() -> None:
    """A loader that fills one buffer again and again is common."""
    data = images(1)
    (sample,) = read_samples(data, [IMAGE])
    data[:] = 0
    assert sample["image"].all()


def test_folder(tmp_path: Path) -> None:
    expected = images(7)
    np.savez(tmp_path / "c.npz", image=expected[4:])
    np.save(tmp_path / "b.npy", expected[1:4])
    np.save(tmp_path / "a.npy", expected[0])
    (tmp_path / "README.txt").write_text("not data")
    np.testing.assert_array_equal(only_images(tmp_path), expected)
    np.testing.assert_array_equal(only_images(str(tmp_path)), expected)
    np.testing.assert_array_equal(only_images(tmp_path / "b.npy"), expected[1:4])


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret.npy"
    inside.mkdir()
    np.save(outside, images(1))
    np.save(inside / "a.npy", images(1))
    (inside / "b.npy").symlink_to("a.npy")
    assert len(only_images(inside)) == 2
    (inside / "c.npy").symlink_to(outside)
    refuses(inside, [IMAGE], "links to a file outside of its folder: put a copy there")


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    refuses(tmp_path, [IMAGE], "a.npy cannot be read as numbers: ")
    (tmp_path / "a.npy").unlink()
    np.savez(tmp_path / "a.npz", image=np.array([None]))
    refuses(tmp_path, [IMAGE], "a.npz cannot be read as numbers: ")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", b"x" * 99]
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refuses(tmp_path, [IMAGE], f"{name} cannot be read as numbers: ")


def test_cut_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(3))
    np.savez(tmp_path / "b.npz", image=images(3))
    for file in sorted(tmp_path.iterdir()):
        file.write_bytes(file.read_bytes()[:-100])
        refuses(file, [IMAGE], f"{file.name} cannot be read as numbers: ")


def test_files_named_by_what_they_are_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(1))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    refuses(tmp_path, [IMAGE], "a.npz is no .npz file: name it by what it is")
    np.savez(tmp_path / "a.npz", image=images(1))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    refuses(tmp_path, [IMAGE], "a.npy is no .npy file: name it by what it is")


def test_nothing_there(tmp_path: Path) -> None:
    refuses(tmp_path, [IMAGE], "calibration needs files of .bmp, .jpeg, .jpg, .png, .npy, .npz, found none in")
    refuses(tmp_path / "missing", [IMAGE], "calibration data must be a folder or a file of")
    refuses(str(tmp_path / "missing"), [IMAGE], "must be a folder, a file or 'module:function', found")
    (tmp_path / "a.txt").write_text("")
    refuses(tmp_path / "a.txt", [IMAGE], "calibration data must be a folder or a file of")
    refuses([], [IMAGE], "calibration needs 1 sample or more, found none in the list")
    refuses([images(0)], [IMAGE], "calibration needs 1 sample or more, found none in the list")
    refuses(7, [IMAGE], "must be a folder, an iterable or 'module:function', found the int")


def test_empty_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(0))
    refuses(tmp_path, [IMAGE], "calibration needs 1 sample or more, found none in")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (np.ones((3, 5, 4), np.float32), "sample 0 needs shape [1, 3, 4, 5] for input 'image', or that many times"),
        (np.float32(1), "sample 0 needs shape [1, 3, 4, 5] for input 'image'"),
        (np.ones((3, 4, 5), np.uint8), "sample 0 needs dtype float32 for input 'image', found uint8: convert it"),
        (np.ones((3, 4, 5), np.complex64), "needs dtype float32 for input 'image', found complex64"),
        ("cat", "needs dtype float32 for input 'image', found str"),
        ([[1], [1, 2]], "sample 0 needs 1 inputs (image: float32[1, 3, 4, 5]), found 2"),
        (([[1], [1, 2]],), "sample 0 needs an array for input 'image', found list"),
        ((images(1), 3), "sample 0 needs 1 inputs (image: float32[1, 3, 4, 5]), found 2"),
        ({"picture": images(1)}, "sample 0 names the input 'picture', which the model does not have; its inputs are"),
        ({}, "sample 0 lacks the input image: float32[1, 3, 4, 5]"),
        (np.full((3, 4, 5), 1e300), "sample 0 has an infinite value in input 'image'"),
    ],
)
def test_samples_that_do_not_fit(item: Any, text: str) -> None:
    refuses([item], [IMAGE], text)


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (np.inf, "an infinite value"), (-np.inf, "an infinite")])
def test_values_that_are_not_finite(value: float, kind: str, tmp_path: Path) -> None:
    data = images(4)
    data[2, 1, 3, 3] = value
    refuses(data, [IMAGE], f"sample 2 has {kind}")
    np.save(tmp_path / "cats.npy", data)
    refuses(tmp_path, [IMAGE], f"file 'cats.npy'[2] has {kind}")


def test_integers_must_fit() -> None:
    narrow = TensorSpec("ids", (1, 6), "int32")
    refuses([np.ones(6, np.int64)], [narrow], "sample 0 needs dtype int32 for input 'ids', found int64: convert it")
    refuses([np.ones(6, np.float32)], [IDS], "sample 0 needs dtype int64 for input 'ids', found float32: convert it")


def test_unequal_numbers_of_samples() -> None:
    refuses(
        {"ids": np.ones((3, 6), np.int64), "mask": np.ones((2, 6), np.float32)},
        [IDS, MASK],
        "the data needs equally many samples of all inputs, found 3 of 'ids', 2 of 'mask'",
    )


def test_exceptions_of_the_data_are_told_as_such() -> None:
    def failing() -> Iterator[np.ndarray]:
        yield images(1)
        raise KeyError("label")

    refuses(failing(), [IMAGE], "calibration data the generator failed at sample 1: KeyError: 'label'")


@pytest.fixture
def module_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current folder, outside of the Python path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_calibration_data.py").write_text(
        "import numpy as np\n"
        "def images():\n"
        "    for value in (1, 2):\n"
        "        yield np.full((3, 4, 5), value, np.float32)\n"
        "def nothing(): return None\n"
        "def broken(): raise RuntimeError('no disk')\n"
        "number = 7\n"
    )


@pytest.mark.usefixtures("module_here")
def test_functions() -> None:
    assert only_images("my_calibration_data:images")[:, 0, 0, 0].tolist() == [1, 2]
    refuses("my_calibration_data:nothing", [IMAGE], "must answer an iterable of samples, found NoneType")
    refuses("my_calibration_data:broken", [IMAGE], "cannot be had: RuntimeError: no disk")
    refuses("my_calibration_data:number", [IMAGE], "cannot be had: TypeError: 'int' object is not callable")
    refuses("my_calibration_data:other", [IMAGE], "cannot be had: AttributeError: ")
    refuses("no_such_module_anywhere:images", [IMAGE], "cannot be had: ModuleNotFoundError: ")
    refuses("os.system('x'):y", [IMAGE], "must be a folder, a file or 'module:function', found")


def test_counts(tmp_path: Path) -> None:
    assert count_samples([1, 2, 3]) == 3
    assert count_samples(images(5)) == 5
    assert count_samples(iter(images(5))) == 5
    assert count_samples(item for item in "ab") is None
    assert count_samples({"image": images(5)}) is None
    assert count_samples("my_module:function") is None
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    assert count_samples(tmp_path) == 2
    np.save(tmp_path / "c.npy", images(5))
    assert count_samples(tmp_path) is None
