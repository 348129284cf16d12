#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# Runs each fuzz target for a while: hack/fuzz.sh DURATION

set -euo pipefail
cd "$(dirname "$0")/.."

grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file function; do
	hack/go test -run '^$' -fuzz "^${function#func }\$" -fuzztime "$1" "$(dirname "$file")" </dev/null
done
