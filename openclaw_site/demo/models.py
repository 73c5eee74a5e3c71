"""The demo's models: trained, measured on rows they have not seen, and exported to ONNX, all in seconds.

Runs in a process of its own (`python -m openclaw_site.demo.models FOLDER --seed N`): it is the only module of the site
that imports torch. Data: scikit-learn's handwritten digits (1,797 images of 8x8 pixels) and the Wisconsin breast
cancer data (569 rows of 30 numbers); both ship inside scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from openclaw_site.cli.fairness import Predictions, evaluate

SPLIT_SEED = 20240101  # every version is measured on the same rows
OPSET = 18
FIGURES = "figures.json"

Array = npt.NDArray[Any]


class Digits(nn.Module):
    """Pixels 0 to 16, shape [batch, 1, 8, 8] → ten probabilities per image."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * 16, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 10),
        )

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores, which the loss wants."""
        return self.layers(images / 16.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.scores(images), dim=1)


class Triage(nn.Module):
    """Thirty measurements of a cell nucleus, as recorded → probabilities of (malignant, benign)."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, rows: Array) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(rows.mean(axis=0), dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(rows.std(axis=0), dtype=torch.float32))
        self.layers = nn.Sequential(
            nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )

    def scores(self, rows: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores; the standardisation is part of the graph, so callers send raw numbers."""
        return self.layers((rows - self.mean) / self.scale)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.scores(rows), dim=1)


def train(model: Any, x: Array, y: Array, *, epochs: int, rate: float, seed: int) -> None:
    """Fit `model` in place with Adam and cross entropy, in shuffled batches of 64."""
    torch.manual_seed(seed)
    inputs, wanted = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.long)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-4)
    model.train()
    for _epoch in range(epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model.scores(inputs[batch]), wanted[batch]).backward()
            optimiser.step()
    model.eval()


def predict(model: Any, x: Array) -> Array:
    """Probabilities for each row of `x`."""
    with torch.no_grad():
        answer: Array = model(torch.tensor(x, dtype=torch.float32)).numpy()
    return answer


def export(model: Any, example: Array, path: Path, *, given: str) -> None:
    """Write `model` as one ONNX file whose batch size is free; raises when ONNX Runtime disagrees with torch."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # no usage events in the home folder
    import onnxruntime

    torch.onnx.export(
        model,
        (torch.tensor(example[:2], dtype=torch.float32),),
        str(path),
        input_names=[given],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    answer = session.run(None, {given: example.astype(np.float32)})[0]
    if not np.allclose(answer, predict(model, example), atol=1e-5):
        raise RuntimeError(
            f"{path.name}: the exported graph does not answer like the model it was made from."
        )


def digits_models(folder: Path, *, seed: int) -> dict[str, Any]:
    """Train the small and the better digits network; half of the images are held out and saved."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32).reshape(-1, 1, 8, 8)
    x, unseen, y, truth = train_test_split(
        images, labels, test_size=0.5, random_state=SPLIT_SEED, stratify=labels
    )
    np.savez(folder / "digits-unseen.npz", inputs=unseen, labels=truth.astype(np.int64))
    recipes: dict[str, Callable[[], tuple[Any, int]]] = {
        "digits-small": lambda: (Digits(4, 32), 12),
        "digits-better": lambda: (Digits(16, 96), 30),
    }
    figures: dict[str, Any] = {"training_rows": len(x), "unseen_rows": len(unseen)}
    for name, make in recipes.items():
        torch.manual_seed(seed)
        model, epochs = make()
        train(model, x, y, epochs=epochs, rate=3e-3, seed=seed)
        answers = predict(model, unseen).argmax(axis=1)
        export(model, unseen[:64], folder / f"{name}.onnx", given="image")
        figures[name] = {
            "epochs": epochs,
            "parameters": sum(p.numel() for p in model.parameters()),
            "accuracy": float((answers == truth).mean()),
            "worst_digit": _worst_class(answers, truth),
        }
    return figures


def triage_model(folder: Path, *, seed: int) -> dict[str, Any]:
    """Train the tabular network; forty in a hundred rows are held out and saved."""
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    x, unseen, y, truth = train_test_split(
        rows, labels, test_size=0.4, random_state=SPLIT_SEED, stratify=labels
    )
    np.savez(folder / "triage-unseen.npz", inputs=unseen, labels=truth.astype(np.int64))
    torch.manual_seed(seed)
    model = Triage(x)
    train(model, x, y, epochs=40, rate=2e-3, seed=seed)
    answers = predict(model, unseen).argmax(axis=1)
    export(model, unseen[:64], folder / "triage.onnx", given="measurements")
    malignant = truth == 0
    evaluation = by_size_of_nucleus(x[:, 0], unseen[:, 0], truth, answers)
    (folder / "triage-evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n", encoding="utf-8")
    return {
        "training_rows": len(x),
        "unseen_rows": len(unseen),
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": float((answers == truth).mean()),
        "sensitivity": float((answers[malignant] == 0).mean()),
        "specificity": float((answers[~malignant] == 1).mean()),
    }


def by_size_of_nucleus(trained_on: Array, radius: Array, truth: Array, answers: Array) -> dict[str, Any]:
    """The triage model in three groups of samples, whose bounds are the thirds of the rows it was trained on."""
    names = np.array(["small nuclei", "medium nuclei", "large nuclei"])
    groups = names[np.digitize(radius, np.quantile(trained_on, [1 / 3, 2 / 3]))]
    words = np.array(["malignant", "benign"])
    given = Predictions(
        truth=words[truth].tolist(),
        predicted=words[answers].tolist(),
        groups=groups.tolist(),
        data_name="Wisconsin breast cancer, rows that training never saw",
        data_sha256=sha256(np.stack([radius, truth, answers]).tobytes()).hexdigest(),
        group_name="size of the nucleus",
    )
    return evaluate(given, positive="malignant", model="tumour-triage")


def _worst_class(answers: Array, truth: Array) -> dict[str, Any]:
    recalls = {int(c): float((answers[truth == c] == c).mean()) for c in np.unique(truth)}
    worst = min(recalls, key=lambda c: recalls[c])
    return {"digit": worst, "recall": recalls[worst]}


def main() -> None:
    """Train everything into FOLDER and write `figures.json` last, so that its presence means complete."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    figures = {
        "seed": arguments.seed,
        "digits": digits_models(arguments.folder, seed=arguments.seed),
        "triage": triage_model(arguments.folder, seed=arguments.seed),
    }
    figures["seconds"] = round(time.perf_counter() - started, 1)
    (arguments.folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
