"""`pipeline.py submit` against a server that answers as the KFP v2beta1 API does."""

import os
import re

import click
import kfp_server_api
import pytest
import yaml
from click.testing import Result
from conftest import COMPILED, command, use_tls
from kfp_server import serving

from kfp_mnist_mxnet.cli.cluster.client import translate_errors
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.secret import checked_secret


@pytest.fixture
def api():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    """Nothing that a user's environment or home tells of a back end."""
    monkeypatch.setenv("HOME", "/nonexistent")
    for name in [name for name in os.environ if name.startswith("KF")]:
        monkeypatch.delenv(name)


def submit(host: str, *options: str, **environment: str) -> Result:
    return command("submit", "--host", host, "--poll", "0.01", *options, **environment)


def test_uploads_the_committed_yaml_and_starts_a_run(api):
    done = submit(api.url, "-p", "epochs=3", "-p", "kernels=[3, 3]", "--experiment", "digits")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"run  {api.url}/#/runs/details/x1\n"
    assert api.state["yaml"] == (COMPILED / "pipeline.yaml").read_text()
    (run,) = api.state["runs"]
    assert run["runtime_config"]["parameters"] == {"epochs": 3, "kernels": [3, 3]}
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    assert api.state["experiments"][0]["display_name"] == "digits"


def test_the_same_yaml_is_the_same_version(api):
    submit(api.url)
    submit(api.url)
    submit(api.url, "--target", "cpu")
    assert len(api.state["pipelines"]) == 1
    assert len(api.state["versions"]) == 2
    assert len(api.state["runs"]) == 3


def test_takes_what_another_submit_makes_at_the_same_time(api):
    api.races = ["/pipelines", "/pipelines/upload_version", "/experiments"]
    done = submit(api.url)
    assert done.exit_code == 0, done.stderr
    (run,) = api.state["runs"]
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    assert [len(api.state[kind]) for kind in ("pipelines", "versions", "experiments")] == [1, 1, 1]


def test_a_pipeline_is_looked_for_in_its_namespace(api):
    for namespace in ("mine", "mine", "yours"):
        assert submit(api.url, "--namespace", namespace).exit_code == 0
    assert [made["namespace"] for made in api.state["pipelines"]] == ["mine", "yours"]
    assert [made["pipeline_id"] for made in api.state["versions"]] == ["p1", "p2"]


def test_uploads_the_pipeline_for_the_chosen_images(api):
    submit(api.url, "--target", "cpu", "--image", "example.org/cpu:1")
    spec, _ = yaml.safe_load_all(api.state["yaml"])
    executors = spec["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {"example.org/cpu:1"}


def test_waits_with_progress(api):
    done = submit(api.url, "--wait")
    assert done.exit_code == 0, done.stderr
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in done.stdout.splitlines()[1:]]
    assert lines == [
        *("Ingest: RUNNING", "run: RUNNING"),
        *("Ingest: SUCCEEDED after 10.0 s", "run: SUCCEEDED", ""),
        "step      status       seconds  ",
        "Ingest    ✓ SUCCEEDED     10.0  ",
        "Train     - SKIPPED          -  ",
        "Evaluate  - SKIPPED          -  ",
        "Export    - SKIPPED          -  ",
        "Predict   - SKIPPED          -  ",
        "Register  - SKIPPED          -  ",
        "run       ✓ SUCCEEDED    100.0  ",
        "",
        "Export skipped: the condition 'enough accuracy' is not met",
        "Predict skipped: the condition 'enough accuracy' is not met",
        "Register skipped: the condition 'enough accuracy' is not met",
        f"run       {api.url}/#/runs/details/x1",
    ]


def test_a_failed_run_is_a_failed_command(api):
    api.scenes["x1"] = [("RUNNING", []), ("FAILED", [])]
    api.answers = {"error": {"message": "the quota is used up"}}
    done = submit(api.url, "--wait")
    assert done.exit_code == 1
    assert done.stderr == "run: the quota is used up\n"
    assert "run: FAILED" in done.stdout


def test_asks_again_where_a_fault_may_pass(api):
    api.state["faults"] = [502, 429, 503]
    assert submit(api.url, "--wait").exit_code == 0


def test_does_not_ask_again_where_the_answer_is_no(api):
    api.state["faults"] = [404]
    done = submit(api.url, "--wait")
    assert done.exit_code == 1
    assert done.stderr == f'Error: {api.url} answered 404: {{"error": "try again"}}\n'


def test_schedules_runs(api):
    done = submit(api.url, "--cron", "0 0 3 * * *", "-p", "seed=5")
    assert done.stdout == f"schedule  {api.url}/#/recurringrun/details/x1\n"
    (schedule,) = api.state["recurringruns"]
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert schedule["runtime_config"]["parameters"] == {"seed": 5}


def test_sends_the_token_and_does_not_show_it(api):
    api.state["token"] = "abc-secret"
    refused = submit(api.url)
    accepted = submit(api.url, KFP_TOKEN="abc-secret")
    assert refused.exit_code == 1
    assert refused.stderr == f'Error: {api.url} answered 401: {{"error": "not logged in"}}\n'
    assert accepted.exit_code == 0
    assert "abc-secret" not in accepted.stdout + accepted.stderr + refused.stderr


def test_sends_the_cookies_of_a_session(api):
    api.state["cookie"] = "authservice_session=abc"
    assert submit(api.url).exit_code == 1
    assert submit(api.url, KFP_COOKIES="authservice_session=abc").exit_code == 0


@pytest.mark.parametrize(("name", "kept"), [("KFP_TOKEN", "token"), ("KFP_COOKIES", "cookie")])
def test_white_space_around_a_token_is_not_part_of_it(api, name, kept):
    api.state[kept] = "abc-hidden"
    done = submit(api.url, **{name: " abc-hidden\r\n"})
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("name", ["KFP_TOKEN", "KFP_COOKIES"])
def test_a_token_that_no_header_can_have_is_refused_by_its_name(api, name):
    done = submit(api.url, **{name: "abc\nhidden"})
    assert done.exit_code == 2
    assert f"Error: {name} or --" in done.stderr
    assert not {"abc", "hidden"} & set(re.split(r"\W", done.stdout + done.stderr))


@pytest.mark.parametrize(
    "within", ["\n", "\r\nHost: x", "\t", "\x7f", "\x1b[31m", "\u2019", "\u200b"]
)
def test_no_secret_that_a_header_can_not_have_is_shown(within):
    with pytest.raises(InvalidInput) as caught:
        checked_secret("KEY", f"abc{within}hidden")
    assert str(caught.value) == "KEY has a line feed or another character in it that no key has"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_checks_the_certificate_unless_told_otherwise(api, tmp_path):
    certificate = use_tls(api, tmp_path)
    host = api.url.replace("http:", "https:")
    refused = submit(host)
    assert refused.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr.splitlines()[-1]
    assert "give --ssl-ca-cert the certificate of your own" in refused.stderr.splitlines()[-1]
    assert submit(host, "--ssl-ca-cert", str(certificate)).exit_code == 0
    assert submit(host, "--insecure").exit_code == 0


def test_a_host_without_a_scheme_is_asked_over_https():
    done = submit("127.0.0.1:9")
    assert done.stderr.splitlines()[-1].startswith("Error: https://127.0.0.1:9 can't be reached: ")
    assert "Warning" not in done.stderr


def test_a_host_that_does_not_answer_is_one_sentence():
    done = submit("http://127.0.0.1:9")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: http://127.0.0.1:9 can't be reached: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "how"),
    [("<html>Hello", "with a web page"), ("", "with nothing"), ("{}", "without pipeline_id")],
)
def test_an_answer_that_is_not_the_api_s_is_one_sentence(api, answer, how):
    api.instead = answer
    done = submit(api.url, "--target", "cpu")
    (sentence,) = done.stderr.splitlines()
    assert done.exit_code == 1
    assert sentence.startswith(f"Error: {api.url} answers {how}, not as the API")
    assert "KFP_TOKEN or KFP_COOKIES" in sentence


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (403, "answers 403 with a web page, not as the API of Kubeflow Pipelines does: set"),
        (502, "answered 502: a web page"),
    ],
)
def test_an_error_as_a_web_page_is_one_sentence(status, sentence):
    error = kfp_server_api.ApiException(status=status)
    error.body = b"\n<html><h1>Forbidden</h1></html>"
    told = pytest.raises(click.ClickException, match=f"^https://host {sentence}")
    with told, translate_errors("https://host"):
        raise error


def test_refuses_to_wait_for_a_schedule(api):
    done = submit(api.url, "--wait", "--cron", "0 0 3 * * *")
    assert done.exit_code == 2
    assert "--wait is for a run" in done.stderr
