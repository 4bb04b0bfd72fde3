"""CXR Triage: a chest radiograph in; a verdict, its evidence and how far to trust it out."""

__version__ = "0.1.0"
