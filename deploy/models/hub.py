"""Downloads one file from the model hub, resuming where an earlier try stopped."""

import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HUB = "https://huggingface.co"
CONNECT_TIMEOUT = 3.0  # short: on a closed network the package mirror waits behind it
READ_TIMEOUT = 30.0
TRIES = 4
CHUNK = 1 << 20

class HubError(Exception):
    """The hub could not give the file; the text says why."""


class _Patient:
    """Waits longer for bytes than for the connection."""

    def connect(self):
        super().connect()
        self.sock.settimeout(READ_TIMEOUT)


class _Http(_Patient, http.client.HTTPConnection):
    pass


class _Https(_Patient, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req):
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req):
        return self.do_open(_Https, req)


class Hub:
    """The model hub, for one run: a host that could not be reached once is not tried again."""

    def __init__(self, pause=time.sleep):
        self.pause = pause
        self.unreachable: set[str] = set()

    def download(self, url: str, part: Path, size: int, progress):
        """Fills `part` up to `size` bytes. Raises HubError; what has arrived stays in `part` for the next run."""
        if os.environ.get("HF_ENDPOINT"):
            url = url.replace(HUB, os.environ["HF_ENDPOINT"].rstrip("/"), 1)
        host = urllib.parse.urlsplit(url).netloc
        if host in self.unreachable:
            raise HubError(f"{host} cannot be reached")
        opener = urllib.request.build_opener(_HttpHandler, _HttpsHandler)
        before = _length(part)
        for attempt in range(1, TRIES + 1):
            try:
                _resume(opener, url, part, size, progress)
                return
            except urllib.error.HTTPError as error:
                if error.code == 416:  # the hub's file ends before what we already have
                    part.unlink(missing_ok=True)
                if error.code < 500 or attempt == TRIES:
                    raise HubError(f"{host} answered {error.code} {error.reason}") from error
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.URLError) and _length(part) == before:
                    self.unreachable.add(host)
                    raise HubError(f"{host} cannot be reached ({error.reason})") from error
                if attempt == TRIES:
                    raise HubError(f"{host} broke off ({error})") from error
            self.pause(attempt)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _resume(opener, url: str, part: Path, size: int, progress):
    have = _length(part)
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = {"User-Agent": "frontdesk-fetch", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with opener.open(urllib.request.Request(url, headers=headers), timeout=CONNECT_TIMEOUT) as reply:
        have = _start(reply, have)
        with part.open("r+b" if have else "wb") as out:
            out.seek(have)
            progress.update(have)
            while data := reply.read(min(CHUNK, size - have + 1)):
                out.write(data)
                have += len(data)
                progress.update(have)
                if have > size:
                    raise HubError(f"the hub's file is longer than {size} bytes")
    if have < size:
        raise ConnectionError(f"the connection closed after {have} of {size} bytes")


def _start(reply, asked: int) -> int:
    """The offset at which the reply's bytes begin: a server may ignore the range and send everything."""
    if not asked or reply.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    if not match or int(match[1]) != asked:
        raise HubError("the hub sent another range than asked for")
    return asked
