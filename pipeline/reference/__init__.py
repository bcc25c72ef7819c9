"""What ships so that the tool works and proves itself on a bare machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"


def classifier_card() -> dict[str, Any]:
    """The model card of the reference classifier, as its training script wrote it."""
    return _card("classifier.json")


def lungs_card() -> dict[str, Any]:
    """The model card of the lung segmenter, as its training script wrote it."""
    return _card("lungs.json")


def _card(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((WEIGHTS / name).read_text("utf-8"))
    return card
