"""Opens pages in headless Chromium and tells what happened, or what is wrong with them."""

import dataclasses
import html
import pathlib
import shutil
import subprocess

import pytest
from playwright.sync_api import sync_playwright

AXE = "axe-core@4.14.1"


@dataclasses.dataclass
class Visit:
    """What a page wrote to the console, and the addresses that it asked for."""

    console: list[str]
    requests: list[str]


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        # A sandboxed frame in the page's own process, so that its requests are seen.
        flags = ["--no-sandbox", "--disable-features=IsolateSandboxedIframes"]
        started = playwright.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """A function that opens a local HTML file in a tab without network."""
    contexts = []

    def open_page(path: pathlib.Path, width: int = 1400, **options):
        contexts.append(
            browser.new_context(offline=True, viewport={"width": width, "height": 900}, **options)
        )
        page = contexts[-1].new_page()
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def open_in_browser(browser):
    """A function that opens an HTML file in an <iframe sandbox="allow-scripts">, as the UI does."""

    def visit(path: pathlib.Path) -> Visit:
        seen = Visit([], [])
        with browser.new_context(offline=True) as context:
            page = context.new_page()
            page.on("console", lambda message: seen.console.append(message.text))
            page.on("pageerror", lambda error: seen.console.append(f"{error.name}: {error}"))
            page.on("request", lambda request: seen.requests.append(request.url))
            page.set_content(
                "<!DOCTYPE html><iframe sandbox='allow-scripts' width='700' height='2000' "
                f'srcdoc="{html.escape(path.read_text())}"></iframe>'
            )
            page.wait_for_timeout(100)
        return seen

    return visit


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> pathlib.Path:
    """The script of axe-core, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine (Debian: apt install npm)")
    directory = tmp_path_factory.mktemp("axe")
    command = [npm, "pack", AXE, "--silent", "--prefer-offline"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm can't get {AXE}: {done.stderr.strip()[-200:]}")
    (archive,) = directory.glob("*.tgz")
    shutil.unpack_archive(archive, directory)
    return directory / "package" / "axe.min.js"
