"""The description of the service, fuzzed by schemathesis against a real process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.server import Server

# Not "use after free" and the like, which are for services that store something.
ANSWERS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
# Nor that all that is described is accepted: a form's text may be of the right length and yet no JSON.
CHECKS = f"{ANSWERS},negative_data_rejection,unsupported_method,allow_header_conformance"


def fuzz(server: Server, description: str | Path, folder: Path, checks: str, *options: str) -> None:
    """Fails where the service answers otherwise than described, or with 5xx."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(description), "--url", server.url),
            *(
                "--checks",
                checks,
                "--phases",
                "examples,coverage,fuzzing",
                "--suppress-health-check",
                "all",
                "--continue-on-failure",
                *options,
            ),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert httpx.get(f"{server.url}/readyz", timeout=10).status_code == 200


def known(server: Server, folder: Path) -> Path:
    """The description, with the names of models and items that there are: requests then get to the bottom."""
    told: dict[str, Any] = httpx.get(f"{server.url}/openapi.json", timeout=10).json()
    models = [one["name"] for one in httpx.get(f"{server.url}/api/models", timeout=10).json()["models"]]
    items = [
        one["item_id"] for one in httpx.get(f"{server.url}/api/items?limit=5", timeout=10).json()["items"]
    ]
    for path, operations in told["paths"].items():
        for operation in operations.values():
            for given in operation.get("parameters", []):
                if given["name"] in ("model", "item_id"):
                    given["schema"] = {"enum": models if given["name"] == "model" else items}
            body = operation.get("requestBody", {}).get("content", {})
            for kind in body.values() if path != "/api/key" else ():
                properties = kind["schema"]["properties"]
                for name, values in (("model", models), ("item", items)):
                    if name in properties:
                        properties[name] = {"enum": values}
                if "terms" in properties:
                    one = {"type": "object", "required": ["item"], "additionalProperties": False}
                    one["properties"] = {
                        "item": {"enum": items},
                        "weight": {"type": "number", "minimum": 0.1},
                    }
                    properties["terms"] = {"type": "array", "minItems": 1, "maxItems": 3, "items": one}
                    properties["models"] = {"type": "array", "items": {"enum": models}, "maxItems": 3}
    written = folder / "known.json"
    written.write_text(json.dumps(told))
    return written


def test_answers_are_as_described_and_never_5xx(server: Server, tmp_path: Path) -> None:
    fuzz(server, f"{server.url}/openapi.json", tmp_path, CHECKS, "--max-examples", "15", "--seed", "1")


@pytest.mark.slow
def test_so_are_those_for_items_and_models_that_there_are(server: Server, tmp_path: Path) -> None:
    fuzz(server, known(server, tmp_path), tmp_path, ANSWERS, "--max-examples", "15", "--seed", "1")


@pytest.mark.slow
@pytest.mark.parametrize("names", ["any", "known"])
def test_also_after_thousands_of_requests(server: Server, tmp_path: Path, names: str) -> None:
    often = ("--max-examples", "200")  # with several workers its generators break now and then on Python 3.11
    if names == "known":
        fuzz(server, known(server, tmp_path), tmp_path, ANSWERS, *often)
    else:
        fuzz(server, f"{server.url}/openapi.json", tmp_path, CHECKS, *often)
