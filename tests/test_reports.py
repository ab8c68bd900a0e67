"""Every report, opened in a browser. A new report is tested by adding it to `REPORTS`."""

import pathlib
import re

import pytest
from conftest import REPORTS


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
