"""Reports: self-contained HTML pages.

Used from outside: the function write_..._report of each file; write_report (page.py) for a new one.
"""
