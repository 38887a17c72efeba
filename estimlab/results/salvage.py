"""Whole records out of a damaged SQLite file, without SQLite: page by page, so that no damage elsewhere matters.

The layout is that of https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1, for a table WITHOUT ROWID. What a
damaged page yields may be anything; the caller says by a checksum which records are whole.
"""

from __future__ import annotations

import itertools
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

Record = tuple[str, ...]

_PAGE_SIZES = tuple(2**power for power in range(9, 17))
_INTERIOR, _LEAF = 2, 10  # kinds of pages that hold records
_DAMAGE = (IndexError, ValueError, struct.error)  # of which UnicodeDecodeError is one


def whole_records(data: bytes, is_whole: Callable[[Record], bool]) -> list[Record]:
    """All records of texts that are whole, whatever the header says of the size of pages.

    Args:
        data: the file.
        is_whole: whether a record is what was once written.
    """
    found: list[list[Record]] = []
    for size in _PAGE_SIZES:
        records = dict.fromkeys(_records(data, size))
        found.append([record for record in records if is_whole(record)])
    return max(found, key=len)


def _records(data: bytes, size: int) -> Iterator[Record]:
    for start in range(0, len(data), size):
        page = data[start : start + size]
        header = 100 if start == 0 else 0
        if len(page) < size or page[header] not in (_INTERIOR, _LEAF):
            continue
        interior = page[header] == _INTERIOR
        pointers = header + (12 if interior else 8)
        (count,) = struct.unpack_from(">H", page, header + 3)
        for number in range(min(count, (size - pointers) // 2)):
            try:
                (place,) = struct.unpack_from(">H", page, pointers + 2 * number)
                yield _texts(_payload(data, page, place + 4 * interior, size))
            except _DAMAGE:
                continue


def _payload(data: bytes, page: bytes, place: int, size: int) -> bytes:
    """The bytes of the record at a place of a page, with its overflow pages."""
    total, place = _varint(page, place)
    local = _local(total, size)
    content = page[place : place + local]
    if local == total:
        return content
    if total > len(data):
        raise ValueError("longer than the file")
    parts, missing = [content], total - local
    (following,) = struct.unpack_from(">I", page, place + local)
    while missing > 0:
        overflow = data[(following - 1) * size : following * size] if following > 0 else b""
        (following,) = struct.unpack_from(">I", overflow)  # fails where there is no such page
        parts.append(overflow[4 : 4 + missing])
        missing -= size - 4
    return b"".join(parts)


def _local(total: int, size: int) -> int:
    """How many bytes of a payload lie on its own page."""
    most = (size - 12) * 64 // 255 - 23
    if total <= most:
        return total
    least = (size - 12) * 32 // 255 - 23
    fitting = least + (total - least) % (size - 4)
    return fitting if fitting <= most else least


def _texts(payload: bytes) -> Record:
    """The columns of a record, all of which are texts."""
    end, place = _varint(payload, 0)
    lengths = []
    while place < end:
        kind, place = _varint(payload, place)
        if kind < 13 or kind % 2 == 0:
            raise ValueError("not a text")
        lengths.append((kind - 13) // 2)
    texts = []
    for length in lengths:
        texts.append(payload[place : place + length].decode())
        place += length
    return tuple(texts)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits per byte, all but the last byte with the high bit; and the place behind it."""
    value = 0
    for taken in range(1, 9):
        byte = data[place + taken - 1]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + taken
    return value << 8 | data[place + 8], place + 9


def set_aside(path: Path) -> Path:
    """A copy of the file; and its journal, which must not be applied to another file, is moved beside it."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in itertools.count())
    aside = next(name for name in names if not name.exists())
    shutil.copy2(path, aside)
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        os.replace(journal, aside.with_name(f"{aside.name}-journal"))
    return aside
