"""What ships so that the tool works and proves itself on a bare machine."""

from __future__ import annotations

from pathlib import Path

from cxr_audit.records import ModelCard, from_json

WEIGHTS = Path(__file__).parent / "weights"


def card_of(model: str) -> ModelCard:
    """The model card of "classifier" or "lungs", as its training script wrote it."""
    return from_json((WEIGHTS / f"{model}.json").read_bytes(), ModelCard)
