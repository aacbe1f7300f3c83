#!/usr/bin/env bash
# CTest's way to golden/check: the figures of this build.
set -euo pipefail

if ! command -v python3 >/dev/null; then
	echo "skipped: no python3"
	exit 77
fi
exec python3 "$(dirname "${BASH_SOURCE[0]}")/check" --build "${HAKMEM_BINARY_DIR:?run by CTest}"
