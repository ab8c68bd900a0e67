"""Fuzz the reader of IDX files: python tests/fuzz/fuzz_idx.py [options of libFuzzer] CORPUS..."""

import os
import pathlib
import shutil
import sys
import tempfile
import types

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

PLACE = pathlib.Path(tempfile.gettempdir(), f"fuzz-idx-{os.getpid()}")


def try_input(content: bytes, place: pathlib.Path = PLACE) -> None:
    """Store an IDX file as an image set: it succeeds, or one sentence says why and nothing is left.

    Raises:
        AssertionError: the sentence does not name the file, or something is left behind.
        Exception: any other than ValueError is a fault of the reader.
    """
    from kfp_mnist_mxnet.data.image_set import store_image_set
    from kfp_mnist_mxnet.data.names import SourceFile
    from kfp_mnist_mxnet.storage.staging import staged

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "file").write_bytes(content)
    artifacts = [types.SimpleNamespace(path=str(place / name)) for name in ("images", "labels")]
    files = {"test_images": SourceFile(place / "file", "the file")}
    try:
        with staged(*artifacts) as directories:
            store_image_set(files, {}, directories, "fuzz")
    except ValueError as error:
        assert str(error).startswith("the file "), error  # noqa: PT017 (bytes may also be a file)
        assert [path.name for path in place.iterdir()] == ["file"], list(place.iterdir())


def main() -> None:
    """Fuzz until a fault is found or libFuzzer's options say to stop."""
    import atheris

    with atheris.instrument_imports(include=["kfp_mnist_mxnet"]):
        import kfp_mnist_mxnet.data.image_set  # noqa: F401
    try_input(b"")  # the imports of the first call take longer than an input may
    atheris.Setup(sys.argv, lambda content: try_input(content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
