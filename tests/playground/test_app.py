"""The page in a real browser: answers, words, keyboard, hostile texts, narrow screens; nothing from other hosts."""

from __future__ import annotations

import contextlib
import re
import threading

import pytest

from tellapart.listening import bound_socket, url_of
from tellapart.playground.playground import load_playground
from tellapart.playground.settings import PlaygroundSettings

pytest.importorskip("gradio")
pytest.importorskip("captum")
uvicorn = pytest.importorskip("uvicorn")

LONG = 60_000  # milliseconds that the page waits before a test fails
HOSTILE = "a thief <script>document.title = 'broken'</script> ${document.title = 'broken'} {{value}}"


@pytest.fixture(scope="module")
def address(run, checkpoint):
    """The address of a playground of two models, in a thread."""
    from tellapart.playground.app import create_app

    settings = PlaygroundSettings((str(run), str(checkpoint)), port=0)
    app = create_app(load_playground(settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    with contextlib.closing(bound_socket(settings.host, settings.port)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield url_of(settings.host, listening)
        server.should_exit = True
        thread.join()


def test_a_text_is_answered_and_explained_in_the_browser(browser, address, violations):
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    context.set_default_timeout(LONG)
    complaints, requests = [], []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda response: complaints.append(response.url) if response.status >= 400 else None)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    box = page.get_by_label("Text", exact=True)
    box.wait_for()
    page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")

    page.keyboard.type("my card was stolen")
    page.keyboard.press("Enter")
    page.locator("#tp-answers .tp-card").nth(1).wait_for()
    assert page.locator("#tp-answers .tp-bars li").count() == 6
    assert re.search(r"is (at least|below) its threshold", page.locator("#tp-answers").inner_text())

    page.get_by_role("button", name="Explain").click()
    page.locator("#tp-reasons .tp-near").wait_for()
    assert page.locator("#tp-reasons mark").count() >= 4
    assert re.search(r"For stolen:.* stolen \+", page.locator("#tp-reasons").inner_text())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page) == []

    box.fill(HOSTILE)
    box.press("Enter")
    old = page.locator("#tp-reasons .tp-card").first
    old.wait_for(state="detached")
    page.get_by_role("button", name="Explain").click()
    page.locator("#tp-reasons .tp-marked").first.wait_for()
    marked = page.locator("#tp-reasons .tp-marked").first.text_content()
    assert marked.replace("+", "").replace("−", "") == HOSTILE  # but for the signs
    assert page.title() == "tellapart playground"

    page.locator("button.tp-example").first.click()
    old.wait_for(state="detached")
    assert box.input_value() in page.locator("button.tp-example").first.inner_text()
    page.locator("#tp-answers .tp-card").nth(1).wait_for()

    context.close()
    assert complaints == []
    assert all(url.startswith(address) or url.startswith("data:") for url in requests)
