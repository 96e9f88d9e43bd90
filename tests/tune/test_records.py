"""The file of records: what it keeps, what it refuses, and what a crash leaves of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgecompile.errors import InvalidRecordsError, OutputError
from edgecompile.tune.records import RecordsFile
from tests.tune.samples import CONDITIONS, TARGET, record


@pytest.fixture
def file(tmp_path: Path) -> RecordsFile:
    return RecordsFile(tmp_path / "deep" / "host.jsonl", TARGET)


def test_what_is_written_is_read(file: RecordsFile) -> None:
    records = [record("a", 10.5), record("b", 7)]
    file.append(records[:1])
    file.append(records[1:])
    found = file.read(CONDITIONS)
    assert found.records == tuple(records)
    assert found.ignored == ()
    assert file.path.read_bytes().count(b"\n") == 2


def test_keys_name_contents() -> None:
    assert record("a", 10).key == record("a", 10).key
    assert len({record("a", 10).key, record("b", 10).key, record("a", 11).key}) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"family": "arm_cpu"}, "target"),
        ({"isa": '{"llvm_cpu": "other"}'}, "target"),
        ({"versions": "edgecompile 2"}, "version"),
        ({"threads": 2}, "threads"),
        ({"cpu": "another"}, "CPU"),
    ],
)
def test_records_of_other_conditions_are_named(file: RecordsFile, changes: dict[str, object], reason: str) -> None:
    file.append([record("a", 10, conditions=CONDITIONS.model_copy(update=changes)), record("b", 11)])
    found = file.read(CONDITIONS)
    assert [kept.way for kept in found.records] == ["b"]
    assert found.ignored == (f"{file.path}: 1 records are ignored, of another {reason}",)


def test_records_of_a_board_serve_any_machine(file: RecordsFile) -> None:
    file.append([record("a", 10)])
    assert len(file.read(CONDITIONS.model_copy(update={"cpu": ""})).records) == 1


@pytest.mark.parametrize("kept_bytes", [1, 40, -1])
def test_a_torn_last_line_is_reported_and_then_cut_off(file: RecordsFile, kept_bytes: int) -> None:
    file.append([record("a", 10)])
    with file.path.open("ab") as stream:
        stream.write(record("torn", 5).encode()[:kept_bytes])
    found = file.read(CONDITIONS)
    assert [kept.way for kept in found.records] == ["a"]
    assert found.ignored == (f"{file.path}: 1 records are ignored, torn",)
    with pytest.warns(UserWarning, match="cut off in the middle of its line"):
        file.append([record("b", 11)])
    found = file.read(CONDITIONS)
    assert [kept.way for kept in found.records] == ["a", "b"]
    assert found.ignored == ()


def test_a_damaged_line_costs_no_other(file: RecordsFile) -> None:
    file.append([record("a", 10), record("b", 11), record("c", 12)])
    lines = file.path.read_bytes().splitlines(keepends=True)
    file.path.write_bytes(
        lines[0] + lines[1].replace(b'"repeats": 5', b'"repeats": -5') + b"\x00\n" + b"[]\n" + lines[2]
    )
    found = file.read(CONDITIONS)
    assert [kept.way for kept in found.records] == ["a", "c"]
    assert found.ignored == (f"{file.path}: 3 records are ignored, damaged",)


def test_records_of_a_newer_release_are_ignored(file: RecordsFile) -> None:
    file.append([record("a", 10)])
    newer = record("b", 11).encode().replace(b'"schema_version": 1', b'"schema_version": 2')
    file.path.write_bytes(file.path.read_bytes() + newer)
    assert file.read(CONDITIONS).ignored == (f"{file.path}: 1 records are ignored, of a newer edgecompile",)


def test_other_files_are_refused_and_stay(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no records\nat all")
    file = RecordsFile(text, TARGET)
    with pytest.raises(InvalidRecordsError, match="holds no records"):
        file.read(CONDITIONS)
    with pytest.raises(InvalidRecordsError, match=r"holds no records.*name another file"):
        file.append([record("a", 10)])
    assert text.read_text() == "no records\nat all"
    with pytest.raises(InvalidRecordsError, match=r"none\.jsonl cannot be read: No such file"):
        RecordsFile(tmp_path / "none.jsonl", TARGET).read(CONDITIONS)
    with pytest.raises(OutputError, match=r"cannot write .*notes\.txt"):
        RecordsFile(text / "host.jsonl", TARGET).append([record("a", 10)])


def test_a_folder_has_a_file_for_each_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path / "cache"))
    assert RecordsFile(None, TARGET).path == tmp_path / "cache" / "records" / "host_cpu.jsonl"
    assert RecordsFile(tmp_path, TARGET).path == tmp_path / "host_cpu.jsonl"
    assert RecordsFile(tmp_path / "new", TARGET).path == tmp_path / "new" / "host_cpu.jsonl"


def test_two_processes_write_one_file(file: RecordsFile, repository: Path) -> None:
    program = (
        "import sys; from edgecompile.tune.records import RecordsFile; from tests.tune.samples import TARGET, record\n"
        "file = RecordsFile(sys.argv[1], TARGET)\n"
        "for ns in range(1, 101): file.append([record(sys.argv[2], ns), record(sys.argv[2], ns + 0.5)])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, file.path, name], cwd=repository) for name in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = file.read(CONDITIONS)
    assert found.ignored == ()
    for name in ("one", "two"):
        times = [kept.quartile_ns for kept in found.records if kept.way == name]
        assert times == sorted(times)
        assert len(times) == 200
