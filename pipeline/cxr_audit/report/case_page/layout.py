"""How large a picture is on paper."""

from __future__ import annotations

from dataclasses import dataclass

# paper -> width and height of the box of each of the two pictures on page 1
PICTURE_MM = {"a4": (87.0, 112.0), "letter": (90.0, 95.0)}
LEAST_MM = 4.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its size on paper, in mm."""

    url: str
    width_mm: str
    height_mm: str

    @classmethod
    def within(cls, url: str, shape: tuple[int, int], width_mm: float, height_mm: float) -> Picture:
        """As large as a box allows, the aspect kept.

        Parameters
        ----------
        url : where the picture is.
        shape : its rows and columns.
        width_mm, height_mm : of the box.
        """
        rows, columns = shape
        scale = min(width_mm / columns, height_mm / rows)
        width, height = max(LEAST_MM, scale * columns), max(LEAST_MM, scale * rows)
        return cls(url, f"{width:.2f}", f"{height:.2f}")


def fitted(url: str | None, shape: tuple[int, int], paper: str) -> Picture | None:
    """One of the two pictures of page 1."""
    if url is None:
        return None
    return Picture.within(url, shape, *PICTURE_MM[paper])
