"""The kinds of exports."""

from typing import Literal

ExportKind = Literal["masks", "model", "nnunet", "seg", "meshes", "overlays", "volumes"]
