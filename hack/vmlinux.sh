#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Prints vmlinux.h: the types of bpf/vmlinux.txt as the running kernel has them.

set -euo pipefail
cd "$(dirname "$0")/.."

exec hack/go run ./internal/tools/vmlinux -types bpf/vmlinux.txt \
	-kernel "$(uname -r | cut -d. -f1,2)" bpf/*.[ch]
