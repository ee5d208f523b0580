"""A process of its own that logs to a server until MCLD_FAULT kills it."""

import sys
from pathlib import Path

from mcld.tracking import open_run


def main(root: Path, *, tracking_uri: str, identity: str) -> None:
    """Log ten points and a picture."""
    with open_run(
        state_dir=root / ".mcld",
        root=root,
        tracking_uri=tracking_uri,
        experiment="test",
        identity=identity,
        name="run",
    ) as tracked:
        tracked.log_params({"a": 1})
        tracked.log_series("loss", values=[(step, step / 10) for step in range(10)])
        tracked.log_image(root / "grid.png", key="samples", step=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tracking_uri=sys.argv[2], identity=sys.argv[3])
