"""cxr-audit: from one config to an audit of every chest radiograph.

from cxr_audit import load_config, read_run, run_audit
result = run_audit(load_config("configs/demo.yaml"))
read_run("reports/demo").cases  # a data frame
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "list_runs", "load_config", "read_run", "render_run", "run_audit"]


def __getattr__(name: str) -> Any:
    if name == "load_config":
        from cxr_audit.config import load_config

        return load_config
    if name in ("read_run", "list_runs"):
        from cxr_audit import results

        return getattr(results, name)
    if name in ("run_audit", "render_run"):
        from cxr_audit import engines

        return getattr(engines, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
