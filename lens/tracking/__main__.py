"""Small tasks around the tracking store: python -m lens.tracking --help"""

import argparse
import sys

from lens.errors import LensError
from lens.tracking import find_run, register, send_unsent, tracking_uri
from lens.tracking.models import EMBEDDER, read_registration
from lens.tracking.store import DEFAULT_EXPERIMENT
from lens.tracking.view import view_address

parser = argparse.ArgumentParser(prog="python -m lens.tracking", description=__doc__)
tasks = parser.add_subparsers(dest="task", required=True)
send = tasks.add_parser("send", help="send what a run could not send while its store was away")
send.add_argument("journal", help="the unsent.jsonl of a run, runs/RUN_ID/unsent.jsonl")
view = tasks.add_parser(
    "view", help="print the address of the runs in MLflow's page, with the columns that matter"
)
view.add_argument(
    "--server", default="http://127.0.0.1:5000", help="where MLflow's page is served (%(default)s)"
)
view.add_argument("--experiment", default=DEFAULT_EXPERIMENT, help="%(default)s")
enter = tasks.add_parser("register", help="register a run's embedder under a name, with an alias if you like")
enter.add_argument("run", help="the run's id, the start of it, its name, or last")
enter.add_argument("name", metavar="NAME[@ALIAS]", help="e.g. shoes or shoes@champion")
enter.add_argument("--experiment", default=DEFAULT_EXPERIMENT, help="%(default)s")
given = parser.parse_args()
try:
    if given.task == "send":
        print(f"{send_unsent(given.journal)} records were sent.")
    elif given.task == "register":
        name, alias = read_registration(given.name)
        uri = tracking_uri()
        run_id = find_run(uri, given.experiment, given.run)
        version = register(uri, run_id, name, alias)
        print(
            f"runs:/{run_id}/{EMBEDDER} is models:/{name}/{version}{f' and models:/{given.name}' * bool(alias)}."
        )
    else:
        print(view_address(tracking_uri(), given.experiment, given.server))
except LensError as error:
    sys.exit(str(error))
