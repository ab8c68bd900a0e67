"""What the wheel has that the checkout has not: the compiled YAMLs as one file."""

import pathlib
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledYamls(BuildHookInterface):
    """Puts runner/compiled.xz into a wheel; an editable one reads the YAMLs of the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file and have it included."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from runner.compiled import STORE, committed, packed

        self.directory_of_store = tempfile.TemporaryDirectory()
        store = pathlib.Path(self.directory_of_store.name, STORE)
        store.write_bytes(packed(committed(pathlib.Path(self.root))))
        build_data["force_include"][str(store)] = f"runner/{STORE}"
