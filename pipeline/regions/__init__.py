"""Radiograph -> regions: lungs, zones, text markers, border: where evidence may lie, by name."""
