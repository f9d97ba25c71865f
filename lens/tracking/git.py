"""Which state of the source a run was made with."""

import subprocess
from pathlib import Path

from lens.tracking.store import project_folder


def git_state(folder: Path | None = None) -> dict[str, str]:
    """`git.commit` and `git.dirty` ("true" also for new files that git does not ignore); "unknown" outside git."""
    root = (folder or project_folder()).resolve()
    unknown = {"git.commit": "unknown", "git.dirty": "unknown"}
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root:
            return unknown  # installed somewhere below another repository
        commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return unknown
    state = {"git.commit": commit, "git.dirty": "true" if changes else "false"}
    return {**state, "mlflow.source.git.commit": commit}  # the UI's own name for it


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
