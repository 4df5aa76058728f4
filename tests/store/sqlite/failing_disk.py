"""A file system that fails when told to: an SQLite VFS around the real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import apsw

NAME = "failing-disk"
Operation = Literal["log write", "log growth", "log sync", "database write", "database sync", "database read"]


class Disk:
    """`fail` makes the n-th operation of a kind from now on fail, and all later ones if it ``stays``; `mend` ends that."""

    def __init__(self) -> None:
        self._operation: Operation | None = None
        self._at = 0
        self._seen = 0
        self._stays = False
        self._error: type[apsw.Error] = apsw.IOError
        self.failures = 0

    def fail(self, operation: Operation, error: type[apsw.Error], *, at: int = 1, stays: bool = False) -> None:
        self._at, self._seen, self._stays, self._error, self.failures = at, 0, stays, error, 0
        self._operation = operation

    def mend(self) -> None:
        self._operation = None

    def does(self, operation: Operation) -> None:
        if operation != self._operation:
            return
        self._seen += 1
        if self._seen == self._at or (self._stays and self._seen > self._at):
            self.failures += 1
            raise self._error("the disk fails")


class _Log(apsw.VFSFile):
    disk: Disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.does("log write")
        if offset + len(data) > self.xFileSize():
            self.disk.does("log growth")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.does("log sync")
        super().xSync(flags)


class _Database(apsw.VFSFile):
    disk: Disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.does("database write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.does("database sync")
        super().xSync(flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self.disk.does("database read")
        return super().xRead(amount, offset)


class _FileSystem(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._log = type("Log", (_Log,), {"disk": disk})
        self._database = type("Database", (_Database,), {"disk": disk})
        super().__init__(NAME, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        file = self._log if flags[0] & apsw.SQLITE_OPEN_WAL else self._database
        opened: apsw.VFSFile = file("", name, flags)
        return opened


@contextmanager
def failing_disk() -> Iterator[Disk]:
    """Registered as `NAME` while inside."""
    disk = Disk()
    file_system = _FileSystem(disk)
    try:
        yield disk
    finally:
        file_system.unregister()
