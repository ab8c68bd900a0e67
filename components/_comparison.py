"""What compare reads of the trials of a sweep, and shows."""

from typing import Any

from components._files import read_json, regular_file
from components._report import figure_svg, new_figure, section, write_report


def read_trials(directories: list[str]) -> list[dict[str, Any]]:
    """Read what each trial's model.json says.

    Returns: one record a trial: hyperparameters, history, validation_accuracy.

    Raises:
        ValueError: a model can't be read, or was trained without validation images.
    """
    import math

    trials = []
    for directory in directories:
        about = read_json(directory, "model.json")
        history, chosen = about.get("history"), about.get("hyperparameters")
        if not (isinstance(chosen, dict) and isinstance(history, list) and history):
            raise ValueError(
                f"{directory}/model.json has no validation accuracy: it has no hyperparameters or "
                "no history"
            )
        for record in history:
            for name in ("validation_accuracy", "train_accuracy", "train_loss"):
                value: Any = record.get(name) if isinstance(record, dict) else None
                if type(value) not in (int, float) or not math.isfinite(value):
                    raise ValueError(
                        f"{directory}/model.json has no validation accuracy ({name} is {value!r}): "
                        "a sweep chooses by it, so validation_fraction must be above 0"
                    )
        trials.append({**about, "validation_accuracy": history[-1]["validation_accuracy"]})
    return trials


def copy_model(source: str, directory: Any) -> None:
    """Copy the files of a model directory.

    Raises:
        ValueError: there is something else in it, such as a link, whose target would be copied.
    """
    import pathlib
    import shutil

    directory.mkdir()
    for path in sorted(pathlib.Path(source).iterdir()):
        shutil.copyfile(regular_file(source, path.name), directory / path.name)


def name_trials(trials: list[dict[str, Any]]) -> list[str]:
    """Return a name for each trial: the hyperparameters in which it differs from another."""
    settings = [trial["hyperparameters"] for trial in trials]
    differing = [
        name for name in settings[0] if any(s.get(name) != settings[0][name] for s in settings)
    ]
    return [
        ", ".join(f"{name}={s.get(name)}" for name in differing) or f"trial {number}"
        for number, s in enumerate(settings, start=1)
    ]


def write_sweep_report(path: Any, trials: list[dict[str, Any]], best: int) -> None:
    """Write the sweep report: a row and a curve for each trial, best first.

    trials: as read_trials returns them; best: index of the chosen one.
    """
    names = name_trials(trials)
    order = sorted(range(len(trials)), key=lambda i: (-trials[i]["validation_accuracy"], i))
    figure = new_figure(7, 3.2)
    axes = figure.add_subplot()
    for i in order:
        history = [record["validation_accuracy"] for record in trials[i]["history"]]
        axes.plot(range(1, len(history) + 1), history, marker="o", label=names[i][:80])
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("validation accuracy")
    if len(trials) <= 10:
        axes.legend(frameon=False, fontsize="small")
    rows = tuple(
        (
            f"{names[i]} (chosen)" if i == best else names[i],
            f"{trials[i]['validation_accuracy']:.4f}",
            f"{trials[i]['history'][-1]['train_accuracy']:.4f}",
            f"{trials[i]['history'][-1]['train_loss']:.4f}",
            len(trials[i]["history"]),
        )
        for i in order
    )
    write_report(
        path,
        "Sweep",
        {
            "trials": len(trials),
            "chosen": names[best],
            "validation accuracy": f"{trials[best]['validation_accuracy']:.4f}",
        },
        [
            section(
                "Trials",
                "Chosen by the validation accuracy; the test images play no part in it.",
                figure=figure_svg(figure, "Validation accuracy of each trial after each epoch"),
                head=("trial", "validation", "training", "training loss", "epochs"),
                rows=rows,
            )
        ],
    )
