"""Tests of fetch.py against a hub on 127.0.0.1 and a stand-in for pip. Standard library only."""

import contextlib
import hashlib
import http.server
import io
import os
import sys
import tempfile
import threading
import tomllib
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
import fetch  # noqa: E402
import hub  # noqa: E402
import mirror  # noqa: E402
import progress  # noqa: E402

DATA = bytes(range(256)) * 4096  # 1 MiB
HALF = len(DATA) // 2

# A stand-in for pip: copies `<shelf>/<package>.whl` to --dest, notes the call, and fails where the shelf has no such
# package, as pip does when a download fails.
FAKE_PIP = """
import pathlib, shutil, sys
shelf, args = pathlib.Path({shelf!r}), sys.argv[1:]
package = args[-1].partition("==")[0]
with (shelf / "calls").open("a") as calls:
    calls.write(package + chr(10))
shutil.copy(shelf / (package + ".whl"), args[args.index("--dest") + 1])
"""


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Serves `server.data`, honouring ranges; `server.cut` closes that many replies half-way."""

    def do_GET(self):
        server, begin = self.server, 0
        server.ranges.append(self.headers.get("Range"))
        if server.status:
            return self.send_error(server.status)
        if server.ranged and server.ranges[-1]:
            begin = int(server.ranges[-1].removeprefix("bytes=").rstrip("-"))
        body = server.data[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.data) - 1}/{len(server.data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut:
            server.cut -= 1
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):  # a client that has read enough
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class FetchTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.models = self.root / "models"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubHandler)
        self.server.data, self.server.ranges = DATA, []
        self.server.ranged, self.server.status, self.server.cut = True, 0, 0
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.log = io.StringIO()
        quick = mock.patch.object(hub.Hub.__init__, "__defaults__", (lambda _: None,))
        direct = mock.patch.dict(os.environ, {"HF_ENDPOINT": "", "no_proxy": "*"})
        for patch in (quick, direct, contextlib.redirect_stderr(self.log)):
            self.enterContext(patch)

    def manifest(self, **sources) -> dict:
        file = {"path": "sub/model.bin", "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), **sources}
        return {"model": [{"name": "m", "about": "a test model", "default": True, "file": [file]}]}

    def hub_manifest(self, **more) -> dict:
        return self.manifest(hub=f"http://127.0.0.1:{self.server.server_port}/model.bin", **more)

    def shelf(self, pieces: dict[str, bytes]) -> dict:
        """Fills the stand-in pip's shelf with wheels; returns the mirror that reads them."""
        shelf = self.root / "shelf"
        shelf.mkdir(exist_ok=True)
        for name, data in pieces.items():
            with zipfile.ZipFile(shelf / f"{name}.whl", "w") as wheel:
                wheel.writestr(f"{name}/data/x.bin", data)
        script = self.root / "fake_pip.py"
        script.write_text(FAKE_PIP.format(shelf=str(shelf)))
        self.enterContext(mock.patch.object(mirror, "PIP", [sys.executable, str(script)]))
        return {"kind": "pypi", "member": "p*/data/*.bin", "packages": ["p1==1", "p2==1", "p10==1"]}

    def calls(self) -> list[str]:
        return (self.root / "shelf" / "calls").read_text().split()

    def run_fetch(self, manifest: dict):
        fetch.run(manifest, [], self.models)

    def assert_in_place(self):
        self.assertEqual((self.models / "sub/model.bin").read_bytes(), DATA)
        left = {p.name for p in (self.models / "sub").iterdir()}
        self.assertEqual(left, {"model.bin", "model.bin.ok"})

    def put(self, name: str, data: bytes) -> Path:
        path = self.models / "sub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def test_hub_gives_the_file_and_a_second_run_asks_nobody(self):
        self.run_fetch(self.hub_manifest())
        self.assert_in_place()
        with mock.patch.object(hashlib, "file_digest", side_effect=AssertionError("hashed again")):
            self.run_fetch(self.hub_manifest())
        self.assertEqual(self.server.ranges, [None])

    def test_an_earlier_part_is_resumed_by_range(self):
        self.put("model.bin.part", DATA[:HALF])
        self.run_fetch(self.hub_manifest())
        self.assertEqual(self.server.ranges, [f"bytes={HALF}-"])
        self.assert_in_place()

    def test_a_broken_connection_is_resumed(self):
        self.server.cut = 2
        self.run_fetch(self.hub_manifest())
        self.assertEqual(self.server.ranges, [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"])
        self.assert_in_place()

    def test_a_hub_without_ranges_starts_over(self):
        self.server.ranged = False
        self.put("model.bin.part", DATA[:HALF])
        self.run_fetch(self.hub_manifest())
        self.assert_in_place()

    def test_wrong_bytes_are_deleted_and_named(self):
        self.server.data = DATA[:-1] + b"!"
        with self.assertRaisesRegex(fetch.FetchError, "sub/model.bin"):
            self.run_fetch(self.hub_manifest())
        self.assertEqual(list((self.models / "sub").iterdir()), [])
        self.assertIn("wrong size or SHA-256, deleted", self.log.getvalue())

    def test_a_longer_file_is_refused_before_it_fills_the_disk(self):
        self.server.data = DATA * 8
        with self.assertRaises(fetch.FetchError):
            self.run_fetch(self.hub_manifest())
        self.assertIn("longer than", self.log.getvalue())
        self.assertLessEqual((self.models / "sub/model.bin.part").stat().st_size, len(DATA) + 1)

    def test_wrong_bytes_from_the_hub_lead_to_the_mirror(self):
        self.server.data = b"?" * len(DATA)
        self.run_fetch(self.hub_manifest(mirror=self.shelf({"p1": DATA[:9], "p2": DATA[9:99], "p10": DATA[99:]})))
        self.assert_in_place()

    def test_an_unreachable_hub_leads_to_the_mirror(self):
        self.server.shutdown()
        self.server.server_close()
        manifest = self.hub_manifest(mirror=self.shelf({"p1": DATA[:9], "p2": DATA[9:99], "p10": DATA[99:]}))
        self.run_fetch(manifest)
        self.assertIn("cannot be reached", self.log.getvalue())
        self.assertEqual(self.calls(), ["p1", "p2", "p10"])
        self.assert_in_place()

    def test_an_interrupted_mirror_run_fetches_only_what_is_missing(self):
        manifest = self.manifest(mirror=self.shelf({"p1": DATA[:9], "p2": DATA[9:99]}))
        with self.assertRaises(fetch.FetchError):
            self.run_fetch(manifest)
        self.assertIn("p10", self.log.getvalue())
        self.shelf({"p10": DATA[99:]})
        self.run_fetch(manifest)
        self.assertEqual(self.calls(), ["p1", "p2", "p10", "p10"])
        self.assert_in_place()

    def test_a_damaged_file_in_place_is_replaced(self):
        self.run_fetch(self.hub_manifest())
        self.put("model.bin", DATA[:-1] + b"!")
        self.run_fetch(self.hub_manifest())
        self.assertEqual(len(self.server.ranges), 2)
        self.assert_in_place()

    def test_a_refusal_is_told(self):
        self.server.status = 404
        with self.assertRaises(fetch.FetchError):
            self.run_fetch(self.hub_manifest())
        self.assertIn("answered 404", self.log.getvalue())

    def test_a_full_disk_is_told_before_anything_is_fetched(self):
        with mock.patch.object(fetch.shutil, "disk_usage", return_value=mock.Mock(free=1)):
            with self.assertRaisesRegex(fetch.FetchError, "--cache DIR"):
                self.run_fetch(self.hub_manifest())
        self.assertEqual(self.server.ranges, [])

    def test_an_unknown_name_is_told_with_the_known_ones(self):
        with self.assertRaisesRegex(fetch.FetchError, "no model is called x; there are m"):
            fetch.run(self.hub_manifest(), ["x"], self.models)

    def test_listing_changes_nothing(self):
        path = self.put("model.bin", b"half")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            fetch.show(self.hub_manifest(), self.models)
        self.assertIn("unverified", out.getvalue())
        self.assertTrue(path.exists())


class ProgressTest(unittest.TestCase):
    def test_time_left_counts_only_what_this_run_fetched(self):
        now = [0.0]
        out = io.StringIO()
        bar = progress.Progress("m", 100 << 20, out, lambda: now[0])
        bar.update(50 << 20)
        now[0] = 20.0
        bar.update(70 << 20)
        self.assertIn("70%", out.getvalue())
        self.assertIn("1.0 MiB/s  30 s left", out.getvalue())
        self.assertEqual(out.getvalue().count("\n"), 1)


class ManifestTest(unittest.TestCase):
    def test_every_file_can_be_checked_and_had_on_both_machines(self):
        manifest = tomllib.loads(fetch.MANIFEST.read_text())
        for machine in ("x86_64", "aarch64"):
            for entry in fetch.entries(fetch.choose(manifest, [], machine), Path("models")):
                self.assertRegex(entry.sha256, "^[0-9a-f]{64}$")
                self.assertGreater(entry.size, 0)
                for package in entry.spec["mirror"]["packages"]:
                    self.assertRegex(package, "^(@[a-z0-9-]+/)?[a-z0-9-]+(==|@)[0-9.]+$")


if __name__ == "__main__":
    unittest.main()
