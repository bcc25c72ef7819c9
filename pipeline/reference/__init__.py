"""What ships so that the tool works and proves itself on a bare machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"


def classifier_card() -> dict[str, Any]:
    """The model card of the reference classifier, as its training script wrote it."""
    card: dict[str, Any] = json.loads((WEIGHTS / "classifier.json").read_text())
    return card
