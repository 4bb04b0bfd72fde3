"""Unpickle a checkpoint of TorchXRayVision in a process of its own, and write its arrays for the one that asked.

    python -m cxr.model.xrv_child OUT [CHECKPOINT]

`OUT` is an `.npz` without pickles: the arrays of the module's state by name and, as JSON in `FACTS`, what the
checkpoint says of its outputs and what the installed torchxrayvision publishes. Unpickling runs whatever code is in a
file: only `cxr.model.xrv` calls this, on a file whose SHA-256 it has checked.
"""

import io
import json
import math
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

FACTS: Final = "facts"
NO_EXTRA: Final = 3
NOT_READ: Final = 4
"""Exit statuses: the packages are missing; the file is not a checkpoint of torchxrayvision."""

NOT_NEEDED: Final = ("torchvision", "skimage", "imageio", "tqdm")
"""Torchxrayvision imports these for pictures and downloads. Its DenseNet uses none of them, and torchvision's build may
not be the installed PyTorch's; here they are empty, whether installed or not."""


class _Empty(ModuleType):
    """A module in which every name is an empty class."""

    __path__: list[str] = []  # noqa: RUF012 (a package's search path; nothing is found on it)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _EmptyModules(MetaPathFinder, Loader):
    """Finds the modules of `NOT_NEEDED`."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in NOT_NEEDED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def main(arguments: list[str]) -> int:
    """Write the facts, and with a checkpoint its arrays; returns the exit status."""
    out, *checkpoint = map(Path, arguments)
    sys.meta_path.insert(0, _EmptyModules())
    try:
        import torch
        from torchxrayvision import models
    except ImportError as error:
        print(error, file=sys.stderr)
        return NO_EXTRA
    facts: dict[str, Any] = {"published": _published(models.model_urls)}
    arrays: dict[str, np.ndarray] = {}
    if checkpoint:
        try:
            module = torch.load(io.BytesIO(checkpoint[0].read_bytes()), map_location="cpu", weights_only=False)
        except Exception as error:  # noqa: BLE001 (what is in a file decides what its unpickling raises)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return NOT_READ
        if not isinstance(module, models.DenseNet):
            print(f"it holds a {type(module).__name__}", file=sys.stderr)
            return NOT_READ
        for part in module.modules():
            # Modules pickled before PyTorch 1.6 lack it; torchxrayvision mends them in the same way.
            part.__dict__.setdefault("_non_persistent_buffers_set", set())
        arrays = {name: value.detach().numpy() for name, value in module.state_dict().items()}
        # The class has default names: only what this checkpoint itself holds says something of its outputs.
        own = vars(module)
        thresholds = arrays.pop("op_threshs", own.get("op_threshs"))
        facts["pathologies"] = own.get("pathologies", own.get("targets"))
        facts["thresholds"] = None if thresholds is None else _numbers(thresholds)
    np.savez(out, **arrays, **{FACTS: np.array(json.dumps(facts, default=list))})  # type: ignore[arg-type]
    return 0


def _published(table: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Torchxrayvision's table of DenseNets by full name; a threshold that it has not is null."""
    return {
        name: {
            "url": entry["weights_url"],
            "pathologies": entry["labels"],
            "thresholds": _numbers(entry["op_threshs"]),
            "description": entry.get("description", ""),
        }
        for name, entry in table.items()
        if name.startswith("densenet121-res224-")
    }


def _numbers(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
