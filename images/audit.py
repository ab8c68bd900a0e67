"""Look up the pins of the images among known vulnerabilities: make audit.

Fails when there is one that .ci/accepted-vulnerabilities does not name. Where the database can't be
reached it says "not checked" and does not fail: a build must not depend on it.
"""

import json
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
ACCEPTED = ROOT / ".ci" / "accepted-vulnerabilities"
AUDIT = [
    *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
    *("--disable-pip", "--no-deps", "--requirement"),
]


def read_accepted(text: str) -> dict[str, str]:
    """Return id to package and reason, from lines `ID PACKAGE: why`; # starts a comment.

    Raises:
        ValueError: a line gives no reason.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in lines:
        if not all(part.strip() for part in (line + " ").partition(": ")):
            raise ValueError(f"{line!r} accepts a vulnerability without a reason: add `: why`")
    return {line.split()[0]: line.partition(" ")[2] for line in lines}


def judge(report: Any, accepted: dict[str, str]) -> tuple[bool, list[str]]:
    """Return whether a report of pip-audit is fine, and what to say of it.

    report: its JSON; None for none, when the database could not be reached.
    accepted: as read_accepted returns it.
    """
    if report is None:
        return True, ["not checked: the database of vulnerabilities can't be reached"]
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return True, ["not checked: the database of vulnerabilities knows none of the pins"]
    new, lines = 0, []
    for package in packages:
        for found in package.get("vulns", []):
            names = {found["id"], *found.get("aliases", [])}
            known = sorted(names & accepted.keys())
            new += not known
            fixed = ", ".join(found.get("fix_versions", [])) or "no version"
            lines.append(
                f"{'accepted' if known else 'NEW'}: {found['id']} in {package['name']} "
                f"{package['version']}, fixed in {fixed}"
                + (f"; {accepted[known[0]]}" if known else "")
            )
    if skipped:
        lines.append(f"not checked: the database does not know {', '.join(skipped)}")
    return new == 0, [*lines, f"checked: {len(packages) - len(skipped)} pins, {new} new"]


def run_audit(requirements: pathlib.Path) -> Any:
    """Return the report of pip-audit as JSON, None if it could not make one."""
    done = subprocess.run([*AUDIT, str(requirements)], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        print(*done.stderr.strip().splitlines()[-1:])
        return None


def main() -> None:
    """Audit the requirements of every image; exit with 1 if one has a new vulnerability."""
    accepted, fine = read_accepted(ACCEPTED.read_text()), True
    for requirements in sorted(ROOT.glob("images/*/requirements.txt")):
        ok, lines = judge(run_audit(requirements), accepted)
        fine = fine and ok
        for line in lines:
            print(f"{requirements.parent.name}: {line}")
    sys.exit(not fine)


if __name__ == "__main__":
    main()
