"""Opens a report as the Kubeflow UI does, in headless Chromium, and tells what happened."""

import dataclasses
import html
import json
import pathlib
import re
import shutil
import subprocess

import pytest


@dataclasses.dataclass
class Visit:
    """What a page wrote to the console, and the addresses that it asked for."""

    console: list[str]
    requests: list[str]


@pytest.fixture
def open_in_browser(tmp_path):
    """A function that opens an HTML file in an <iframe sandbox="allow-scripts">."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")

    def visit(path: pathlib.Path) -> Visit:
        page, net_log = tmp_path / "frame.html", tmp_path / "net.json"
        page.write_text(
            "<!DOCTYPE html><iframe sandbox='allow-scripts' width='700' height='2000' "
            f'srcdoc="{html.escape(path.read_text())}"></iframe>'
        )
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            "--host-resolver-rules=MAP * ~NOTFOUND",  # what is asked for is noted, not sent
            *("--enable-logging=stderr", "--v=0", f"--log-net-log={net_log}"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"),
            *("--dump-dom", page.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "</iframe>" in done.stdout
        console = re.findall(r"CONSOLE.*?\] (.*)", done.stderr)
        return Visit(console, page_requests(json.loads(net_log.read_text())))

    return visit


def page_requests(net_log: dict) -> list[str]:
    """The addresses in a log of Chromium's that a page asked for; the browser asks for others."""
    started = net_log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in net_log["events"] if event["type"] == started]
    return [
        params["url"]
        for params in asked
        if params.get("initiator", "") not in ("not an origin", "")
    ]
