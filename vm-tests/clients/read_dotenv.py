"""Shows as JSON what PyPI's `python-dotenv` reads in the file that is its argument."""

import json
import sys

from dotenv import dotenv_values

print(json.dumps(dotenv_values(sys.argv[1])))
