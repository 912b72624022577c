"""Where numbers come from: versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax


def provenance() -> dict[str, Any]:
    """Versions, the commit of a source checkout, device, platform and date, as JSON values."""
    devices = jax.local_devices()
    return {
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("adamlab", "jax", "jaxlib", "optax", "flax", "numpy")},
        },
        "commit": commit_of(Path(__file__).resolve().parents[2]),
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "platform": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def commit_of(checkout: Path) -> str | None:
    """The commit of `checkout`, with + where its code differs from it; None outside a checkout.

    Results that a run has written beside the code do not count.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return found.stdout.strip()

    if not (checkout / ".git").exists():
        return None
    try:
        changed = git("status", "--porcelain", "--", "*.py", "pyproject.toml")
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.SubprocessError):
        return None
