"""axe-core finds no serious fault on any page that the suite makes."""

import pathlib

import pytest
from conftest import REPORTS

from kfp_mnist_mxnet.cli.local.comparison_page import compare_runs
from kfp_mnist_mxnet.cli.local.runs import read_run


def faults(page, axe: pathlib.Path) -> list[str]:
    """What axe-core calls serious or critical: by light, and the contrast in the dark."""
    page.add_script_tag(path=axe)
    options = {"iframes": False, "resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    page.emulate_media(color_scheme="dark")
    options["runOnly"] = ["color-contrast"]
    found += page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def pages(reports, made_run, tmp_path) -> dict[str, pathlib.Path]:
    """Name to file: each report, and the pages of a run, a failed run and two runs."""
    found = {name: tmp_path / f"{name}.html" for name in REPORTS}
    for name, path in found.items():
        path.write_text(pathlib.Path(reports[name].path).read_text())
    first, second = made_run("a"), made_run("b", status="FAILED", error="train: no")
    compared = compare_runs([read_run(first), read_run(second)], tmp_path)
    return {
        **found,
        "run": first / "index.html",
        "failed run": second / "index.html",
        "comparison": compared,
    }


def test_no_page_has_a_serious_fault(pages, open_page, axe):
    found = {name: faults(open_page(path), axe) for name, path in pages.items()}
    assert {name: listed for name, listed in found.items() if listed} == {}


def test_a_fault_is_found(tmp_path, open_page, axe):
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><html lang=en><title>t</title><img src='data:,'>")
    fault, *_ = faults(open_page(page), axe)
    assert fault.startswith("image-alt")
