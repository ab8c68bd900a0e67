"""Make the pictures of the documents from two runs: make pictures.

Usage: pictures.py TRAIN SWEEP, the directories of a run of the train and of the sweep pipeline.
docs/kubeflow-ui.png is of a cluster. Needs Chromium, and pngquant, which makes each picture a
quarter of its size.
"""

import pathlib
import shutil
import subprocess
import sys

from playwright.sync_api import Browser, sync_playwright

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def photograph(
    browser: Browser,
    page: pathlib.Path,
    name: str,
    width: int,
    height: int = 0,
    scale: float = 1,
) -> None:
    """Write docs/<name>.png: a page's top, or all of it without a height."""
    size = {"width": width, "height": height or 400}
    tab = browser.new_page(viewport=size, device_scale_factor=scale, color_scheme="light")  # type: ignore[arg-type]
    tab.goto(page.absolute().as_uri())
    tab.wait_for_timeout(500)
    path = DOCS / f"{name}.png"
    tab.screenshot(path=path, full_page=not height)
    tab.close()
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "64", path], check=True)


def main(train: pathlib.Path, sweep: pathlib.Path) -> None:
    """Write the pictures of a run of the train pipeline and of one of the sweep pipeline."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    reports = train / "reports"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        photograph(browser, train / "index.html", "run-page", 1400, 1100)
        photograph(browser, train / "index.html", "run-page-phone", 390, 844, scale=2)
        photograph(browser, reports / "ingest-data_report.html", "data-report", 900, 1500)
        photograph(browser, reports / "train-training_report.html", "training-report", 700, 1500)
        photograph(
            browser, reports / "evaluate-evaluation_report.html", "evaluation-report", 700, 950
        )
        photograph(browser, reports / "predict-preview.html", "preview", 700, 970)
        report = sweep / "reports" / "compare-sweep_report.html"
        photograph(browser, report, "sweep-report", 700)
        browser.close()


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
