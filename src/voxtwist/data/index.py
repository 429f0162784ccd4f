"""Where every sample of an SFT file starts and how many tokens it has, without reading it.

``<name>.index.npy`` is an int64 array (2, samples + 1). Row 0: the byte at which each line starts,
then the size of the file. Row 1: tokens of each line, then a fingerprint of the file, by which an
index of another file is found out. (A time stamp would not do: checking out of version control
changes it.)
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

import numpy as np
import orjson

from voxtwist.data.files import writing
from voxtwist.errors import VoxtwistError

FINGERPRINTED = 65536  # bytes at the start, the middle and the end of the file


class TokenIndex:
    """Random access to the samples of an SFT file.

    Attributes:
        path: the JSONL file.
        offsets: int64 (samples + 1,), first byte of each line; memory-mapped.
        lengths: int64 (samples,), tokens of each sample; memory-mapped.
    """

    def __init__(self, path: Path, table: np.ndarray) -> None:
        self.path = path
        self.offsets = table[0]
        self.lengths = table[1, :-1]
        self._lines: mmap.mmap | None = None

    @classmethod
    def open(cls, path: Path) -> TokenIndex:
        """Opens the index beside a JSONL file; builds it when it is missing or another file's.

        Raises:
            VoxtwistError: there is no such file, it is empty, or a line is no sample.
        """
        if not path.is_file() or not path.stat().st_size:
            raise VoxtwistError(f"{path} is missing or empty: run convert and split first")
        target = index_path(path)
        if not target.is_file() or not belongs_to(np.load(target, mmap_mode="r"), path):
            offsets, lengths = scan(path)
            write_index(path, offsets, lengths)
        return cls(path, np.load(target, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, sample: int) -> dict[str, np.ndarray]:
        """One sample: int64 arrays ``input_ids`` and ``labels``.

        Raises:
            IndexError: there is no such sample.
        """
        if not 0 <= sample < len(self):
            raise IndexError(f"{self.path} has samples 0 to {len(self) - 1}, not {sample}")
        if self._lines is None:
            with self.path.open("rb") as file:
                self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        line = orjson.loads(self._lines[self.offsets[sample] : self.offsets[sample + 1]])
        return {name: np.array(line[name], dtype=np.int64) for name in ("input_ids", "labels")}

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        # Data loader workers open their own map.
        return TokenIndex.open, (self.path,)


def index_path(jsonl: Path) -> Path:
    return jsonl.with_suffix(".index.npy")


def write_index(jsonl: Path, offsets: np.ndarray, lengths: np.ndarray) -> None:
    """Writes the index of a finished file: `offsets` (samples + 1,), `lengths` (samples,)."""
    table = np.stack([offsets, np.append(lengths, file_fingerprint(jsonl))]).astype(np.int64)
    with writing(index_path(jsonl)) as path, path.open("wb") as file:
        np.save(file, table)


def belongs_to(table: np.ndarray, jsonl: Path) -> bool:
    return bool(table[0, -1] == jsonl.stat().st_size and table[1, -1] == file_fingerprint(jsonl))


def file_fingerprint(path: Path) -> int:
    """63 bits of the file's size, start, middle and end."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    with path.open("rb") as file:
        for start in (0, size // 2, size - FINGERPRINTED):
            file.seek(max(0, start))
            digest.update(file.read(FINGERPRINTED))
    return int.from_bytes(digest.digest()) >> 1


def scan(jsonl: Path) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and lengths of a file that has no index, from reading all of it."""
    offsets, lengths = [0], []
    with jsonl.open("rb") as file:
        for number, line in enumerate(file):
            try:
                lengths.append(len(orjson.loads(line)["input_ids"]))
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise VoxtwistError(
                    f"{jsonl} line {number + 1} is no sample ({error}); expected "
                    '{"input_ids": [...], "labels": [...], "attention_mask": [...]}'
                ) from None
            offsets.append(offsets[-1] + len(line))
    return np.array(offsets), np.array(lengths)
