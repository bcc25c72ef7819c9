"""Radiograph -> regions: lungs, zones, text markers, border: where evidence may lie, by name."""

from pipeline.regions.markers import find_markers
from pipeline.regions.zones import find_zones

__all__ = ["find_markers", "find_zones"]
