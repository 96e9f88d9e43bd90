"""Reads `.pt2` archives, after checking that reading them can run no code of theirs.

PyTorch's own loader unpickles what the archive tells it to, evaluates its shape expressions as Python and executes its
guards. Everything that reaches one of these is checked first, through the same archive reader that the loader uses.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2

from edgecompile.errors import EdgeCompileError, InvalidModelError
from edgecompile.frontend.torch.archive_check import check_program
from edgecompile.settings import LIMITS

_MODEL = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_ALLOWED_FOLDERS = ("data/weights/", "data/constants/", "extra/", ".data/")
_ALLOWED_FILES = {_MODEL, _SAMPLES, "archive_format", "archive_version", "byteorder", "version"}


def read_archive(path: Path) -> ExportedProgram:
    """The exported program in the file.

    Raises:
        InvalidModelError: no such file, no archive, truncated, beyond the limits, or with parts that would run code.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InvalidModelError(f"a .pt2 file is needed at {path}, where {found} is; give the path of a saved program")
    if not zipfile.is_zipfile(path):
        raise InvalidModelError(f"{path} is no .pt2 archive, or is truncated; save it with torch.export.save")
    try:
        with path.open("rb") as file:
            _check(path, file)
            file.seek(0)
            program = load_pt2(file).exported_programs["model"]
    except EdgeCompileError:
        raise
    except Exception as error:  # the loader fails on damage in every way from KeyError to RuntimeError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InvalidModelError(
            f"{path} cannot be read as a .pt2 archive: {reason}; save it again with torch.export.save of torch "
            f"{torch.__version__.split('+')[0]}"
        ) from error
    program._guards_code = []  # the module would execute them as Python; shapes are checked by the compiled model
    return program


def _check(path: Path, file: io.BufferedReader) -> None:
    reader = torch._C.PyTorchFileReader(file)
    names = reader.get_all_records()
    size = sum(reader.get_record_size(name) for name in names)
    if size > LIMITS.external_data_bytes:
        raise InvalidModelError(f"{path} unpacks to {size} bytes, more than the limit of {LIMITS.external_data_bytes}")
    strange = [name for name in names if name not in _ALLOWED_FILES and not name.startswith(_ALLOWED_FOLDERS)]
    strange += [name for name in names if name.endswith(".pt") and name != _SAMPLES]
    if strange:
        raise InvalidModelError(
            f"{path} has {strange[0]}, which may hold code; save the program with torch.export.save and nothing else"
        )
    if _MODEL not in names:
        raise InvalidModelError(f"{path} has no {_MODEL}; save an exported program with torch.export.save")
    for name in _CONFIGS:
        _check_payloads(path, name, _json(path, reader, name))
    if reader.get_record_size(_MODEL) > LIMITS.model_file_bytes:
        raise InvalidModelError(f"{path}: {_MODEL} is larger than the limit of {LIMITS.model_file_bytes} bytes")
    check_program(str(path), _json(path, reader, _MODEL))
    if reader.get_record_size(_SAMPLES):
        # The loader would try again without `weights_only` where this fails.
        torch.load(io.BytesIO(reader.get_record(_SAMPLES)), weights_only=True)


def _json(path: Path, reader: Any, name: str) -> Any:
    try:
        return json.loads(reader.get_record(name))
    except RecursionError as error:
        raise InvalidModelError(f"{path}: {name} is nested too deeply; save the program again") from error


def _check_payloads(path: Path, name: str, config: Any) -> None:
    for key, payload in config["config"].items():
        file = payload["path_name"]
        if payload.get("use_pickle") or not file.startswith(("weight_", "tensor_")) or "/" in file:
            raise InvalidModelError(
                f"{path}: {name} holds {key} as a pickled object, which can run code; make it a plain tensor and "
                "save again"
            )
