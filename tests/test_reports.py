"""Every report, opened in a browser. A new report is tested by adding it to `REPORTS`."""

import pathlib
import re
import subprocess
import sys

import pytest
from conftest import REPORTS, ROOT


@pytest.mark.parametrize("name", REPORTS)
def test_report_writes_nothing_to_the_console_and_asks_for_nothing(name, reports, open_in_browser):
    visit = open_in_browser(pathlib.Path(reports[name].path))
    assert visit.console == []
    assert visit.requests == []


@pytest.mark.parametrize("name", REPORTS)
def test_report_is_one_page_that_names_no_other(name, reports):
    page = pathlib.Path(reports[name].path).read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page) == []


def test_a_console_error_is_found(tmp_path, open_in_browser):
    page = tmp_path / "page.html"
    page.write_text("<script>localStorage.x = 1</script>")
    (line,) = open_in_browser(page).console
    assert "SecurityError" in line


def test_a_request_is_found(tmp_path, open_in_browser):
    page = tmp_path / "page.html"
    page.write_text("<img src='https://example.org/picture.png'>")
    assert open_in_browser(page).requests == ["https://example.org/picture.png"]


def test_figures_say_nothing_of_fonts_and_of_a_home_that_cannot_be_written(tmp_path):
    program = "import logging; logging.basicConfig(level=logging.INFO)\n"
    program += "from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure\n"
    program += "figure = new_figure(1, 1); figure.subplots(); figure_svg(figure, 'x')"
    (tmp_path / "file").touch()
    for home in (tmp_path, tmp_path / "file", "/proc/nowhere"):
        environment = {"HOME": str(home), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
