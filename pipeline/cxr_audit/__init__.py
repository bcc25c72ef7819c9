"""cxr-audit: from one config to an audit of every chest radiograph.

from cxr_audit import load_config, run_audit
result = run_audit(load_config("configs/demo.yaml"))
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_config", "render_run", "run_audit"]


def __getattr__(name: str) -> Any:
    if name == "load_config":
        from cxr_audit.config import load_config

        return load_config
    if name in ("run_audit", "render_run"):
        from cxr_audit import engines

        return getattr(engines, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
