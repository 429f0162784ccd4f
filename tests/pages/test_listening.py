"""The listening page, also as a real browser sees and plays it."""

import re
import shutil
import subprocess
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import orjson
import pytest

from voxtwist.codec.audio import write_audio
from voxtwist.errors import VoxtwistError
from voxtwist.pages.listening import write_listening_page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
]  # fmt: skip


def row(name: str, **changes: object) -> dict[str, object]:
    group, part, _ = name.split("-")
    return {
        "id": name, "group": group, "part": part, "question": "How much is 7 plus 8?",
        "answer": "Seven plus eight is fifteen.", "text": "Seven plus eight is fifteen.",
        "transcript": "7 + 8 = 15.", "words": {"errors": 0, "length": 5}, "exact": True,
        "seconds": 1.5, "problem": None, "mos": {"overall": 3.21},
    } | changes  # fmt: skip


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    wrong = {"transcript": "7 plus ate is 15", "words": {"errors": 1, "length": 5}}
    silent = {"transcript": "", "seconds": 0.0, "problem": "no speech", "mos": None}
    rows = [
        row("heldout-numbers-01"),
        row("heldout-numbers-02", **wrong, question="Is 7 < 8?", exact=False),
        row("taught-everyday-01", **silent, words={"errors": 5, "length": 5}),
    ]
    (folder / "samples.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16_000).astype(np.float32)
    for name in ("heldout-numbers-01", "heldout-numbers-02"):
        write_audio(folder / f"{name}.flac", tone, 16_000)
    return folder


METRICS = {
    "heldout/numbers/wer": 0.1,
    "heldout/numbers/reference_wer": 0.05,
    "intervals": {"heldout/numbers/wer": [0.02, 0.2, 2]},
}


@pytest.fixture
def page(samples: Path, tmp_path: Path) -> Path:
    page = tmp_path / "out" / "listening.html"
    write_listening_page(page, samples, METRICS, "debug & <test> 1a2b3c")
    return page


def test_what_is_said_and_heard(page: Path) -> None:
    html = page.read_text()
    assert "debug &amp; &lt;test&gt; 1a2b3c" in html
    assert "Held out: numbers <span>· 2 answers" in html
    assert re.search(r"<del>8</del>\s*<ins>ate</ins>", html)
    assert "Is 7 &lt; 8?" in html
    assert html.count("<audio") == 2
    assert html.count("No speech") == 1
    assert re.search(r"10\.0%</dd>\s*<dd.*2\.0% – 20\.0%</dd>\s*<dd.*data: 5\.0%", html)


def test_nothing_is_fetched_or_run(page: Path) -> None:
    html = page.read_text()
    assert "<script" not in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "url(" not in html


def test_missing_samples_are_named(tmp_path: Path) -> None:
    with pytest.raises(VoxtwistError, match=r"samples\.jsonl is missing"):
        write_listening_page(tmp_path / "page.html", tmp_path, METRICS, "title")


class Visit(ThreadingHTTPServer):
    """Serves one page to a browser, and waits for what a script in it posts back."""

    def __init__(self, html: str) -> None:
        self.html = html.encode()
        self.posted: Queue[str] = Queue()
        super().__init__(("127.0.0.1", 0), Exchange)

    def result(self, profile: Path) -> str:
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if browser is None:
            pytest.fail("no Chromium: this test needs a browser (apt install chromium)")
        Thread(target=self.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self.server_port}/"
        window = subprocess.Popen(
            [browser, *FLAGS, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return self.posted.get(timeout=120)
        finally:
            window.terminate()
            window.wait()
            self.shutdown()
            self.server_close()


class Exchange(BaseHTTPRequestHandler):
    server: Visit

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.html)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.put(body.decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_browser_can_play_the_audio(page: Path, tmp_path: Path) -> None:
    html = (
        page.read_text()
        + """<script>
      const decode = player => fetch(player.src).then(answer => answer.arrayBuffer())
        .then(bytes => new OfflineAudioContext(1, 24000, 24000).decodeAudioData(bytes));
      Promise.all([...document.querySelectorAll("audio")].map(decode))
        .then(sounds => sounds.map(sound => sound.duration.toFixed(2)).join(" "))
        .catch(String)
        .then(body => fetch("/", {method: "POST", body}))
    </script>"""
    )
    assert Visit(html).result(tmp_path / "profile") == "1.50 1.50"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_in_a_sandboxed_frame(page: Path, tmp_path: Path, width: int) -> None:
    inner = (
        page.read_text()
        + """<script>
      onload = () => parent.postMessage(document.documentElement.scrollWidth, "*")
    </script>"""
    )
    html = f"""<!doctype html><script>
      onmessage = event => fetch("/", {{method: "POST", body: event.data}})
    </script><iframe sandbox="allow-scripts" style="width:{width}px; height:900px; border:0"
      srcdoc="{escape(inner)}"></iframe>"""
    assert Visit(html).result(tmp_path / "profile") == str(width)
