"""The page of a run, and the graph on it."""

import itertools
import json
import pathlib
import re
import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.graph import Box, read_graph, step_refs
from kfp_mnist_mxnet.cli.local.environment import git_commit
from kfp_mnist_mxnet.cli.local.layout import arrange, arrows, unroll
from kfp_mnist_mxnet.cli.local.page import card_page, write_page
from kfp_mnist_mxnet.cli.local.values import number
from kfp_mnist_mxnet.compiler.target import LOCAL


def boxes_of(name: str) -> list[Box]:
    return read_graph(pipeline.PIPELINES[name](LOCAL).pipeline_spec)


def page_of(directory: pathlib.Path) -> str:
    return (directory / "index.html").read_text()


def svg_words(page: str) -> str:
    """The text in the graph of a page."""
    (svg,) = re.findall(r'<svg.*?role="group".*?</svg>', page.partition("<iframe")[0], re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", svg).split())


def links_of(page: str) -> list[str]:
    outside = re.sub(r'srcdoc="[^"]*"', "", page)
    return [link for link in re.findall(r'href="([^"]*)"', outside) if not link.startswith("#")]


def overlap(a: Box, b: Box) -> bool:
    across = a.x < b.x + b.width and b.x < a.x + a.width
    return across and a.y < b.y + b.height and b.y < a.y + a.height


def levels(boxes: list[Box]):
    """The boxes beside each other, at each level."""
    yield boxes
    for box in boxes:
        yield from levels(box.inside) if box.inside else ()


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_boxes_do_not_overlap_and_fit_a_phone(name):
    boxes = unroll(boxes_of(name), ["train-1", "train-2", "train-3", "predict-1", "predict-2"])
    width, _ = arrange(boxes)
    assert width < 400
    for level in levels(boxes):
        assert not [pair for pair in itertools.combinations(level, 2) if overlap(*pair)]


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_boxes_stand_in_the_loop_or_condition_that_they_are_in(name):
    boxes = boxes_of(name)
    arrange(boxes)
    for box in itertools.chain.from_iterable(levels(boxes)):
        for inner in box.inside:
            assert box.x < inner.x
            assert box.y < inner.y
            assert inner.x + inner.width < box.x + box.width
            assert inner.y + inner.height < box.y + box.height


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_arrows_lead_down(name):
    boxes = boxes_of(name)
    arrange(boxes)
    drawn = arrows(boxes)
    assert drawn
    assert all(arrow.start.y + arrow.start.height < arrow.end.y for arrow in drawn)


def points_of(path: str) -> list[tuple[float, float]]:
    """Points along a path of lines (V, H) and of curves (Q, C), close to each other."""
    found: list[tuple[float, float]] = []
    for kind, words in re.findall(r"([MVHQC])([^MVHQC]*)", path):
        at = [float(word) for word in words.split()]
        x, y = found[-1] if found else (0.0, 0.0)
        if kind == "V":
            at = [x, at[0]]
        elif kind == "H":
            at = [at[0], y]
        handles = (
            [(x, y), *zip(at[::2], at[1::2], strict=True)] if kind != "M" else [(at[0], at[1])]
        )
        for step in range(41):
            line = handles
            while len(line) > 1:  # de Casteljau's algorithm
                t = step / 40
                line = [
                    ((1 - t) * a[0] + t * b[0], (1 - t) * a[1] + t * b[1])
                    for a, b in itertools.pairwise(line)
                ]
            found.append((line[0][0], line[0][1]))
    return found


@pytest.mark.parametrize("name", pipeline.PIPELINES)
@pytest.mark.parametrize("times", [1, 3])
def test_no_arrow_crosses_a_box(name, times):
    ran = [f"{step}-{i}" for step in ("train", "predict") for i in range(1, times + 1)]
    boxes = unroll(boxes_of(name), ran)
    arrange(boxes)
    everything = list(itertools.chain.from_iterable(levels(boxes)))
    for arrow in arrows(boxes):
        for x, y in points_of(arrow.path):
            crossed = [
                box.name
                for box in everything
                if box.x + 0.1 < x < box.x + box.width - 0.1
                and box.y + 0.1 < y < box.y + box.height - 0.1
                and arrow.start not in box.inside
            ]
            assert crossed == [], (arrow.start.name, arrow.end.name)


def test_a_step_in_a_loop_stands_once_for_each_time_that_it_ran():
    boxes = unroll(boxes_of("sweep"), ["ingest", "train-2", "train-1", "train-10"])
    (loop,) = (box for box in boxes if box.kind == "loop")
    assert [box.name for box in loop.inside] == ["train-1", "train-2", "train-10"]
    assert list(step_refs(boxes_of("sweep")))[2].name == "train"


def test_the_graph_tells_status_and_seconds(made_run):
    words = svg_words(page_of(made_run()))
    assert "ingest ✓ succeeded, 1.0 s train ✓ succeeded, 2.0 s" in words
    assert "if enough accuracy export ✓ succeeded, 5.0 s predict ✓ succeeded" in words


def test_the_page_of_a_run_that_goes_on_says_so(made_run):
    page = page_of(made_run(status="RUNNING", accuracy=None, steps=[]))
    assert "The run goes on: load this page again" in page
    assert svg_words(page).count("○ waiting") == 6


def test_the_page_of_a_failed_run_has_the_error(made_run):
    page = page_of(made_run(status="FAILED", error="train: epochs must be <1>"))
    assert "<p>train: epochs must be &lt;1&gt;</p>" in page


def test_a_step_that_did_not_run_says_why(made_run):
    skipped = {"name": "predict", "status": "SKIPPED", "seconds": 0.0, "outputs": {}, "metrics": {}}
    page = page_of(made_run(steps=[{**skipped, "reason": "predict skipped: why"}]))
    assert "<p>predict skipped: why</p>" in page
    assert "predict - skipped" in svg_words(page)


def gated_run(made_run) -> pathlib.Path:
    reason = "accuracy 0.1717 < min_accuracy 0.999"
    made = json.loads((made_run("full") / "run.json").read_text())["steps"]
    behind: list[dict] = [
        {"name": name, "status": "SKIPPED"} for name in ("export", "predict", "register")
    ]
    for step in behind:
        step.update(seconds=0.0, outputs={}, metrics={}, reason=f"{step['name']} skipped: {reason}")
    gate = {"reason": reason, "steps": ["export", "predict", "register"]}
    return made_run("gated", gate=gate, steps=[*made[:3], *behind])


def test_a_closed_gate_is_no_success(made_run):
    page = page_of(gated_run(made_run))
    assert '<span aria-hidden="true">!</span> GATED</span>' in page
    assert "accuracy 0.1717 &lt; min_accuracy 0.999: export, predict, register did not run" in page
    assert "if enough accuracy: ! closed" in svg_words(page)
    assert re.search(r'<rect class="condition GATED"', page)
    assert "GATED</title>" in page


def score(directory: pathlib.Path, **metrics) -> dict:
    """The steps of a run in which evaluate has these metrics."""
    record = json.loads((directory / "run.json").read_text())
    for step in record["steps"]:
        if step["name"] == "evaluate":
            step["metrics"] = metrics
    return {"steps": record["steps"], "accuracy": metrics["accuracy"]}


def verdict_of(made_run, **metrics) -> str:
    changes = score(made_run("before", accuracy=0.9928), **metrics)
    return page_of(made_run("now", **changes))


def test_the_page_judges_the_accuracy(made_run):
    page = verdict_of(made_run, accuracy=0.9933, images=10000, errors=67, baseline_accuracy=0.1135)
    assert (
        '<p class="verdict">Accuracy 99.33 % (99.15 to 99.47), 67 of 10,000 wrong; always '
        "predicting the most common class: 11.35 %; +0.05 points compared with run before on the "
        "same data</p>"
    ) in page


def test_an_accuracy_that_guessing_reaches_is_marked(made_run):
    page = verdict_of(
        made_run, accuracy=0.1135, images=10000, errors=8865, baseline_accuracy=0.1135
    )
    assert (
        '<p><span aria-hidden="true">! </span>Accuracy 11.35 % (10.74 to 11.99), 8,865 of 10,000 '
        "wrong; no better than always predicting the most common class: 11.35 %;"
    ) in page


def test_what_is_not_known_of_an_accuracy_is_left_out(made_run):
    directory = made_run("alone", accuracy=0.9)
    (made_data,) = directory.glob("artifacts/*/ingest/test_data")
    shutil.rmtree(made_data)
    changes = score(directory, accuracy=0.9)
    shutil.rmtree(directory)
    assert '<p class="verdict">Accuracy 90.00 %' in page_of(made_run("alone", **changes))


def test_changed_parameters_stand_before_the_others(made_run):
    page = page_of(made_run())
    at = [page.index(f'<th scope="row">{name}</th>') for name in ("epochs", "batch_size")]
    assert at[0] < page.index("<summary>32 with their defaults") < at[1]
    assert "<td>/a &lt;b&gt;</td>" in page


def test_a_parameter_that_is_not_set_has_the_value_that_training_used(made_run):
    page = page_of(made_run())
    table = page.partition("with their defaults</summary>")[2].partition("</details>")[0]
    assert '<th scope="row">batch_size</th><td>recipe default (8)</td>' in table
    assert '<th scope="row">data_sha256</th><td>not set</td>' in table
    assert not re.search(r"<td>(-1(\.0)?|&#34;&#34;|\[\])</td>", table)


def test_a_step_that_did_not_run_has_no_time(made_run):
    skipped = {"name": "predict", "status": "SKIPPED", "seconds": 0.0, "outputs": {}, "metrics": {}}
    page = page_of(made_run(steps=[{**skipped, "reason": "why"}]))
    assert '<td class="number">-</td>' in page
    assert "0.0" not in page.partition('id="steps"')[2].partition("</section>")[0]


def test_a_share_is_in_per_cent_everywhere(made_run):
    steps = [
        {"name": "evaluate", "status": "SUCCEEDED", "seconds": 1.0, "outputs": {"Output": 0.96}}
    ]
    steps[0]["metrics"] = {"accuracy": 0.96, "images": 10000, "errors": 400}
    page = page_of(made_run(steps=steps))
    assert "96.00 %" in page
    assert "0.96" not in page
    assert "10,000" in page
    assert "10000" not in page


def test_sections_stand_in_the_order_of_interest(made_run):
    names = re.findall('id="step-([^"]*)"', page_of(made_run()))
    assert names == ["evaluate", "predict", "export", "train", "ingest"]


def test_the_page_says_when_and_with_what(made_run):
    directory = made_run()
    page = page_of(directory)
    record = json.loads((directory / "run.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])
    assert set(record["versions"]) == {"kfp-mnist-mxnet", "python", "numpy", "mxnet", "kfp"}
    assert record["cpus"] >= 1
    assert f'<time datetime="{record["started"]}">' in page.replace("&#43;", "+")
    assert f'<th scope="row">mxnet</th><td>{record["versions"]["mxnet"]}</td>' in page


def test_a_commit_is_that_of_a_clone(tmp_path):
    assert git_commit(tmp_path) == ""
    make = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*make, "init", "-q"], check=True)
    (tmp_path / "file").write_text("a")
    subprocess.run([*make, "add", "file"], check=True)
    subprocess.run([*make, "commit", "-qm", "one"], check=True)
    commit = git_commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{40,64}", commit)
    (tmp_path / "file").write_text("b")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_the_time_line_shows_when_each_step_ran(made_run):
    steps = json.loads((made_run("full") / "run.json").read_text())["steps"]
    steps[1].update(after=2.5, seconds=5.0)
    page = page_of(made_run("timed", steps=steps))
    assert 'style="--from: 25.00%; --share: 50.00%"' in page
    assert page.count('class="bar') == 1


def test_the_chosen_trial_of_a_sweep_is_marked(made_run):
    steps = [
        {"name": name, "status": "SUCCEEDED", "seconds": 1.0, "outputs": {}, "metrics": metrics}
        for name, metrics in (("train-1", {}), ("train-2", {}), ("compare", {"best_trial": 2.0}))
    ]
    record = json.loads((made_run() / "run.json").read_text())
    write_page(made_run("sweep"), {**record, "steps": steps}, boxes_of("sweep"))
    words = svg_words(page_of(made_run("other").with_name("sweep")))
    assert "train-2 ★ chosen" in words
    assert "train-1 ★ chosen" not in words


def test_a_loop_is_called_as_people_say():
    (loop,) = (box for box in boxes_of("batch_predict") if box.kind == "loop")
    assert loop.label == "for each shard"


@pytest.mark.parametrize(("width", "media"), [(1400, "screen"), (390, "screen"), (700, "print")])
def test_a_frame_is_as_high_as_its_report(made_run, open_page, width, media):
    page = open_page(made_run() / "index.html", width)
    page.emulate_media(media=media)
    frames = page.locator("iframe")
    for i in range(frames.count()):
        expect(frames.nth(i)).to_have_attribute("style", re.compile("--print-height: [0-9]+px"))
        expect(frames.nth(i)).to_have_attribute("sandbox", "allow-scripts")
    for frame in page.frames[1:]:
        missing = "document.documentElement.scrollHeight - innerHeight"
        assert -4 <= frame.evaluate(missing) <= 0
        content = frame.evaluate("document.documentElement.offsetHeight - innerHeight")
        assert -4 <= content <= 0


def test_the_page_listens_before_the_first_frame_can_speak(made_run):
    page = page_of(made_run())
    assert page.index('addEventListener("message"') < page.index("<iframe")


def test_links_lead_to_files_beside_the_page_also_in_a_copy(made_run, tmp_path):
    copy = shutil.copytree(made_run(), tmp_path / "copy")
    links = links_of(page_of(copy))
    assert {"run.json", "log.txt", "reports/ingest-data_report.html"} <= set(links)
    assert [link for link in links if link != "log.txt" and not (copy / link).exists()] == []


@pytest.mark.parametrize("width", [390, 700, 1400])
def test_the_page_fits_and_asks_for_nothing(made_run, open_page, width):
    page = open_page(made_run() / "index.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    addresses = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert addresses == []


def test_reports_are_shown_in_the_page_and_alone(made_run, open_page):
    page = open_page(made_run() / "index.html")
    shown = [frame.locator("h1").inner_text() for frame in page.frames[1:3]]
    page.get_by_role("link", name="data_report on a page of its own").click()
    expect(page.locator("h1")).to_have_text("Data")
    assert shown[0] == "Evaluation"


def test_the_model_card_is_shown_as_a_page(made_run, open_page):
    open_page(made_run() / "index.html")
    page = open_page(made_run("alone") / "reports" / "export-model_card.html", 390)
    expect(page.locator("h1")).to_have_text("mnist")
    expect(page.locator("table").first).to_contain_text("not stated")
    expect(page.locator("pre")).to_contain_text("onnxruntime.InferenceSession")
    assert "library_name" not in page.content()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_html_in_a_model_card_is_text_and_nothing_is_loaded():
    page = card_page("# <b>a</b>\n\n<script>x</script>\n\n![b](c.png) [d](javascript:e)\n")
    body = page.partition("<body>")[2]
    assert "<h1>&lt;b&gt;a&lt;/b&gt;</h1>" in body
    assert not re.search("<(script|img|b)|javascript:e.>", body)


def test_the_keyboard_reaches_the_steps(made_run, open_page):
    page = open_page(made_run() / "index.html")
    for key in ("Tab", "Tab", "Tab", "Enter"):  # past run.json and log.txt
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile("#step-ingest$"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.98765, "0.9877"), (1315.94, "1,315.9"), (418650, "418,650"), (0.0012345, "0.00123")],
)
def test_numbers_can_be_read(value, shown):
    assert number(value) == shown


def test_run_json_says_what_the_page_shows(made_run):
    record = json.loads((made_run() / "run.json").read_text())
    assert record["pipeline"] == "mnist-train"
    assert record["changed"] == ["data_uri", "epochs"]
