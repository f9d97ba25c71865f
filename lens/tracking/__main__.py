"""Send what a run could not send while its store was away: python -m lens.tracking runs/RUN_ID/unsent.jsonl"""

import argparse
import sys

from lens.errors import LensError
from lens.tracking import send_unsent

parser = argparse.ArgumentParser(prog="python -m lens.tracking", description=__doc__)
parser.add_argument("journal", help="the unsent.jsonl of a run")
try:
    print(f"{send_unsent(parser.parse_args().journal)} records were sent.")
except LensError as error:
    sys.exit(str(error))
