"""Drives huggingface_hub for the test `python_client`; prints one JSON value."""

import json
import os
import sys
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, scan_cache_dir, snapshot_download


def main() -> None:
    action, repo, *rest = sys.argv[1:]
    if action == "snapshot":
        # Online or offline, as HF_HUB_OFFLINE says.
        result = snapshot_download(repo, allow_patterns=rest or None)
    elif action == "files":
        result = {name: hf_hub_download(repo, name) for name in rest}
    elif action == "scan":
        info = scan_cache_dir()
        assert not info.warnings, [str(w) for w in info.warnings]
        found = [r for r in info.repos if r.repo_id == repo]
        assert len(found) == 1, found
        result = {"files": found[0].nb_files, "bytes": found[0].size_on_disk}
    elif action == "publish":
        api = HfApi()
        api.create_repo(repo, exist_ok=True)
        result = api.upload_folder(repo_id=repo, folder_path=Path(rest[0])).oid
    else:
        raise SystemExit(f"no such action: {action}")
    json.dump(result, sys.stdout)


assert os.environ["HF_ENDPOINT"].startswith("http://127.0.0.1:"), "a test Hub only"
main()
