"""Data sets from their official files: found in the user's folder or downloaded, verified, as tensors on a device."""

from __future__ import annotations

from estimlab.training.data.files import FileRecord, PublishedFile, data_folder, find_file
from estimlab.training.data.sets import NAMES, Dataset, Split, load

__all__ = ["NAMES", "Dataset", "FileRecord", "PublishedFile", "Split", "data_folder", "find_file", "load"]
