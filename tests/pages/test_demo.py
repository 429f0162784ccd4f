"""The demo page in a real browser, and what its server refuses."""

import http.client
import json
import shutil
from collections.abc import Iterator
from threading import Event, Thread
from time import sleep
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.errors import VoxtwistError
from voxtwist.pages.demo import Demo, demo_server
from voxtwist.web import LocalServer

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip


@pytest.fixture
def server(speaker, generation) -> Iterator[LocalServer]:
    server = demo_server(Demo("tiny", speaker, generation(), 7), "127.0.0.1", 0)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def post(server: LocalServer, body: object, **headers: str) -> tuple[int, list[dict]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    headers = {"Content-Type": "application/json"} | headers
    connection.request("POST", "/ask", json.dumps(body), headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    return reply.status, [
        json.loads(line) for line in text.splitlines()
    ] if reply.status == 200 else []


ASKED = {"question": "Hi?", "earlier": [["So?", "Yes."]], "temperature": 0, "seed": 0}


def test_text_comes_before_speech_and_the_whole_answer_last(server, speaker, generation):
    status, events = post(server, ASKED)
    assert status == 200
    *parts, last = events
    expected = speaker.answer([("So?", "Yes.")], "Hi?", generation(), 0, str, int)
    texts = [event["text"] for event in parts if "text" in event]
    seconds = [event["seconds"] for event in parts[len(texts) :]]
    assert "".join(texts) == expected.text
    assert seconds == [n / 25 for n in range(1, len(expected.codes) + 1)]
    assert last["codes"] == expected.codes.tolist()
    assert last["audio"].startswith("data:audio/ogg;base64,")


def test_mistakes_are_answered(server):
    assert post(server, ASKED | {"question": ""})[0] == 400
    assert post(server, ASKED | {"temperature": -1})[0] == 400
    assert post(server, ASKED | {"temperature": float("inf")})[0] == 400
    assert post(server, ASKED | {"seed": 2**64})[0] == 400
    status, events = post(server, ASKED | {"question": "word " * 3000})
    assert (status, len(events)) == (200, 1)
    assert "the model reads 2048" in events[0]["error"]


def test_pages_of_other_sites_are_refused(server):
    assert post(server, ASKED, Host="evil.example:80")[0] == 403
    assert post(server, ASKED, **{"Content-Type": "text/plain"})[0] == 415


def test_an_answer_ends_when_its_page_is_closed(generation):
    ended = Event()

    class Endless:
        codec = SimpleNamespace(frame_rate_hz=50)

        def answer(self, *_: object) -> None:
            on_text = _[4]
            try:
                while True:
                    on_text("word ")
                    sleep(0.01)
            finally:
                ended.set()

    endless = demo_server(Demo("endless", Endless(), generation(), 0), "127.0.0.1", 0)
    thread = Thread(target=endless.serve_forever, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", endless.port)
    connection.request("POST", "/ask", json.dumps(ASKED), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    assert json.loads(reply.readline()) == {"text": "word "}
    reply.close()
    connection.close()
    assert ended.wait(10)
    endless.shutdown()
    thread.join()


def test_a_taken_port_is_told(server):
    with pytest.raises(VoxtwistError, match="give another --port"):
        LocalServer(FastAPI(), "127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("options", "host"), [((), "127.0.0.1"), (("--host", "0.0.0.0"), "0.0.0.0")]
)
def test_the_command_serves_this_machine_alone_unless_told_otherwise(
    project, monkeypatch, options, host
):
    served = []

    def end_at_once(server: LocalServer) -> None:
        served.append((server.host, server.port))
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalServer, "serve_forever", end_at_once)
    monkeypatch.chdir(project)
    done = CliRunner().invoke(app, ["demo", "--port", "0", *options])
    assert done.exit_code == 0, done.output
    [(address, port)] = served
    assert address == host
    assert f"http://{host}:{port}/ " in done.stdout


@pytest.fixture
def browser(server, tmp_path) -> Iterator[webdriver.Chrome]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.fail("no Chromium: this test needs a browser (apt install chromium)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.get(f"http://127.0.0.1:{server.port}/")
    yield driver
    driver.quit()


def ask(browser: webdriver.Chrome, question: str, answers: int) -> None:
    browser.find_element(By.NAME, "question").send_keys(question, Keys.ENTER)
    WebDriverWait(browser, 60).until(
        lambda page: len(page.find_elements(By.TAG_NAME, "audio")) == answers
    )


@pytest.mark.slow
def test_a_person_types_reads_and_listens(browser, speaker, generation):
    WebDriverWait(browser, 60).until(
        lambda page: page.find_element(By.NAME, "seed").get_property("value") == "7"
    )
    ask(browser, "Hi?", 1)
    ask(browser, "And you?", 2)
    first = speaker.answer([], "Hi?", generation(), 7, str, int).text.strip()
    second = speaker.answer([("Hi?", first)], "And you?", generation(), 7, str, int).text.strip()
    shown = [
        part.get_property("textContent") for part in browser.find_elements(By.CLASS_NAME, "text")
    ]
    assert shown == [first, second]
    play = """const [player, done] = [document.querySelector("audio"), arguments[0]];
      player.onended = () => done(player.duration); player.play().catch(e => done(String(e)));"""
    codes = speaker.answer([], "Hi?", generation(), 7, str, int).codes
    assert browser.execute_async_script(play) == pytest.approx(len(codes) / 25, abs=0.05)
    for width in (390, 1200):
        browser.set_window_size(width, 900)
        overflow = "return document.documentElement.scrollWidth - innerWidth"
        assert browser.execute_script(overflow) <= 0
    browser.find_element(By.ID, "clear").click()
    assert not browser.find_elements(By.CLASS_NAME, "turn")
