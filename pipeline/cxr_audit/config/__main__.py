"""`python -m cxr_audit.config FILE` writes the comments of a config again; its values stay."""

import sys
from pathlib import Path

from cxr_audit.config.starter import rewrite

rewrite(Path(sys.argv[1]))
