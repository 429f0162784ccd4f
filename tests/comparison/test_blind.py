"""A blind comparison from the page to the sign test, in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from voxtwist.comparison.server import vote_server
from voxtwist.comparison.sides import Side
from voxtwist.comparison.votes import Vote, add_votes, count, read_votes
from voxtwist.errors import VoxtwistError
from voxtwist.pages.blind import Key, key_path, read_key, write_blind
from voxtwist.web import LocalServer


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


@pytest.fixture
def key(page: Path, sides: list[Side]) -> Key:
    return write_blind(page, sides, seed=0, served=True)


@pytest.fixture
def stored(page: Path) -> Path:
    return page.with_suffix(".votes.jsonl")


@pytest.fixture
def server(page: Path, key: Key, stored: Path) -> Iterator[LocalServer]:
    server = vote_server(page, key, stored, 0)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def choose(browser: webdriver.Chrome, question: str, choice: str) -> None:
    button = browser.find_element(By.CSS_SELECTOR, f"[name={question}][value={choice}]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def status(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.CSS_SELECTOR, "[role=status]").text


def votes_for(key: Key, run_id: str, questions: list[str], listener: str = "Ada") -> list[Vote]:
    chosen = {q: "A" if key.questions[q]["A"] == run_id else "B" for q in questions}
    return [Vote(key.comparison, listener, q, choice, "now") for q, choice in chosen.items()]


def test_the_page_hides_who_is_who_and_the_key_tells(page: Path, sides: list[Side]) -> None:
    key = write_blind(page, sides, seed=0)
    html = page.read_text()
    for side in sides:
        assert side.name not in html
        assert side.run_id not in html
    assert read_key(key_path(page)) == key
    first = [runs["A"] for runs in key.questions.values()]
    assert set(first) == {side.run_id for side in sides}
    assert len(key.questions) == 6
    assert write_blind(page, sides, seed=0) == key
    assert write_blind(page, sides, seed=1).questions != key.questions


def test_only_two_models_are_compared_blindly(page: Path, sides: list[Side]) -> None:
    for some in (sides[:1], [sides[0], sides[0]], [*sides, sides[0]]):
        with pytest.raises(VoxtwistError, match="two models of different runs"):
            write_blind(page, some, seed=0)


def test_a_served_vote_is_stored(
    server: LocalServer, key: Key, stored: Path, browser: webdriver.Chrome
) -> None:
    browser.get(server.address)
    browser.find_element(By.ID, "listener").send_keys("Ada")
    choose(browser, "q002", "B")
    WebDriverWait(browser, 60).until(lambda b: "stored" in status(b))
    assert status(browser) == "1 of 6 answered, stored"
    choose(browser, "q002", "A")
    choose(browser, "q005", "even")
    WebDriverWait(browser, 60).until(lambda _: len(stored.read_text().splitlines()) == 3)
    votes = {vote.question: vote for vote in read_votes([stored], key)}
    assert {name: vote.choice for name, vote in votes.items()} == {"q002": "A", "q005": "even"}
    assert {vote.listener for vote in votes.values()} == {"Ada"}

    browser.refresh()
    assert status(browser) == "2 of 6 answered"
    assert browser.find_element(By.CSS_SELECTOR, "[name=q002][value=A]").is_selected()


def test_it_plays_one_answer_at_a_time(server: LocalServer, browser: webdriver.Chrome) -> None:
    browser.get(server.address)
    players = "const [first, second] = document.querySelectorAll('audio');"
    for name in ("first", "second"):
        browser.execute_script(f"{players} {name}.play()")
        WebDriverWait(browser, 60).until(
            lambda b, name=name: b.execute_script(f"{players} return {name}.currentTime") > 0
        )
    assert browser.execute_script(f"{players} return first.paused")


def test_without_a_server_votes_are_kept_and_downloaded(
    page: Path, sides: list[Side], browser: webdriver.Chrome, tmp_path: Path
) -> None:
    key = write_blind(page, sides, seed=0)
    for width in (1200, 390):
        browser.set_window_size(width, 900)
        browser.get(page.as_uri())
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
    choose(browser, "q001", "B")
    assert status(browser) == "1 of 6 answered, kept in this browser"
    browser.refresh()
    assert status(browser) == "1 of 6 answered"
    browser.find_element(By.ID, "download").click()
    file = tmp_path / "downloads" / f"votes-{key.comparison}.json"
    WebDriverWait(browser, 60).until(lambda _: file.exists())
    (vote,) = read_votes([file], key)
    assert (vote.question, vote.choice, vote.listener) == ("q001", "B", "anonymous")


@pytest.mark.parametrize(
    ("changes", "headers", "code"),
    [
        ({}, {}, 204),
        ({"choice": "C"}, {}, 400),
        ({"question": "q099"}, {}, 400),
        ({"comparison": "other"}, {}, 400),
        ({"listener": "x" * 201}, {}, 400),
        ({"more": "fields"}, {}, 400),
        ({}, {"Host": "evil.example:80"}, 403),
        ({}, {"Content-Type": "text/plain"}, 415),
    ],
)
def test_the_server_takes_only_votes_on_its_page(
    server, key, stored, changes, headers, code
) -> None:
    vote = {
        "comparison": key.comparison, "listener": "Ada", "question": "q001",
        "choice": "A", "at": "now",
    }  # fmt: skip
    answer = requests.post(
        f"{server.address}votes", json=vote | changes, headers=headers, timeout=60
    )
    assert answer.status_code == code
    assert stored.exists() == (code == 204)


def test_votes_are_counted_by_question(page: Path, sides: list[Side], run_ids: list[str]) -> None:
    key = write_blind(page, sides, seed=0)
    names = list(key.questions)
    votes = [
        *votes_for(key, run_ids[0], names[:5]),
        *votes_for(key, run_ids[0], names[:5], "Bob"),
        *votes_for(key, run_ids[1], names[5:]),
        *votes_for(key, run_ids[0], names[5:], "Bob"),
    ]
    verdict = count(votes, key)
    assert (verdict.won, verdict.lost, verdict.even) == (5, 0, 1)
    assert (verdict.votes, verdict.listeners) == (12, 2)
    assert verdict.p_value == pytest.approx(2 / 2**5)


def test_both_runs_get_the_verdict(store, page: Path, sides, run_ids: list[str]) -> None:
    key = write_blind(page, sides, seed=0)
    votes = votes_for(key, run_ids[1], list(key.questions)[:4])
    add_votes(store, votes, key)
    for run_id, other, won in ((run_ids[0], run_ids[1], 0), (run_ids[1], run_ids[0], 4)):
        run = store.client.get_run(run_id)
        assert run.data.metrics["listening/won"] == won
        assert run.data.metrics["listening/p_value"] == pytest.approx(2 / 2**4)
        assert run.data.tags["listening.against"] == other
        assert run.info.status == "FINISHED"
        (file,) = store.client.list_artifacts(run_id, "listening")
        record = json.loads(Path(store.client.download_artifacts(run_id, file.path)).read_text())
        assert len(record["votes"]) == 4


def test_votes_of_another_page_are_refused(page: Path, sides: list[Side], tmp_path: Path) -> None:
    key = write_blind(page, sides, seed=0)
    file = tmp_path / "votes.json"
    vote = {"comparison": "other", "listener": "", "question": "q001", "choice": "A", "at": ""}
    file.write_text(json.dumps([vote]))
    with pytest.raises(VoxtwistError, match="belongs to the page other"):
        read_votes([file], key)
    file.write_text("[]")
    with pytest.raises(VoxtwistError, match="no votes in it yet"):
        read_votes([file], key)
