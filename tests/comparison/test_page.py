"""The comparison page, as text and in a real browser."""

import re
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from voxtwist.comparison.sides import Side, load_side
from voxtwist.errors import VoxtwistError
from voxtwist.pages.comparison import write_comparison

from .conftest import SETTINGS


@pytest.fixture
def page(sides: list[Side], tmp_path: Path) -> Path:
    page = tmp_path / "page.html"
    write_comparison(page, sides)
    return page


def test_answers_figures_and_differences_stand_side_by_side(page: Path) -> None:
    html = page.read_text()
    assert html.index("embedded careful") < html.index("embedded hasty")
    assert "Held out: numbers <span>· 3 questions" in html
    assert html.count("<h3>") == 6
    assert html.count("<article>") == 12
    assert html.count("<audio") == 10
    assert html.count("No speech") == 2
    assert "What is &lt;numbers 1&gt;?" in html
    assert re.search(r"<del>answer</del>\s*<ins>anther</ins>", html)
    assert re.search(r"75\.0% <span>\d+\.\d% – \d+\.\d%</span></td>\s*<td>50\.0%", html)
    assert re.search(
        r"Word error rate</th>\s*<td>0\.0% .*\s*<td>14\.3% <span>14\.3% – 14\.3%", html
    )


def test_nothing_is_fetched(page: Path) -> None:
    html = page.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "url(" not in html


def test_a_browser_plays_it_and_nothing_sticks_out(page: Path, browser: webdriver.Chrome) -> None:
    for width in (1200, 390):
        browser.set_window_size(width, 900)
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= max(
            width, browser.execute_script("return innerWidth")
        )
    browser.execute_script("document.querySelector('audio').play()")
    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script("return document.querySelector('audio').currentTime") > 0
    )
    assert browser.execute_script("return document.querySelector('audio').duration") > 1.4


def test_models_without_a_common_question_are_refused(sides: list[Side], tmp_path: Path) -> None:
    other = Side("other", "1" * 32, tmp_path, {("heldout", "numbers", "Else?"): {}}, {}, [])
    with pytest.raises(VoxtwistError, match="no question in common"):
        write_comparison(tmp_path / "page.html", [sides[0], other])


def test_a_run_without_speech_is_named(store, tmp_path: Path) -> None:
    run = store.client.create_run(store.experiment_id)
    with pytest.raises(VoxtwistError, match="run the stage evaluate_speech"):
        load_side(store, "voxtwist", run.info.run_id, SETTINGS, tmp_path / "side")
