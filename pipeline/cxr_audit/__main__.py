"""`python -m cxr_audit` is the command `cxr-audit`."""

from cxr_audit.cli import main

if __name__ == "__main__":
    main()
