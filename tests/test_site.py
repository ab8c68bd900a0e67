"""What an organisation sets in place of what is public, as it stands in the compiled YAML."""

import pytest
import yaml
from conftest import COMPILED, command, decode_bundles
from kfp_server import serving

INDEX = "https://pypi.example/simple"
MIRROR = "mirror.example/library/python:3.13"
OWN = ["--target", "cpu", "--image", "example.org/cpu:1"]
PACKAGE = ["--target", "cpu", "--package", "kfp-mnist-mxnet==0.2.0"]
CPU = ["--target", "cpu"]
OLD = ["--node-selector", "pool=a100"]
EVERYTHING = [
    *("--s3-secret", "team-s3:id,key", "--pull-secret", "registry", "--env", "no_proxy=.svc"),
    *("--env", "https_proxy=http://proxy.example:3128", "--resources", "train:cpu=8,memory=16Gi"),
    *("--resources", "ingest:memory=4Gi"),
]


def invoke(*options: str) -> tuple[int, str]:
    done = command("compile", *options)
    return done.exit_code, done.output


@pytest.fixture
def compiled(tmp_path):
    """A function that compiles with options; it returns the text of the YAML."""

    def compile_yaml(*options: str) -> str:
        path = tmp_path / "compiled.yaml"
        code, output = invoke(*options, "--output", str(path))
        assert code == 0, output
        return path.read_text()

    return compile_yaml


def containers(text: str) -> dict[str, dict]:
    """The container of each executor that has one."""
    spec, *_ = yaml.load_all(text, yaml.CSafeLoader)
    executors = spec["deploymentSpec"]["executors"]
    return {name: value["container"] for name, value in executors.items() if "container" in value}


def settings(text: str) -> dict[str, dict]:
    """The Kubernetes settings of each executor."""
    _, platform = yaml.load_all(text, yaml.CSafeLoader)
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def install_scripts(container: dict) -> list[str]:
    """The script that installs packages: of the command, or of the bundle if it has that."""
    program = container["command"][2]
    if container["command"][0] == "sh":
        return [program]
    return decode_bundles(program)


@pytest.mark.parametrize(
    ("pipeline", "form"), [("train", []), ("train", PACKAGE), ("sweep", CPU), ("batch_predict", [])]
)
def test_every_step_that_installs_has_the_index_and_the_base_image(compiled, pipeline, form):
    options = ["--index", INDEX, "--base-image", MIRROR]
    found = list(containers(compiled("--pipeline", pipeline, *form, *options)).values())
    assert {container["image"] for container in found} == {MIRROR}
    scripts = [script for container in found for script in install_scripts(container)]
    assert len(scripts) == (len(found) if form == PACKAGE else 1)
    for script in scripts:
        for variable in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            assert f" {variable}={INDEX} " in script
        assert "--extra-index-url" not in script


@pytest.mark.parametrize("name", ["ingest", "train"])
def test_a_component_has_the_index_and_the_base_image(compiled, name):
    text = compiled("--component", name, "--index", INDEX, "--base-image", MIRROR)
    (container,) = containers(text).values()
    assert container["image"] == MIRROR
    (script,) = install_scripts(container)
    assert f" PIP_INDEX_URL={INDEX} " in script
    without = [line for line in compiled("--component", name).splitlines() if "image:" in line]
    assert without == ["        image: python:3.13"]


def test_a_component_without_them_is_the_committed_one(compiled):
    committed = (COMPILED / "components" / "evaluate.yaml").read_text()
    assert compiled("--component", "evaluate") == committed


def test_the_steps_that_read_a_store_have_the_named_secret(compiled):
    found = settings(compiled("--s3-secret", "team-s3"))
    named = {step: value["secretAsEnv"] for step, value in found.items() if "secretAsEnv" in value}
    assert set(named) == {"exec-ingest", "exec-train"}
    for (secret,) in named.values():
        assert (secret["secretName"], secret["optional"]) == ("team-s3", True)
        assert [key["secretKey"] for key in secret["keyToEnv"]] == ["accesskey", "secretkey"]


def test_the_keys_of_the_secret_may_have_other_names(compiled):
    (secret,) = settings(compiled("--s3-secret", "team-s3:id,key"))["exec-ingest"]["secretAsEnv"]
    assert secret["keyToEnv"] == [
        {"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "id"},
        {"envVar": "AWS_SECRET_ACCESS_KEY", "secretKey": "key"},
    ]


@pytest.mark.parametrize("form", [[], OWN])
def test_every_image_is_pulled_with_the_named_secrets(compiled, form):
    text = compiled(*form, "--pull-secret", "one", "--pull-secret", "two")
    for step in containers(text):
        pulled = settings(text)[step]["imagePullSecret"]
        assert [secret["secretName"] for secret in pulled] == ["one", "two"]


def test_secrets_are_in_a_form_that_older_back_ends_read(compiled):
    for value in settings(compiled(*OLD, *EVERYTHING)).values():
        assert value["imagePullSecret"] == [{"secretName": "registry"}]
        for secret in value.get("secretAsEnv", []):
            assert set(secret) == {"keyToEnv", "secretName"}


@pytest.mark.parametrize("form", [OWN, OLD])
def test_a_step_requests_its_limit(compiled, form):
    options = ["--resources", "train:cpu=8,memory=16Gi", "--resources", "evaluate:cpu=500m"]
    before, after = containers(compiled(*form)), containers(compiled(*form, *options))
    train, evaluate = (after[f"exec-{name}"]["resources"] for name in ("train", "evaluate"))
    assert {train[f"resourceCpu{kind}"] for kind in ("Request", "Limit")} == {"8"}
    assert {train[f"resourceMemory{kind}"] for kind in ("Request", "Limit")} == {"16Gi"}
    assert {evaluate[f"resourceCpu{kind}"] for kind in ("Request", "Limit")} == {"500m"}
    default = before["exec-evaluate"]["resources"]
    for kind in ("resourceMemoryRequest", "resourceMemoryLimit"):
        assert evaluate[kind] == default[kind]
    for name in set(after) - {"exec-train", "exec-evaluate"}:
        assert after[name]["resources"] == before[name]["resources"]
    assert train.get("accelerator") == before["exec-train"]["resources"].get("accelerator")


@pytest.mark.parametrize("form", [[], OWN])
def test_every_step_has_the_variables(compiled, form):
    text = compiled(*form, "--env", "no_proxy=.svc,10.0.0.0/8", "--env", "A=b=c d")
    for container in containers(text).values():
        given = [{"name": "A", "value": "b=c d"}, {"name": "no_proxy", "value": ".svc,10.0.0.0/8"}]
        assert container["env"] == given


def test_the_same_bytes_in_whichever_order_the_options_are(compiled):
    pairs = list(zip(EVERYTHING[::2], EVERYTHING[1::2], strict=True))
    turned = [word for pair in reversed(pairs) for word in pair]
    assert compiled(*EVERYTHING) == compiled(*turned) != compiled()


def test_what_is_the_default_changes_no_byte(compiled):
    options = ["--base-image", "python:3.13", "--s3-secret", "mlpipeline-minio-artifact"]
    assert compiled(*options) == (COMPILED / "pipeline.yaml").read_text()


def test_submit_takes_the_same_options():
    with serving() as api:
        options = ["--index", INDEX, "--base-image", MIRROR, *EVERYTHING]
        done = command("submit", "--host", api.url, *options)
        assert done.exit_code == 0, done.output
        text = api.state["yaml"]
    assert {container["image"] for container in containers(text).values()} == {MIRROR}
    assert settings(text)["exec-train"]["imagePullSecret"][0]["secretName"] == "registry"


TWICE = ["--env", "A=1", "--env", "A=2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--index", INDEX, *OWN], "are for steps that install packages, not for --image"),
        (["--base-image", MIRROR, *OWN], "are for steps that install packages, not for --image"),
        (["--index", INDEX, "--env", "UV_INDEX=x"], "leave out --env UV_INDEX"),
        (["--index", "pypi.example/simple"], "expected http(s)://host/path"),
        (["--index", "file:///wheels"], "expected http(s)://host/path"),
        (["--index", "https://pypi.example/$(id)"], "has a character in it that no address has"),
        (["--base-image", "https://mirror.example/python"], "is no image"),
        (["--base-image", "python 3.13"], "is no image"),
        (["--pull-secret", "Registry"], "'Registry' is no name of a Secret"),
        (["--s3-secret", "a_b"], "'a_b' is no name of a Secret"),
        (["--s3-secret", "s3:key"], "must name two keys"),
        (["--s3-secret", "s3:key,key"], "must name two keys"),
        (["--resources", "train"], "expected STEP:cpu=4,memory=8Gi, got 'train'"),
        (["--resources", "train:gpu=1"], "expected STEP:cpu=4,memory=8Gi"),
        (["--resources", "train:cpu=1,cpu=2"], "expected STEP:cpu=4,memory=8Gi"),
        (["--resources", "train:cpu=0"], "cpu must be as 4 or 500m, got '0'"),
        (["--resources", "train:memory=8GB"], "memory must be as 8Gi or 512Mi, got '8GB'"),
        (["--resources", "trian:cpu=1"], "no step 'trian': did you mean 'train'?"),
        (["--resources", "merge:cpu=1"], "no step 'merge'"),
        (["--resources", "train:cpu=1", "--resources", "train:cpu=2"], "gives train twice"),
        (TWICE, "--env gives A twice"),
        (["--env", "A"], "expected NAME=VALUE"),
        (["--env", "1A=2"], "expected NAME=VALUE"),
        (["--component", "train", "--env", "A=b"], "with --component set them on the task"),
        (["--component", "train", "--pull-secret", "a"], "with --component set them on the task"),
    ],
)
def test_refuses_what_does_not_fit(tmp_path, options, message):
    code, output = invoke(*options, "--output", str(tmp_path / "x.yaml"))
    assert code == 2
    assert message in output.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--index", "https://me:hush@pypi.example/simple"], "mount a netrc from a Secret"),
        (["--index", "https://hush@pypi.example/simple"], "set PIP_INDEX_URL from a Secret"),
        (["--index", "https://pypi.example/simple?token=hush"], "mount a pip.conf"),
        ([*CPU, "--package", "https://me:hush@pypi.example/x.whl"], "must have no credentials"),
        (["--env", "KFP_TOKEN=hush"], "KFP_TOKEN looks like a secret"),
        (["--env", "AWS_SECRET_ACCESS_KEY=hush"], "set it from a Secret of Kubernetes"),
        (["--env", "aws_access_key_id=hush"], "looks like a secret"),
        (["--env", "PGPASSWORD=hush"], "looks like a secret"),
        (["--env", "https_proxy=http://me:hush@proxy:3128"], "looks like a secret"),
        (["--env", "https_proxy=me:hush@proxy:3128"], "looks like a secret"),
    ],
)
def test_refuses_credentials_without_showing_them(tmp_path, options, message):
    code, output = invoke(*options, "--output", str(tmp_path / "x.yaml"))
    assert code == 2
    assert message in output.splitlines()[-1]
    assert "hush" not in output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "variable",
    ["KF_PIPELINES_SA_TOKEN_PATH=/var/run/token", "TOKENIZERS_PARALLELISM=false", "EMPTY="],
)
def test_a_variable_that_holds_no_secret_is_taken(compiled, variable):
    name, _, value = variable.partition("=")
    env = containers(compiled("--env", variable))["exec-ingest"]["env"]
    assert env == [{"name": name, **({"value": value} if value else {})}]
