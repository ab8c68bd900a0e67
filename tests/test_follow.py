"""`pipeline.py follow`, and `submit --wait`, against a server that answers as KFP 2.17.0 does."""

import json
import re
import signal
import subprocess
import sys

import pytest
from conftest import COMPILED, ROOT, command
from kfp_server import (
    Scene,
    cached,
    driver,
    left_out,
    node_id,
    serving,
    step,
    task,
)

import kfp_mnist_mxnet.cli.cluster.follow
from kfp_mnist_mxnet.cli.cluster.follow import Stall
from kfp_mnist_mxnet.cli.cluster.logs import error_sentence, read_accuracy
from kfp_mnist_mxnet.cli.cluster.snapshot import RunSnapshot, Step
from kfp_mnist_mxnet.cli.logs import clean

ROOT_DRIVER = driver("root")
TRAINED = [*ROOT_DRIVER, *step("ingest"), *step("train", at=20), *step("evaluate", at=40)]
GATE = driver("condition-1", at=60)
PASSED = [*GATE, task("condition-1", "SUCCEEDED", 70, 90, "condition-1(0)")]
GOOD = [*PASSED, *step("predict", at=70), *step("export", at=70), *step("register", at=80)]
IDLE = "[KFP Executor 2026-11-24 12:01:36,000 INFO]: skipped: registry_uri is not set\n"
DONE: Scene = ("SUCCEEDED", [*TRAINED, *GOOD])
EVALUATED = """[KFP Executor 2026-11-24 12:00:50,802 INFO]: Wrote executor output file to /x.json.
I1124 12:00:51.208048      15 launcher_v2.go:1230] ExecutorOutput: {
  "parameterValues": {
    "Output": 0.9928
  },
  "artifacts": {
    "confusion_matrix": {
      "artifacts": [
        {
          "name": "confusion_matrix",
          "metadata": {
            "confusionMatrix": {
              "annotationSpecs": [
                {
                  "c
I1124 12:00:51.208958      15 launcher_v2.go:867] Executing uploadOutputArtifacts attempt: 1
"""
FAILED = """[KFP Executor 2026-11-24 12:00:06,818 INFO]: Looking for component `ingest`
Traceback (most recent call last):
  File "/tmp/ephemeral_component.py", line 56, in ingest
    splits = read_mirrors(data_uri, attempt)
kfp_mnist_mxnet.errors.SourceNotFound: s3://data/nothing has none of these files: t10k
E1124 12:00:07.552862      15 launcher_v2.go:449] Component failed to execute: exit status 1
I1124 12:00:07.583193      15 launcher_v2.go:206] publish success.
F1124 12:00:07.585680      15 main.go:59] failed to execute component: exit status 1
"""
LAUNCHER = "F1124 12:00:07.585680      15 main.go:59] failed to execute component: "
SENTENCE = "s3://data/nothing has none of these files: t10k"
FAILURE: Scene = (
    "FAILED",
    [
        *ROOT_DRIVER,
        *step("ingest", "FAILED"),
        *(left_out("train", 20) + left_out("evaluate", 20)),
    ],
)


@pytest.fixture
def api():
    with serving() as server:
        yield server


def follow(api, *scenes: Scene, options: tuple[str, ...] = (), run: str = "x1"):
    """What the command prints and returns; scenes: the run at one look after the other."""
    api.scenes["x1"] = list(scenes) or api.scenes["x1"]
    return command("follow", run, "--host", api.url, "--poll", "0.01", *options)


def changes(done) -> list[str]:
    """The lines for each change, without their times."""
    lines = done.stdout.partition("\n\n")[0].splitlines()
    return [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in lines if line]


def test_shows_the_steps_of_the_user_and_no_others(api):
    done = follow(
        api,
        ("PENDING", []),
        ("RUNNING", driver("root", "RUNNING")),
        ("RUNNING", [*ROOT_DRIVER, *driver("ingest", "RUNNING")]),
        ("RUNNING", [*ROOT_DRIVER, *step("ingest", "PENDING")]),
        ("RUNNING", [*ROOT_DRIVER, *step("ingest", "RUNNING")]),
        ("RUNNING", [*ROOT_DRIVER, *step("ingest", seconds=7), *step("train", "RUNNING", at=20)]),
        DONE,
    )
    assert changes(done) == [
        *("run: PENDING", "run: RUNNING", "Ingest: PENDING", "Ingest: RUNNING"),
        *("Ingest: SUCCEEDED after 7.0 s", "Train: RUNNING", "Ingest: SUCCEEDED after 10.0 s"),
        *("Train: SUCCEEDED after 10.0 s", "Evaluate: SUCCEEDED after 10.0 s"),
        *("Export: SUCCEEDED after 10.0 s", "Predict: SUCCEEDED after 10.0 s"),
        *("Register: SUCCEEDED after 10.0 s", "run: SUCCEEDED"),
    ]
    assert done.exit_code == 0, done.stderr


def test_ends_as_a_run_on_a_laptop_and_shows_the_end_of_a_finished_one_at_once(api):
    api.logs |= {node_id("evaluate(0)"): EVALUATED, node_id("register(0)"): IDLE}
    done = follow(api, DONE)
    assert done.stdout.splitlines() == [
        "",
        "step      status       seconds  ",
        "Ingest    ✓ SUCCEEDED     10.0  ",
        "Train     ✓ SUCCEEDED     10.0  ",
        "Evaluate  ✓ SUCCEEDED     10.0  ",
        "Export    ✓ SUCCEEDED     10.0  ",
        "Predict   ✓ SUCCEEDED     10.0  ",
        "Register  - SKIPPED          -  ",
        "run       ✓ SUCCEEDED    100.0  ",
        "",
        "Register skipped: registry_uri is not set",
        "accuracy  0.9928",
        f"run       {api.url}/#/runs/details/x1",
    ]
    assert (done.exit_code, done.stderr) == (0, "")


def test_takes_the_address_of_a_run_too(api):
    assert follow(api, DONE, run=f"{api.url}/#/runs/details/x1").exit_code == 0


def test_a_failed_step_says_why_and_where_its_log_is(api):
    api.logs[node_id("ingest(0)")] = FAILED
    done = follow(api, FAILURE)
    assert done.exit_code == 1
    assert done.stderr == f"Ingest: {SENTENCE}\n"
    assert "Ingest    ✗ FAILED      10.0  \nTrain     - SKIPPED" in done.stdout
    where = f"{api.url}/apis/v2beta1/runs/x1/nodes/{node_id('ingest(0)')}/artifacts/main-logs:read"
    assert f"log       curl -s {where} | jq -r .data | base64 -d\n" in done.stdout


def test_a_log_that_can_not_be_had_is_named_all_the_same(api):
    done = follow(api, FAILURE)
    assert done.stderr == "Ingest: it failed, and the API does not say why\n"
    assert "log       kubectl logs -l pipeline/runid=x1 -c main --prefix" in done.stdout


@pytest.mark.parametrize(
    ("key", "name"), [("train", "Train"), ("condition-1", "enough accuracy"), ("root", "run")]
)
def test_a_driver_that_fails_is_named_by_what_it_prepares(api, key, name):
    api.logs[node_id(f"{key}-driver(0)")] = (
        '  "image": "python:3.11"\n}\nF1124 12:00:55.2 14 main.go:124] KFP driver: '
        "driver.Container(runID=x1) failed: quantities must match the expression\n"
    )
    done = follow(api, ("FAILED", [*driver(key, "FAILED"), *left_out(key)]))
    assert done.stderr == f"{name}: quantities must match the expression\n"
    assert len(re.findall(rf"^{name} +✗ FAILED", done.stdout, re.MULTILINE)) == 1


def test_a_lost_pod_is_replaced_in_the_same_step(api):
    lost = step("ingest", "RUNNING")
    lost[-1] |= {"state": "FAILED"}
    retried = [*lost, task("executor(1)", "PENDING", 40, 0)]
    done = follow(api, ("RUNNING", step("ingest", "RUNNING")), ("RUNNING", retried), DONE)
    assert changes(done)[:3] == [
        "Ingest: RUNNING",
        "run: RUNNING",
        "Ingest: SUCCEEDED after 10.0 s",
    ]


def test_steps_of_a_loop_have_numbers(api):
    api.state["yaml"] = (COMPILED / "sweep-cpu.yaml").read_text()
    first, second = step("train", at=0, time=1), step("train", "RUNNING", at=30, time=2)
    done = follow(api, ("RUNNING", [*second, *first]), ("FAILED", [*second, *first]))
    assert changes(done)[:2] == ["Train#1: SUCCEEDED after 10.0 s", "Train#2: RUNNING"]


def test_an_error_that_all_steps_of_a_loop_have_is_said_once(api):
    api.state["yaml"] = (COMPILED / "sweep-cpu.yaml").read_text()
    nodes = []
    for i in range(1, 6):
        why = "no such model" if i > 1 else "no memory"
        api.logs[node_id(f"train(0) {i}")] = f"OSError: {why}\n{LAUNCHER}exit status 1\n"
        nodes += step("train", "FAILED", at=30 * i, time=i)
    done = follow(api, ("FAILED", nodes))
    assert done.stderr.splitlines() == ["Train#1: no memory", "Train#2 and 3 more: no such model"]
    assert done.stdout.count("log ") == 5


def test_a_cached_step_is_marked(api):
    nodes = [*cached("ingest"), *step("train", at=20), *cached("evaluate", at=40)]
    done = follow(api, ("RUNNING", cached("ingest")), ("SUCCEEDED", nodes))
    assert changes(done)[0] == "Ingest: SUCCEEDED, cached"
    assert "Evaluate  ✓ SUCCEEDED, cached      0.0  \n" in done.stdout


def test_a_step_that_a_condition_left_out_says_why(api):
    api.logs[node_id("evaluate(0)")] = EVALUATED
    api.answers = {"runtime_config": {"parameters": {"min_accuracy": 1}}}
    done = follow(api, ("SUCCEEDED", [*TRAINED, *GATE]))
    assert "Predict skipped: accuracy 0.9928 < min_accuracy 1\n" in done.stdout
    assert "Predict   - SKIPPED" in done.stdout


def test_a_run_that_was_terminated_says_so(api):
    api.answers = {"state_history": [{"state": "CANCELING"}, {"state": "FAILED"}]}
    api.logs[node_id("ingest(0)")] = f"{LAUNCHER}signal: terminated\n"
    done = follow(api, ("CANCELING", step("ingest", "RUNNING")), FAILURE)
    assert done.stderr == "run: it was terminated\nIngest: terminated\n"


def test_a_list_of_steps_that_stops_before_the_run_ends_is_completed_as_far_as_it_is_sure(api):
    begun = [*TRAINED, *PASSED, *step("predict", "RUNNING", at=70)]
    done = follow(api, ("SUCCEEDED", begun))
    assert "Predict   ✓ SUCCEEDED      0.0" in done.stdout
    assert "Export    ✓ SUCCEEDED      0.0" in done.stdout
    assert "the API's list of steps ends before the run does: the UI shows all\n" in done.stdout


def test_a_list_of_steps_that_stops_before_a_condition_leaves_open_what_is_under_it(api):
    done = follow(api, ("SUCCEEDED", [*TRAINED, *driver("condition-1", "RUNNING", at=60)]))
    assert "Evaluate  ✓ SUCCEEDED     10.0" in done.stdout
    assert "Predict   ? UNKNOWN        0.0" in done.stdout


def test_a_list_that_stops_in_a_run_that_fails_leaves_open_which_step_did(api):
    done = follow(api, ("FAILED", step("ingest", "RUNNING")))
    assert "Ingest    ? UNKNOWN      0.0" in done.stdout
    assert "Train     ? UNKNOWN      0.0" in done.stdout


def without_metadata_store(name: str, state: str, **more) -> dict:
    """A task as the API lists it after 2.17."""
    times = {"create_time": "2026-11-24T12:00:00Z", "end_time": "2026-11-24T12:00:07Z"}
    return {"task_id": f"{name}{more.get('parent_task_id', '')}", "name": name, "state": state} | {
        **({} if state == "RUNNING" else times),
        **more,
    }


def test_reads_the_tasks_of_a_back_end_without_a_metadata_store(api):
    accuracy = {"name": "accuracy", "type": "Metric", "number_value": 0.9876}
    pods = [{"name": "pod-2", "type": "EXECUTOR"}, {"name": "pod-1", "type": "DRIVER"}]
    api.logs["pod-2"] = FAILED
    api.answers = {
        "tasks": [
            without_metadata_store("root", "FAILED", type="ROOT"),
            without_metadata_store("ingest", "CACHED"),
            without_metadata_store("train", "SUCCEEDED"),
            without_metadata_store(
                "evaluate", "SUCCEEDED", outputs={"artifacts": [{"artifacts": [accuracy]}]}
            ),
            without_metadata_store("condition-1", "FAILED", type="CONDITION"),
            without_metadata_store("predict", "FAILED", pods=pods),
        ]
    }
    done = follow(api, ("FAILED", []))
    assert done.stderr == f"Predict: {SENTENCE}\n"
    assert "accuracy  0.9876\n" in done.stdout
    assert "Ingest    ✓ SUCCEEDED, cached      7.0" in done.stdout
    assert "nodes/pod-2/artifacts/main-logs:read" in done.stdout


def test_a_back_end_without_a_metadata_store_tells_iterations_and_messages(api):
    api.state["yaml"] = (COMPILED / "sweep-cpu.yaml").read_text()
    tasks = [without_metadata_store("for-loop-1", "FAILED", type="LOOP")]
    for i in (1, 0):
        inside = {"parent_task_id": f"item{i}", "status_metadata": {"message": f"bad luck {i}"}}
        item = {"task_id": f"item{i}", "type_attributes": {"iteration_index": str(i)}}
        tasks += [without_metadata_store("iteration-item", "FAILED", **item)]
        tasks += [without_metadata_store("train", "FAILED", **inside)]
    api.answers = {"tasks": tasks}
    assert follow(api, ("FAILED", [])).stderr == "Train#1: bad luck 0\nTrain#2: bad luck 1\n"


def test_a_pipeline_that_is_not_there_any_more_leaves_the_state_of_the_run(api):
    api.answers = {"pipeline_version_reference": None}
    done = follow(api, ("RUNNING", step("ingest", "RUNNING")), DONE)
    assert changes(done) == ["run: RUNNING", "run: SUCCEEDED"]


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (step("train", "PENDING"), "the pod of Train waits, perhaps as no node fits it (a GPU?)"),
        (driver("root", "PENDING"), "the driver of run is still running, or the API's list"),
        (driver("train", "RUNNING"), "the driver of Train is still running, or the API's"),
        (step("ingest"), "no step runs or waits: the API's list of steps may have stopped, as "),
        ([], "no step has started: Argo's workflow-controller may not be running"),
    ],
)
def test_a_run_that_makes_no_progress_is_named_with_the_likely_cause(api, monkeypatch, nodes, why):
    monkeypatch.setattr(kfp_mnist_mxnet.cli.cluster.follow, "STALLED_AFTER", 0)
    done = follow(api, *[("RUNNING", nodes)] * 2, DONE)
    told = [line for line in changes(done) if "no progress" in line]
    assert len(told) == 1
    assert told[0].startswith(f"run: no progress for 0 minutes: {why}")


def test_what_the_api_says_of_a_step_that_waits_is_said(api, monkeypatch):
    monkeypatch.setattr(kfp_mnist_mxnet.cli.cluster.follow, "STALLED_AFTER", 0)
    waits = without_metadata_store("train", "PENDING", status_metadata={"message": "no GPU\n"})
    api.answers = {"tasks": [waits]}
    done = follow(api, *[("RUNNING", [])] * 2, ("FAILED", []))
    assert "run: no progress for 0 minutes: Train waits: no GPU\n" in done.stdout


def test_no_progress_is_said_after_a_while_and_seldom_again():
    stall = Stall(after=180, again=600)
    waits = RunSnapshot("RUNNING", steps=[Step("train", "Train", "PENDING")])
    runs = RunSnapshot("RUNNING", steps=[Step("train", "Train", "RUNNING")], working=True)
    told = [second for second in range(1000, 3000) if stall.noticed(waits, second)]
    assert told == [1180, 1780, 2380, 2980]
    assert not any(stall.noticed(runs, second) for second in range(3000, 9000))
    assert [second for second in range(9000, 9300) if stall.noticed(waits, second)] == [9180]


def test_ctrl_c_leaves_the_run_and_says_how_to_end_or_follow_it(api):
    api.scenes["x1"] = [("RUNNING", step("ingest", "RUNNING"))]
    # A shell that runs the tests in the background has them ignore the signal.
    program = ["env", "--default-signal=INT", sys.executable, "pipeline.py", "follow", "x1"]
    program += ["--host", api.url, "--poll", "60"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program, cwd=ROOT, text=True, **pipe) as process:  # type: ignore[call-overload]
        for line in process.stdout:
            if "run: RUNNING" in line:
                process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == 130
    assert error == (
        f"the run goes on; follow it again with `python pipeline.py follow --host {api.url} x1`, "
        f"end it with Terminate at {api.url}/#/runs/details/x1\n"
    )


def test_asks_again_where_a_fault_may_pass(api):
    api.state["faults"] = [502, 429, 503]
    assert follow(api, DONE).exit_code == 0


def test_a_host_that_stays_away_is_not_the_end_of_the_run(api, monkeypatch):
    def break_down(look, shown):
        api.state["faults"] = [503] * 11

    monkeypatch.setattr(kfp_mnist_mxnet.cli.cluster.follow, "show_changes", break_down)
    done = follow(api, ("RUNNING", []))
    first, last = done.stderr.splitlines()
    assert first.startswith("the run goes on; follow it again with")
    assert last == f'Error: {api.url} answered 503: {{"error": "try again"}}'
    assert done.exit_code == 1


OTHERS = [
    ("<!DOCTYPE html><title>Sign in</title>", "with a web page"),
    ("\ufeff\n<html>", "with a web page"),
    ("", "with nothing"),
    ("OK", "with 'OK'"),
    ("null", "with 'null'"),
    ("[]", "with '[]'"),
    ("{}", "without run_id"),
    ('{"message": "welcome"}', "without run_id"),
    ('{"run_id": null}', "without run_id"),
]


@pytest.mark.parametrize(("answer", "how"), OTHERS)
def test_an_answer_that_is_not_the_api_s_ends_in_one_sentence(api, answer, how):
    api.instead = answer
    done = follow(api)
    (sentence,) = done.stderr.splitlines()
    assert done.exit_code == 1
    assert sentence.startswith(
        f"Error: {api.url} answers {how}, not as the API of Kubeflow Pipelines does: "
    )
    assert "KFP_TOKEN or KFP_COOKIES" in sentence


@pytest.mark.parametrize(("answer", "how"), OTHERS)
def test_a_session_that_ends_while_a_run_is_followed_is_one_sentence(api, monkeypatch, answer, how):
    def log_out(look, shown):
        api.instead = answer

    monkeypatch.setattr(kfp_mnist_mxnet.cli.cluster.follow, "show_changes", log_out)
    first, last = follow(api, ("RUNNING", [])).stderr.splitlines()
    assert first.startswith("the run goes on; follow it again with")
    assert f"answers {how}, not as the API" in last


def test_a_run_that_is_not_there_is_one_sentence(api):
    done = follow(api, run="nothing")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {api.url} answered 404: ")
    assert len(done.stderr.splitlines()) == 1


def test_sends_the_token_with_every_question_and_never_shows_it(api, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "abc-secret")
    api.state["token"] = "abc-secret"
    api.logs[node_id("ingest(0)")] = FAILED
    done = follow(api, FAILURE)
    assert done.stderr == f"Ingest: {SENTENCE}\n"
    assert "abc-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (FAILED, SENTENCE),
        (
            f"ERROR: No matching distribution found for x==1\n{LAUNCHER}exit status 1\n",
            "No matching distribution found for x==1",
        ),
        (
            f"Traceback (most recent call last):\n  x\nOSError: disk full\nprinted late\n{LAUNCHER}"
            "exit status 1",
            "disk full",
        ),
        (
            f"Epoch[0] 12 s left\n{LAUNCHER}exit status 137\n",
            "killed by SIGKILL, as the system does when it runs out of memory",
        ),
        (f"Epoch[0] 12 s left\n{LAUNCHER}signal: killed\n", "killed"),
        (
            f"Wrote executor output file to /x\n{LAUNCHER}failed to upload model: 403\n",
            "failed to execute component: failed to upload model: 403",
        ),
        (
            "time=2026-11-24T12:00:00Z level=INFO msg=capturing\nbad luck\nError: exit status 1\n",
            "bad luck",
        ),
        (f"\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b\u202eend\r\n{LAUNCHER}exit status 1", "red end"),
        ("", ""),
    ],
)
def test_finds_the_sentence_of_an_error_in_a_log(log, sentence):
    assert error_sentence(log) == sentence


def test_a_text_of_another_program_can_not_steer_the_terminal():
    assert clean("a\x1b[2J\x1b]8;;http://x\x07b\x00\x85\nc") == "ab c"
    assert len(clean("x" * 5000)) == 1000


def test_the_accuracy_is_that_of_the_metrics_or_what_evaluate_returns():
    merged = {
        "metrics": {"artifacts": [{"name": "metrics", "uri": "x", "metadata": {"accuracy": 0.5}}]}
    }
    output = {"parameterValues": {"Output": 7}, "artifacts": merged}
    assert read_accuracy(f"] ExecutorOutput: {json.dumps(output, indent=2)}\n") == 0.5
    assert read_accuracy(EVALUATED) == 0.9928
    assert read_accuracy('] ExecutorOutput: {"parameterValues": {"Output": 7}}') is None
    assert read_accuracy("nothing") is None
