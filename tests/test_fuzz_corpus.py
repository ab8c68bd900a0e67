"""The inputs that fuzzing found, given to the same functions again."""

import pathlib

import pytest
from fuzz import fuzz_artifacts, fuzz_idx

CORPUS = pathlib.Path(__file__).with_name("corpus")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> fuzz_artifacts.Fuzzer:
    return fuzz_artifacts.Fuzzer(tmp_path_factory.mktemp("fuzz") / "files")


def inputs(name: str) -> list[pathlib.Path]:
    return sorted((CORPUS / name).iterdir())


def test_idx_files_are_read_or_refused(tmp_path):
    for path in inputs("idx"):
        fuzz_idx.try_input(path.read_bytes(), tmp_path / "files")


def test_artifacts_are_read_or_refused(fuzzer):
    for path in inputs("artifacts"):
        fuzzer.try_input(path.read_bytes())


def test_every_good_artifact_is_read(fuzzer):
    for name, content in fuzz_artifacts.seeds(fuzzer).items():
        fuzzer.try_input(content)
        fuzzer.targets[name](fuzzer.place)


def test_the_corpus_is_small_and_meets_every_reader(fuzzer):
    files = [*inputs("idx"), *inputs("artifacts")]
    assert sum(path.stat().st_size for path in files) < 200_000
    met = {path.read_bytes()[:1] for path in inputs("artifacts")}
    assert {byte[0] % len(fuzzer.targets) for byte in met if byte} == set(
        range(len(fuzzer.targets))
    )
