"""What MLflow loads for a run's embedder: tables of images, or of texts, to vectors.

MLflow imports this module by its name, from the copy of the code that lies beside the model.
"""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lens.errors import LensError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OPENER = "opener.json"
DECODED = 16  # images held at a time: a large photograph takes 190 MB


class Served:
    """An embedder behind MLflow's ``predict``.

    Args:
        embedder: has ``open(bytes)``, ``images(list)``, ``texts(list)`` and ``takes_texts``.
    """

    def __init__(self, embedder: Any) -> None:
        self.embedder = embedder

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "np.ndarray":
        """Unit vectors float32 [N, D] of a table of N rows with the column ``image`` (bytes of files) or ``text``.

        Raises:
            MlflowException: a table, an image or a text that cannot be embedded, in one sentence that names its row;
                a server answers it with status 400.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self._embed(model_input)
        except LensError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None

    def _embed(self, table: "pd.DataFrame") -> "np.ndarray":
        import numpy as np

        known = ["image", "text"] if self.embedder.takes_texts else ["image"]
        given = [name for name in known if name in table and table[name].notna().any()]
        if len(given) != 1:
            raise LensError(f"Give a table of one or more rows with one column: {' or '.join(known)}.")
        values = list(table[given[0]])
        if given == ["text"]:
            texts = [self._text(row, value) for row, value in enumerate(values)]
            return self.embedder.texts(texts)  # type: ignore[no-any-return]
        parts = []
        for start in range(0, len(values), DECODED):
            rows = range(start, min(start + DECODED, len(values)))
            parts.append(self.embedder.images([self._image(row, values[row]) for row in rows]))
        return np.concatenate(parts)

    def _text(self, row: int, value: Any) -> str:
        if not isinstance(value, str):
            raise LensError(f"Row {row}: the text is missing.")
        return value

    def _image(self, row: int, value: Any) -> Any:
        if not isinstance(value, bytes):
            raise LensError(f"Row {row}: the image is missing; give the bytes of its file.")
        try:
            return self.embedder.open(value)
        except LensError as error:
            raise LensError(f"Row {row}: {error}.") from None


def _load_pyfunc(path: str) -> Served:
    """MLflow's hook: ``path`` is the model's data folder, in which a file names the function that opens it."""
    folder = Path(path)
    module, _, function = json.loads((folder / OPENER).read_text(encoding="utf-8"))["opener"].rpartition(".")
    return Served(getattr(importlib.import_module(module), function)(folder))
