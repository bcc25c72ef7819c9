"""`python -m cxr_audit.cli` is the command `cxr-audit`."""

from cxr_audit.cli import main

if __name__ == "__main__":
    main()
