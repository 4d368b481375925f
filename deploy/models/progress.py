"""How far a download is: a live bar on a terminal, one line now and then otherwise."""

import shutil
import sys
import time

LINE_EVERY = 15.0  # seconds between two lines when nobody watches


def human(size: float) -> str:
    """A byte count for people, e.g. `1.0 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


class Progress:
    """Shows `done` of `total` bytes of one file; the speed counts what this run fetched only."""

    def __init__(self, name, total, out=sys.stderr, clock=time.monotonic):
        self.name, self.total, self.out, self.clock = name, total, out, clock
        self.live = out.isatty()
        self.begun = self.shown = clock()
        self.first = None

    def update(self, done: int):
        """`done` bytes of the file are here."""
        if self.first is None:
            self.first = done
        now = self.clock()
        if now - self.shown < (0.1 if self.live else LINE_EVERY):
            return
        self.shown = now
        text = self.text(done, now - self.begun)
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.out.write("\r" + text[:width].ljust(width))
        else:
            self.out.write(text + "\n")
        self.out.flush()

    def text(self, done: int, seconds: float) -> str:
        """One line: name, bar, sizes, speed and time left."""
        share = min(done / self.total, 1.0)
        speed = (done - self.first) / seconds if seconds else 0
        left = f"{(self.total - done) / speed:.0f} s left" if speed > 0 else "…"
        bar = ("#" * int(share * 20)).ljust(20, "-")
        return (
            f"{self.name}  [{bar}] {share:4.0%}  {human(done)} of {human(self.total)}  "
            f"{human(speed)}/s  {left}"
        )

    def clear(self):
        """Takes the bar off the terminal, so that a message can follow."""
        if self.live:
            self.out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.out.flush()
