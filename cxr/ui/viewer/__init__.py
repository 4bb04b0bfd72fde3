"""The film viewer: a workstation for one film, or two side by side, in the page."""

from cxr.ui.viewer.component import film_viewer
from cxr.ui.viewer.film import Box, ViewerFilm

__all__ = ["Box", "ViewerFilm", "film_viewer"]
