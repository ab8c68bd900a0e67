import csv
import itertools
import json
import pathlib
import struct

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_idx, write_idx_set
from kfp import dsl
from PIL import Image

from kfp_mnist_mxnet.cli.main import main
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.conversion.convert import Options, convert

NAMES = ("bottom", "middle", "top")


def pixels(count: int, *shape: int) -> np.ndarray:
    """Noise with a bright band where the label, 0, 1, 2, 0 ..., says."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (count, *(shape or (12, 12))), dtype=np.uint8)
    height = images.shape[1] // 3
    for image, label in zip(images, itertools.cycle(range(3)), strict=False):
        image[label * height : (label + 1) * height] += 150
    return images


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 3


def write_folder(
    directory: pathlib.Path, count: int = 30, end: str = "png", shape=()
) -> pathlib.Path:
    """Images in a folder for each class."""
    for i, image in enumerate(pixels(count, *shape)):
        place = directory / NAMES[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.{end}")
    return directory


def read_idx(path: pathlib.Path) -> np.ndarray:
    content = path.read_bytes()
    rank = content[3]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_set(directory: pathlib.Path) -> dict[str, np.ndarray]:
    return {
        path.name[: path.name.index("-idx")]: read_idx(path) for path in directory.glob("*idx*")
    }


def listed(directory: pathlib.Path, name: str) -> list[dict[str, str]]:
    with open(directory / f"{name}-files.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def converted(tmp_path, source, **options):
    """What the conversion of a source says, and the arrays that it wrote."""
    directory = tmp_path / "out"
    return convert(source, directory, Options(**options)), read_set(directory)


def command(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["convert", *map(str, arguments)])
    return result.exit_code, result.output


def test_converts_a_folder_with_a_folder_for_each_class(tmp_path):
    about, arrays = converted(tmp_path, write_folder(tmp_path / "photos"))
    assert about.class_names == list(NAMES)
    assert about.counts == {"train": [8, 8, 8], "test": [2, 2, 2]}
    assert arrays["train-images"].shape == (24, 12, 12)
    images = pixels(30)
    for name in ("train", "t10k"):
        for row, image, label in zip(
            listed(tmp_path / "out", name),
            arrays[f"{name}-images"],
            arrays[f"{name}-labels"],
            strict=True,
        ):
            assert row["file"].split("/")[0] == row["class_name"] == NAMES[label]
            assert (image == images[int(row["file"][-7:-4])]).all()
    assert (tmp_path / "out/class_names.txt").read_text() == "bottom\nmiddle\ntop\n"


def test_the_same_source_gives_the_same_bytes_and_another_seed_another_split(tmp_path):
    source = write_folder(tmp_path / "photos", 60)
    written = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        convert(source, tmp_path / name, Options(seed=seed))
        written.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert written[0]["t10k-files.csv"] != written[2]["t10k-files.csv"]


@pytest.mark.parametrize(
    ("folders", "counts"),
    [
        (("train", "test"), {"train": [10] * 3, "test": [10] * 3}),
        (("Training", "Testing"), {"train": [10] * 3, "test": [10] * 3}),
        (("train", "val"), {"train": [10] * 3, "test": [10] * 3}),
        (("train", "valid", "test"), {"train": [20] * 3, "test": [10] * 3}),
        (("train",), {"train": [8] * 3, "test": [2] * 3}),
    ],
)
def test_finds_the_parts_of_a_folder(tmp_path, folders, counts):
    for folder in folders:
        write_folder(tmp_path / "photos" / folder)
    assert converted(tmp_path, tmp_path / "photos")[0].counts == counts


@pytest.mark.parametrize("names", [("apple", "test"), ("car", "train"), ("test", "train")])
def test_a_class_may_have_the_name_of_a_part(tmp_path, names):
    for name in names:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i, image in enumerate(pixels(5)):
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{i}.png")
    assert converted(tmp_path, tmp_path / "photos")[0].class_names == list(names)


def test_what_lies_beside_the_parts_is_told(tmp_path):
    for folder in ("train", "test", "extra"):
        write_folder(tmp_path / "photos" / folder)
    (tmp_path / "photos" / "readme.txt").touch()
    about, _ = converted(tmp_path, tmp_path / "photos")
    assert about.notes == ["2 left out, in no part of the data set: extra, readme.txt"]


def test_images_alone_are_made_ready_to_predict(tmp_path):
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(pixels(5)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.bmp")
    about, arrays = converted(tmp_path, tmp_path / "photos")
    assert about.counts == {"test": [5]}
    assert (arrays["t10k-images"] == pixels(5)).all()
    assert [row["file"] for row in listed(tmp_path / "out", "t10k")] == [
        f"{i}.bmp" for i in range(5)
    ]
    assert about.files == ["t10k-images-idx3-ubyte", "t10k-files.csv"]


def test_what_is_no_image_is_left_out_and_told(tmp_path):
    source = write_folder(tmp_path / "photos")
    Image.fromarray(pixels(1)[0]).save(source / "stray.png")
    (source / "top" / "notes.txt").write_text("no image")
    (source / "top" / ".DS_Store").write_text("nothing that anyone put there")
    (source / "__MACOSX").mkdir()
    (source / "top" / "empty.png").touch()
    (source / "top" / "cut.png").write_bytes((source / "top" / "002.png").read_bytes()[:70])
    Image.new("I", (12, 12)).save(source / "top" / "deep.tiff")
    about, _ = converted(tmp_path, source)
    assert sum(map(sum, about.counts.values())) == 30
    assert about.notes == [
        "1 left out, pixels of more than 16 bits (Pillow's mode I): top/deep.tiff",
        "2 left out, no image (PNG, JPEG, BMP, GIF, PPM, TIFF, WEBP): top/empty.png, top/notes.txt",
        "1 left out, in no folder of a class: stray.png",
        "1 left out, can't be read (damaged): top/cut.png",
    ]


def test_what_is_left_out_can_not_write_on_the_terminal(tmp_path):
    source = write_folder(tmp_path / "photos")
    (source / "top" / "\x1b[2J.txt").touch()
    code, output = command(source, tmp_path / "out")
    assert code == 0
    assert "1 left out, no image" in output
    assert "\x1b" not in output


def test_examples_of_what_is_left_out_are_few(tmp_path):
    source = write_folder(tmp_path / "photos")
    for i in range(5):
        (source / "top" / f"x{i}.txt").touch()
    [note] = converted(tmp_path, source)[0].notes
    assert note.startswith("5 left out")
    assert note.endswith("x0.txt, top/x1.txt, top/x2.txt, ...")


def test_colours_stay_and_ingest_reads_them(tmp_path, artifacts):
    source = write_folder(tmp_path / "photos", shape=(12, 16, 3))
    about, arrays = converted(tmp_path, source)
    assert arrays["train-images"].shape == (24, 12, 16, 3)
    assert "train-images-idx4-ubyte" in about.files
    data = artifacts.ingest(tmp_path / "out")
    assert data["test_data"].metadata["image_shape"] == [3, 12, 16]
    first = pathlib.Path(data["test_data"].path, "images.npy")
    assert (np.load(first)[0] == arrays["t10k-images"][0].transpose(2, 0, 1)).all()


def test_one_grey_image_among_colours_is_colour(tmp_path):
    source = write_folder(tmp_path / "photos", shape=(12, 12, 3))
    Image.fromarray(pixels(1)[0]).save(source / "top" / "grey.png")
    assert converted(tmp_path, source)[0].layout == (12, 12, 3)


def test_brings_images_to_a_size_and_to_grey(tmp_path):
    source = write_folder(tmp_path / "photos", shape=(30, 20, 3))
    Image.new("RGB", (40, 60), "white").save(source / "top" / "other.png")
    with pytest.raises(ValueError, match="the images differ in size: give the size"):
        converted(tmp_path, source)
    about, arrays = converted(tmp_path, source, size=(12, 12), channels=1)
    assert about.layout == (12, 12, 1)
    images = np.concatenate([arrays["train-images"], arrays["t10k-images"]])
    # Proportions are kept: 30 x 20 is 12 x 8 with black at the sides.
    assert not images[:, :, :2].any()
    assert not images[:, :, 10:].any()
    assert images[:, :, 5].any()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Image.fromarray(np.full((4, 4), 0x8000, np.uint16)), 128),
        (lambda: Image.new("RGBA", (4, 4), (10, 10, 10, 0)), 255),
        (lambda: Image.new("LA", (4, 4), (10, 0)), 255),
        (lambda: Image.new("1", (4, 4), 1), 255),
        (lambda: Image.new("P", (4, 4), 0), 0),
    ],
    ids=["16 bits", "transparent", "transparent grey", "1 bit", "palette"],
)
def test_kinds_of_pixels(tmp_path, make, expected):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            make().save(tmp_path / "photos" / name / f"{i}.png")
    _, arrays = converted(tmp_path, tmp_path / "photos", channels=1)
    assert (arrays["train-images"] == expected).all()


def test_turns_an_image_as_its_exif_data_say(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            image = Image.new("L", (8, 6))
            image.paste(255, (0, 0, 8, 3))  # the upper half
            image.save(tmp_path / "photos" / name / f"{i}.png", exif=exif)
    about, arrays = converted(tmp_path, tmp_path / "photos")
    assert about.layout == (8, 6, 1)
    assert (arrays["train-images"][0] == ([0] * 3 + [255] * 3)).all()


def test_numbers_as_names_are_in_the_order_of_numbers(tmp_path):
    for name in ("10", "9", "2"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (4, 4)).save(tmp_path / "photos" / name / f"{i}.png")
    assert converted(tmp_path, tmp_path / "photos")[0].class_names == ["2", "9", "10"]


def keras(train, test):
    return {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}


def medmnist(train, test):
    return {
        "train_images": train[0],
        "train_labels": train[1][:, None],
        "val_images": test[0][:3],
        "val_labels": test[1][:3, None],
        "test_images": test[0],
        "test_labels": test[1][:, None],
    }


@pytest.mark.parametrize(("names", "held_out"), [(keras, 0), (medmnist, 1)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_converts_npz(tmp_path, names, held_out, save):
    save(tmp_path / "data.npz", **names((pixels(24), labels(24)), (pixels(9), labels(9))))
    about, arrays = converted(tmp_path, tmp_path / "data.npz")
    assert about.counts == {"train": [8 + held_out] * 3, "test": [3] * 3}  # ingest holds out again
    assert (arrays["train-images"][:24] == pixels(24)).all()
    assert (arrays["train-images"][24:] == pixels(9)[: 3 * held_out]).all()
    assert (arrays["t10k-labels"] == labels(9)).all()
    assert not (tmp_path / "out/class_names.txt").exists()  # the labels are the names


def test_converts_npz_files_of_one_array_each(tmp_path):
    (tmp_path / "kmnist").mkdir()
    for part, count in (("train", 24), ("test", 9)):
        np.savez_compressed(tmp_path / f"kmnist/kmnist-{part}-imgs.npz", pixels(count))
        np.savez_compressed(tmp_path / f"kmnist/kmnist-{part}-labels.npz", labels(count))
    about, arrays = converted(tmp_path, tmp_path / "kmnist")
    assert about.counts == {"train": [8] * 3, "test": [3] * 3}
    assert (arrays["t10k-images"] == pixels(9)).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.transpose(0, 3, 1, 2),
        np.asfortranarray,
        lambda images: images.astype(">i4"),
        lambda images: images / np.float32(255),
    ],
    ids=["channels first", "Fortran order", "big endian", "fractions"],
)
def test_converts_npy_of_any_order_and_type(tmp_path, change):
    images = pixels(30, 12, 12, 3)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data/images.npy", change(images))
    np.save(tmp_path / "data/labels.npy", np.array(NAMES)[labels(30)])
    about, arrays = converted(tmp_path, tmp_path / "data")
    assert about.class_names == list(NAMES)
    assert about.counts == {"train": [8] * 3, "test": [2] * 3}
    for row, image in zip(listed(tmp_path / "out", "train"), arrays["train-images"], strict=True):
        number = int(row["file"].removeprefix("images[").removesuffix("]"))
        assert (image == images[number]).all()


@pytest.mark.parametrize("kind", [bool, np.float32])
def test_black_and_white_as_0_and_1_stands_for_0_to_255(tmp_path, kind):
    np.savez(tmp_path / "data.npz", images=(pixels(30) > 150).astype(kind), labels=labels(30))
    _, arrays = converted(tmp_path, tmp_path / "data.npz")
    assert set(arrays["train-images"].flat) == {0, 255}


def test_labels_are_numbered_without_a_gap(tmp_path):
    np.savez(tmp_path / "letters.npz", images=pixels(30), labels=labels(30) + 1.0)
    about, arrays = converted(tmp_path, tmp_path / "letters.npz")
    assert about.class_names == ["1", "2", "3"]
    assert set(arrays["train-labels"]) == {0, 1, 2}
    assert (tmp_path / "out/class_names.txt").read_text() == "1\n2\n3\n"


def test_arrays_without_labels_are_made_ready_to_predict(tmp_path):
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data/x.npy", pixels(5))
    about, arrays = converted(tmp_path, tmp_path / "data")
    assert about.counts == {"test": [5]}
    assert (arrays["t10k-images"] == pixels(5)).all()


def write_csv(path: pathlib.Path, count: int, head: bool = True, labelled: bool = True) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        if head:
            rows.writerow(["label"] * labelled + [f"pixel{i}" for i in range(144)])
        for label, image in zip(labels(count), pixels(count), strict=True):
            rows.writerow([label] * labelled + image.reshape(-1).tolist())


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("names", ["mnist_train.csv mnist_test.csv", "train.csv test.csv"])
def test_converts_csv_files(tmp_path, names, head):
    train, test = names.split()
    write_csv(tmp_path / "kaggle" / train, 24, head)
    write_csv(tmp_path / "kaggle" / test, 9, head)
    about, arrays = converted(tmp_path, tmp_path / "kaggle")
    assert about.counts == {"train": [8] * 3, "test": [3] * 3}
    assert (arrays["train-images"] == pixels(24)).all()
    assert listed(tmp_path / "out", "t10k")[0]["file"] == f"{test}:{1 + head}"


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("train", "valid", "test"), {"train": [10] * 3, "test": [3] * 3}),
        (("train", "val"), {"train": [8] * 3, "test": [2] * 3}),
    ],
)
def test_csv_files_to_validate_are_to_train_or_else_to_test(tmp_path, names, counts):
    for name, count in (("train", 24), ("val", 6), ("valid", 6), ("test", 9)):
        if name in names:
            write_csv(tmp_path / "data" / f"{name}.csv", count)
    assert converted(tmp_path, tmp_path / "data")[0].counts == counts


def test_kaggles_test_file_has_no_labels_and_is_converted_alone(tmp_path):
    write_csv(tmp_path / "kaggle/train.csv", 30)
    write_csv(tmp_path / "kaggle/test.csv", 9, labelled=False)
    (tmp_path / "kaggle/sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    about, _ = converted(tmp_path, tmp_path / "kaggle")
    assert about.counts == {"train": [8] * 3, "test": [2] * 3}
    assert [note.split(":")[0] for note in about.notes] == [
        "1 left out, no columns of pixels",
        "1 left out, no column of labels (to predict them, convert the file alone)",
    ]
    alone = convert(tmp_path / "kaggle/test.csv", tmp_path / "alone", Options())
    assert alone.counts == {"test": [9]}


def no_images(path):
    path.mkdir()
    (path / "notes.txt").touch()


def two_folders_to_train(path):
    write_folder(path / "train")
    write_folder(path / "training")


def one_class(path):
    (path / "a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(path / "a" / "0.png")


def only_in_test(path):
    write_folder(path / "train")
    write_folder(path / "test")
    (path / "test" / "top").rename(path / "test" / "roof")


def too_many_classes(path):
    for i in range(257):
        (path / f"{i}").mkdir(parents=True)
        Image.new("L", (4, 4)).save(path / f"{i}" / "0.png")


def a_line_feed(path):
    write_folder(path)
    (path / "top").rename(path / "a\nb")


def saved(**arrays):
    return lambda path: np.savez(path, **arrays)


def text(content: str):
    return lambda path: path.write_text(content)


def no_zip(path):
    path.write_bytes(b"PK\3\4 not a zip")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("source", no_images, "has no images: expected a folder for each class.*notes.txt"),
        ("source", two_folders_to_train, "has two folders to train: train and training"),
        ("source", one_class, "there are 1 classes to train on, expected 2 to 256"),
        ("source", only_in_test, "there are images of 'roof' to test with, but none to train on"),
        ("source", too_many_classes, "there are 257 classes"),
        (
            "source",
            a_line_feed,
            r"a class name must be printable, of at most 100 letters, got 'a\\nb'",
        ),
        (
            "source.npz",
            saved(images=pixels(6)[:, 0], labels=labels(6)),
            r"the shape \(6, 12\), expected images",
        ),
        (
            "source.npz",
            saved(images=pixels(6), labels=labels(5)),
            r"labels has the shape \(5,\).* 6 images",
        ),
        (
            "source.npz",
            saved(images=pixels(6) + 300.0, labels=labels(6)),
            "value .*whole numbers from 0 to 255",
        ),
        (
            "source.npz",
            saved(images=pixels(6) - 0.5, labels=labels(6)),
            "value .*whole numbers from 0 to 255",
        ),
        (
            "source.npz",
            saved(images=pixels(6), labels=labels(6) + 0.5),
            "must be of whole numbers or text",
        ),
        (
            "source.npz",
            saved(images=np.array([{}] * 4), labels=labels(4)),
            "images can't be read: .*objects",
        ),
        (
            "source.npz",
            saved(images=pixels(6), labels=np.full(6, np.inf)),
            "must be of whole numbers or text",
        ),
        (
            "source.npz",
            saved(train_x=pixels(6), images=pixels(6), train_y=labels(6), labels=labels(6)),
            "has two arrays of images to train",
        ),
        (
            "source.npz",
            saved(a=pixels(6), b=labels(6)),
            "has no array of images.*2 left out.*: a, b",
        ),
        (
            "source.npz",
            saved(x=pixels(6), images=pixels(6), y=labels(6)),
            "two arrays of images: x and images",
        ),
        (
            "source.npz",
            saved(images=pixels(6, 12, 12, 7), labels=labels(6)),
            "7 channels, expected 1, 3 or 4",
        ),
        ("source.npz", no_zip, "can't be read as .npz"),
        ("source.csv", text(""), "is empty, expected a row for each image"),
        ("source.csv", text("name,age\nx,3\n"), "has no CSV of images"),
        (
            "source.csv",
            text("label,p0,p1\n1,2,3\n"),
            "2 columns of pixels, expected a square number",
        ),
        ("source.csv", text("label,p0\n1,2\n1,2,3\n"), "line 3, has 3 columns, expected 2"),
        ("source.csv", text("label,p0\n1,2\n0,x\n"), "line 3, has a pixel that is no number"),
        ("source.csv", text("label,p0\n1,2\n0,256\n"), "line 3, has the float64 value 256.0"),
    ],
)
def test_refuses_in_one_sentence_and_leaves_nothing(tmp_path, name, make, message):
    source = tmp_path / name
    make(source)
    with pytest.raises(ValueError, match=message) as raised:
        converted(tmp_path, source)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 0.0}, "test_fraction must be above 0 and below 1, got 0.0"),
        ({"test_fraction": 1.5}, "test_fraction must be above 0 and below 1, got 1.5"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"size": (20_000, 20_000)}, "an image of 20000 x 20000, grey must have .* 64 MiB"),
        ({"test_fraction": 0.01}, "there are no images to test"),
    ],
)
def test_refuses_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        converted(tmp_path, write_folder(tmp_path / "photos"), **options)
    assert not (tmp_path / "out").exists()


def test_a_fraction_is_refused_where_there_are_images_to_test_with(tmp_path):
    np.savez(tmp_path / "data.npz", **keras((pixels(24), labels(24)), (pixels(9), labels(9))))
    with pytest.raises(ValueError, match="leave out test_fraction"):
        converted(tmp_path, tmp_path / "data.npz", test_fraction=0.1)


def test_never_writes_over_a_directory(tmp_path):
    source = write_folder(tmp_path / "photos")
    (tmp_path / "out").mkdir()
    converted(tmp_path, source)  # an empty one is taken
    with pytest.raises(ValueError, match="is there already and not empty"):
        converted(tmp_path, source)


def test_images_are_streamed(tmp_path, monkeypatch):
    """No more than a block of an array is in memory at once."""
    (tmp_path / "data").mkdir()
    images = np.lib.format.open_memmap(tmp_path / "data/images.npy", "w+", np.uint8, (3000, 64, 64))
    np.save(tmp_path / "data/labels.npy", labels(len(images)))
    sizes = []

    def kept(block, name):
        sizes.append(block.nbytes)
        return block

    monkeypatch.setattr("kfp_mnist_mxnet.conversion.arrays.to_uint8", kept)
    converted(tmp_path, tmp_path / "data")
    assert sum(sizes) == images.nbytes
    assert max(sizes) <= 1 << 20


def test_the_command_says_what_it_did_and_what_comes_next(tmp_path):
    source = write_folder(tmp_path / "photos")
    (source / "top" / "notes.txt").touch()
    code, output = command(source, tmp_path / "out", "--size", "8x6", "--channels", "rgb")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "images   24 to train, 6 to test, each 8 x 6, colour"
    assert lines[2] == "    0  bottom  8 + 2"
    assert any("1 left out, no image" in line for line in lines)
    assert lines[-1].endswith(f"run --data-uri {tmp_path / 'out'}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "out", "--size", "0"], "'0' is no size: expected one such as 28 or 28x32"),
        (["photos", "out", "--size", "8x8x8"], "is no size"),
        (["missing", "out"], "does not exist"),
        (["photos", "photos"], "is there already and not empty: name another directory"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path, monkeypatch, arguments, message):
    write_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    code, output = command(*arguments)
    assert code in (1, 2)
    assert message in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A small data set with names of classes, and what train makes of it."""
    from conftest import Artifacts

    root = tmp_path_factory.mktemp("named")
    convert(write_folder(root / "photos", 300), root / "idx", Options())
    made = Artifacts(root / "artifacts")
    data = made.ingest(root / "idx")
    return {**data, **made.train(data), "source": root / "idx"}


def test_names_of_classes_go_along_to_every_report(named, artifacts):
    judged = {"model": named["model"], "data": named["test_data"]}
    outputs = {
        **artifacts.run(evaluate, **judged),
        **artifacts.run(predict, **judged),
        **artifacts.run(export, **judged),
    }
    outputs["data_report"] = named["data_report"]
    for report in ("data_report", "evaluation_report", "preview", "export_report", "model_card"):
        content = pathlib.Path(outputs[report].path).read_text()
        assert all(name in content for name in NAMES), report
    matrix = outputs["confusion_matrix"].metadata["confusionMatrix"]
    assert [label["displayName"] for label in matrix["annotationSpecs"]] == list(NAMES)
    model = json.loads(pathlib.Path(named["model"].path, "model.json").read_text())
    assert model["class_names"] == list(NAMES)
    shards = {"shards": [outputs["predictions"]], "labels": named["test_data"]}
    together = artifacts.run(merge, **shards, predictions=artifacts.new(dsl.Dataset, "merged"))
    assert all(name in pathlib.Path(together["merge_report"].path).read_text() for name in NAMES)
    for name in ("predictions.csv", "class_names.txt", "probabilities.npy"):
        both = [pathlib.Path(o["predictions"].path, name).read_bytes() for o in (outputs, together)]
        assert both[0] == both[1]


def test_a_prediction_is_led_back_to_its_file(named, artifacts):
    outputs = artifacts.run(predict, model=named["model"], data=named["test_data"])
    with open(pathlib.Path(outputs["predictions"].path, "predictions.csv"), newline="") as file:
        predictions = list(csv.DictReader(file))
    files = listed(named["source"], "t10k")
    assert [row["index"] for row in predictions] == [row["index"] for row in files]
    right = [
        prediction["class_name"] == row["file"].split("/")[0]
        for prediction, row in zip(predictions, files, strict=True)
    ]
    assert sum(right) > 0.9 * len(right)


def test_names_that_are_given_win(named, artifacts):
    judged = {"model": named["model"], "data": named["test_data"]}
    outputs = artifacts.run(evaluate, **judged, class_names=["x1", "x2", "x3"])
    assert ">x2<" in pathlib.Path(outputs["evaluation_report"].path).read_text()
    assert ">bottom<" not in pathlib.Path(outputs["evaluation_report"].path).read_text()


def test_other_classes_under_the_same_labels_are_refused(named, artifacts, tmp_path):
    (named["source"] / "class_names.txt").rename(tmp_path / "kept")
    try:
        data = artifacts.ingest(named["source"], class_names=["bottom", "centre", "top"])
    finally:
        (tmp_path / "kept").rename(named["source"] / "class_names.txt")
    for component in (evaluate, export):
        with pytest.raises(ValueError, match="the label 1 is 'centre' here and 'middle' there"):
            artifacts.run(component, model=named["model"], data=data["test_data"])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("a\nb\nc\n", ["a", "b", "c"]),
        ("\ufeffa\r\nb\r\nc", ["a", "b", "c"]),
        ("<!DOCTYPE html>\n<p>not found", None),
    ],
)
def test_ingest_reads_names_beside_the_files(tmp_path, artifacts, content, names):
    source = write_idx_set(tmp_path / "idx")
    (source / "class_names.txt").write_text(content, encoding="utf-8")
    data = artifacts.ingest(source)
    assert data["train_data"].metadata.get("class_names") == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n", "one name for each of the 3 classes, got 2"),
        (b"a\na\nb\n", "must all differ"),
        (b"a\n\nb\n", "none be empty"),
        (b"a\n\x1b[31mb\nc\n", "must be printable"),
        (b"\xff\xfe", "must be text in UTF-8"),
        (b"x" * 200_000, "a name of a class in each line"),
    ],
)
def test_ingest_refuses_names_that_do_not_fit(tmp_path, artifacts, content, message):
    source = write_idx_set(tmp_path / "idx")
    (source / "class_names.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(source)


def test_a_model_or_data_with_wrong_names_is_refused(named, artifacts):
    for kind, file in (("model", "model.json"), ("test_data", "dataset.json")):
        copy = artifacts.root / kind
        copy.mkdir(parents=True)
        for path in pathlib.Path(named[kind].path).iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        about = json.loads((copy / file).read_text())
        (copy / file).write_text(json.dumps({**about, "class_names": ["a", 3]}))
        judged = {"model": named["model"], "data": named["test_data"]}
        changed = type(named[kind])(uri=str(copy))
        judged["model" if kind == "model" else "data"] = changed
        with pytest.raises(ValueError, match="class_names must be a list of texts"):
            artifacts.run(evaluate, **judged)


def test_shards_with_other_names_are_refused(named, artifacts, tmp_path):
    shards = []
    for i in range(2):
        predictions = artifacts.new(dsl.Dataset, f"shard-{i}")
        shards.append(
            artifacts.run(
                predict,
                model=named["model"],
                data=named["test_data"],
                batch_size=8,
                shard=i,
                num_shards=2,
                predictions=predictions,
            )["predictions"]
        )
    pathlib.Path(shards[1].path, "class_names.txt").write_text("a\nb\nc\n")
    with pytest.raises(ValueError, match="models that differ in their classes"):
        artifacts.run(merge, shards=shards, labels=named["test_data"])


def test_names_with_commas_and_quotes_are_fields_of_a_csv(tmp_path, artifacts):
    names = ['a "quoted" one', "b, and c", "d" * 100]
    source = write_idx_set(tmp_path / "idx", train=120)
    data = artifacts.ingest(source, class_names=names)
    outputs = artifacts.run(predict, model=artifacts.train(data)["model"], data=data["test_data"])
    with open(pathlib.Path(outputs["predictions"].path, "predictions.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["class_name"] == names[int(row["label"])] for row in rows)
    merged = artifacts.run(
        merge,
        shards=[outputs["predictions"]],
        labels=data["test_data"],
        predictions=artifacts.new(dsl.Dataset, "merged"),
    )
    assert merged["metrics"].metadata["images"] == 25


def test_write_idx_of_the_tests_is_what_convert_writes(tmp_path):
    np.savez(tmp_path / "d.npz", **keras((pixels(24), labels(24)), (pixels(9), labels(9))))
    convert(tmp_path / "d.npz", tmp_path / "out", Options())
    other = write_idx(tmp_path / "other", pixels(24))
    assert (tmp_path / "out/train-images-idx3-ubyte").read_bytes() == other.read_bytes()
