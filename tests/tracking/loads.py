"""Loads a model as a stranger would: python loads.py URI FOLDER OUT.npz MODEL...; images are FOLDER/*.png."""

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

# Of what this project depends on, the packages that are not among the model's requirements nor mlflow's own.
NOT_REQUIRED = {"faiss", "optuna", "imagehash", "hydra_plugins"}


class Absent(MetaPathFinder):
    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname.partition(".")[0] in NOT_REQUIRED:
            raise ModuleNotFoundError(f"{fullname} is not in the model's requirements")


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())
    import mlflow
    import numpy as np
    import pandas as pd

    uri, folder, out, *models = sys.argv[1:]
    mlflow.set_tracking_uri(uri)
    images = pd.DataFrame({"image": [path.read_bytes() for path in sorted(Path(folder).glob("*.png"))]})
    found = {}
    for place, model in enumerate(models):
        loaded = mlflow.pyfunc.load_model(model)
        found[f"images{place}"] = loaded.predict(images)
        found[f"texts{place}"] = loaded.predict(pd.DataFrame({"text": ["boot", "a red sandal"]}))
    import lens

    np.savez(out, code=lens.__file__, **found)
